package sheet

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"

	"anomalymatch/engine/label"
	"anomalymatch/internal/say"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

type card struct {
	Rank                   int64
	Score, Fast, Deep      string
	Shown, Said            string
	Label, ID, Name, Class string
	Src                    template.HTMLAttr // made of base64 alone
	Why                    string
}

type choice struct{ Key, Text string }

// WritePage writes a page that holds everything, its pictures too, and asks for nothing: a policy in it forbids all but its own style and script,
// by their hashes. It sorts, filters and resizes by the mouse, and follows the browser's choice of light or dark.
func WritePage(w io.Writer, s Sheet) error {
	if err := s.tooMany(MostPage, "page"); err != nil {
		return err
	}
	page := struct {
		Title                 string
		StyleHash, ScriptHash string
		Style                 template.CSS
		Script                template.JS
		Cards                 []card
		Orders, Labels        []choice
		Hidden                int
	}{Title: say.Text(s.Title), Style: template.CSS(pageStyle), Script: template.JS(pageScript), StyleHash: hashOf(pageStyle), ScriptHash: hashOf(pageScript)}
	fast, deep, labels := false, false, map[label.Value]bool{}
	for _, p := range s.Pictures {
		c := card{Rank: p.Rank, Score: number(p.Score), Fast: number(p.Fast), Deep: number(p.Deep), Label: string(p.Label), ID: say.Escaped(p.ID), Name: say.Escaped(p.Name()), Class: string(p.Label), Why: say.Text(p.Why)}
		fast, deep = fast || c.Fast != "", deep || c.Deep != ""
		labels[p.Label] = true
		if c.Score != "" {
			c.Shown = strconv.FormatFloat(float64(p.Score), 'f', 3, 32)
		}
		if said := caption(p.Candidate)[1]; said != "–" {
			c.Said = said
		}
		if len(p.Data) > 0 {
			c.Src = template.HTMLAttr(`src="data:` + mediaType(p.Data) + `;base64,` + base64.StdEncoding.EncodeToString(p.Data) + `"`)
		} else {
			page.Hidden++
		}
		page.Cards = append(page.Cards, c)
	}
	page.Orders = []choice{{"rank", "rank"}}
	if fast {
		page.Orders = append(page.Orders, choice{"fast", "fast score"})
	}
	if deep {
		page.Orders = append(page.Orders, choice{"deep", "deep score"})
	}
	page.Orders = append(page.Orders, choice{"label", "label"}, choice{"name", "name"})
	for _, v := range []label.Value{label.Anomaly, label.Normal, label.Skip} {
		if labels[v] {
			page.Labels = append(page.Labels, choice{string(v), string(v)})
		}
	}
	if labels[label.None] && len(labels) > 1 {
		page.Labels = append(page.Labels, choice{"none", "without a label"})
	}
	return pageTemplate.Execute(w, page)
}

// mediaType is PNG or JPEG.
func mediaType(b []byte) string {
	if t := http.DetectContentType(b); strings.HasPrefix(t, "image/") {
		return t
	}
	return "image/png"
}

// hashOf is a hash as policies have it.
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func number(f float32) string {
	if f != f {
		return ""
	}
	return strconv.FormatFloat(float64(f), 'g', -1, 32)
}
