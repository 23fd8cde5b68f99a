// Package export makes files of a ranked list for other programs and other people: tables (package table), regions for DS9, contact sheets and
// pages (package sheet), copies of the images. It is given the list; what ranks it is the engine's.
//
// Whatever comes from file names or other people's tables is untrusted: every writer escapes by the rules of its format, and names of files are
// made here, never taken over. The same list makes the same bytes.
package export

import (
	"context"
	"math"
	"strings"

	"anomalymatch/engine/export/table"
	"anomalymatch/engine/label"
)

// Candidate is one image of a list.
type Candidate struct {
	ID    string
	Rank  int64   // 1 is the best of the whole ranking, whatever the list leaves out
	Score float32 // of the ranking; NaN: there is none
	Fast  float32 // of the fast ranking, NaN likewise
	Deep  float32 // of the trained network, NaN likewise
	Label label.Value
	Marks []string // "bookmark", "1" to "9"
}

// Source is the source that the image comes from, Path where it is in there.
func (c Candidate) Source() string { s, _, _ := strings.Cut(c.ID, "/"); return s }
func (c Candidate) Path() string   { _, p, _ := strings.Cut(c.ID, "/"); return p }

// Name is the last part of the path: short, and for people.
func (c Candidate) Name() string { return c.ID[strings.LastIndexByte(c.ID, '/')+1:] }

// Bookmarked says whether somebody bookmarked it; Tags are the numbers of its tags.
func (c Candidate) Bookmarked() bool {
	for _, m := range c.Marks {
		if m == label.Bookmark {
			return true
		}
	}
	return false
}

func (c Candidate) Tags() (tags []string) {
	for _, m := range c.Marks {
		if m != label.Bookmark {
			tags = append(tags, m)
		}
	}
	return tags
}

// List is a ranking, or a part of it, in its order.
type List struct {
	Project    string // name, for people
	RankedBy   string // fast, deep, joint, novelty; "order" where nothing ranks
	Pool       string // hash of the pool
	Version    string // of this program
	Images     int64  // in the whole ranking
	Candidates []Candidate
}

// Columns are further columns of a list, such as metadata of the images by their ids: this is where they come in. Columns "ra" and "dec", in degrees,
// are positions for regions too.
type Columns interface {
	Columns(ctx context.Context, ids []string) ([]table.Column, error)
}

// IDs are those of the list, in its order.
func (l List) IDs() []string {
	ids := make([]string, len(l.Candidates))
	for i, c := range l.Candidates {
		ids[i] = c.ID
	}
	return ids
}

// Further asks all of more for their columns.
func (l List) Further(ctx context.Context, more ...Columns) (all []table.Column, err error) {
	ids := l.IDs()
	for _, m := range more {
		cols, err := m.Columns(ctx, ids)
		if err != nil {
			return nil, err
		}
		all = append(all, cols...)
	}
	return all, nil
}

// Table is the list as a table: rank, id, score, the scores of both rankings where there are any, label, bookmark, tags, source, path, and further
// columns behind them.
func (l List) Table(further ...table.Column) (*table.Table, error) {
	rank := table.Column{Name: "rank", Kind: table.Int, About: "place in the whole ranking, 1 is the best", UCD: "meta.number"}
	id := table.Column{Name: "id", Texts: l.IDs(), About: "image: source and path in it", UCD: "meta.id;meta.main"}
	score := table.Column{Name: "score", Kind: table.Float32, About: "score of the ranking " + l.RankedBy, UCD: "stat.probability"}
	fast := table.Column{Name: "score_fast", Kind: table.Float32, About: "probability of anomaly by the head on the frozen network", UCD: "stat.probability"}
	deep := table.Column{Name: "score_deep", Kind: table.Float32, About: "probability of anomaly by the trained network", UCD: "stat.probability"}
	say := table.Column{Name: "label", About: "anomaly, normal, skip; empty: none", UCD: "meta.code.class"}
	bookmark := table.Column{Name: "bookmark", Kind: table.Int, About: "1: bookmarked", UCD: "meta.code"}
	tags := table.Column{Name: "tags", About: "numbers of the tags, apart by blanks", UCD: "meta.code"}
	source := table.Column{Name: "source", About: "where images come from", UCD: "meta.dataset"}
	path := table.Column{Name: "path", About: "place in the source", UCD: "meta.file"}
	for _, c := range l.Candidates {
		rank.Ints = append(rank.Ints, c.Rank)
		score.Singles = append(score.Singles, c.Score)
		fast.Singles = append(fast.Singles, c.Fast)
		deep.Singles = append(deep.Singles, c.Deep)
		say.Texts = append(say.Texts, string(c.Label))
		marked := int64(0)
		if c.Bookmarked() {
			marked = 1
		}
		bookmark.Ints = append(bookmark.Ints, marked)
		tags.Texts = append(tags.Texts, strings.Join(c.Tags(), " "))
		source.Texts = append(source.Texts, c.Source())
		path.Texts = append(path.Texts, c.Path())
	}
	columns := []table.Column{rank, id, score}
	for _, c := range []table.Column{fast, deep} {
		if some(c.Singles) {
			columns = append(columns, c)
		}
	}
	columns = append(columns, say, bookmark, tags, source, path)
	return table.New("candidates", []table.Fact{{Name: "PROJECT", Value: l.Project}, {Name: "RANKEDBY", Value: l.RankedBy}, {Name: "POOL", Value: l.Pool}, {Name: "CREATOR", Value: "anomalymatch " + l.Version}},
		append(columns, further...)...)
}

func some(scores []float32) bool {
	for _, s := range scores {
		if s == s {
			return true
		}
	}
	return false
}

// NoScore is the score of an image that has none.
func NoScore() float32 { return float32(math.NaN()) }
