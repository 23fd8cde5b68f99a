package components

import (
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"
)

// Status is everything the status line tells.
type Status struct {
	State    string // idle, training, …; safe to draw
	Detail   string
	Gone     string // set when there is no engine: what is done about it
	Share    float64
	HasShare bool
	Rate     float64 // images per second
	Left     float64 // seconds; < 0 not known
	Backend  string
	A, N, S  int64
	Ranked   Ranked
	Bad      int64
	Driver   string
	Unsaved  int
	Waiting  int       // labels on this machine that are on their way to another one
	Job      string    // of a batch system, in which the engine runs; safe to draw
	Ends     time.Time // when the batch system ends it; zero: never, or not known
}

// soon is when the end of a job is something to know about.
const soon = 10 * time.Minute

// job tells of the job that the engine runs in, and how long it has to go; pressing when that is not long.
func (s Status) job(now time.Time) (text string, pressing bool) {
	if s.Job == "" || s.Gone != "" {
		return "", false
	}
	text = "job " + s.Job
	if s.Ends.IsZero() {
		return text, false
	}
	left := max(0, s.Ends.Sub(now))
	text += " · " + common.Left(left.Seconds())
	if left < soon {
		return "! " + text, true
	}
	return text, false
}

// part is a piece of the status line.
type part struct {
	text string
	left bool
}

// need is the room that parts take before another one.
func need(parts []part, gap int) int {
	n := 0
	for _, p := range parts {
		n += common.Width(p.text) + gap
	}
	return n
}

// StatusLine draws the status on one line of w cells: the engine at the left, the rest at the right; what matters least goes
// first when there is no room.
func StatusLine(st styles.Styles, s Status, now time.Time, w int) string {
	w -= 2 // a blank at both ends
	narrow := w < 110
	bar, gap := 12, 3
	if narrow {
		bar, gap = 8, 2
	}
	var parts []part // most important first
	add := func(left bool, style lipgloss.Style, text string) {
		if text != "" {
			parts = append(parts, part{style.Render(text), left})
		}
	}
	busy := s.Gone == "" && s.State != "" && s.State != "idle"
	switch {
	case s.Gone != "":
		add(true, st.Status.Gone, "○ "+s.Gone)
	case !busy:
		parts = append(parts, part{st.Status.Idle.Render("● ") + st.Status.Value.Render("idle"), true})
	default:
		head := st.Status.Busy.Render("● ") + st.Status.Value.Render(s.State)
		if s.HasShare {
			head += " " + Progress(st, s.Share, bar) + " " + st.Status.Value.Render(common.Percent(s.Share))
		}
		parts = append(parts, part{head, true})
	}
	if s.Unsaved > 0 {
		add(false, st.Status.Gone, "! "+common.Count(s.Unsaved)+" unsaved")
	}
	if s.Waiting > 0 && s.Gone != "" {
		add(false, st.Status.Gone, "↑ "+common.Count(s.Waiting)+" waiting")
	}
	parts = append(parts, part{Counts(st, s.A, s.N, s.S), false})
	job, pressing := s.job(now)
	if pressing {
		add(true, st.Warn, job)
	}
	if busy {
		add(true, st.Status.Quiet, common.Left(s.Left))
		add(true, st.Status.Quiet, common.Rate(s.Rate))
		if !s.HasShare { // else nothing would tell how it goes
			add(true, st.Status.Quiet, s.Detail)
		}
	}
	names := s.Ranked.Names(now)
	if narrow && len(names) > 2 {
		names = names[1:] // the longest would push everything else away
	}
	for i, name := range names {
		if i == len(names)-1 || need(parts, gap)+common.Width(name) <= w {
			add(false, st.Status.Quiet, name)
			break
		}
	}
	if s.Bad > 0 {
		add(false, st.Warn, common.Plural(s.Bad, "bad file"))
	}
	if busy && s.HasShare {
		add(true, st.Status.Quiet, s.Detail)
	}
	if !pressing {
		add(true, st.Status.Quiet, job)
	}
	add(false, st.Status.Quiet, s.Backend)
	add(false, st.Status.Quiet, s.Driver)

	var left, right []string
	used := 0
	for i, p := range parts {
		n := common.Width(p.text) + gap
		if i > 0 && used+n > w+gap {
			continue
		}
		used += n
		if p.left {
			left = append(left, p.text)
		} else {
			right = append(right, p.text)
		}
	}
	between := common.Blank(gap)
	return " " + common.Ends(strings.Join(left, between), strings.Join(right, between), w) + " "
}
