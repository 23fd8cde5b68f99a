// Package progress tells on stderr how far something is: one line that is rewritten on a terminal, a line now and then elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"

	"golang.org/x/term"
)

const (
	often  = 100 * time.Millisecond // between two lines on a terminal
	seldom = 3 * time.Second        // and elsewhere: in a log of a batch job
)

// Line is where progress is shown. Its methods may be called from several goroutines.
type Line struct {
	mu    sync.Mutex
	out   io.Writer
	width func() int // cells of the terminal; nil: out is none
	now   func() time.Time
	last  time.Time
	text  string // on the terminal's line now
}

// New shows progress on f.
func New(f *os.File) *Line {
	l := &Line{out: f, now: time.Now}
	if term.IsTerminal(int(f.Fd())) {
		l.width = func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil || w <= 0 {
				return 80
			}
			return w
		}
	}
	return l
}

// Set shows how far it is; what comes too soon after the last is left out. The text is cleaned.
func (l *Line) Set(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := seldom
	if l.width != nil {
		wait = often
	}
	if text == "" || text == l.text || l.now().Sub(l.last) < wait {
		return
	}
	l.last, l.text = l.now(), text
	if l.width == nil {
		fmt.Fprintln(l.out, common.Clean(text))
		return
	}
	fmt.Fprint(l.out, "\r\x1b[K", common.Cut(common.Clean(text), l.width()-1))
}

// Say writes a line that stays, above the progress.
func (l *Line) Say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
	fmt.Fprintln(l.out, common.Clean(text))
	l.last = time.Time{}
}

// Clear takes the progress off the terminal.
func (l *Line) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
}

func (l *Line) clear() {
	if l.width != nil && l.text != "" {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
	l.text = ""
}

// Listing tells how many images were found.
func Listing(found int64) string {
	return "listing the images · " + common.Count(found) + " so far"
}

// Job tells what the engine does. step is of the training that runs, nil before its first step.
func Job(s *rpc.Status, step *rpc.TrainStep) string {
	parts := []string{s.GetState()}
	add := func(text string) {
		if text != "" {
			parts = append(parts, text)
		}
	}
	add(s.GetDetail())
	switch {
	case s.GetState() == "training" && s.GetStep() == 0: // it compiles
	case s.GetState() == "training":
		add(fmt.Sprintf("step %d of %d", s.GetStep(), s.GetSteps()))
		if step != nil && s.GetDetail() == "" {
			add(fmt.Sprintf("loss %.3f", step.GetLoss()))
			add("kept " + common.Percent(float64(step.GetKept())))
		}
	case s.GetState() == "installing" && s.GetSteps() > 0:
		add(common.Bytes(s.GetStep()) + " of " + common.Bytes(s.GetSteps()))
	case s.GetSteps() > 0:
		add(common.Count(s.GetStep()) + " of " + common.Count(s.GetSteps()))
	case s.GetStep() > 0:
		add(common.Count(s.GetStep()) + " so far")
	}
	add(common.Rate(s.GetImagesPerSecond()))
	if s.GetRemainingSeconds() >= 0 && s.GetSteps() > 0 && s.GetStep() > 0 {
		add(common.Left(s.GetRemainingSeconds()))
	}
	return strings.Join(parts, " · ")
}

// Bytes tells how much of a download is there; perSecond ≤ 0 is not known.
func Bytes(done, total int64, perSecond float64) string {
	const cells = 24
	if total <= 0 {
		return common.Bytes(done)
	}
	full := int(min(done, total) * cells / total)
	text := fmt.Sprintf("%s%s %3d%%  %s of %s", strings.Repeat("━", full), strings.Repeat("·", cells-full), min(done, total)*100/total, common.Bytes(done), common.Bytes(total))
	if perSecond > 0 {
		text += " · " + common.Bytes(int64(perSecond)) + "/s"
		if left := common.Left(float64(total-done) / perSecond); left != "" && done < total {
			text += " · " + left
		}
	}
	return text
}

// Meter measures the speed of a job of this process, from its first report on: what is before that is compiling.
type Meter struct {
	begin time.Time
	from  int
}

// Job tells how far the job is.
func (m *Meter) Job(state string, done, total int) string {
	s := &rpc.Status{State: state, Step: int64(done), Steps: int64(total), RemainingSeconds: -1}
	if m.begin.IsZero() {
		m.begin, m.from = time.Now(), done
	} else if spent := time.Since(m.begin).Seconds(); done > m.from && spent > 0 {
		s.ImagesPerSecond = float64(done-m.from) / spent
		s.RemainingSeconds = float64(total-done) / s.ImagesPerSecond
	}
	return Job(s, nil)
}
