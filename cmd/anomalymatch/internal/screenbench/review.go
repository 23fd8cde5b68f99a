package screenbench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest/emulator"
)

// Review is how labelling went at a steady pace.
type Review struct {
	Net
	Candidates    int     `json:"candidates"`
	KeysPerSecond float64 `json:"keys_per_second"` // the fastest
	Seconds       float64 `json:"seconds"`
	Waited        int     `json:"waited"`  // times that no picture was under the cursor when a key was due
	Blind         int     `json:"blind"`   // keys pressed on the heels of a page's last one, when nobody could have seen the next page: they must do nothing
	Refused       int     `json:"refused"` // keys that the program did not take, and that were pressed again
	Labels        int     `json:"labels"`
	Lost          int     `json:"lost"`    // candidates without the label that was given
	Doubled       int     `json:"doubled"` // labels of a candidate after its first
	Unseen        int     `json:"unseen"`  // labels of images, or such labels, that no key was pressed for with the picture on screen
}

func (r Review) String() string {
	return fmt.Sprintf("review over %s: %d candidates at up to %.1f keys a second in %.0f s, waited %d times for a picture, %d keys refused, %d blind; "+
		"%d labels: %d lost, %d doubled, %d of what was not on screen\n", r.Name, r.Candidates, r.KeysPerSecond, r.Seconds, r.Waited, r.Refused, r.Blind, r.Labels, r.Lost, r.Doubled, r.Unseen)
}

// choice is a label that a person gave, for the picture that was under the cursor on the person's terminal.
type choice struct{ id, label string }

// refusal is what the program says to a label key that it does not take.
const refusal = "wait: the picture is not on screen yet"

// Sit labels candidates over a link as a person does: perSecond keys a second, each pressed only when the picture under the cursor is on the
// terminal, and once more when the program did not take it. Each picture carries its number, so that the terminal tells which it is.
func Sit(ctx context.Context, o Options, net Net, candidates int, perSecond float64) (r *Review, err error) {
	o.say("drawing galaxies")
	photos := photograph(min(100, o.Images), o.Size, o.Seed)
	e := engine(o, photos.marked)
	defer e.Die()
	s, err := open(ctx, e, o.Cols, o.Rows, net.link(), true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := s.end(); err == nil {
			err = e
		}
	}()
	all := e.All()
	// glance is the image under the cursor, "" where its picture is not on screen, and whether the program refuses a key.
	last := false // it is the last one of its page
	glance := func() (id string, refused bool) {
		s.term.Look(func(f emulator.Frame) {
			refused = strings.Contains(f.Text(), refusal)
			captions := f.Captions()
			last = len(captions) > 0 && captions[len(captions)-1].Selected
			for _, c := range captions {
				if p, ok := f.Picture(c); ok && c.Selected {
					if n, ok := number(p.Data, o.Size); ok && n < len(all) {
						id = all[n]
					}
				}
			}
		})
		return id, refused
	}
	until := func(long time.Duration, holds func() bool) error {
		for end := time.Now().Add(long); !holds() && time.Now().Before(end); {
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	r = &Review{Net: net, Candidates: candidates, KeysPerSecond: perSecond}
	var choices []choice
	dice := rand.New(rand.NewPCG(o.Seed, 2))
	start, beat := time.Now(), time.Duration(float64(time.Second)/perSecond)
	for next := start; len(choices) < candidates; {
		o.say(fmt.Sprintf("%s: candidate %d of %d", net.Name, len(choices)+1, candidates))
		if err := pause(ctx, time.Until(next)); err != nil {
			return nil, err
		}
		id, _ := glance()
		if id == "" { // the page is on its way
			r.Waited++
			if err := until(patience, func() bool { id, _ = glance(); return id != "" }); err != nil {
				return nil, err
			}
			if id == "" {
				return nil, fmt.Errorf("no picture under the cursor within %v; the screen is\n%s", patience, s.term.Screen())
			}
			if err := pause(ctx, reaction); err != nil {
				return nil, err
			}
		}
		key, label := "x", "normal"
		switch dice.IntN(10) {
		case 0:
			key, label = "a", "anomaly"
		case 1, 2, 3:
			key, label = " ", "skip"
		}
		for tries := 0; ; tries++ {
			_, before := glance()
			next = time.Now().Add(beat)
			keys := key
			if last {
				r.Blind++
				keys += blind[key]
			}
			if _, err := s.keys.Write([]byte(keys)); err != nil {
				return nil, err
			}
			moved := false
			if err := until(slowest, func() bool {
				now, refused := glance()
				moved = now != id
				return moved || refused && !before
			}); err != nil {
				return nil, err
			}
			if moved {
				break
			}
			if r.Refused++; tries > 20 {
				return nil, fmt.Errorf("%q is not taken; the screen is\n%s", key, s.term.Screen())
			}
			if err := pause(ctx, time.Until(next)); err != nil {
				return nil, err
			}
		}
		choices = append(choices, choice{id, label})
	}
	r.Seconds = time.Since(start).Seconds()
	if err := pause(ctx, time.Second); err != nil {
		return nil, err
	}
	events, err := s.history(ctx)
	if err != nil {
		return nil, err
	}
	r.compare(choices, events)
	return r, nil
}

// blind is another label key than the one pressed, which would be taken for held down.
var blind = map[string]string{"a": "x", "x": "a", " ": "a"}

// slowest is how long a person waits for what a key does before pressing it again.
const slowest = 2 * time.Second

// compare finds out which choices were written down, and what else.
func (r *Review) compare(choices []choice, events []*rpc.LabelEvent) {
	given := map[choice]int{}
	for _, c := range choices {
		given[c] = 0
	}
	r.Labels = len(events)
	for _, ev := range events {
		c := choice{ev.GetChange().GetId(), ev.GetChange().GetTo()}
		n, ok := given[c]
		switch {
		case !ok:
			r.Unseen++
			continue
		case n > 0:
			r.Doubled++
		}
		given[c]++
	}
	for _, c := range choices {
		if given[c] == 0 {
			r.Lost++
		}
	}
}
