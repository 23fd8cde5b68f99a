package review

import (
	"context"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
)

// On is what a mark's change goes to when the image gets it.
const On Label = "on"

// Bookmark is the mark that is no tag.
const Bookmark = "bookmark"

// Marks are all there are: the bookmark, and the tags.
var Marks = []string{Bookmark, "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// MarkName is a mark as people say it.
func MarkName(mark string) string {
	if mark == Bookmark {
		return mark
	}
	return "tag " + mark
}

// with is marks, which are in the order of Marks, with mark or without it. What was given is not changed.
func with(marks []string, mark string, on bool) []string {
	var out []string
	for _, m := range Marks {
		if m == mark && on || m != mark && slices.Contains(marks, m) {
			out = append(out, m)
		}
	}
	return out
}

// Marks are the marks of an image as the person sees them.
func (d *Desk) Marks(it Item) []string {
	marks := it.Marks
	if len(d.given) == 0 {
		return marks
	}
	for _, m := range Marks {
		if g, ok := d.given[subject{it.ID, m}]; ok {
			marks = with(marks, m, g.label == On)
		}
	}
	return marks
}

// Toggle gives the images a mark, or takes it away where all of them have it, in one step. Near-duplicates keep their own: a mark is
// about the picture that was seen.
func (d *Desk) Toggle(mark string, its []Item) tea.Cmd {
	to, from := None, On
	for _, it := range its {
		if !slices.Contains(d.Marks(it), mark) {
			to, from = On, None
		}
	}
	var step Step
	for _, it := range its {
		if slices.Contains(d.Marks(it), mark) != (to == On) {
			step = append(step, Change{ID: it.ID, To: to, From: from, Mark: mark})
		}
	}
	if len(step) == 0 {
		return nil
	}
	d.undo.Push(step)
	say := MarkName(mark)
	if len(step) > 1 {
		say = common.Plural(len(step), "image") + ": " + say
	}
	if to == None {
		say += " taken away"
	}
	return d.apply(step, say+" · "+d.common.Keys.Label("undo")+" undo")
}

// counting is how many marked images are asked for to count them.
const counting = 10_000

type counted struct {
	reply *rpc.RankingReply
	err   error
}

// CountMarks asks which marks are in use.
func (d *Desk) CountMarks() tea.Cmd {
	client, ctx, by := d.link.Client(), d.link.Context(), d.By
	if client == nil {
		return nil
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		r, err := client.Ranking(ctx, View{Filter: "all", By: by, Mark: "any"}.request(0, counting))
		return counted{r, err}
	}
}

// Marked is how many images have a mark, as far as CountMarks has found out.
func (d *Desk) Marked(mark string) (n int64, known bool) { return d.marked[mark], d.marked != nil }

func (d *Desk) countedBack(m counted) {
	if m.err != nil {
		return // what is listed is told when it is listed
	}
	d.marked = map[string]int64{}
	for _, it := range items(m.reply.GetItems()) {
		for _, mark := range d.Marks(it) {
			d.marked[mark]++
		}
	}
}

// ShortMarks are marks in few cells: ★ #35 is the bookmark and the tags 3 and 5.
func ShortMarks(marks []string) string {
	var parts []string
	if slices.Contains(marks, Bookmark) {
		parts = append(parts, "★")
		marks = with(marks, Bookmark, false)
	}
	if len(marks) > 0 {
		parts = append(parts, "#"+strings.Join(marks, ""))
	}
	return strings.Join(parts, " ")
}
