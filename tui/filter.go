package tui

import (
	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/review"
)

// filterMsg is what the box of f answers with: which images are listed.
type filterMsg struct{ filter, mark string }

// filters is what there is to list: by label, and by mark, of tags those in use.
func (a *app) filters() []dialogs.Group {
	d, s := a.env.Desk, a.env.Monitor.Status
	now := filterMsg{d.Filter, d.Mark}
	if d.Aside() {
		now = filterMsg{filter: "-"}
	}
	option := func(key, name, text string, to filterMsg) dialogs.Option {
		return dialogs.Option{Key: key, Name: name, Text: text, Current: to == now, Answer: to}
	}
	labels := []dialogs.Option{
		option("c", "candidates", "the queue: what is to be looked at", filterMsg{}),
		option("i", "all images", common.Plural(s.GetPool(), "image"), filterMsg{filter: "all"}),
		option("a", "anomalies", common.Plural(s.GetAnomalies(), "image"), filterMsg{filter: "anomaly"}),
		option("x", "normals", common.Plural(s.GetNormals(), "image"), filterMsg{filter: "normal"}),
		option("s", "skipped", common.Plural(s.GetSkipped(), "image"), filterMsg{filter: "skip"}),
		option("d", "doubtful", "labels that the model disagrees with", filterMsg{filter: "audit"}),
	}
	count := func(mark string) string {
		n, known := d.Marked(mark)
		if !known {
			return "…"
		}
		return common.Plural(n, "image")
	}
	marks := []dialogs.Option{
		option("m", "bookmarks", count(review.Bookmark), filterMsg{"all", review.Bookmark}),
		option("t", "marked", "with a bookmark or a tag", filterMsg{"all", "any"}),
	}
	for _, tag := range review.Marks[1:] {
		if n, _ := d.Marked(tag); n > 0 || d.Mark == tag {
			marks = append(marks, option(tag, review.MarkName(tag), count(tag), filterMsg{"all", tag}))
		}
	}
	condition := dialogs.Option{Key: "w", Name: "where…", Text: "a condition on the metadata, such as mag < 21", Current: d.Where != "", Answer: askWhereMsg{}}
	if d.Where != "" {
		condition.Text = common.Clean(d.Where)
	}
	if s.GetColumns() == 0 {
		condition.Why = "there is no metadata"
	}
	return []dialogs.Group{{Title: "By label", Options: labels}, {Title: "By mark", Options: marks}, {Title: "By metadata", Options: []dialogs.Option{condition}}}
}

// filter lists other images.
func (a *app) filter(to filterMsg) tea.Cmd {
	d := a.env.Desk
	showing := map[string]string{"": "the queue", "all": "all images", "anomaly": "anomalies", "normal": "normal images", "skip": "skipped images",
		"audit": "labels that the model doubts"}[to.filter]
	switch to.mark {
	case "":
	case "any":
		showing = "images with a bookmark or a tag"
	case review.Bookmark:
		showing = "bookmarks"
	default:
		showing = "images with " + review.MarkName(to.mark)
	}
	a.env.Say(common.Info, "showing "+showing)
	return d.Choose(review.View{Filter: to.filter, Mark: to.mark, By: d.By, Strategy: d.Strategy, Sort: d.Sort, Column: d.Column, Down: d.Down, Where: d.Where})
}
