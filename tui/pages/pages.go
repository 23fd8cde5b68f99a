// Package pages is what all pages of the screen have in common: their interface, what they are given, and the blocks of text that
// more than one of them shows.
package pages

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"anomalymatch/imgview"
	"anomalymatch/tui/batch"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/describe"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/monitor"
	"anomalymatch/tui/near"
	"anomalymatch/tui/review"
	"anomalymatch/tui/sticky"
	"anomalymatch/tui/thumbs"
)

// Page is one screenful. The root gives it every message but keys; those arrive as Pressed.
type Page interface {
	Name() string
	Update(tea.Msg) (Page, tea.Cmd)
	View() string              // as many lines as the page is high, each as wide as the page: text and picture placeholders only
	Keys() []keys.Binding      // what the hint line offers
	SetSize(width, height int) // cells
	Blocked() string           // why the selected image cannot be labelled just now; empty when its picture is on screen
	Refuse(id string) string   // why the page can do nothing with an action that is meant for it; empty: it can
}

// Owner is a page on which some actions that are the root's elsewhere mean something of its own.
type Owner interface{ Owns(id string) bool }

// Pressed is a key that works just now, by its binding's id.
type Pressed struct{ ID string }

// Clicked is the left button of the mouse, in cells of the page from its upper left corner; Again: on the same cell as just before.
type Clicked struct {
	X, Y  int
	Again bool
}

// Wheeled is the wheel of the mouse, one notch: down, or up.
type Wheeled struct{ Down bool }

// Ask is a page's wish for a dialog on top of it; what the dialog answers comes back as a message.
type Ask struct{ Dialog dialogs.Dialog }

// Goto is a page's wish that another one be shown, by its name.
type Goto struct{ Name string }

// For is a message for a page, whichever is on screen: the answer to what that page asked.
type For struct {
	Page string
	Msg  tea.Msg
}

// Wish asks the root for something, which it does before it takes the next message: a key pressed on the heels of the one behind the wish finds the
// dialog, or the page, that it is for. The messages of commands may overtake each other. It returns nil, for a caller that returns a command.
func (e *Env) Wish(msg tea.Msg) tea.Cmd {
	e.wishes = append(e.wishes, msg)
	return nil
}

// Wished takes the oldest wish; nil: there is none.
func (e *Env) Wished() (msg tea.Msg) {
	if len(e.wishes) > 0 {
		msg, e.wishes = e.wishes[0], e.wishes[1:]
	}
	return msg
}

// Still refuses what moves a cursor or opens what is under it: for pages that have none.
func Still(id string) string {
	switch id {
	case "left", "right", "up", "down", "next-page", "previous-page", "first", "last", "open":
		return "there is nothing to select here"
	}
	return ""
}

// Env is what pages are given.
type Env struct {
	*common.Common
	Desk    *review.Desk
	Thumbs  *thumbs.Loader
	Display *sticky.Display
	Screen  *imgview.Screen
	Monitor *monitor.Monitor
	Near    *near.Finder
	Told    *describe.Teller
	Board   *batch.Board

	Waits    func() string // why there is no engine; empty: there is one, or nobody said
	Settings string        // file with the person's settings, safe to draw
	Links    func() bool   // whether the terminal knows hyperlinks; nil: it does not

	wishes []tea.Msg
}

// Cell is the size of a terminal cell in pixels of the screen, and their ratio height to width; both as usual where the terminal did not say.
func (e *Env) Cell() (w, h int, ratio float64) {
	w, h = e.Screen.CellPixels()
	if w <= 0 || h <= 0 {
		w, h = 11, 22
	}
	return w, h, min(3, max(1.2, float64(h)/float64(w)))
}

// Square is the largest box in w×h cells that is a square on the screen; at least a cell.
func (e *Env) Square(w, h int) (cols, rows int) {
	w, h = max(1, w), max(1, h)
	_, _, ratio := e.Cell()
	if cols = int(math.Round(float64(h) * ratio)); cols <= w {
		return cols, h
	}
	return w, max(1, min(h, int(math.Round(float64(w)/ratio))))
}

// Pixels is the longer side of a box of cols×rows cells in pixels of the screen.
func (e *Env) Pixels(cols, rows int) int {
	w, h, _ := e.Cell()
	return max(cols*w, rows*h)
}

// Thumb is the size in which a picture for a box of cols×rows cells is asked for: Pixels in steps of 32, so that nearly equal boxes share it.
func (e *Env) Thumb(cols, rows int) int { return (e.Pixels(cols, rows) + 31) / 32 * 32 }

// Label labels the selected image by a key of the label group and goes on, or takes its label away.
func (e *Env) Label(id string) tea.Cmd {
	l := e.Desk.List()
	it, ok := l.Selected()
	if !ok {
		return nil
	}
	if id == "clear" {
		return e.Desk.Give(review.None, []review.Item{it}, l.Cursor)
	}
	return e.Desk.Give(review.Label(id), []review.Item{it}, l.Cursor+1)
}

// Marker is what stands before a row of a list, and the row's style.
func (e *Env) Marker(selected bool) (string, lipgloss.Style) {
	if selected {
		return e.Styles.Cell.Marker.Render("▸ "), e.Styles.Strong
	}
	return "  ", e.Styles.Text
}

// Unlisted refuses to move through an empty list.
func (e *Env) Unlisted(id string) string {
	if len(e.Desk.List().Items) == 0 && Still(id) != "" {
		return "the list is empty"
	}
	return ""
}

// Blocked tells why an image whose picture is drawn in cols×rows cells cannot be labelled.
func (e *Env) Blocked(it review.Item, cols, rows int) string {
	if e.Screen.Driver() == "none" {
		return "labels need a picture: set images of [tui] to auto or halfblocks"
	}
	p, ok := e.Thumbs.Get(it.ID)
	switch {
	case ok && p.Err != "":
		return "this image cannot be read: there is nothing to label"
	case !ok || !e.seen(p, cols, rows):
		return "wait: the picture is not on screen yet"
	}
	return ""
}

// Ready tells whether an image's picture can be drawn at once in a box of cols×rows cells.
func (e *Env) Ready(it review.Item, cols, rows int) bool {
	p, ok := e.Thumbs.Get(it.ID)
	return ok && p.Err == "" && (e.Screen.Ready(p.Key(), cols, rows) || p.Before != nil && e.Screen.Ready(p.Before.Key(), cols, rows))
}

// seen tells whether the picture, or what it replaces, is on screen in a box of cols×rows cells.
func (e *Env) seen(p thumbs.Picture, cols, rows int) bool {
	return e.Screen.Visible(p.Key(), cols, rows) || p.Before != nil && e.Screen.Visible(p.Before.Key(), cols, rows)
}

// Wants asks the screen for a picture in a box of cols×rows cells, and for the one that it replaces until it is there. To be called in Update.
func (e *Env) Wants(p thumbs.Picture, cols, rows int) []imgview.Want {
	if p.Img == nil {
		return nil
	}
	out := []imgview.Want{{Key: p.Key(), Img: p.Img, Cols: cols, Rows: rows}}
	s, before := e.Screen, p.Before
	switch {
	case s.Visible(p.Key(), cols, rows) || s.Ready(p.Key(), cols, rows) && (before == nil || !s.Visible(before.Key(), cols, rows)):
		e.Thumbs.Seen(p)
	case before != nil && s.Ready(before.Key(), cols, rows): // may be labelled until the new one is on screen
		out = append(out, imgview.Want{Key: before.Key(), Img: before.Img, Cols: cols, Rows: rows})
	}
	return out
}

// Ahead marks pictures as not on screen yet.
func Ahead(wants []imgview.Want) []imgview.Want {
	for i := range wants {
		wants[i].Prefetch = true
	}
	return wants
}

// Lines is the text of a picture in a box of cols×rows cells; the one that it replaces stays until it is there.
func (e *Env) Lines(p thumbs.Picture, cols, rows int) []string {
	if b := p.Before; b != nil && !e.Screen.Ready(p.Key(), cols, rows) && e.Screen.Ready(b.Key(), cols, rows) {
		p = *b
	}
	return e.Screen.Lines(p.Key(), cols, rows)
}

// Empty is what a gallery without images says: what is going on and what to do, first line first.
func (e *Env) Empty() []string {
	s := e.Monitor.Status
	percent := ""
	if p, ok := e.Monitor.Progress(); ok {
		percent = " " + common.Percent(p)
	}
	key := e.Keys.Label
	switch {
	case !e.Monitor.Known && e.Waits() != "":
		return []string{"no engine yet", e.Waits(), "it is looked for again and again"}
	case !e.Monitor.Known:
		return []string{"connecting to the engine…"}
	case s.GetState() == "indexing" && s.GetStep() > 0:
		return []string{"the engine lists the images: " + common.Plural(s.GetStep(), "image") + " so far", "the list appears by itself"}
	case s.GetState() == "indexing":
		return []string{"the engine lists the images…", "the list appears by itself"}
	case e.Desk.Filter == "" && s.GetState() == "embedding" && !s.GetEmbedded():
		return []string{"the engine looks at the images:" + percent, "the list appears by itself"}
	case s.GetPool() == 0 && s.GetError() != "":
		return []string{common.Clean(s.GetError())}
	case s.GetPool() == 0 && s.GetBad() > 0:
		return []string{"none of the files can be read", common.Plural(s.GetBad(), "bad file") + "; anomalymatch doctor says why"}
	case s.GetPool() == 0:
		return []string{"this project has no images", "anomalymatch new PROJECT --images FOLDER makes one that has"}
	case !e.Desk.Loaded():
		return []string{"loading the list…"}
	case e.Desk.Like != "":
		return []string{"nothing is like this image", key("back") + " goes back"}
	case e.Desk.Match != "":
		return []string{"no image has " + common.Clean(e.Desk.Match) + " in its id", key("back") + " goes back"}
	case e.Desk.Aside():
		return []string{"no image lies in this region of the map", key("back") + " goes back"}
	case e.Desk.Mark == review.Bookmark:
		return []string{"no image is bookmarked", key("bookmark") + " bookmarks the selected picture · " + key("filter") + " shows other images"}
	case e.Desk.Mark != "":
		return []string{"no image has " + map[bool]string{true: "a bookmark or a tag", false: "this tag"}[e.Desk.Mark == "any"], key("filter") + " shows other images"}
	case e.Desk.Filter == "audit":
		sure := "every label agrees with the model"
		if s.GetAnomalies()+s.GetNormals() == 0 {
			sure = "nothing is labelled yet"
		} else if s.GetFastAtUnixMs() == 0 && s.GetDeepAtUnixMs() == 0 {
			sure = "there is no model yet to doubt the labels"
		}
		return []string{sure, "here stand labelled images that the model strongly disagrees with · " + key("filter") + " shows other images"}
	case e.Desk.Filter == "":
		return []string{"no candidates", key("restart") + " starts at the newest top · " + key("train") + " trains on the labels · " + key("filter") + " shows other images"}
	case e.Desk.Filter == "all":
		return []string{"no images"}
	}
	return []string{"no image is labelled " + e.Desk.Filter, key("filter") + " shows other images"}
}

// Centre puts lines in the middle of h lines of w cells: the first strong, the others dim.
func (e *Env) Centre(lines []string, w, h int) []string {
	var text []string
	for i, l := range lines {
		st := e.Styles.Dim
		if i == 0 {
			st = e.Styles.Text
		}
		for _, part := range common.Wrap(l, max(10, w-4)) {
			text = append(text, common.Blank((w-common.Width(part))/2)+st.Render(part))
		}
	}
	return common.Lines(append(make([]string, max(0, (h-len(text))/2)), text...), w, h)
}

// Ranking is the name of the ranking on screen.
func (e *Env) Ranking() string {
	name := common.Clean(e.Desk.List().RankedBy)
	if name == "" {
		name = common.Clean(e.Monitor.Status.GetRankedBy())
	}
	return name
}

// Ranked is the ranking on screen and what there is to rank by.
func (e *Env) Ranked() components.Ranked {
	s := e.Monitor.Status
	return components.Ranked{By: e.Ranking(), At: e.Desk.List().RankedAt, Fast: at(s.GetFastAtUnixMs()), Deep: at(s.GetDeepAtUnixMs()), Cycle: s.GetCycle()}
}

func at(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Strategy is what picked the candidates on screen.
func (e *Env) Strategy() string {
	if s := common.Clean(e.Desk.List().Strategy); s != "" {
		return s
	}
	return "top"
}

// Order is the block about the ranking: what ordered the list, and how old both rankings are. Lines of w cells.
func (e *Env) Order(w int) []string {
	st, s := e.Styles, e.Monitor.Status
	r := e.Ranked()
	by := r.By
	switch {
	case by == "":
		by = "–"
	case by == "order":
		by = "nothing yet"
	}
	if e.Desk.By == "" && r.By != "" && r.By != "order" {
		by += " (auto)"
	}
	out := []string{components.Section(st, "Ranking", common.Age(e.Now(), r.At), w), components.Field(st, "ordered by", by, w)}
	fast, deep := common.Age(e.Now(), r.Fast), common.Age(e.Now(), r.Deep)
	if fast == "" {
		fast = "needs an anomaly"
	}
	switch {
	case deep == "" && e.Monitor.Last() != nil:
		deep = "not scored yet"
	case deep == "":
		deep = "not trained yet"
	default:
		deep = fmt.Sprintf("cycle %d, %s", r.Cycle, deep)
	}
	out = append(out, components.Field(st, "fast", fast, w), components.Field(st, "deep", deep, w))
	if like := e.Desk.Like; like != "" {
		out = append(out, components.Field(st, "most like", common.CutLeft(common.Clean(path.Base(like)), w-11), w))
	} else {
		picked := common.Count(e.Desk.Len()) + " of " + common.Plural(s.GetPool(), "image")
		if strategy := e.Strategy(); e.Desk.Queue() && strategy != "top" {
			picked = strategy + ", " + picked
		}
		out = append(out, components.Field(st, map[bool]string{true: "candidates", false: "listed"}[e.Desk.Queue()], picked, w))
	}
	if n := s.GetDuplicates(); n > 0 {
		out = append(out, components.Field(st, "duplicates", common.Plural(n, "image")+" of the pool", w))
	}
	if s.GetBad() > 0 {
		out = append(out, components.Field(st, "unreadable", common.Plural(s.GetBad(), "file"), w))
	}
	return out
}

// Panel is the side panel: ranking, review, the selected image, training and scores in h lines of w cells.
func (e *Env) Panel(w, h int) []string {
	out := append([]string{""}, e.Order(w)...)
	out = append(out, "")
	out = append(out, e.Review(w)...)
	if it, ok := e.Desk.List().Selected(); ok {
		if room := h - len(out) - 6; room > 3 { // training wants its lines
			out = append(out, "")
			out = append(out, e.About(it, w, room)...)
		}
	}
	out = append(out, "")
	room := h - len(out)
	curve := 4 // not trained yet: a sentence
	if e.Monitor.Last() != nil || e.Monitor.Job() == "training" {
		curve = max(6, min(18, room/2))
	}
	out = append(out, e.Training(w, min(room, curve))...)
	if room -= curve + 1; room >= 9 {
		out = append(out, "")
		out = append(out, e.Scores(w, min(16, room), math.NaN())...)
	}
	return common.Lines(out, w, h)
}

// Training is the training block: heading, loss curve, numbers and progress, in h lines of w cells.
func (e *Env) Training(w, h int) []string {
	st, s := e.Styles, e.Monitor.Status
	last := e.Monitor.Last()
	note := ""
	if last != nil {
		note = fmt.Sprintf("cycle %d", last.GetCycle())
	}
	out := []string{components.Section(st, "Training", note, w)}
	share, running := e.Monitor.Progress()
	running = running && e.Monitor.Job() == "training"
	if last == nil && e.Monitor.Job() != "training" {
		for _, l := range common.Wrap("not trained yet: "+e.Keys.Label("train")+" trains on the labels, then scores every image", w) {
			out = append(out, st.Dim.Render(l))
		}
		return common.Lines(out, w, h)
	}
	var foot []string
	if last != nil {
		foot = append(foot, common.Ends(
			st.Chart.Line.Render("── ")+st.Dim.Render("loss ")+st.Text.Render(fmt.Sprintf("%.3f", last.GetLoss())),
			st.Chart.Second.Render("── ")+st.Dim.Render("kept ")+st.Text.Render(common.Percent(float64(last.GetKept()))), w))
		if !running {
			foot = append(foot, st.Dim.Render(common.Cut(common.Plural(last.GetStep(), "step")+" in "+common.Seconds(last.GetSeconds()), w)))
		}
	}
	if running {
		foot = append(foot, components.Progress(st, share, max(4, w-5))+" "+right(common.Percent(share), 4))
		foot = append(foot, st.Dim.Render(common.Ends(common.Rate(s.GetImagesPerSecond()), common.Left(s.GetRemainingSeconds()), w)))
	} else if e.Monitor.Job() == "training" {
		foot = append(foot, st.Dim.Render(common.Cut(common.Clean(s.GetDetail()), w)))
	}
	if room := h - len(out) - len(foot); room >= 5 {
		out = append(out, e.LossChart(w, room)...)
	}
	return common.Lines(append(out, foot...), w, h)
}

// LossChart draws the loss of the newest run and the share of pseudo-labels kept, the latter on the same height as 0 to 100%.
func (e *Env) LossChart(w, h int) []string {
	st := e.Styles
	var x, loss, kept []float64
	most := 0.0
	xmax := 1.0
	for _, t := range e.Monitor.Steps {
		x = append(x, float64(t.GetStep()))
		loss = append(loss, float64(t.GetLoss()))
		most = max(most, float64(t.GetLoss()))
		xmax = max(xmax, float64(t.GetSteps()))
	}
	for _, t := range e.Monitor.Steps {
		kept = append(kept, float64(t.GetKept())*most)
	}
	ax := components.Axes{XMin: 0, XMax: xmax, YMin: 0, YMax: most}
	return components.LineChart(st, []components.Series{{X: x, Y: kept, Style: st.Chart.Second}, {X: x, Y: loss, Style: st.Chart.Line}}, ax, w, h)
}

// Scores is the score block: heading and histogram with the labelled images marked, in h lines of w cells; here is the score of
// the image looked at, NaN for none.
func (e *Env) Scores(w, h int, here float64) []string {
	st, hist := e.Styles, e.Monitor.Hist
	note := ""
	if hist != nil {
		note = common.Clean(hist.GetRankedBy())
	}
	out := []string{components.Section(st, "Scores", note, w)}
	if hist == nil || len(hist.GetPool()) == 0 {
		return common.Lines(append(out, "", st.Dim.Render(common.Cut("No scores yet.", w))), w, h)
	}
	out = append(out, components.Histogram(st, hist.GetPool(), hist.GetAnomalies(), hist.GetNormals(), here, w, h-1)...)
	return common.Lines(out, w, h)
}

func right(s string, w int) string { return common.Blank(w-common.Width(s)) + s }

// Beside puts columns of as many lines each side by side, gap cells between them.
func Beside(gap int, columns ...[]string) []string {
	out := slices.Clone(columns[0])
	for _, c := range columns[1:] {
		for y := range out {
			out[y] += common.Blank(gap) + c[y]
		}
	}
	return out
}

// Margin makes a page's text of its lines, n cells left free at both sides.
func Margin(lines []string, n int) string {
	free := common.Blank(n)
	out := make([]string, len(lines))
	for y, l := range lines {
		out[y] = free + l + free
	}
	return Join(out)
}

// Join makes a page's text of its lines.
func Join(lines []string) string { return strings.Join(lines, "\n") }
