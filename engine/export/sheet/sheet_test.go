package sheet

import (
	"bytes"
	"fmt"
	"html"
	"image"
	"image/png"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"anomalymatch/engine/export"
	"anomalymatch/engine/label"
	payloads "anomalymatch/internal/hostile"
)

var hostile = []string{
	"survey/plain.jpg", "a/quote\"><img src=x onerror=alert(1)>", "a/</script><script>alert(1)</script>", "a/\x1b[31mred\x1b]0;t\a", "a/line\nbreak", "a/\u202etxt\u2066.exe",
	"a/paren)(\\ Tj ET", "a/näme 星 🔭", "a/" + strings.Repeat("long", 200), "a/{{.Title}}", "\xff", "",
}

func init() {
	for _, p := range payloads.Payloads {
		hostile = append(hostile, "a/"+p.Text)
	}
}

// sheetOf n pictures of a colour each, with hostile names; the last cannot be shown.
func sheetOf(t *testing.T, n int) Sheet {
	t.Helper()
	s := Sheet{Title: "rings <b>\x1b[1m & (co) \u202e", Pictures: nil}
	for i := range n {
		var m image.Image = image.NewGray(image.Rect(0, 0, 20, 10+i%20))
		if i%2 == 0 {
			c := image.NewRGBA(image.Rect(0, 0, 16, 16))
			for k := range c.Pix {
				c.Pix[k] = uint8(i*k) | 0x80
			}
			m = c
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		p := Picture{Candidate: export.Candidate{ID: hostile[i%len(hostile)], Rank: int64(i + 1), Score: 1 / float32(i+1), Fast: .5, Deep: export.NoScore(), Label: []label.Value{"", label.Anomaly, label.Normal}[i%3]}, Data: b.Bytes()}
		if i == n-1 {
			p.Data, p.Why = nil, "is truncated: <b>"
		}
		if i%4 == 0 {
			p.Marks = []string{"bookmark", "3"}
		}
		s.Pictures = append(s.Pictures, p)
	}
	return s
}

func made(t *testing.T, write func(io.Writer, Sheet) error, s Sheet) string {
	t.Helper()
	var a, b bytes.Buffer
	if err := write(&a, s); err != nil {
		t.Fatal(err)
	}
	if err := write(&b, s); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same sheet made other bytes")
	}
	return a.String()
}

func TestPNG(t *testing.T) {
	for _, n := range []int{0, 1, 9, 30} {
		m, err := png.Decode(strings.NewReader(made(t, WritePNG, sheetOf(t, n))))
		if err != nil {
			t.Fatal(err)
		}
		if r := m.Bounds(); r.Dx() < 400 || r.Dx() > 1600 || r.Dy() < 100*((n+7)/8) {
			t.Errorf("%d pictures are on %v", n, r)
		}
	}
	if err := WritePNG(io.Discard, Sheet{Pictures: make([]Picture, MostPNG+1)}); err == nil {
		t.Error("a PNG of any size was written")
	}
}

// TestPDF: objects lie where the table at the end says, streams are as long as they say, and text stays within its strings.
func TestPDF(t *testing.T) {
	for _, n := range []int{0, 1, 36, 50} {
		text := made(t, WritePDF, sheetOf(t, n))
		start := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindStringSubmatch(text)
		if start == nil {
			t.Fatal("no end")
		}
		at, _ := strconv.Atoi(start[1])
		lines := strings.Split(text[at:], "\n")
		var size int
		if _, err := fmt.Sscanf(lines[1], "0 %d", &size); err != nil || lines[0] != "xref" {
			t.Fatalf("%q %q", lines[0], lines[1])
		}
		for k := 1; k < size; k++ {
			at, err := strconv.Atoi(lines[k+2][:10])
			if err != nil || len(lines[k+2]) != 19 || !strings.HasPrefix(text[at:], fmt.Sprintf("%d 0 obj\n", k)) {
				t.Fatalf("object %d is not at %q", k, lines[k+2])
			}
			body := text[at:]
			if m := regexp.MustCompile(`^\d+ 0 obj\n<< [^\n]*/Length (\d+) >>\nstream\n`).FindStringSubmatch(body); m != nil {
				long, _ := strconv.Atoi(m[1])
				if !strings.HasPrefix(body[len(m[0])+long:], "\nendstream\nendobj\n") {
					t.Errorf("object %d is not %d bytes long", k, long)
				}
			}
		}
		if want := max(1, (n+35)/36); strings.Count(text, "/Type /Page ") != want {
			t.Errorf("%d pictures on %d pages, not %d", n, strings.Count(text, "/Type /Page "), want)
		}
	}
	if got := literal(latin("a)(\\é星\x1b")); got != `(a\)\(\\\351??)` {
		t.Errorf("a literal is %s", got)
	}
}

func TestPage(t *testing.T) {
	text := made(t, WritePage, sheetOf(t, 24))
	for _, c := range []struct {
		what string
		n    int
	}{{"<script", 1}, {"<style", 1}, {"<img ", 23}, {"<figure ", 24}, {"</script", 1}, {"http://", 0}, {"https://", 0}, {"url(", 0}, {"@import", 0}, {"onerror=alert(1)>", 0}, {"alert(1)</script>", 0}} {
		if got := strings.Count(text, c.what); got != c.n {
			t.Errorf("%q is there %d times, not %d", c.what, got, c.n)
		}
	}
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Fatalf("the page holds %U", r)
		}
	}
	// What the policy allows is what is there.
	policy := html.UnescapeString(regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(text)[1])
	script := regexp.MustCompile(`(?s)<script>(.*)</script>`).FindStringSubmatch(text)[1]
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(text)[1]
	for _, s := range []string{script, style} {
		if !strings.Contains(policy, "'"+hashOf(s)+"'") {
			t.Errorf("the policy %s does not allow %.40q", policy, s)
		}
	}
	for _, m := range regexp.MustCompile(`src="([^"]{0,30})`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(m[1], "data:image/png;base64,") {
			t.Errorf("a picture comes from %q", m[1])
		}
	}
	if !strings.Contains(text, html.EscapeString(hostile[0])) || !strings.Contains(text, `\u202e`) {
		t.Error("ids are not whole")
	}
}
