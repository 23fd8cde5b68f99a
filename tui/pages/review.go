package pages

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/near"
	"anomalymatch/tui/review"
)

// Review is the review block: labels so far, what is left to find, and whether to go on. Lines of w cells, as many as it takes.
func (e *Env) Review(w int) []string {
	st, s := e.Styles, e.Monitor.Status
	out := []string{components.Section(st, "Review", common.Plural(s.GetAnomalies()+s.GetNormals()+s.GetSkipped(), "label")+" so far", w)}
	out = append(out, common.Fit(components.Counts(st, s.GetAnomalies(), s.GetNormals(), s.GetSkipped()), w))
	r := e.Monitor.Review
	if r == nil {
		why := "the estimates are on their way…"
		switch {
		case e.Monitor.ReviewWhy != "":
			why = "no estimates: " + e.Monitor.ReviewWhy
		case s.GetRankingVersion() == 0:
			why = "estimates of what is left come with the first ranking"
		}
		return append(out, e.note(why, w)...)
	}
	last := "last looked at"
	if n := r.GetLooked(); n > 0 {
		last = fmt.Sprintf("last %d: %s", n, Anomalies(r.GetFound()))
	}
	missing := e.missing()
	rows := [][2]string{
		{last, components.Share(r.GetPrecision(), "nothing yet")},
		{"left in top " + share(s.GetProjectImages(), s.GetPool()), components.About(r.GetInTop(), missing)},
		{"left in the pool", components.About(r.GetInPool(), missing)},
	}
	col := 0
	for _, row := range rows {
		col = max(col, common.Width(row[0]))
	}
	for _, row := range rows {
		value := min(col+2, max(0, w-common.Width(row[1])))
		out = append(out, common.Fit(st.Section.Key.Render(common.Fit(row[0], value))+st.Section.Value.Render(row[1]), w))
	}
	if advice := common.Clean(r.GetAdvice()); advice != "" {
		for i, l := range common.Wrap(advice+": "+common.Clean(r.GetReason()), w) {
			if i == 0 && len(l) >= len(advice) {
				l = st.Accent.Bold(true).Render(l[:len(advice)]) + st.Text.Render(l[len(advice):])
			}
			out = append(out, common.Fit(l, w))
		}
	}
	return out
}

// missing is what an estimate that is not known waits for.
func (e *Env) missing() string {
	s := e.Monitor.Status
	switch {
	case !s.GetEmbedded():
		return "not embedded yet"
	case s.GetAnomalies() == 0:
		return "needs anomalies"
	case s.GetNormals() == 0:
		return "needs normals"
	}
	return "needs more labels"
}

// Anomalies counts them in words.
func Anomalies(n int64) string {
	if n == 1 {
		return "1 anomaly"
	}
	return common.Count(n) + " anomalies"
}

// share writes a part of a whole as the settings do: 1%, 3.8%, 0.05%.
func share(part, whole int64) string {
	if whole <= 0 || part <= 0 {
		return "part"
	}
	p := 100 * float64(part) / float64(whole)
	if r := math.Round(p); r >= 1 && math.Abs(p-r) < 0.05 {
		return strconv.FormatFloat(r, 'f', 0, 64) + "%"
	}
	return strconv.FormatFloat(p, 'g', 2, 64) + "%"
}

func (e *Env) note(text string, w int) []string {
	var out []string
	for _, l := range common.Wrap(text, w) {
		out = append(out, common.Fit(e.Styles.Dim.Render(l), w))
	}
	return out
}

// Doubt is why the audit shows an image, and the near-duplicates that share its label: lines of w cells, at most h.
func (e *Env) Doubt(it review.Item, w, h int) []string {
	st := e.Styles
	var out []string
	if it.Why != "" {
		for i, l := range common.Wrap("doubt: "+common.Clean(it.Why), w) {
			if rest, first := strings.CutPrefix(l, "doubt:"); i == 0 && first {
				l = st.Section.Key.Render("doubt:") + st.Warn.Render(rest)
			} else {
				l = st.Warn.Render(l)
			}
			out = append(out, common.Fit(l, w))
		}
	}
	if n := len(it.Duplicates); n > 0 && h > len(out)+1 {
		out = append(out, components.Field(st, "duplicates", fmt.Sprintf("×%d, one label for all", n+1), w))
		for i, id := range it.Duplicates {
			name := common.CutLeft(common.Clean(path.Base(id)), w-11)
			if left := n - i; left > 1 && (i == 3 || len(out) == h-1) {
				out = append(out, components.Field(st, "", fmt.Sprintf("and %d more", left), w))
				break
			}
			out = append(out, components.Field(st, "", name, w))
		}
	}
	return out[:min(len(out), max(0, h))]
}

// About is the panel's block of the selected image: doubt, near-duplicates and the nearest labelled images, in at most h lines.
func (e *Env) About(it review.Item, w, h int) []string {
	if doubt := e.Doubt(it, w, h-1); len(doubt) > 0 {
		out := append([]string{components.Section(e.Styles, "Selected", common.CutLeft(common.Clean(path.Base(it.ID)), w-12), w)}, doubt...)
		if h-len(out) > 3 {
			out = append(append(out, ""), e.Nearest(it, w, h-len(out)-1, false)...)
		}
		return out
	}
	return e.Nearest(it, w, h, false)
}

// Look asks for the neighbours of the selected image, once the cursor rests.
func (e *Env) Look() tea.Cmd {
	it, _ := e.Desk.List().Selected()
	s := e.Monitor.Status
	if !s.GetEmbedded() || s.GetAnomalies()+s.GetNormals() == 0 {
		return nil
	}
	return e.Near.Look(it.ID, s.GetLabelsVersion())
}

// nearRows is the height of a neighbour's picture in cells.
const nearRows = 4

// Nearest is the block of the nearest labelled images, in at most h lines of w cells; with pictures where they are wanted and there
// is room for them.
func (e *Env) Nearest(it review.Item, w, h int, pictures bool) []string {
	st := e.Styles
	if h < 2 {
		return nil
	}
	found, known, why := e.Near.Of(it.ID)
	out := []string{components.Section(st, "Nearest labelled", map[bool]string{true: "similarity"}[len(found) > 0], w)}
	s := e.Monitor.Status
	switch {
	case !s.GetEmbedded():
		return append(out, e.note("the images are not embedded yet", w)...)[:2]
	case s.GetAnomalies()+s.GetNormals() == 0:
		return append(out, e.note("nothing is labelled yet", w)...)[:2]
	case why != "":
		return append(out, e.note(why, w)...)[:2]
	case !known:
		return append(out, st.Dim.Render("…"))
	case len(found) == 0:
		return append(out, e.note("no other image is labelled", w)...)[:2]
	}
	if drawn := e.NearDrawn(it.ID, w, h); pictures && len(drawn) > 0 {
		return append(out, e.nearPictures(drawn)...)
	}
	for _, n := range found[:min(len(found), h-1)] {
		text := components.Badge(st, n.Label.Letter(), false, false) + fmt.Sprintf("%6.2f", n.Similarity)
		out = append(out, common.Fit(text+"  "+common.CutLeft(common.Clean(path.Base(n.ID)), w-common.Width(text)-2), w))
	}
	return out
}

// NearSize is the size of a neighbour's picture in cells.
func (e *Env) NearSize() (cols, rows int) {
	_, _, ratio := e.Cell()
	return max(8, int(math.Round(nearRows*ratio))), nearRows
}

// NearDrawn are the neighbours whose pictures Nearest draws in h lines of w cells.
func (e *Env) NearDrawn(id string, w, h int) []near.Neighbour {
	found, _, _ := e.Near.Of(id)
	cols, rows := e.NearSize()
	if h < rows+2 || e.Screen.Driver() == "none" {
		return nil
	}
	return found[:min(len(found), max(0, w+1)/(cols+1))]
}

// nearPictures draws neighbours side by side, label and similarity below each.
func (e *Env) nearPictures(found []near.Neighbour) []string {
	cols, _ := e.NearSize()
	out := make([]string, nearRows+1)
	for i, n := range found {
		gap := ""
		if i > 0 {
			gap = " "
		}
		lines := make([]string, nearRows)
		for y := range lines {
			lines[y] = common.Blank(cols)
		}
		if pic, ok := e.Thumbs.Get(n.ID); ok && pic.Img != nil {
			lines = e.Lines(pic, cols, nearRows)
		}
		for y, l := range lines {
			out[y] += gap + l
		}
		out[nearRows] += gap + common.Fit(components.Badge(e.Styles, n.Label.Letter(), false, false)+fmt.Sprintf("%5.2f", n.Similarity), cols)
	}
	return out
}
