package imgview

import (
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
	askFence   = ansi.RequestPrimaryDeviceAttributes // DA1
)

var askGraphics = ansi.KittyGraphics([]byte("AAAA"), "a=q", "t=d", "f=24", "s=1", "v=1", "i="+strconv.Itoa(queryID))

// brand is what a terminal calls itself in XTVERSION and the drivers it can be trusted with, best first.
type brand struct {
	name    string
	since   [2]int // the first version that this line is about
	drivers []string
}

// brands: who answers "OK" to kitty's question is no help: Konsole, WezTerm and old kittys say OK and then draw a box for every
// placeholder. So only those on this list get them; all others get what works everywhere.
var brands = []brand{
	{name: "kitty", since: [2]int{0, 28}, drivers: []string{"kitty", "half-blocks"}},
	{name: "ghostty", drivers: []string{"kitty", "half-blocks"}},
	{name: "", drivers: []string{"half-blocks"}},
}

// facts are all that a decision is made from.
type facts struct {
	force   string               // Options.Force
	term    string               // TERM
	profile colorprofile.Profile // Unknown until the program says
	depth   int                  // how many tmux lie between the program and the terminal

	asked    bool   // about graphics
	version  string // XTVERSION's answer, "" none yet
	graphics string // kitty's answer: "OK" or an error, "" none yet
	cell     string // CSI 16t's answer, for people
	fences   int    // DA1 asked
	fenced   int    // DA1 answered: when as often as asked, no more answers are to be expected
	waited   bool   // and none will be waited for
}

// settled reports whether a missing answer means no.
func (f facts) settled() bool { return f.fenced > 0 && f.fenced >= f.fences || f.waited }

// worthAsking reports whether the terminal, by its name or by TERM, may draw kitty's pictures.
func (f facts) worthAsking() bool {
	name, version := parseVersion(f.version)
	for _, b := range brands {
		if slices.Contains(b.drivers, "kitty") && (name == b.name && atLeast(version, b.since) || f.depth == 0 && strings.Contains(f.term, b.name)) {
			return true
		}
	}
	return false
}

// decide picks a driver and says why.
func (f facts) decide() (driver, why string) {
	switch f.force {
	case "kitty", "none":
		return f.force, "the settings say so"
	case "halfblocks", "half-blocks":
		return "half-blocks", "the settings say so"
	}
	if f.profile == colorprofile.Unknown && (f.term == "" || f.term == "dumb") {
		return "none", fmt.Sprintf("TERM=%s is no terminal for pictures", clean(f.term))
	}
	if f.profile == colorprofile.NoTTY || f.profile == colorprofile.ASCII {
		return "none", "there are no colours here (NO_COLOR, TERM=dumb, or not a terminal)"
	}
	name, version := parseVersion(f.version)
	for _, b := range brands {
		if b.name != "" && b.name != name || !atLeast(version, b.since) {
			continue
		}
		for _, d := range b.drivers {
			if d != "kitty" {
				return d, f.whyText(b.name)
			}
			if f.graphics == "OK" && !f.fewColours() {
				return d, clean(f.version) + " draws pictures where their placeholders stand"
			}
		}
	}
	return "half-blocks", f.whyText("")
}

// whyText says why it is only half-blocks; trusted is the terminal's name if it could do better.
func (f facts) whyText(trusted string) string {
	switch {
	case trusted != "" && f.fewColours():
		return "16 colours cannot carry the numbers of pictures"
	case trusted != "" && f.graphics == "" && !f.settled():
		return "the terminal has not answered yet"
	case trusted != "":
		return "the terminal does not take pictures just now"
	case f.version != "" && f.graphics == "OK":
		return clean(f.version) + " takes pictures, but is not known to draw them at placeholders"
	case f.version != "":
		return clean(f.version) + " is not known to draw pictures at placeholders"
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
	add(f.fenced > 0, "DA1")
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
	if driver, _ := f.decide(); driver != "half-blocks" || f.force != "" && f.force != "auto" {
		return ""
	}
	name, version := parseVersion(f.version)
	switch {
	case f.depth > 0 && f.version == "" && f.waited:
		return "tmux lets no pictures through; in kitty or Ghostty run `tmux set -p allow-passthrough on` and draw again."
	case name == "kitty" && !atLeast(version, brands[0].since):
		return "This kitty is too old for pictures in text; 0.28 or newer shows them in full."
	case f.graphics == "OK" && f.fewColours():
		return "TERM promises 16 colours only; pictures need 256: try TERM=xterm-256color."
	}
	return ""
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
