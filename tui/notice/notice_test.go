package notice

import (
	"strings"
	"testing"
	"time"
)

func env(kv ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(kv); i += 2 {
			if kv[i] == name {
				return kv[i+1]
			}
		}
		return ""
	}
}

func TestSequence(t *testing.T) {
	for _, c := range []struct {
		name, setting, version string
		env                    []string
		want                   string
	}{
		{"ghostty", "auto", "ghostty 1.1.3", nil, "\x1b]9;p: over\a"},
		{"kitty", "auto", "kitty(0.41.1)", nil, "\x1b]9;p: over\a"},
		{"foot", "auto", "foot(1.16.2)", nil, "\x1b]777;notify;p;over\a"},
		{"xterm", "auto", "XTerm(379)", nil, "\a"},
		{"silent", "auto", "", nil, "\a"},
		{"tmux alone", "auto", "tmux 3.5a", []string{"TMUX", "x"}, "\a"},
		{"kitty through tmux", "auto", "kitty(0.41.1)", []string{"TMUX", "x"}, "\x1bPtmux;\x1b\x1b]9;p: over\a\x1b\\"},
		{"wanted", "osc777", "", nil, "\x1b]777;notify;p;over\a"},
		{"not wanted", "none", "kitty(0.41.1)", nil, ""},
		{"bell through tmux", "bell", "kitty(0.41.1)", []string{"TERM", "tmux-256color"}, "\a"},
	} {
		if got := (Terminal{c.version, env(c.env...)}).Sequence(c.setting, "p", "over"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	got := (Terminal{"ghostty 1", env()}).Sequence("auto", "4;1;50", "a\x07b\x1b]0;x\x1b\\\u202e;"+strings.Repeat("w", 500))
	inner := strings.TrimSuffix(strings.TrimPrefix(got, "\x1b]9;"), "\a")
	if strings.ContainsAny(inner, "\x07\x1b;") || strings.ContainsRune(inner, '\u202e') || len(inner) > 600 {
		t.Errorf("not cleaned: %q", got)
	}
}

func TestBars(t *testing.T) {
	for _, c := range []struct {
		version string
		env     []string
		want    bool
	}{
		{"ghostty 1.1.3", nil, false}, {"ghostty 1.2.0", nil, true}, {"ghostty 1.2.0", []string{"TMUX", "x"}, false}, {"iTerm2 3.6.5", nil, false}, {"iTerm2 3.6.10", nil, true},
		{"kitty(0.41.1)", nil, false}, {"", nil, false}, {"", []string{"WT_SESSION", "x"}, true},
	} {
		if got := (Terminal{c.version, env(c.env...)}).Bars(); got != c.want {
			t.Errorf("%q, %q: %v", c.version, c.env, got)
		}
	}
}

func TestWork(t *testing.T) {
	type see struct {
		at            int // seconds
		state, failed string
		want          string
	}
	for name, list := range map[string][]see{
		"short":           {{0, "idle", "", ""}, {1, "training", "", ""}, {9, "idle", "", ""}},
		"long":            {{0, "training", "", ""}, {5, "training", "", ""}, {20, "idle", "", "training finished after 20 s"}, {40, "idle", "", ""}},
		"two":             {{0, "training", "", ""}, {5, "scoring", "", ""}, {12, "idle", "", "training and scoring finished after 12 s"}},
		"failed":          {{0, "training", "", ""}, {30, "idle", "the disk is full", "training failed: the disk is full"}},
		"embedding":       {{0, "indexing", "", ""}, {1, "embedding", "", ""}, {30, "idle", "", "embedding finished after 29 s"}},
		"gave way":        {{0, "embedding", "", ""}, {100, "training", "", ""}, {105, "embedding", "", ""}, {109, "idle", "", ""}},
		"gave way, long":  {{0, "embedding", "", ""}, {100, "training", "", ""}, {115, "embedding", "", "training finished after 15 s"}, {120, "idle", "", ""}},
		"unknown states":  {{0, "", "", ""}, {50, "somersaults", "", ""}, {99, "idle", "", ""}},
		"old error stays": {{0, "idle", "the disk is full", ""}, {99, "idle", "the disk is full", ""}},
	} {
		var w Work
		for _, s := range list {
			if got := w.See(time.Unix(int64(1000+s.at), 0), s.state, s.failed); got != s.want {
				t.Errorf("%s: at %d s, %s: %q, want %q", name, s.at, s.state, got, s.want)
			}
		}
	}
}

func TestLinks(t *testing.T) {
	for _, c := range []struct {
		version string
		env     map[string]string
		want    bool
	}{
		{"kitty(0.41.1)", nil, true},
		{"kitty(0.18.3)", nil, false},
		{"ghostty 1.2.0", nil, true},
		{"VTE(7600)", nil, true},
		{"VTE(4800)", nil, false},
		{"foot(1.16.2)", nil, true},
		{"XTerm(379)", nil, false},
		{"", nil, false},
		{"", map[string]string{"WT_SESSION": "x"}, true},
		{"", map[string]string{"TERM_PROGRAM": "vscode"}, true},
		{"tmux 3.5a", map[string]string{"TMUX": "x"}, false},
		{"kitty(0.41.1)", map[string]string{"TMUX": "x", "TERM_PROGRAM_VERSION": "3.3a"}, false},
		{"kitty(0.41.1)", map[string]string{"TMUX": "x", "TERM_PROGRAM_VERSION": "3.5a"}, true},
	} {
		if got := (Terminal{Version: c.version, Env: func(k string) string { return c.env[k] }}).Links(); got != c.want {
			t.Errorf("%s %v: %v", c.version, c.env, got)
		}
	}
}
