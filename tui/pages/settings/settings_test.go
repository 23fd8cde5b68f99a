package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/styles"
)

// Each setting says from when on it counts.
func TestEffects(t *testing.T) {
	docs, _ := anomalymatch.Docs()
	for _, d := range docs {
		if effect(d.Key) == "" {
			t.Errorf("%s counts from when on?", d.Key)
		}
	}
	if effect("keys.train") == "" || effect("cluster.leo.gpus") == "" || effect("images.decode_workers") == effect("images.max_file_mib") {
		t.Error("a table hides its keys, or a key its table")
	}
}

// What is shown of a value and typed again is the same value.
func TestShownAndWritten(t *testing.T) {
	docs, _ := anomalymatch.Docs()
	for _, d := range docs {
		for _, v := range append([]string{d.Default}, d.Words...) {
			if got := written(d, shown(d, v)); got != v {
				t.Errorf("%s = %s is shown as %s, which is written %s", d.Key, v, shown(d, v), got)
			}
		}
		if d.Key == "fast.regularisation" && (written(d, "6") != "6.0" || written(d, " 1e-3 ") != "1e-3") {
			t.Errorf("numbers: %s, %s", written(d, "6"), written(d, "1e-3"))
		}
	}
	d := anomalymatch.Doc{Key: "keys.train"}
	if got := written(d, " ctrl+t  f5 "); got != `["ctrl+t", "f5"]` || shown(d, got) != "ctrl+t f5" || written(d, "") != "[]" {
		t.Errorf("keys: %s", got)
	}
}

// page is one without an engine.
func page(t *testing.T, cfg anomalymatch.Config) *Page {
	t.Helper()
	bindings, err := keys.Load(keys.Table(), cfg.Keys)
	if err != nil {
		t.Fatal(err)
	}
	c := &common.Common{Styles: styles.New("dark", false), Keys: bindings, Now: time.Now}
	return New(&pages.Env{Common: c, Settings: "/home/ann/.config/anomalymatch/config.toml"}, link.New(t.Context(), nil, "dev", nil), Options{Config: &cfg})
}

// TestFits: at every size each setting can be reached, is seen when it is selected, and nothing is wider than the page.
func TestFits(t *testing.T) {
	cfg := anomalymatch.Default()
	if err := cfg.Overlay("x", []byte("[cluster.leo]\nextra = ['--mem=32G', '漢字']\n[cluster.\"a.b\"]\nhost = 'תמונה'\n"), nil); err != nil {
		t.Fatal(err)
	}
	for _, size := range [][2]int{{80, 21}, {60, 13}, {120, 37}, {250, 67}, {60, 5}} {
		p := page(t, cfg)
		p.SetSize(size[0], size[1])
		seen := map[string]bool{}
		p.Update(pages.Pressed{ID: "first"})
		for range 400 {
			view := p.View()
			lines := strings.Split(view, "\n")
			if len(lines) != size[1] {
				t.Fatalf("%v: %d lines", size, len(lines))
			}
			for _, l := range lines {
				if w := common.Width(l); w != size[0] {
					t.Fatalf("%v: a line of %d cells: %q", size, w, ansi.Strip(l))
				}
			}
			r, at := p.selected()
			if at < 0 || !strings.Contains(ansi.Strip(view), "▸ "+r.name) {
				t.Fatalf("%v: %s is selected and not seen:\n%s", size, r.doc.Key, ansi.Strip(view))
			}
			seen[r.doc.Key] = true
			p.Update(pages.Pressed{ID: "down"})
		}
		docs, _ := anomalymatch.Docs()
		for _, d := range docs {
			if !seen[d.Key] {
				t.Errorf("%v: %s cannot be reached", size, d.Key)
			}
		}
		for _, key := range []string{"keys.train", "cluster.leo.extra", `cluster."a.b".host`, newProfile} {
			if !seen[key] {
				t.Errorf("%v: %s cannot be reached", size, key)
			}
		}
	}
}

// TestFilter: what is looked for is found by name and by help, and what cannot be changed says why.
func TestFilter(t *testing.T) {
	p := page(t, anomalymatch.Default())
	p.SetSize(100, 30)
	p.Update(Filter{"NESTEROV"})
	if r, _ := p.selected(); r.doc.Key != "fixmatch.nesterov" {
		t.Errorf("found %q", r.doc.Key)
	}
	if why := p.Refuse("open"); why != "the engine has not told its settings yet" {
		t.Errorf("%q", why)
	}
	p.Update(Filter{"tui.theme"})
	if why := p.Refuse("open"); why != "your settings cannot be changed from here" {
		t.Errorf("%q", why)
	}
	p.Update(Filter{"\x1b[2Jzzz"})
	if _, at := p.selected(); at >= 0 || strings.Contains(p.View(), "\x1b[2J") || p.Refuse("open") == "" {
		t.Error("nothing is found, and that is drawn raw or can be opened")
	}
}

// TestFrom: where a value comes from.
func TestFrom(t *testing.T) {
	p := page(t, anomalymatch.Default())
	p.req = 1
	p.Take(Answer{req: 1, own: []string{"tui.theme"}, reply: &rpc.SettingsReply{Settings: []*rpc.Setting{
		{Key: "seed", Value: "7", Own: true}, {Key: "fixmatch.iterations", Value: "50"}, {Key: "model.size", Value: "64"}}}})
	docs := map[string]anomalymatch.Doc{}
	for _, d := range p.docs {
		docs[d.Key] = d
	}
	for key, want := range map[string][2]string{"seed": {"7", "project"}, "fixmatch.iterations": {"50", "your file"}, "model.size": {"64", "default"}, "tui.theme": {`"auto"`, "your file"}, "tui.mouse": {"true", "default"}, "fast.size": {"", ""}} {
		if value, from := p.value(docs[key]); value != want[0] || from != want[1] {
			t.Errorf("%s is %s from %s, want %q", key, value, from, want)
		}
	}
	p.opt.Host = "leo"
	if _, from := p.value(docs["fixmatch.iterations"]); from != "leo" {
		t.Errorf("of another machine: %s", from)
	}
	p.Take(Answer{req: 0, reply: &rpc.SettingsReply{}}) // a stale one
	if len(p.values) == 0 {
		t.Error("a stale answer was taken")
	}
}
