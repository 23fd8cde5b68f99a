package components

import (
	"strings"
	"time"

	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"
)

// Status is everything the status line tells.
type Status struct {
	State     string // idle, training, …; safe to draw
	Detail    string
	Gone      string // set when there is no engine: what is done about it
	Share     float64
	HasShare  bool
	Rate      float64 // images per second
	Left      float64 // seconds; < 0 not known
	Backend   string
	A, N, S   int64
	RankedBy  string
	RankedAt  time.Time
	Bad       int64
	Driver    string
	Unsaved   int
	UnsavedOf string // why
}

// StatusLine draws the status on one line of w cells: the engine at the left, the rest at the right; what matters least goes
// first when there is no room.
func StatusLine(st styles.Styles, s Status, now time.Time, w int) string {
	w -= 2 // a blank at both ends
	const gap = "   "
	var left []string
	switch {
	case s.Gone != "":
		left = append(left, st.Status.Gone.Render("○ "+s.Gone))
	case s.State == "" || s.State == "idle":
		left = append(left, st.Status.Idle.Render("● ")+st.Status.Value.Render("idle"))
	default:
		head := st.Status.Busy.Render("● ") + st.Status.Value.Render(s.State)
		if s.HasShare {
			head += " " + Progress(st, s.Share, 12) + " " + st.Status.Value.Render(common.Percent(s.Share))
		}
		left = append(left, head)
		for _, extra := range []string{common.Rate(s.Rate), common.Left(s.Left), s.Detail} {
			if extra != "" {
				left = append(left, st.Status.Quiet.Render(extra))
			}
		}
	}
	// the right side, most important first
	var rightSide []string
	if s.Unsaved > 0 {
		rightSide = append(rightSide, st.Status.Gone.Render("! "+common.Count(s.Unsaved)+" unsaved"))
	}
	rightSide = append(rightSide, Counts(st, s.A, s.N, s.S))
	if s.RankedBy != "" {
		text := s.RankedBy
		if age := common.Age(now, s.RankedAt); age != "" {
			text += ", " + age
		}
		rightSide = append(rightSide, st.Status.Quiet.Render(text))
	}
	if s.Bad > 0 {
		rightSide = append(rightSide, st.Warn.Render(common.Plural(s.Bad, "bad file")))
	}
	if s.Backend != "" {
		rightSide = append(rightSide, st.Status.Quiet.Render(s.Backend))
	}
	rightSide = append(rightSide, st.Status.Quiet.Render(s.Driver))

	l, r := 1, len(rightSide)
	fits := func() bool {
		return common.Width(strings.Join(left[:l], gap))+len(gap)+common.Width(strings.Join(rightSide[:r], gap)) <= w
	}
	for r > 1 && !fits() {
		r--
	}
	for l < len(left) { // what is left over goes to the details of the job
		l++
		if !fits() {
			l--
			break
		}
	}
	return " " + common.Ends(strings.Join(left[:l], gap), strings.Join(rightSide[:r], gap), w) + " "
}
