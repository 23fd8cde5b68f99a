package pages

import (
	"fmt"
	"math"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/describe"
	"anomalymatch/tui/review"
)

// Describe asks what is known of the selected image, once the cursor rests.
func (e *Env) Describe() tea.Cmd {
	it, _ := e.Desk.List().Selected()
	s := e.Monitor.Status
	return e.Told.Look(it.ID, describe.Version{Labels: s.GetLabelsVersion(), Ranking: s.GetRankingVersion()})
}

// Labelled is the label of an image in words, and whether it is saved.
func (e *Env) Labelled(it review.Item) string {
	st := e.Styles
	label, mark := e.Desk.Label(it)
	said := st.Dim.Render("none")
	if label != review.None || mark != review.Saved {
		name := common.Clean(string(label))
		if label == review.None {
			name = "no label"
		}
		said = strings.TrimSpace(components.Badge(st, label.Letter(), false, false)) + " " + name
		switch mark {
		case review.Pending:
			said += st.Dim.Render(" …")
		case review.Kept:
			said += st.Dim.Render(" on this machine")
		case review.Unsaved:
			said += st.Error.Render(" ! not saved yet")
		}
	}
	return said
}

// Block is a part of a column: a heading with lines that can be more or fewer.
type Block struct {
	Least int  // lines without which it says nothing
	Good  int  // lines that it should have before others have more
	Most  int  // lines that it can fill
	Spare bool // only where all others have what they can fill
	Draw  func(h int) []string
}

// Column shares h lines among blocks, the most important first, and returns the height of each: 0 where it has no place, else with a blank
// line before it if blank.
func Column(blocks []Block, h int) (heights []int, blank bool) {
	heights = make([]int, len(blocks))
	left, n := h, 0
	for i, b := range blocks {
		if b.Most > 0 && b.Least <= left && !b.Spare {
			heights[i] = b.Least
			left -= b.Least
			n++
		}
	}
	grow := func(to func(Block) int) {
		for i, b := range blocks {
			if more := min(to(b)-heights[i], left); heights[i] > 0 && more > 0 {
				heights[i] += more
				left -= more
			}
		}
	}
	grow(func(b Block) int { return min(b.Good, b.Most) })
	if blank = left >= n-1; blank {
		left -= max(0, n-1)
	}
	grow(func(b Block) int { return b.Most })
	for i, b := range blocks {
		if b.Spare && b.Most > 0 && b.Least+1 <= left {
			heights[i] = min(b.Most, left-1)
			left -= heights[i] + 1
		}
	}
	return heights, blank
}

// Stack draws blocks below each other, in the order given by their places in heights.
func Stack(blocks []Block, heights []int, order []int, blank bool) (out []string) {
	for _, i := range order {
		if heights[i] == 0 {
			continue
		}
		if blank && len(out) > 0 {
			out = append(out, "")
		}
		lines := blocks[i].Draw(heights[i])
		out = append(out, lines[:min(len(lines), heights[i])]...)
	}
	return out
}

// depths name the layers that make an embedding, shallow first: what they see grows from points to the whole image.
var depths = []string{"edges", "fine texture", "texture", "coarse texture", "patterns", "parts", "shape", "whole image"}

// Why is the block of the layers that speak for the image and against it, w cells wide.
func (e *Env) Why(it review.Item, w int) Block {
	told, _ := e.Told.Of(it.ID)
	st := e.Styles
	if told == nil && e.Monitor.Status.GetFastAtUnixMs() > 0 {
		return Block{Least: 3, Good: 5, Most: 5, Draw: func(int) []string { return []string{components.Section(st, "Why", "", w), st.Dim.Render("…")} }}
	}
	layers := told.GetLayers()
	if len(layers) == 0 {
		return Block{}
	}
	var parts []components.Part
	sum := float64(told.GetBias())
	for k, l := range layers {
		name := common.Clean(l.GetLayer())
		if len(layers) == len(depths) {
			if name = depths[k]; w >= 50 {
				name += " (" + common.Clean(l.GetLayer()) + ")"
			}
		}
		parts = append(parts, components.Part{Name: name, Value: float64(l.GetLogOdds())})
		sum += float64(l.GetLogOdds())
	}
	note := fmt.Sprintf("fast %s, log-odds %+.1f", strings.TrimSpace(common.Score(told.GetFast())), sum)
	return Block{Least: 3, Good: 5, Most: len(parts) + 2, Draw: func(h int) []string {
		out := append([]string{components.Section(st, "Why", note, w)}, components.Parts(st, parts, w, h-1)...)
		if len(out) < h {
			out = append(out, st.Dim.Render(common.Cut(fmt.Sprintf("any image %+.1f; the sum is the log-odds", told.GetBias()), w)))
		}
		return out
	}}
}

// Cycles is the block of the image's scores over the cycles.
func (e *Env) Cycles(it review.Item, w int) Block {
	st := e.Styles
	told, _ := e.Told.Of(it.ID)
	scores := told.GetScores()
	if told == nil && e.Monitor.Status.GetCycle() > 0 {
		return Block{Least: 2, Good: 2, Most: 2, Draw: func(int) []string { return []string{components.Section(st, "Cycles", "", w), st.Dim.Render("…")} }}
	}
	if len(scores) == 0 {
		return Block{}
	}
	var x, y []float64
	for _, s := range scores {
		x, y = append(x, float64(s.GetCycle())), append(y, float64(s.GetScore()))
	}
	first, last := scores[0], scores[len(scores)-1]
	score := func(s *rpc.CycleScore) string { return strings.TrimSpace(common.Score(s.GetScore())) }
	sum := score(last) + ", rank " + common.Count(last.GetRank()+1)
	if len(scores) > 1 {
		sum = score(first) + " → " + sum
		sum = components.Spark(y, max(1, w-1-common.Width(sum))) + " " + sum
	}
	most := 1 + len(scores)
	if len(scores) > 2 {
		most = max(most, 10)
	}
	return Block{Least: 2, Good: 2, Most: min(most, 12), Draw: func(h int) []string {
		out := []string{components.Section(st, "Cycles", fmt.Sprintf("deep score, cycle %d to %d", first.GetCycle(), last.GetCycle()), w)}
		if len(scores) == 1 {
			out[0] = components.Section(st, "Cycles", fmt.Sprintf("deep score, cycle %d", last.GetCycle()), w)
		}
		if len(scores) > 2 && h >= 7 {
			chart := components.LineChart(st, []components.Series{{X: x, Y: y, Style: st.Chart.Line}}, components.Axes{XMin: x[0], XMax: x[len(x)-1], YMin: 0, YMax: 1}, w, h-2)
			return append(append(out, st.Text.Render(common.Cut(score(first)+" → "+score(last)+", rank "+common.Count(last.GetRank()+1), w))), chart...)
		}
		if h <= 2 || len(scores) == 1 {
			return append(out, st.Text.Render(common.Cut(sum, w)))
		}
		for _, s := range scores[max(0, len(scores)-h+1):] {
			out = append(out, components.Field(st, fmt.Sprintf("cycle %d", s.GetCycle()), score(s)+", rank "+common.Count(s.GetRank()+1), w))
		}
		return out
	}}
}

// File is the block of what the image's file says, without its size in pixels.
func (e *Env) File(it review.Item, w int) Block {
	st := e.Styles
	told, why := e.Told.Of(it.ID)
	head := components.Section(st, "File", "", w)
	switch {
	case told == nil && why != "":
		return Block{Least: 2, Good: 2, Most: 3, Draw: func(h int) []string { return append([]string{head}, e.note(why, w)...) }}
	case told == nil:
		return Block{Least: 2, Good: 3, Most: 3, Draw: func(int) []string { return []string{head, st.Dim.Render("…")} }}
	}
	var lines []string
	for _, f := range told.GetFacts() {
		if f.GetName() != "size" {
			lines = append(lines, components.Field(st, common.Cut(common.Clean(f.GetName()), 10), common.Clean(f.GetValue()), w))
		}
	}
	if len(lines) == 0 {
		return Block{}
	}
	return Block{Least: 2, Good: 3, Most: len(lines) + 1, Draw: func(h int) []string {
		return append([]string{head}, lines[:min(len(lines), h-1)]...)
	}}
}

// Metadata is the block of what tables say of the image, and where in the sky to look at it.
func (e *Env) Metadata(it review.Item, w int) Block {
	st := e.Styles
	told, _ := e.Told.Of(it.ID)
	if told == nil && e.Monitor.Status.GetColumns() > 0 {
		return Block{Least: 2, Good: 3, Most: 3, Draw: func(int) []string { return []string{components.Section(st, "Metadata", "", w), st.Dim.Render("…")} }}
	}
	var lines []string
	if p := told.GetPlace(); p != nil && e.Links != nil && e.Links() {
		if look := skyLinks(p.GetRa(), p.GetDec()); look != "" {
			lines = append(lines, common.Fit(st.Section.Key.Render(common.Fit("look at", 11))+st.Accent.Render(look), w))
		}
	}
	names := 10 // cells, more where there is room for them
	for _, f := range told.GetMetadata() {
		names = max(names, min(common.Width(common.Clean(f.GetName())), w/3))
	}
	for _, f := range told.GetMetadata() {
		name := common.Fit(common.Cut(common.Clean(f.GetName()), names), names+1)
		lines = append(lines, common.Fit(st.Section.Key.Render(name)+st.Section.Value.Render(common.Cut(common.Clean(f.GetValue()), w-names-1)), w))
	}
	if len(lines) == 0 {
		return Block{}
	}
	return Block{Least: 2, Good: min(len(lines)+1, 6), Most: len(lines) + 1, Draw: func(h int) []string {
		note := ""
		if more := len(lines) - (h - 1); more > 0 {
			note = common.Count(int64(more)) + " more"
		}
		return append([]string{components.Section(st, "Metadata", note, w)}, lines[:min(len(lines), h-1)]...)
	}}
}

// skyLinks are hyperlinks (OSC 8) to a place in the sky, in degrees, of ESASky and Aladin Lite; empty where it is none. Nothing but the two numbers
// goes into them.
func skyLinks(ra, dec float64) string {
	if !(ra >= -180 && ra <= 360 && dec >= -90 && dec <= 90) {
		return ""
	}
	link := func(format, text string) string {
		return ansi.SetHyperlink(fmt.Sprintf(format, ra, dec)) + text + ansi.ResetHyperlink()
	}
	return link("https://sky.esa.int/esasky/?target=%.6f%%20%.6f&fov=0.05&cooframe=J2000", "ESASky") + " · " +
		link("https://aladin.cds.unistra.fr/AladinLite/?target=%.6f%%20%.6f&fov=0.05", "Aladin")
}

// Journal is the block of what was said about the image, newest first.
func (e *Env) Journal(it review.Item, w int) Block {
	st := e.Styles
	told, _ := e.Told.Of(it.ID)
	history := told.GetHistory()
	if len(history) == 0 {
		return Block{}
	}
	return Block{Least: 2, Good: 2, Most: min(8, len(history)+1), Spare: true, Draw: func(h int) []string {
		out := []string{components.Section(st, "Labels so far", common.Count(len(history)), w)}
		for i := len(history) - 1; i >= 0 && len(out) < h; i-- {
			ev := history[i]
			what := common.Clean(ev.GetChange().GetTo())
			if mark := common.Clean(ev.GetChange().GetMark()); mark != "" {
				what = map[bool]string{true: "", false: "no "}[what != ""] + map[bool]string{true: "tag " + mark, false: mark}[mark != "bookmark"]
			} else if what == "" {
				what = "no label"
			}
			out = append(out, components.Field(st, common.Clock(e.Now(), time.UnixMilli(ev.GetUnixMs())), what+", "+common.Clean(ev.GetBy()), w))
		}
		return out
	}}
}

// Histogram is the block of all scores, the image's marked.
func (e *Env) Histogram(it review.Item, w int) Block {
	if e.Monitor.Hist == nil || len(e.Monitor.Hist.GetPool()) == 0 {
		return Block{}
	}
	here := float64(it.Score)
	if math.IsInf(here, 0) {
		here = math.NaN()
	}
	return Block{Least: 10, Good: 10, Most: 16, Spare: true, Draw: func(h int) []string { return e.Scores(w, h, here) }}
}
