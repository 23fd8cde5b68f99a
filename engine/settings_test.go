package engine

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/engine/rpc"
)

// fileOf is a file of settings in memory.
type fileOf struct{ text []byte }

func (f *fileOf) File() string           { return "/p/project.toml" }
func (f *fileOf) Own() ([]string, error) { return anomalymatch.Says(f.text), nil }
func (f *fileOf) Set(key, value string) (anomalymatch.Config, error) {
	c := anomalymatch.Default()
	out, err := anomalymatch.SetKey(f.text, key, value)
	if err == nil {
		f.text = out
		err = c.Overlay("f", out, nil)
	}
	return c, err
}

func TestSetSetting(t *testing.T) {
	f := &fileOf{}
	e := New(Options{Config: anomalymatch.Default(), Settings: f, Log: slog.New(slog.DiscardHandler)})
	s := e.Service()
	set := func(key, value string) *rpc.SettingsReply {
		t.Helper()
		r, err := s.SetSetting(context.Background(), &rpc.SetSettingRequest{Key: key, Value: value})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	of := func(r *rpc.SettingsReply, key string) *rpc.Setting {
		for _, x := range r.GetSettings() {
			if x.GetKey() == key {
				return x
			}
		}
		t.Fatalf("%s is not listed", key)
		return nil
	}
	r := set("fixmatch.iterations", "7")
	if x := of(r, "fixmatch.iterations"); r.GetError() != "" || x.GetValue() != "7" || !x.GetOwn() || e.config().FixMatch.Iterations != 7 {
		t.Errorf("%v %s", x, r.GetError())
	}
	if x := of(r, "fixmatch.ema"); x.GetOwn() || x.GetValue() != "0.99" {
		t.Errorf("%v", x)
	}
	if r.GetFile() != f.File() {
		t.Errorf("file %q", r.GetFile())
	}
	for key, want := range map[string]string{"fixmatch.momentum": "must be a number", "tui.theme": "change it in your own settings", "no.such": "unknown key"} {
		if r := set(key, `"x"`); !strings.Contains(r.GetError(), want) || e.config().FixMatch.Iterations != 7 {
			t.Errorf("%s: %q", key, r.GetError())
		}
	}
	if x := of(set("fixmatch.iterations", ""), "fixmatch.iterations"); x.GetOwn() || x.GetValue() != "100" {
		t.Errorf("%v", x)
	}
	e.opt.ReadOnly = true
	if r := set("seed", "1"); !strings.Contains(r.GetError(), "cannot be written to") || e.config().Seed != 42 {
		t.Errorf("%q", r.GetError())
	}
}

// TestSettingTakesEffect: the strategy and the cut of the list follow at once.
func TestSettingTakesEffect(t *testing.T) {
	p := newProject(t)
	p.opt.Settings = &fileOf{}
	p.start()
	p.until("ranked", func(s *rpc.Status) bool { return s.State == "idle" && s.RankedBy == "novelty" })
	before := p.ranking("", "")
	if _, err := p.SetSetting(context.Background(), &rpc.SetSettingRequest{Key: "queue.top_percent", Value: "60.0"}); err != nil {
		t.Fatal(err)
	}
	after := p.ranking("", "")
	if want := int64(cut(61, 60)); after.Version <= before.Version || after.Cut == before.Cut || after.Cut != want {
		t.Errorf("cut %d, then %d, want %d; version %d, then %d", before.Cut, after.Cut, want, before.Version, after.Version)
	}
}
