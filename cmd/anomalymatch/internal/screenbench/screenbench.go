// Package screenbench measures the screen as a person at a terminal sees it: the program in a pseudo-terminal, a terminal that
// speaks kitty's graphics protocol at the other end of a link, a stopwatch there. Behind the program is an engine without a network,
// with a pool of any size whose pictures are the demo's galaxies.
package screenbench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/internal/slowlink"
	"anomalymatch/tui/tuitest/emulator"
	"anomalymatch/tui/tuitest/fake"
)

// Options says what is measured.
type Options struct {
	Images     int // of the pool
	Size       int // pixels a side of an image
	Cols, Rows int // of the terminal
	Keys       int // to measure, one by one
	Pages      int // to turn, of either kind
	Labels     int // to give
	Links      []Net
	Seed       uint64
	Progress   func(what string) // may be nil
}

// Net is a link between program and terminal.
type Net struct {
	Name          string `json:"link"`
	BitsPerSecond int    `json:"bits_per_second,omitempty"` // 0: nothing is between them
	RoundTripMS   int    `json:"round_trip_ms,omitempty"`
}

func (n Net) link() *slowlink.Link {
	if n.BitsPerSecond == 0 {
		return nil
	}
	return slowlink.New(n.BitsPerSecond, time.Duration(n.RoundTripMS)*time.Millisecond)
}

// Nets are the two links of the goals.
func Nets() []Net {
	return []Net{{Name: "unshaped"}, {Name: "1 Mbit/s, 100 ms", BitsPerSecond: 1_000_000, RoundTripMS: 100}}
}

// Latency is how long something took, in milliseconds.
type Latency struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// Summary sorts times and says how long they were.
func Summary(times []time.Duration) Latency {
	l := Latency{N: len(times)}
	if len(times) == 0 {
		return l
	}
	slices.Sort(times)
	ms := func(q float64) float64 {
		d := times[min(len(times)-1, int(math.Ceil(q*float64(len(times))))-1)]
		return math.Round(d.Seconds()*1e5) / 100
	}
	l.P50, l.P99, l.Max = ms(0.5), ms(0.99), ms(1)
	return l
}

// Report is what was measured on one link.
type Report struct {
	Net
	PerPage int `json:"pictures_per_page"`

	Key   Latency `json:"key_to_frame"`   // one key at a person's pace, nothing else under way
	Burst Latency `json:"burst_to_frame"` // the last of five keys at once
	Label Latency `json:"label_to_frame"` // a label key at a person's pace, pictures being fetched ahead

	PageFrame    Latency `json:"page_to_frame"` // a page that nobody asked for before: its frame,
	PageKeys     Latency `json:"keys_while_pictures_load"`
	PageComplete Latency `json:"page_to_complete"` // and when all its pictures are there

	AheadFrame    Latency `json:"prefetched_page_to_frame"`
	AheadComplete Latency `json:"prefetched_page_to_complete"`

	PictureBytes int `json:"bytes_per_picture"` // of picture data, mean
	PageBytes    int `json:"bytes_per_page"`    // all that was written until a new page was complete, mean
	Labelled     int `json:"labelled"`
	Refused      int `json:"label_keys_refused"` // the picture was on screen, but the program had not heard of it yet
	LabelBytes   int `json:"bytes_for_labelled"` // all that was written from the first label until it was quiet
}

// Result is everything.
type Result struct {
	Measured string   `json:"measured"` // in words
	Images   int      `json:"images"`
	Size     int      `json:"size"`
	FileSize int      `json:"image_file_bytes"` // mean, as the engine sends it
	Columns  int      `json:"columns"`
	Lines    int      `json:"lines"`
	Links    []Report `json:"links"`
	Reviews  []Review `json:"reviews,omitempty"`
	Goals    []Goal   `json:"goals"`
}

// Goal is what a figure should be.
type Goal struct {
	What string  `json:"what"`
	Most float64 `json:"less_than"`
	Got  float64 `json:"measured"`
	Met  bool    `json:"met"`
}

const measured = "from writing a key's bytes into the link until the terminal has parsed the frame that shows what the key did; a page is complete when " +
	"the terminal holds and shows every picture of it. Program, terminal and an engine without a network are one process, the terminal in a pseudo-terminal behind the link"

func (o Options) say(what string) {
	if o.Progress != nil {
		o.Progress(what)
	}
}

// Run measures on each link.
func Run(ctx context.Context, o Options) (*Result, error) {
	o.say("drawing galaxies")
	photos := photograph(400, o.Size, o.Seed)
	out := &Result{Measured: measured, Images: o.Images, Size: o.Size, FileSize: photos.mean(), Columns: o.Cols, Lines: o.Rows}
	o.say(fmt.Sprintf("making a pool of %d images", o.Images))
	for _, net := range o.Links {
		e := engine(o, photos.picture)
		r, err := run(ctx, o, e, net)
		e.Die()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", net.Name, err)
		}
		out.Links = append(out.Links, *r)
	}
	out.Goals = goals(out.Links)
	return out, nil
}

// engine makes one whose orders are worked out before anybody waits for them.
func engine(o Options, picture func(i int, rare bool) []byte) *fake.Engine {
	e := fake.New(fake.Options{Images: o.Images, Size: o.Size, Picture: picture})
	e.Top(1)
	e.List(&rpc.RankingRequest{By: "fast"}, 1)
	for _, by := range []string{"novelty", "fast"} {
		e.Histogram(context.Background(), &rpc.HistogramRequest{By: by, Bins: 60})
	}
	return e
}

// hand is a person at a sitting.
type hand struct {
	*sitting
	ctx  context.Context
	at   int // where the cursor is
	page int // pictures of a page
	dice *rand.Rand
}

// press writes keys and returns how long it took until the cursor was there.
func (h *hand) press(keys string, to int) (time.Duration, error) {
	w := h.expect(at(to))
	start := time.Now()
	if _, err := h.keys.Write([]byte(keys)); err != nil {
		return 0, err
	}
	seen, err := h.wait(w)
	h.at = to
	return seen.Sub(start), err
}

// human is a person's pause between two keys.
func (h *hand) human() error {
	return pause(h.ctx, time.Duration(90+h.dice.IntN(110))*time.Millisecond)
}

// first is the first place of the page with the cursor, from 1.
func (h *hand) first() int { return (h.at-1)/h.page*h.page + 1 }

func run(ctx context.Context, o Options, e *fake.Engine, net Net) (r *Report, err error) {
	s, err := open(ctx, e, o.Cols, o.Rows, net.link(), false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := s.end(); err == nil {
			err = e
		}
	}()
	h := &hand{sitting: s, ctx: ctx, at: 1, dice: rand.New(rand.NewPCG(o.Seed, 1))}
	r = &Report{Net: net}
	begun := s.expect(complete(1))
	o.say(net.Name + ": opening")
	if _, err := s.wait(begun); err != nil {
		return nil, err
	}
	s.term.Look(func(f emulator.Frame) { h.page = len(f.Captions()) })
	r.PerPage = h.page
	if err := s.quiet(ctx, settled); err != nil {
		return nil, err
	}
	for _, step := range []func(Options, *Report) error{h.moves, h.turns, h.labels} {
		if err := step(o, r); err != nil {
			return nil, err
		}
	}
	if c := s.term.Counts(); c.Pictures > 0 {
		r.PictureBytes = c.PictureBytes / c.Pictures
	}
	return r, nil
}

// settled is how long nothing is written before what was fetched ahead is taken for there.
const settled = 600 * time.Millisecond

// moves measures keys while nothing else is under way.
func (h *hand) moves(o Options, r *Report) error {
	o.say(r.Name + ": keys")
	var keys, bursts []time.Duration
	for range o.Keys {
		key, to := "l", h.at+1
		if to >= h.first()+h.page {
			key, to = "g", 1
		}
		d, err := h.press(key, to)
		if err != nil {
			return err
		}
		keys = append(keys, d)
		if err := h.human(); err != nil {
			return err
		}
	}
	for range max(1, o.Keys/10) {
		for _, b := range []struct {
			keys string
			to   int
		}{{"g", 1}, {"lllll", 6}} {
			d, err := h.press(b.keys, b.to)
			if err != nil {
				return err
			}
			if len(b.keys) > 1 {
				bursts = append(bursts, d)
			}
			if err := h.human(); err != nil {
				return err
			}
		}
	}
	r.Key, r.Burst = Summary(keys), Summary(bursts)
	_, err := h.press("g", 1)
	return err
}

// turns measures pages: three on, to one that nobody asked for before, and one on, when it has been fetched ahead.
func (h *hand) turns(o Options, r *Report) error {
	var frames, completes, keys, aheadFrames, aheadCompletes []time.Duration
	bytes := 0
	for i := range o.Pages {
		o.say(fmt.Sprintf("%s: page %d of %d", r.Name, i+1, o.Pages))
		if h.first()+4*h.page > 10_000 {
			break
		}
		before, to := h.term.Counts().Bytes, h.first()+3*h.page
		whole := h.expect(complete(to))
		start := time.Now()
		d, err := h.press("]]]", to)
		if err != nil {
			return err
		}
		frames = append(frames, d)
		for k := 0; len(whole.at) == 0 && k < h.page-1; k++ { // a person looks around meanwhile
			if err := h.human(); err != nil {
				return err
			}
			if len(whole.at) > 0 {
				break
			}
			d, err := h.press("l", h.at+1)
			if err != nil {
				return err
			}
			keys = append(keys, d)
		}
		seen, err := h.wait(whole)
		if err != nil {
			return err
		}
		completes = append(completes, seen.Sub(start))
		bytes += h.term.Counts().Bytes - before
		if err := h.quiet(h.ctx, settled); err != nil {
			return err
		}
		to = h.first() + h.page
		whole = h.expect(complete(to))
		start = time.Now()
		if d, err = h.press("]", to); err != nil {
			return err
		}
		if seen, err = h.wait(whole); err != nil {
			return err
		}
		aheadFrames, aheadCompletes = append(aheadFrames, d), append(aheadCompletes, seen.Sub(start))
		if err := h.quiet(h.ctx, settled); err != nil {
			return err
		}
	}
	r.PageFrame, r.PageComplete, r.PageKeys = Summary(frames), Summary(completes), Summary(keys)
	r.AheadFrame, r.AheadComplete = Summary(aheadFrames), Summary(aheadCompletes)
	r.PageBytes = bytes / max(1, len(completes))
	return nil
}

// pace is how many keys a second a quick person presses, and reaction how long it takes from seeing to pressing.
const (
	pace     = 5
	reaction = 150 * time.Millisecond
)

// labels measures label keys: five a second, or when the picture is there.
func (h *hand) labels(o Options, r *Report) error {
	o.say(r.Name + ": labels")
	if o.Labels == 0 {
		return nil
	}
	var times []time.Duration
	before := h.term.Counts().Bytes
	for range o.Labels {
		next := time.After(time.Second / pace)
		ready := h.expect(marked)
		h.term.Look(h.changed)
		if len(ready.at) == 0 || h.at == h.first() { // the other pictures of a page were before the eye already
			if _, err := h.wait(ready); err != nil {
				return err
			}
			if err := pause(h.ctx, reaction); err != nil {
				return err
			}
		}
		for {
			seen, start := h.expect(at(h.at+1)), time.Now()
			if _, err := h.keys.Write([]byte("x")); err != nil {
				return err
			}
			shown, err := h.within(seen, 2*time.Second)
			if err == nil {
				times = append(times, shown.Sub(start))
				h.at++
				break
			}
			if r.Refused++; r.Refused > 10+o.Labels/4 || h.ctx.Err() != nil {
				return err
			}
		}
		select {
		case <-next:
		case <-h.ctx.Done():
			return h.ctx.Err()
		}
	}
	if err := h.quiet(h.ctx, settled); err != nil {
		return err
	}
	r.Label = Summary(times)
	r.Labelled, r.LabelBytes = len(times), h.term.Counts().Bytes-before
	if events, err := h.history(h.ctx); err != nil || len(events) != len(times) {
		return fmt.Errorf("%d label keys were pressed and %d labels written (%v)", len(times), len(events), err)
	}
	return nil
}

// marked holds where the picture under the cursor is on screen.
func marked(f emulator.Frame) bool {
	for _, c := range f.Captions() {
		if c.Selected {
			return f.Drawn(c)
		}
	}
	return false
}

// goals are those of the project, for what was measured.
func goals(links []Report) (out []Goal) {
	add := func(what string, most, got float64) { out = append(out, Goal{what, most, got, got < most}) }
	for _, r := range links {
		if r.BitsPerSecond == 0 {
			add(r.Name+": key to frame, p99, ms", 16, r.Key.P99)
			continue
		}
		if r.BitsPerSecond == 1_000_000 && r.RoundTripMS == 100 {
			add(r.Name+": page turn to frame, p99, ms", 250, r.PageFrame.P99)
			add(r.Name+": keys while pictures load, p99, ms", 300, r.PageKeys.P99)
			add(r.Name+": page complete, p99, ms", 1400, r.PageComplete.P99)
			add(r.Name+": prefetched page complete, p99, ms", 250, r.AheadComplete.P99)
		}
		if r.Labelled == 100 {
			add(r.Name+": MB for 100 labelled images", 2, float64(r.LabelBytes)/1e6)
		}
	}
	return out
}

// String is a table for people.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d images of %d × %d pixels, files of %.1f KB; terminal of %d × %d cells\nmeasured: %s\n", r.Images, r.Size, r.Size, float64(r.FileSize)/1000, r.Columns, r.Lines, r.Measured)
	for _, l := range r.Links {
		fmt.Fprintf(&b, "\n%-36s %6s %9s %9s %9s\n", l.Name, "n", "p50 ms", "p99 ms", "max ms")
		for _, row := range []struct {
			name string
			Latency
		}{
			{"key to frame", l.Key}, {"five keys at once, the last", l.Burst}, {"label key to frame", l.Label},
			{"new page to frame", l.PageFrame}, {"  keys while its pictures load", l.PageKeys}, {"  complete", l.PageComplete},
			{"prefetched page to frame", l.AheadFrame}, {"  complete", l.AheadComplete},
		} {
			fmt.Fprintf(&b, "  %-34s %6d %9.1f %9.1f %9.1f\n", row.name, row.N, row.P50, row.P99, row.Max)
		}
		fmt.Fprintf(&b, "  %d pictures a page, %.1f KB a picture, %.0f KB until a new page is complete, %.2f MB for %d labels (%d keys refused)\n",
			l.PerPage, float64(l.PictureBytes)/1000, float64(l.PageBytes)/1000, float64(l.LabelBytes)/1e6, l.Labelled, l.Refused)
	}
	for _, v := range r.Reviews {
		fmt.Fprintf(&b, "\n%s", v)
	}
	b.WriteString("\ngoals\n")
	for _, g := range r.Goals {
		fmt.Fprintf(&b, "  %-6s %-52s %9.2f (goal: < %g)\n", map[bool]string{true: "met", false: "MISSED"}[g.Met], g.What, g.Got, g.Most)
	}
	return b.String()
}
