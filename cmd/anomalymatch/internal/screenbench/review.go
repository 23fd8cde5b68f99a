package screenbench

import (
	"context"
	"fmt"
	"time"

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
	return fmt.Sprintf("review over %s: %d label keys at %.1f a second, %d labels, %d keys lost, %d labels of pictures not on screen, %d of pictures on screen but not marked yet; "+
		"at %d keys there was no picture under the cursor\n", r.Name, r.Keys, r.KeysPerSecond, r.Labels, r.Lost+r.Others, r.Unseen, r.NotMarked, r.NoPicture)
}

// glance is what was on screen when a key was pressed.
type glance struct {
	at     time.Time
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
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	for i := range keys {
		o.say(fmt.Sprintf("%s: key %d of %d", net.Name, i+1, keys))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		g := glance{at: time.Now(), label: "normal", shown: map[string]bool{}}
		key := "x"
		if i%10 == 9 {
			key, g.label = "a", "anomaly"
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
	used := map[int]bool{}
	for _, ev := range events {
		// the key that made it is the last one that can have arrived by then
		k := -1
		for i, g := range seen {
			if !g.at.Add(time.Duration(net.RoundTripMS) * time.Millisecond / 2).Truncate(time.Millisecond).After(time.UnixMilli(ev.GetUnixMs())) {
				k = i
			}
		}
		id := ev.GetChange().GetId()
		switch {
		case k < 0 || used[k] || seen[k].label != ev.GetChange().GetTo():
			r.Others++
		case !seen[k].shown[id]:
			r.Unseen++
		case seen[k].marked != id:
			r.NotMarked++
		}
		used[k] = true
	}
	r.Lost = keys - len(used)
	return r, nil
}
