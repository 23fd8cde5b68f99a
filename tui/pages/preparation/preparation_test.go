package preparation

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/pages/pagetest"
	"anomalymatch/tui/tuitest/fake"
)

// TestFits: whatever an engine answers, the page is as large as it should be.
func TestFits(t *testing.T) {
	hostile := "\x1b[2J\n\u202e" + string(rune(0x10eeee))
	for name, c := range map[string]*rpc.PreparationReply{
		"none":  nil,
		"empty": {},
		"all": {Source: "a", Size: 64, Ids: []string{"a/1", "a/2", "a/3"}, Stretches: []string{"linear", "asinh", "log", "zscale", "percentile"},
			Sources: []*rpc.ImageSource{{Name: "a", Images: 1e9, Reading: &rpc.Reading{Stretch: "log", Low: -1e300, High: 1e300, Channels: "1 0 0; 0 1 0"}}, {Name: "b"}}},
		"no images": {Source: "a", Sources: []*rpc.ImageSource{{Name: "a"}}},
		"hostile": {Source: hostile, Size: -5, Ids: []string{hostile, "", strings.Repeat("x", 5000)}, Stretches: []string{hostile, hostile, strings.Repeat("y", 100)},
			Sources: []*rpc.ImageSource{nil, {Name: hostile, Images: -1, Reading: &rpc.Reading{Stretch: hostile + "2", Low: math.NaN(), High: math.Inf(1), Channels: hostile}}}},
		"many": {Source: "a", Ids: make([]string, 100), Stretches: make([]string, 1000), Sources: []*rpc.ImageSource{{Name: "a"}}},
	} {
		env, l := pagetest.Env(t)
		p := New(env, l)
		p.reply = c
		pagetest.Fits(t, name, p)
		for _, id := range p.shown() {
			for _, r := range p.readings() {
				p.cells[place{id, r}] = decode(&rpc.PreviewReply{Error: hostile, Low: math.Inf(-1), High: math.NaN(), Bands: -3}, place{id, r}, 64)
			}
		}
		pagetest.Fits(t, name+", refused", p)
		for _, id := range []string{"right", "last", "left", "first", "down", "up", "brighter", "darker", "more-contrast", "less-contrast", "plain", "next-page", "previous-page", "sample", "range", "bands", "open", "back"} {
			if p.Refuse(id) == "" {
				p.Update(pages.Pressed{ID: id})
				pagetest.Fits(t, name+", "+id, p)
			}
		}
	}
}

func TestLimitsAndWeights(t *testing.T) {
	for text, want := range map[string]string{"": "", "0 1": "", " -1e-3\t5 ": "", "1; 2": "", "1": "Two numbers", "1 2 3": "Two numbers", "a b": "Two numbers", "2 1": "must be less", "1 1": "must be less", "NaN 1": "Two numbers", "0 Inf": "Two numbers",
		"-1e308 1e308": "Two numbers"} {
		if _, _, why := limits(text); (why == "") != (want == "") || !strings.Contains(why, want) {
			t.Errorf("%q: %q, want %q", text, why, want)
		}
	}
	for text, want := range map[string]string{"": "", "1 0 0; 0 1 0; 0 0 1": "", "0.3, 0.3, 0.4": "", "1 0; 1": "as many weights", "1;;2": "needs a weight", "x": "is no weight", "1 NaN": "is no weight", ";": "needs a weight", "1 \x1b[2J": "is no weight"} {
		if why := weights(text); (why == "") != (want == "") || !strings.Contains(why, want) || strings.Contains(why, "\x1b") {
			t.Errorf("%q: %q, want %q", text, why, want)
		}
	}
}

func TestRound(t *testing.T) {
	for _, c := range []struct{ v, span, want float64 }{{0.123456789, 1, 0.123}, {1234.5678, 1000, 1235}, {123456, 1e6, 123000}, {-0.00012345678, 0.001, -0.000123}, {0, 5, 0}, {3, math.NaN(), 3}, {math.Inf(1), 1, math.Inf(1)}, {1e300, 1e300, 1e300}} {
		if got := round(c.v, c.span); got != c.want && math.Abs(got-c.want) > 1e-12*math.Abs(c.want) {
			t.Errorf("%v of %v is %v, want %v", c.v, c.span, got, c.want)
		}
	}
}

// TestWhatIsTriedStaysApart: each source has its own, a stretch that the engine does not list is still there, and what is in force is no draft.
func TestWhatIsTriedStaysApart(t *testing.T) {
	env, l := pagetest.Env(t)
	p := New(env, l)
	p.SetSize(120, 37)
	p.reply = &rpc.PreparationReply{Source: "a", Stretches: []string{"linear", "log"}, Sources: []*rpc.ImageSource{{Name: "a", Reading: &rpc.Reading{Stretch: "new"}}, {Name: "b"}}}
	if p.tried() != (reading{stretch: "new"}) || p.Refuse("open") == "" {
		t.Errorf("%+v: %s", p.tried(), p.Refuse("open"))
	}
	p.Update(pages.Pressed{ID: "left"})
	if p.tried().stretch != "log" || len(p.drafts) != 1 {
		t.Errorf("%+v", p.tried())
	}
	p.Update(pages.Pressed{ID: "next-page"})
	if p.want.source != "b" {
		t.Errorf("asks for %q", p.want.source)
	}
	p.reply.Source = "b"
	if p.tried() != (reading{}) {
		t.Errorf("%+v", p.tried())
	}
	p.Update(setRange{"a", 1, 2}) // the answer to a question about another source
	if p.tried() != (reading{}) {
		t.Errorf("%+v", p.tried())
	}
	p.reply.Source = "a"
	p.Update(pages.Pressed{ID: "right"})
	if len(p.drafts) != 0 {
		t.Errorf("%+v is in force", p.drafts)
	}
	p.Update(pages.Pressed{ID: "left"})
	p.told(applied{"a", &rpc.JobReply{Reason: "the disk is full"}, nil})
	if said, _ := env.Said(); said.Text != "the disk is full" || len(p.drafts) != 1 {
		t.Errorf("%q, %+v", said.Text, p.drafts)
	}
	p.told(applied{"a", &rpc.JobReply{Started: true}, nil})
	if len(p.drafts) != 0 || p.reply != nil {
		t.Error("it is in force, and still a draft")
	}
}

// TestPreviewsArrive: stale ones are dropped, what does not come is not asked for again, and what is forgotten is not on screen.
func TestPreviewsArrive(t *testing.T) {
	env, l := pagetest.Env(t)
	p := New(env, l)
	p.SetSize(80, 21)
	p.reply = &rpc.PreparationReply{Source: "a", Ids: []string{"a/1", "a/2"}, Stretches: []string{"log"}, Sources: []*rpc.ImageSource{{Name: "a"}}}
	at := place{"a/1", reading{stretch: "log"}}
	good := decode(&rpc.PreviewReply{Png: fake.Galaxy(1, 8, false), Bands: 1, High: 3}, at, 8)
	if good.img == nil || good.why != "" {
		t.Fatalf("%+v", good)
	}
	for what, png := range map[string][]byte{"nothing": nil, "no PNG": []byte("GIF89a"), "a part": fake.Galaxy(1, 8, false)[:60], "too large": fake.Plain(2000, 4)} {
		if c := decode(&rpc.PreviewReply{Png: png}, at, 8); c.img != nil || c.why == "" {
			t.Errorf("%s: %+v", what, c)
		}
	}
	p.Update(arrived{gen: p.gen + 1, at: at, cell: good})
	if len(p.cells) != 0 {
		t.Error("a stale one was taken")
	}
	p.Update(arrived{gen: p.gen, at: at, cell: good})
	p.Update(arrived{gen: p.gen, at: place{"a/9", reading{}}, cell: good})
	if p.cells[at] != good || p.used != 2*good.bytes() {
		t.Errorf("%d cells, %d bytes", len(p.cells), p.used)
	}
	p.thin()
	if len(p.cells) != 1 || p.used != good.bytes() {
		t.Errorf("%d cells, %d bytes are left", len(p.cells), p.used)
	}
	p.Update(arrived{gen: p.gen, err: errors.New("of another version")})
	p.Update(arrived{gen: p.gen, err: io.EOF})
	if c := p.cells[place{"a/2", reading{}}]; c == nil || c.why != "of another version" || p.cells[at] != good {
		t.Errorf("%+v", c)
	}
	p.Update(answer{req: p.req, err: errors.New("no")})
	if p.why == "" || p.reply == nil {
		t.Error("what is on screen stays where the engine does not answer")
	}
	p.Update(link.Up{})
	p.Update(answer{req: p.req - 1, reply: &rpc.PreparationReply{Source: "z"}})
	if p.reply.Source == "z" {
		t.Error("an answer of the engine before was taken")
	}
}
