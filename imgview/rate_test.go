package imgview

import (
	"image"
	"slices"
	"strconv"
	"testing"
	"time"
)

// linkBench is a kitty at the end of a link.
func linkBench(t *testing.T, bitsPerSecond float64, trip time.Duration) *bench {
	b := kittyBench(t, 0, nil)
	b.link = &link{rate: bitsPerSecond / 8, trip: trip}
	b.s.pace.trip = trip // as the questions told
	return b
}

// shelf is the pictures from..to-1 of a sky, those from ahead on not on screen.
type shelf []*image.RGBA

func (sh shelf) wants(from, ahead, to int) []Want {
	var wants []Want
	for n := from; n < to; n++ {
		wants = append(wants, Want{Key: "s" + strconv.Itoa(n), Img: sh[n], Cols: boxCols, Rows: boxRows, Prefetch: n >= ahead})
	}
	return wants
}

// seen counts the pictures that are ready to be seen and looks whether each has what its placeholders promise.
func (b *bench) seen(wants []Want) (visible, full int) {
	b.t.Helper()
	for _, w := range wants {
		p := b.s.pictures[box{w.Key, w.Cols, w.Rows}]
		if !b.s.Ready(w.Key, w.Cols, w.Rows) {
			continue
		}
		visible++
		m := placed.FindStringSubmatch(b.s.Lines(w.Key, w.Cols, w.Rows)[0])
		if m == nil {
			b.t.Fatalf("%v: %s is visible and has no placeholders", b.now, w.Key)
		}
		slot, _ := strconv.Atoi(m[1])
		if b.store[slot] == "" || b.s.slots[slot].owner != p {
			b.t.Fatalf("%v: the placeholders of %s lead to slot %d, which is not its own", b.now, w.Key, slot)
		}
		if p.fine {
			full++
		}
	}
	return visible, full
}

// until lets time go by in steps until done.
func (b *bench) until(what string, limit time.Duration, done func() bool) time.Duration {
	b.t.Helper()
	start := b.now
	for !done() {
		if b.now-start > limit {
			b.t.Fatalf("not within %v: %s", limit, what)
		}
		b.pass(5 * time.Millisecond)
	}
	return b.now - start
}

func TestSlowLink(t *testing.T) {
	sh := shelf(sky(36, 96))
	b := linkBench(t, 1e6, 100*time.Millisecond)
	page := sh.wants(0, 12, 24)
	b.run(b.s.Show(page))
	took := b.until("12 pictures", 1400*time.Millisecond, func() bool { n, _ := b.seen(page[:12]); return n == 12 })
	_, full := b.seen(page)
	if full != 0 {
		t.Errorf("%d pictures in full on a slow link", full)
	}
	t.Logf("page complete after %v; rate %.0f B/s, window %d", took, b.s.pace.rate(), b.s.pace.window(queueing))
	if r := b.s.pace.rate(); r < 0.7*125_000 || r > 1.3*125_000 {
		t.Errorf("the rate is taken for %.0f B/s, it is 125000", r)
	}
	b.until("the next page", 3*time.Second, func() bool { n, _ := b.seen(page); return n == 24 })
	if _, full = b.seen(page); full != 0 {
		t.Errorf("%d pictures in full before all were there", full)
	}
	if b.link.longest > 300*time.Millisecond { // 32 KiB before anything is known
		t.Errorf("a frame could wait %v behind pictures", b.link.longest)
	}

	// Refined: the selected one first, then the page, and none that nobody sees. No picture is ever without its place.
	var order []string
	b.until("the page in full", 10*time.Second, func() bool {
		visible, full := b.seen(page)
		if visible != 24 {
			t.Fatalf("%d visible while they are refined", visible)
		}
		for _, w := range page {
			if b.s.pictures[box{w.Key, w.Cols, w.Rows}].fine && !slices.Contains(order, w.Key) {
				order = append(order, w.Key)
			}
		}
		return full == 12
	})
	b.pass(5 * time.Second)
	if _, full := b.seen(page[12:]); full != 0 {
		t.Errorf("%d prefetched pictures in full", full)
	}
	for i, k := range order {
		if k != page[i].Key {
			t.Errorf("refined in the order %v", order)
			break
		}
	}

	// The next page is there at once.
	next := sh.wants(12, 24, 36)
	b.run(b.s.Show(next))
	if n, _ := b.seen(next); n != 12 {
		t.Errorf("%d of the prefetched page are visible at once", n)
	}
	b.link.longest = 0
	b.until("the page after", 3*time.Second, func() bool { n, _ := b.seen(next); return n == 24 })
	if b.link.longest > 200*time.Millisecond {
		t.Errorf("a frame could wait %v behind pictures", b.link.longest)
	}
}

// What a hundred labels cost at a usual pace, a page of twelve at a time with the next one ahead.
func TestHundredLabels(t *testing.T) {
	if testing.Short() {
		t.Skip("draws and encodes 124 galaxies")
	}
	const labels, perPage = 100, 12
	sh := shelf(sky(labels+2*perPage, 96))
	b := linkBench(t, 1e6, 100*time.Millisecond)
	sum := 0
	for _, r := range b.raw {
		sum -= len(r)
	}
	for cursor := range labels {
		top := cursor / perPage * perPage
		wants := sh.wants(top, top+perPage, top+2*perPage)
		selected := wants[cursor-top]
		wants = append([]Want{selected}, slices.DeleteFunc(wants, func(w Want) bool { return w.Key == selected.Key })...)
		b.run(b.s.Show(wants))
		b.until(selected.Key, 1500*time.Millisecond, func() bool { return b.s.Visible(selected.Key, boxCols, boxRows) })
		b.pass(time.Second)
	}
	for _, r := range b.raw {
		sum += len(r)
	}
	t.Logf("%d labels, one a second: %d bytes of pictures", labels, sum)
	if sum > 1_200_000 {
		t.Errorf("%d labels cost %d bytes of pictures, want at most 1.2 MB", labels, sum)
	}
}

// Pictures of which the link holds one and a half keep it busy all the same, and a frame never waits for a whole one.
func TestSlowLinkIsBusy(t *testing.T) {
	const rate, trip = 1e6, 100 * time.Millisecond
	sh := shelf(sky(32, 128))
	b := linkBench(t, rate, trip)
	for from := 0; from < len(sh); from += 8 {
		page := sh.wants(from, from+8, from+8)
		sum := 0
		for _, r := range b.raw {
			sum -= len(r)
		}
		b.link.longest = 0
		b.run(b.s.Show(page))
		took := b.until("the page", 3*time.Second, func() bool { n, _ := b.seen(page); return n == 8 })
		for _, r := range b.raw {
			sum += len(r)
		}
		least := frameTime + time.Duration(float64(sum)*8/rate*1e9) + trip
		t.Logf("%d bytes took %v, at least %v; a frame could wait %v", sum, took, least, b.link.longest)
		if from == 0 {
			continue // nothing was known
		}
		if took > least*11/10 {
			t.Errorf("%d bytes took %v, the link needs %v", sum, took, least)
		}
		if b.link.longest > 160*time.Millisecond {
			t.Errorf("a frame could wait %v behind pictures", b.link.longest)
		}
	}
}

func TestPageTurnDropsRefinements(t *testing.T) {
	sh := shelf(sky(24, 96))
	b := linkBench(t, 1e6, 100*time.Millisecond)
	page := sh.wants(0, 12, 12)
	b.run(b.s.Show(page))
	b.until("two in full", 10*time.Second, func() bool { _, full := b.seen(page); return full == 2 })
	next := sh.wants(12, 24, 24)
	b.run(b.s.Show(next))
	b.until("the next page", 1700*time.Millisecond, func() bool { n, _ := b.seen(next); return n == 12 })
	if _, full := b.seen(page); full > 3 { // one was under way
		t.Errorf("%d of the old page were refined", full)
	}
	b.until("the next page in full", 10*time.Second, func() bool { _, full := b.seen(next); return full == 12 })
	if _, full := b.seen(page); full > 3 {
		t.Errorf("%d of the old page were refined", full)
	}

	// Moving about keeps them back as well.
	b.run(b.s.Show(page))
	for i := range 10 {
		b.run(b.s.Show(append(page[i:i+1:i+1], append(page[:i:i], page[i+1:]...)...)))
		b.pass(quietSlow / 2)
	}
	if _, full := b.seen(page); full > 3 {
		t.Errorf("%d refined while the selection moved", full)
	}
}

func TestFastLink(t *testing.T) {
	sh := shelf(sky(36, 96))
	b := linkBench(t, 1e9, 20*time.Millisecond)
	first := sh.wants(0, 12, 24)
	b.run(b.s.Show(first))
	b.until("the first page", 400*time.Millisecond, func() bool { n, _ := b.seen(first); return n == 24 })
	if w := b.s.pace.window(queueing); w < 8*firstWindow {
		t.Errorf("the window is %d bytes on a fast link", w)
	}
	second := sh.wants(24, 36, 36)
	b.run(b.s.Show(second))
	took := b.until("the second page", 400*time.Millisecond, func() bool { n, _ := b.seen(second); return n == 12 })
	if _, full := b.seen(second); full != 12 {
		t.Errorf("%d of 12 in full on a fast link", full)
	}
	if took > frameTime+30*time.Millisecond { // the frame, a round trip and a millisecond or two
		t.Errorf("the second page took %v", took)
	}
	b.run(b.s.Show(first))
	b.until("the first page in full", quiet+200*time.Millisecond, func() bool { _, full := b.seen(first); return full == 12 })
}

// A terminal that is slow to answer, and then answers all at once, is no slow link, and neither is a far one.
func TestPace(t *testing.T) {
	const n = 10_000
	for _, c := range []struct {
		name            string
		rate            float64
		trip, batch     time.Duration
		atLeast, atMost float64 // of the rate, as measured
	}{
		{"1 Mbit/s, 100 ms", 125e3, 100 * time.Millisecond, 0, 0.8, 1.05},
		{"256 kbit/s, 300 ms", 32e3, 300 * time.Millisecond, 0, 0.7, 1.05},
		{"1 Mbit/s, answers every 100 ms", 125e3, 50 * time.Millisecond, 100 * time.Millisecond, 0.7, 1.3},
		{"8 Mbit/s, 200 ms", 1e6, 200 * time.Millisecond, 0, 0.8, 1.05},
		{"100 Mbit/s, 50 ms", 125e5, 50 * time.Millisecond, 0, 0.4, 1.05}, // the window's limit
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pace{}
			p.roundTrip(c.trip)
			now, free := time.Unix(1e9, 0), time.Unix(1e9, 0)
			type sent struct {
				mark
				back time.Time
			}
			var flying []sent
			longest := time.Duration(0)
			for range 3000 {
				for flight := n * len(flying); flight == 0 || flight+n <= p.window(queueing); flight += n {
					if free.Before(now) {
						free = now
					}
					free = free.Add(time.Duration(n / c.rate * 1e9))
					longest = max(longest, free.Sub(now))
					back := free.Add(c.trip)
					if c.batch > 0 {
						back = back.Truncate(c.batch).Add(c.batch)
					}
					flying = append(flying, sent{p.sent(now, n, flight), back})
				}
				now = flying[0].back
				p.acknowledged(now, flying[0].mark)
				flying = flying[1:]
			}
			if got := p.rate() / c.rate; got < c.atLeast || got > c.atMost {
				t.Errorf("%.2f of the rate are measured, want %.2f to %.2f", got, c.atLeast, c.atMost)
			}
			if p.trip < c.trip {
				t.Errorf("round trip %v, it is %v", p.trip, c.trip)
			}
			t.Logf("%.2f of the rate, window %d, a frame waits at most %v", p.rate()/c.rate, p.window(queueing), longest)
		})
	}
}

func TestPaceFollows(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := pace{}
	if p.window(queueing) != firstWindow || !p.slow() {
		t.Error("something is known before anything was sent")
	}
	p.acknowledged(now, mark{})            // nothing is known of this one
	run := func(rate float64, count int) { // two under way all the time
		a := p.sent(now, 10_000, 0)
		for range count {
			b := p.sent(now, 10_000, 10_000)
			now = now.Add(time.Duration(10_000 / rate * 1e9))
			p.acknowledged(now, a)
			a = b
		}
	}
	run(1e7, 20)
	if p.slow() {
		t.Errorf("10 MB/s is slow: %.0f", p.rate())
	}
	run(1e5, 20)
	if !p.slow() || p.rate() > 3e5 {
		t.Errorf("still %.0f B/s after the link became slower", p.rate())
	}
	if p.window(queueing) < minWindow || p.window(prefetchQueueing) >= p.window(queueing) {
		t.Errorf("windows of %d and %d", p.window(queueing), p.window(prefetchQueueing))
	}
	run(1e9, 20)
	if p.window(queueing) != maxWindow {
		t.Errorf("a window of %d at 1 GB/s", p.window(queueing))
	}
}
