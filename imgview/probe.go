package imgview

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"
)

// queryID is the image number of the question; pictures start at firstSlot.
const queryID = 15

// What is asked. Terminals answer in order, and all of them answer DA1: after it nothing more is to be expected. The question about
// graphics, a picture of one black pixel, goes only to terminals that are worth it: the Linux console prints it and tmux takes it
// for a window's title (seen).
const (
	askVersion = ansi.RequestNameVersion // XTVERSION
	askCell    = "\x1b[16t"
	askColours = "\x1b[?1;1;0S"                      // XTSMGRAPHICS: how many colours sixel has; xterm may have 16
	askFence   = ansi.RequestPrimaryDeviceAttributes // DA1; attribute 4 is sixel
)

var askGraphics = askKitty(queryID)

func askKitty(id int) string {
	return ansi.KittyGraphics([]byte("AAAA"), "a=q", "t=d", "f=24", "s=1", "v=1", "i="+strconv.Itoa(id))
}

// Names are the drivers that Options.Force takes, besides "auto".
var Names = []string{"kitty", "kitty-direct", "iterm2", "sixel", "halfblocks", "quadrants", "sextants", "text", "none"}

// brand is what a terminal calls itself in XTVERSION and the drivers it can be trusted with, best first. Each must be possible too (can);
// where none is, the picture is drawn as text.
type brand struct {
	name     string
	since    [2]int // the first version that this line is about
	drivers  []string
	switched bool // pictures can be switched off in its settings: only where DA1 names sixel
	draws    bool // it draws the characters of sextants itself, whatever the font
}

// brands: who answers "OK" to kitty's question is no help: Konsole, WezTerm and old kittys say OK and then draw a box for every
// placeholder. So only those on this list get them; all others get sixel, where DA1 says that they have it, or text.
var brands = []brand{
	{name: "kitty", since: [2]int{0, 28}, drivers: []string{"kitty"}, draws: true},
	{name: "kitty", drivers: []string{}, draws: true},
	{name: "ghostty", drivers: []string{"kitty"}, draws: true},
	{name: "wezterm", drivers: []string{"iterm2", "sixel"}, draws: true},
	{name: "iterm2", drivers: []string{"iterm2"}},
	{name: "mintty", drivers: []string{"iterm2", "sixel"}},
	{name: "xterm.js", drivers: []string{"iterm2"}, switched: true}, // VS Code; terminal.integrated.enableImages
	{name: "konsole", drivers: []string{"kitty-direct"}},            // its sixel stays above text that is written over it (22.12: seen)
	{name: "foot", drivers: []string{"sixel"}, draws: true},
	{name: "contour", drivers: []string{"sixel"}, draws: true},
	{name: "", drivers: []string{"sixel"}}, // xterm, mlterm, Windows Terminal, …
}

// programs are the brands of terminals by TERM_PROGRAM, for those that do not answer XTVERSION.
var programs = map[string]string{"vscode": "xterm.js", "iTerm.app": "iterm2", "WezTerm": "wezterm", "mintty": "mintty"}

// facts are all that a decision is made from.
type facts struct {
	force   string               // Options.Force
	term    string               // TERM
	program string               // TERM_PROGRAM
	inside  string               // "screen" or "zellij": what lies between and hands nothing on
	tmux    [2]int               // its version where the environment tells
	profile colorprofile.Profile // Unknown until the program says
	depth   int                  // how many tmux lie between the program and the terminal

	asked    bool   // about graphics
	counted  bool   // asked about sixel's colours
	version  string // XTVERSION's answer, "" none yet
	graphics string // kitty's answer: "OK" or an error, "" none yet
	cell     string // the size of a cell, for people; "" not known
	sixel    bool   // DA1 has it
	colours  int    // of sixel; 0 not said
	fences   int    // DA1 asked
	fenced   int    // DA1 answered: when as often as asked, no more answers are to be expected
	waited   bool   // and none will be waited for
}

// environment is what is known before anything is asked.
func environment(force string, env func(string) string) facts {
	f := facts{force: force, term: env("TERM"), program: env("TERM_PROGRAM")}
	switch {
	case env("ZELLIJ") != "":
		f.inside = "zellij"
	case env("STY") != "" && env("TMUX") == "":
		f.inside = "screen"
	case env("TMUX") != "" || strings.HasPrefix(f.term, "tmux"):
		f.depth = 1
	}
	if f.program == "tmux" {
		_, f.tmux = parseVersion("tmux " + env("TERM_PROGRAM_VERSION"))
	}
	return f
}

// settled reports whether a missing answer means no.
func (f facts) settled() bool { return f.fenced > 0 && f.fenced >= f.fences || f.waited }

// brand is the line about the terminal.
func (f facts) brand() brand {
	name, version := parseVersion(f.version)
	if f.version == "" && f.depth == 0 && f.settled() {
		name, version = programs[f.program], [2]int{1 << 20}
	}
	for _, b := range brands {
		if (b.name == "" || b.name == name) && atLeast(version, b.since) {
			return b
		}
	}
	return brand{}
}

// worthAsking reports whether the terminal, by its name or by TERM, may draw kitty's pictures.
func (f facts) worthAsking() bool {
	kitty := func(b brand) bool {
		return slices.Contains(b.drivers, "kitty") || slices.Contains(b.drivers, "kitty-direct")
	}
	if f.version != "" && kitty(f.brand()) {
		return true
	}
	return f.depth == 0 && slices.ContainsFunc(brands, func(b brand) bool { return b.name != "" && kitty(b) && strings.Contains(f.term, b.name) })
}

// can reports whether what the terminal said allows a driver. Pictures at a place cannot go through tmux, which knows nothing of them
// and moves its panes. The sixel that it draws itself, if it was made with it, is no help: pictures vanish and grow bars (3.5a: seen).
func (f facts) can(driver string) bool {
	switch driver {
	case "kitty":
		return f.graphics == "OK" && !f.fewColours()
	case "kitty-direct":
		return f.graphics == "OK" && f.depth == 0
	case "iterm2":
		return f.depth == 0
	case "sixel":
		return f.depth == 0 && f.sixel && f.cell != "" && (f.colours > 0 || f.settled())
	}
	return false
}

// decide picks a driver and says why.
func (f facts) decide() (driver, why string) {
	switch {
	case f.force == "halfblocks":
		return "half-blocks", "the settings say so"
	case slices.Contains(Names, f.force):
		return f.force, "the settings say so"
	case f.profile == colorprofile.Unknown && (f.term == "" || f.term == "dumb"):
		return "none", fmt.Sprintf("TERM=%s is no terminal for pictures", clean(f.term))
	case f.profile == colorprofile.NoTTY:
		return "none", "this is not a terminal"
	case f.profile == colorprofile.ASCII:
		return "text", "there are no colours here (NO_COLOR, or TERM says so)"
	case f.profile == colorprofile.ANSI && f.version == "" && !f.sixel:
		return "text", "TERM=" + clean(f.term) + " has 16 colours"
	case f.inside != "":
		return "half-blocks", f.inside + " hands no pictures on"
	case f.depth > 0 && f.tmux != [2]int{} && !atLeast(f.tmux, [2]int{3, 3}):
		return "half-blocks", fmt.Sprintf("tmux %d.%d does not hand pictures on reliably; 3.3 and newer do", f.tmux[0], f.tmux[1])
	}
	b := f.brand()
	for _, d := range b.drivers {
		if !f.can(d) || b.switched && !f.sixel {
			continue
		}
		switch who := clean(cmp.Or(f.version, f.program, f.term)); {
		case d == "kitty":
			return d, who + " draws pictures where their placeholders stand"
		case d == "sixel":
			return d, who + " says that it draws sixel"
		default:
			return d, who + " draws pictures at the cursor"
		}
	}
	if b.draws && f.depth == 0 && f.settled() && !f.fewColours() {
		return "sextants", f.whyText(b)
	}
	return "half-blocks", f.whyText(b)
}

// whyText says why it is only text.
func (f facts) whyText(b brand) string {
	kitty := slices.Contains(b.drivers, "kitty")
	switch {
	case kitty && f.fewColours():
		return "16 colours cannot carry the numbers of pictures"
	case kitty && f.graphics == "" && !f.settled():
		return "the terminal has not answered yet"
	case kitty:
		return "the terminal does not take pictures just now"
	case b.switched:
		return "pictures are switched off in its settings"
	case f.sixel && f.cell == "":
		return "the terminal has sixel, but did not say how many pixels a cell has"
	case f.sixel && f.depth > 0:
		return "sixel does not go through tmux"
	case f.version != "" && f.graphics == "OK":
		return clean(f.version) + " takes pictures, but is not known to draw them at placeholders"
	case f.version != "":
		return clean(f.version) + " is not known to draw pictures"
	case f.settled():
		return "the terminal did not say what it is"
	}
	return "the terminal has not answered yet"
}

// fewColours: a picture's number is one of 256 colours; with fewer the program would round it to another picture's.
func (f facts) fewColours() bool {
	return f.profile != colorprofile.Unknown && f.profile < colorprofile.ANSI256
}

// why is the account for people.
func (f facts) why() string {
	asked := "name (XTVERSION), cell size (CSI 16t), device attributes (DA1)"
	if f.counted {
		asked += ", sixel colours (XTSMGRAPHICS)"
	}
	if f.asked {
		asked += ", kitty graphics"
	}
	if f.depth > 0 {
		asked += ", through tmux"
	}
	if f.depth > 1 {
		asked += fmt.Sprintf(" (%d of them)", f.depth)
	}
	var answers []string
	add := func(ok bool, s string) {
		if ok {
			answers = append(answers, s)
		}
	}
	add(f.version != "", clean(f.version))
	add(f.cell != "", "cells of "+f.cell+" pixels")
	add(f.fenced > 0 && !f.sixel, "DA1 without sixel")
	add(f.sixel, "DA1 with sixel")
	add(f.colours > 0, fmt.Sprintf("%d sixel colours", f.colours))
	add(f.graphics != "", "kitty graphics "+clean(f.graphics))
	answered := strings.Join(answers, ", ")
	if answered == "" {
		answered = "nothing"
		if !f.settled() {
			answered = "nothing yet"
		}
	}
	driver, because := f.decide()
	return "asked: " + asked + "\nanswered: " + answered + "\nchosen: " + driver + ", " + because
}

// hint is what a person can do to see better pictures.
func (f facts) hint() string {
	if driver, _ := f.decide(); !textual(driver) || f.force != "" && f.force != "auto" {
		return ""
	}
	b := f.brand()
	name, _ := parseVersion(f.version)
	switch {
	case f.inside != "":
		return "Outside " + f.inside + ", or in tmux 3.3 or newer, the terminal may show pictures in full."
	case f.depth > 0 && f.tmux != [2]int{} && !atLeast(f.tmux, [2]int{3, 3}):
		return "tmux 3.3 or newer with allow-passthrough on shows pictures in full in kitty and Ghostty."
	case f.depth > 0 && f.version == "" && f.waited:
		return "tmux lets no pictures through; in kitty or Ghostty run `tmux set -p allow-passthrough on` and draw again."
	case f.depth > 0 && (f.sixel || slices.Contains(b.drivers, "iterm2")):
		return "Outside tmux this terminal shows pictures in full."
	case name == "kitty" && b.since == [2]int{}:
		return "This kitty is too old for pictures in text; 0.28 or newer shows them in full."
	case f.graphics == "OK" && f.fewColours():
		return "TERM promises 16 colours only; pictures need 256: try TERM=xterm-256color."
	case b.switched:
		return "Switch terminal.integrated.enableImages on in the settings of VS Code to see pictures in full."
	case name == "xterm" && f.depth == 0 && !f.sixel:
		return "Start xterm as `xterm -ti vt340` to see pictures in full."
	}
	return ""
}

// textual tells the drivers that draw pictures as text.
func textual(driver string) bool {
	return slices.Contains([]string{"half-blocks", "quadrants", "sextants", "text"}, driver)
}

// parseVersion takes apart "kitty(0.41.1)", "ghostty 1.1.3", "tmux 3.5a"; a name is lower case.
func parseVersion(s string) (name string, version [2]int) {
	i := strings.IndexAny(s, "( ")
	if i < 0 {
		return strings.ToLower(s), version
	}
	major, rest, _ := strings.Cut(s[i+1:], ".")
	version[0] = leadingInt(major)
	version[1] = leadingInt(rest)
	return strings.ToLower(s[:i]), version
}

// parseColours reads the answer to askColours, CSI ? 1 ; 0 ; n S.
func parseColours(s string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(s, "\x1b[?1;0;")
	if !ok || !strings.HasSuffix(rest, "S") {
		return 0, false
	}
	n = leadingInt(rest)
	return n, n >= 2
}

func leadingInt(s string) int {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' || n > 1e6 {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}

func atLeast(v, min [2]int) bool { return v[0] > min[0] || v[0] == min[0] && v[1] >= min[1] }

// clean makes what a terminal or the environment said fit to be shown: printable ASCII, short.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 60)]
}
