// Package notice tells a person who looks elsewhere that something long is over: by a notification of the terminal, or its bell.
package notice

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"anomalymatch/tui/common"
)

// Terminal is what is known of the terminal that a person looks at.
type Terminal struct {
	Version string              // its answer to XTVERSION: "ghostty 1.2.0", "kitty(0.41.1)"; empty: none came
	Env     func(string) string // of the program
}

// name is the brand in lower case, and its version.
func (t Terminal) name() (brand string, version [3]int) {
	s := t.Version
	if i := strings.IndexAny(s, "( "); i >= 0 {
		fmt.Sscanf(s[i+1:], "%d.%d.%d", &version[0], &version[1], &version[2])
		s = s[:i]
	}
	return strings.ToLower(s), version
}

// tmux tells whether a tmux lies in between.
func (t Terminal) tmux() bool { return t.Env("TMUX") != "" || strings.HasPrefix(t.Env("TERM"), "tmux") }

// speaks lists who shows a notification for which sequence. All others get the bell, which nobody takes for text.
var speaks = map[string]string{"kitty": "osc9", "ghostty": "osc9", "wezterm": "osc9", "iterm2": "osc9", "foot": "osc777", "rxvt": "osc777"}

// How is how notices are given: "osc9", "osc777", "bell" or "none", the setting with auto made out.
func (t Terminal) How(setting string) string {
	if setting != "auto" {
		return setting
	}
	brand, _ := t.name()
	if how, ok := speaks[brand]; ok {
		return how
	}
	return "bell"
}

// Bars tells whether the terminal draws OSC 9;4 as a bar of progress. Some show it as the text of a notification, so only those that
// are known, and none through tmux.
func (t Terminal) Bars() bool {
	brand, version := t.name()
	switch {
	case t.tmux():
		return false
	case brand == "ghostty":
		return slices.Compare(version[:], []int{1, 2, 0}) >= 0
	case brand == "iterm2":
		return slices.Compare(version[:], []int{3, 6, 6}) >= 0
	}
	return t.Env("WT_SESSION") != "" || t.Env("ConEmuANSI") == "ON"
}

// links are the brands that know hyperlinks (OSC 8), each from a version on; github.com/Alhadis/OSC8-Adoption keeps the list.
var links = map[string][3]int{"kitty": {0, 19}, "ghostty": {}, "wezterm": {}, "iterm2": {3, 1}, "foot": {1, 7}, "mintty": {2, 9, 7}, "contour": {}, "vte": {5001}, "xterm.js": {5}}

// Links tells whether the terminal knows hyperlinks. All others would be sent what may show up as text. A tmux hands them on from 3.4.
func (t Terminal) Links() bool {
	brand, version := t.name()
	if t.tmux() {
		var tmux [3]int
		fmt.Sscanf(t.Env("TERM_PROGRAM_VERSION"), "%d.%d", &tmux[0], &tmux[1])
		if slices.Compare(tmux[:], []int{3, 4}) < 0 {
			return false
		}
	}
	if since, ok := links[brand]; ok {
		return slices.Compare(version[:], since[:]) >= 0
	}
	return t.Env("WT_SESSION") != "" || t.Env("TERM_PROGRAM") == "vscode"
}

// most is how long a notice may be, in cells.
const most = 120

// Sequence is what to write to the terminal; empty: nothing. Texts may come from anywhere.
func (t Terminal) Sequence(setting, title, text string) string {
	clean := func(s string) string { return common.Cut(strings.ReplaceAll(common.Clean(s), ";", ","), most) }
	title, text = clean(title), clean(text)
	seq := ""
	switch t.How(setting) {
	case "osc9":
		seq = ansi.Notify(title + ": " + text)
	case "osc777":
		seq = ansi.URxvtExt("notify", title, text)
	case "bell":
		return "\a" // tmux hands it on by itself
	}
	if seq != "" && t.tmux() {
		seq = ansi.TmuxPassthrough(seq)
	}
	return seq
}

// Long is how long something takes that is worth a notice when it is over.
const Long = 10 * time.Second

// Work follows what the engine does, from one time that it was idle to the next.
type Work struct {
	since  time.Time
	states []string
}

// works are the states that a person waits for.
var works = []string{"indexing", "embedding", "training", "scoring", "installing"}

// See takes the engine's state, "idle" or what it does, and its last error. It answers with what is over and how, where that took
// long: "training and scoring finished". Embedding that goes on behind other work is not waited for.
func (w *Work) See(now time.Time, state, failed string) (text string) {
	busy := slices.Contains(works, state)
	if busy && (state != "embedding" || len(w.states) == 0) {
		if len(w.states) == 0 {
			w.since = now
		}
		if !slices.Contains(w.states, state) {
			if slices.Equal(w.states, []string{"embedding"}) {
				w.states, w.since = nil, now // it gave way
			}
			w.states = append(w.states, state)
		}
		return ""
	}
	if busy && slices.Equal(w.states, []string{"embedding"}) {
		return ""
	}
	done, took := w.states, now.Sub(w.since)
	w.states = nil
	if busy { // embedding goes on
		w.states, w.since = []string{state}, now
	}
	if len(done) == 0 || took < Long {
		return ""
	}
	what := strings.Join(done, " and ")
	if n := len(done); n > 2 {
		what = strings.Join(done[:n-1], ", ") + " and " + done[n-1]
	}
	if failed != "" {
		return done[len(done)-1] + " failed: " + failed
	}
	return what + " finished after " + common.Seconds(took.Seconds())
}
