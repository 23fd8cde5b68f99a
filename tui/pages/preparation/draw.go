package preparation

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/pages"
)

const (
	head  = 4 // lines above the pictures
	foot  = 2 // below them
	least = 5 // rows of a picture in which something is seen
)

// columns are the candidates on screen: as many as have room, the selected one among them.
func (p *Page) columns() (from, n int) {
	all := p.stretches()
	n = min(len(all), max(1, (p.w-1)/8))
	at := slices.Index(all, p.tried().stretch)
	return max(0, min(at-n/2, len(all)-n)), n
}

// layout is the size of a picture in cells, and how many images are on screen, one below the other.
func (p *Page) layout() (cols, rows, images int) {
	_, n := p.columns()
	room := max(1, p.h-head-foot)
	w := max(1, (p.w-2)/n-1)
	_, wide := p.env.Square(w, 1<<10) // as the width has it
	text := p.captions()
	images = max(1, min(drawn, max(room/(wide+text), min(4, room/(least+text)))))
	cols, rows = p.env.Square(w, max(1, room/images-text))
	return cols, rows, images
}

// captions is how many lines stand above each row of pictures.
func (p *Page) captions() int {
	if p.h < 30 {
		return 0
	}
	return 1
}

// View draws the candidates beside each other, each of the same images.
func (p *Page) View() string {
	s := p.source()
	if s == nil {
		lines := []string{"how the images are read is on its way…"}
		switch {
		case p.link.Client() == nil:
			lines = []string{"no engine yet", "it is looked for again and again"}
		case p.why != "":
			lines = []string{p.why}
		}
		return pages.Join(p.env.Centre(lines, p.w, p.h))
	}
	st := p.env.Styles
	w := p.w - 2
	of := common.Clean(s.GetName())
	if all := p.reply.GetSources(); len(all) > 1 {
		of += fmt.Sprintf(" (%d of %d)", slices.Index(all, s)+1, len(all))
	}
	of += ", " + common.Plural(s.GetImages(), "image")
	lines := []string{" " + components.Section(st, fmt.Sprintf("What the network sees: %d × %d pixels", p.reply.GetSize(), p.reply.GetSize()), of, w)}
	ranged := common.Cut(p.ranged(), max(0, w-30))
	mixed, room := channels(p.tried().channels), w-18-common.Width(ranged)
	if p.tried().channels == "" && common.Width(mixed) > room {
		mixed = "first three"
	}
	lines = append(lines, " "+st.Section.Key.Render("range ")+st.Section.Value.Render(ranged)+st.Section.Key.Render("   channels ")+
		st.Section.Value.Render(common.Cut(mixed, room)))
	lines = append(lines, p.names()...)
	lines = append(lines, p.pictures()...)
	lines = common.Lines(lines, p.w, max(0, p.h-foot))
	say, style := p.sentence(), st.Text
	if why := p.wrong(); why != "" {
		say, style = why, st.Warn
	}
	lines = append(lines, " "+style.Render(common.Cut(say, w)),
		" "+st.Dim.Render(common.Cut("The screen's own stretch ("+p.env.Common.Keys.Label("stretch")+") is another thing: the network never sees it", w)))
	return pages.Join(common.Lines(lines, p.w, p.h))
}

// names are the heads of the columns, and below them which is chosen and which is in force.
func (p *Page) names() []string {
	st := p.env.Styles
	cols, _, _ := p.layout()
	from, n := p.columns()
	top, below := " ", " "
	for _, s := range p.stretches()[from : from+n] {
		title, rule, style := usual(s), strings.Repeat(" ", cols), st.Text
		if s == p.tried().stretch {
			rule, style = strings.Repeat("━", cols), st.Accent
		}
		if s == p.inForce().stretch {
			mark := "now"
			if x := (cols - 5) / 2; cols >= 5 {
				edge := []rune(rule)
				rule = string(edge[:x]) + " " + mark + " " + string(edge[x+5:])
			} else {
				rule = common.Fit(mark, cols)
			}
		}
		title = common.Cut(common.Clean(title), cols)
		left := (cols - common.Width(title)) / 2
		top += style.Render(common.Fit(common.Blank(left)+title, cols)) + " "
		below += style.Render(rule) + " "
	}
	return []string{top, below}
}

func usual(stretch string) string {
	if stretch == "" {
		return "usual"
	}
	return stretch
}

// pictures are the rows of images.
func (p *Page) pictures() (lines []string) {
	st := p.env.Styles
	cols, rows, _ := p.layout()
	if len(p.reply.GetIds()) == 0 {
		return []string{"", " " + st.Dim.Render("this source has no images")}
	}
	if p.env.Screen.Driver() == "none" {
		return []string{"", " " + st.Dim.Render(common.Cut("pictures are switched off: set images of [tui] to auto or halfblocks to choose by looking", p.w-2))}
	}
	for _, id := range p.shown() {
		if p.captions() > 0 {
			_, n := p.columns()
			lines = append(lines, " "+p.caption(id, n*(cols+1)-1))
		}
		var row [][]string
		for _, r := range p.readings() {
			row = append(row, p.picture(id, r, cols, rows))
		}
		for _, l := range pages.Beside(1, row...) {
			lines = append(lines, " "+l)
		}
	}
	return lines
}

func (p *Page) picture(id string, r reading, cols, rows int) []string {
	c, was := p.cells[place{id, r}], p.before[spot(id, r)]
	switch {
	case c != nil && c.why != "":
		return p.text(c.why, cols, rows)
	case c != nil && (p.env.Screen.Ready(c.key, cols, rows) || was == nil || was.img == nil):
		return p.env.Screen.Lines(c.key, cols, rows)
	case was != nil && was.img != nil:
		return p.env.Screen.Lines(was.key, cols, rows)
	}
	return p.text("…", cols, rows)
}

// text is a box with a text in it.
func (p *Page) text(s string, cols, rows int) []string {
	var out []string
	for _, l := range common.Wrap(s, cols) {
		out = append(out, p.env.Styles.Dim.Render(common.Cut(l, cols)))
	}
	return common.Lines(out, cols, rows)
}

// caption names an image, and says what is black and white of it under the reading that is tried.
func (p *Page) caption(id string, w int) string {
	st := p.env.Styles
	what := ""
	if c := p.cells[place{id, p.tried()}]; c != nil && c.why == "" {
		if what = "colours as they are"; c.low == c.low {
			what = "black " + number(c.low) + "  white " + number(c.high)
		}
		what = common.Plural(c.bands, "band") + "  " + what
	}
	what = common.Cut(what, w*2/3)
	return common.Ends(st.Text.Render(common.CutLeft(common.Clean(id), max(1, w-common.Width(what)-2))), st.Dim.Render(what), w)
}

// ranged says what range of values is used.
func (p *Page) ranged() string {
	if r := p.tried(); r.ranged() {
		return number(r.low) + " to " + number(r.high) + ", all images alike"
	}
	if low, high, ok := p.about(); ok {
		return "each image by itself, about " + roughly(low) + " to " + roughly(high)
	}
	return "each image by itself"
}

func channels(text string) string {
	if text == "" {
		return "the first three bands, or one for all"
	}
	return common.Clean(text)
}

// describe is a reading in words.
func (p *Page) describe(r reading) string {
	text := "stretch " + usual(common.Clean(r.stretch))
	if r.ranged() {
		text += ", black " + number(r.low) + ", white " + number(r.high)
	} else {
		text += ", each image in its own range"
	}
	if r.channels != "" {
		text += ", channels " + channels(r.channels)
	}
	return text
}

// curves says what a stretch does, in the range that is set or in its own.
var curves = map[string]string{
	"":           "8-bit colours as they are, other values by percentile",
	"linear":     "evenly from the least value to the largest",
	"zscale":     "IRAF's range around the median: sky and what is faint",
	"asinh":      "evenly where it is faint, ever less where it is bright",
	"log":        "what is faint, and the noise with it",
	"sqrt":       "between linear and asinh",
	"percentile": "evenly but for a quarter percent at either end",
}

// sentence says what the chosen candidate does, and how it stands to what is in force.
func (p *Page) sentence() string {
	r := p.tried()
	text := curves[r.stretch]
	if r.ranged() {
		switch r.stretch {
		case "", "linear", "zscale", "percentile":
			text = "evenly from black to white, in the range above"
		}
	}
	if text = usual(common.Clean(r.stretch)) + ": " + text; r == p.inForce() {
		return "In force · " + text
	}
	return p.env.Common.Keys.Label("open") + " uses it · " + text
}

// wrong says why the first of the images cannot be read as is tried; empty: all can.
func (p *Page) wrong() string {
	for _, id := range p.shown() {
		if c := p.cells[place{id, p.tried()}]; c != nil && c.why != "" {
			return common.Clean(path.Base(id)) + " " + c.why
		}
	}
	return ""
}

// number is a value as a person reads and types it.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }

// roughly is a value in three digits.
func roughly(v float64) string {
	if r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64); err == nil {
		v = r
	}
	return number(v)
}
