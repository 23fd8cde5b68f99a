package screenbench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest/emulator"
)

// Review is how labelling went at a steady pace, whatever was on screen.
type Review struct {
	Net
	Keys          int     `json:"keys"`
	KeysPerSecond float64 `json:"keys_per_second"`
	Labels        int     `json:"labels"`
	Lost          int     `json:"lost"`            // keys without a label
	Unseen        int     `json:"unseen"`          // labels of pictures that were not on screen when their key was pressed
	NotMarked     int     `json:"not_marked"`      // labels of pictures that were on screen, but not under the cursor yet
	NoPicture     int     `json:"without_picture"` // keys pressed while no picture was under the cursor
	Others        int     `json:"others"`          // labels that no key made
}

func (r Review) String() string {
	return fmt.Sprintf("review over %s: %d label keys at %.1f a second, %d labels, %d keys without one, %d labels that no key made, %d of pictures not on screen, %d of pictures on screen but not marked yet; "+
		"at %d keys there was no picture under the cursor\n", r.Name, r.Keys, r.KeysPerSecond, r.Labels, r.Lost, r.Others, r.Unseen, r.NotMarked, r.NoPicture)
}

// glance is what was on screen when a key was pressed.
type glance struct {
	label  string
	marked string // picture under the cursor; empty: none yet
	shown  map[string]bool
}

// Sit labels keys candidates at perSecond keys a second over a link and says which labels were made by which key. Each picture carries
// its number, so what was on screen is read off the terminal.
func Sit(ctx context.Context, o Options, net Net, keys int, perSecond float64) (r *Review, err error) {
	o.say("drawing galaxies")
	photos := photograph(min(400, o.Images), o.Size, o.Seed)
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
	begun := s.expect(complete(1))
	if _, err := s.wait(begun); err != nil {
		return nil, err
	}
	if err := s.quiet(ctx, settled); err != nil {
		return nil, err
	}
	r = &Review{Net: net, Keys: keys, KeysPerSecond: perSecond}
	var seen []glance
	dice := rand.New(rand.NewPCG(o.Seed, 2))
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	for i := range keys {
		o.say(fmt.Sprintf("%s: key %d of %d", net.Name, i+1, keys))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		g := glance{label: "normal", shown: map[string]bool{}}
		key := "x"
		switch dice.IntN(10) { // no two stretches of the review are alike, so that labels can be told to be of their keys
		case 0:
			key, g.label = "a", "anomaly"
		case 1, 2, 3:
			key, g.label = " ", "skip"
		}
		s.term.Look(func(f emulator.Frame) {
			for _, c := range f.Captions() {
				p, ok := f.Picture(c)
				if !ok {
					continue
				}
				n, ok := number(p.Data, o.Size)
				if !ok || n >= len(all) {
					continue
				}
				g.shown[all[n]] = true
				if c.Selected {
					g.marked = all[n]
				}
			}
		})
		if g.marked == "" {
			r.NoPicture++
		}
		seen = append(seen, g)
		if _, err := s.keys.Write([]byte(key)); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, time.Second); err != nil {
		return nil, err
	}
	events, err := s.history(ctx)
	if err != nil {
		return nil, err
	}
	r.Labels = len(events)
	r.tell(seen, events)
	return r, nil
}

// tell finds which key made which label, in the kindest way: both are in order, and a key makes its own label. What is counted as
// wrong is wrong in every other way of telling too.
func (r *Review) tell(keys []glance, labels []*rpc.LabelEvent) {
	const (
		marked, shown, unseen, other = 0, 1, 100, 10_000 // what each costs; a key without a label costs nothing
	)
	cost := func(g glance, ev *rpc.LabelEvent) int {
		switch id := ev.GetChange().GetId(); {
		case ev.GetChange().GetTo() != g.label:
			return 2 * other
		case g.marked == id:
			return marked
		case g.shown[id]:
			return shown
		}
		return unseen
	}
	// least[i][k] is the least cost of the labels from i on with the keys from k on
	least := make([][]int, len(labels)+1)
	for i := range least {
		least[i] = make([]int, len(keys)+1)
		least[i][len(keys)] = (len(labels) - i) * other
	}
	for i := len(labels) - 1; i >= 0; i-- {
		for k := len(keys) - 1; k >= 0; k-- {
			least[i][k] = min(least[i][k+1], least[i+1][k]+other, least[i+1][k+1]+cost(keys[k], labels[i]))
		}
	}
	i, k, told := 0, 0, 0
	for i < len(labels) && k < len(keys) {
		switch c := cost(keys[k], labels[i]); least[i][k] {
		case least[i+1][k+1] + c:
			switch c {
			case unseen:
				r.Unseen++
			case shown:
				r.NotMarked++
			}
			i, k, told = i+1, k+1, told+1
		case least[i][k+1]:
			k++
		default:
			i++
		}
	}
	r.Lost, r.Others = len(keys)-told, len(labels)-told
}
