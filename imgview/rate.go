package imgview

import (
	"slices"
	"time"
)

// What is learnt of the link from when pictures were sent and when the terminal said that they came. The rate is measured as BBR does
// (Cardwell et al., 2016): bytes acknowledged between the last answer before a picture was sent and the answer to it, over the time
// between, the most of the last few; so answers that come in batches do no harm. Between program and terminal lie the buffers of
// pseudo-terminals, ssh and tmux, of which nothing is known: the answers are the only clock, and what is under way is all that may
// fill them.
type pace struct {
	delivered int       // bytes acknowledged
	last      time.Time // of the last answer, or when sending began after a pause
	first     time.Time // when the picture was sent that was last acknowledged, or when sending began
	rates     []float64 // newest last, bytes a second
	trip      time.Duration
	queue     float64   // bytes that waited before the link
	counted   time.Time // at this time
}

const (
	firstWindow          = 32 << 10 // bytes, before anything is known
	minWindow, maxWindow = 8 << 10, 1 << 20
	rateSamples          = 8
	shortest             = time.Millisecond // of what is believed of a clock and a terminal

	// How long a frame may wait behind pictures, besides the round trip.
	queueing         = 150 * time.Millisecond
	prefetchQueueing = 80 * time.Millisecond  // behind pictures that nobody sees yet
	refining         = 300 * time.Millisecond // behind one in full that is not the selected one

	// On a slow link pictures go out in pieces, each when all before it have nearly left: lead before that. probing is how much faster than
	// the measured rate.
	probing = 1.1
	lead    = 30 * time.Millisecond

	// fastRate is where a page of a dozen pictures in full takes a third of a second.
	fastRate = 1 << 20 // bytes a second
)

// mark is what was known when a picture was sent.
type mark struct {
	at, last, first time.Time
	end             time.Time // when its last piece went out
	delivered       int
	bytes           int
	idle            bool // the link had nothing else to carry, at the begin or for a while
}

// sent notes that n bytes go out, flight others being under way.
func (p *pace) sent(now time.Time, n, flight int) mark {
	if flight <= 0 {
		p.last, p.first = now, now
	}
	return mark{at: now, end: now, last: p.last, first: p.first, delivered: p.delivered, bytes: n, idle: flight <= 0}
}

// acknowledged takes the answer to what was sent at m.
func (p *pace) acknowledged(now time.Time, m mark) {
	if m.at.IsZero() {
		return
	}
	p.delivered += m.bytes
	p.last, p.first = now, m.at
	p.roundTrip(now.Sub(m.end))
	took := max(now.Sub(m.last), m.at.Sub(m.first), shortest)
	rate := float64(p.delivered-m.delivered) / took.Seconds()
	if m.idle && rate < p.rate() { // some of the time was ours, or the round trip
		return
	}
	p.rates = append(p.rates, rate)
	p.rates = p.rates[max(0, len(p.rates)-rateSamples):]
}

// wrote notes that n bytes of it are written; dry: nothing waited before the link any more.
func (p *pace) wrote(now time.Time, n int) (dry bool) {
	before := p.backlog(now)
	p.queue, p.counted = before+float64(n), now
	return before == 0
}

// backlog is how many bytes still wait before the link: what was sent less what it carried since. It is emptied a little faster than the
// rate, so that a rate that was taken too low shows.
func (p *pace) backlog(now time.Time) float64 {
	return max(0, p.queue-probing*p.rate()*now.Sub(p.counted).Seconds())
}

// drained takes the word that flight bytes are under way: what is not in the link waits before it.
func (p *pace) drained(now time.Time, flight int) {
	p.queue, p.counted = max(0, float64(flight)-p.rate()*p.trip.Seconds()), now
}

// busy is how long to wait with the next bytes of pictures, so that a frame finds few before it; ahead: those that nobody sees yet.
func (p *pace) busy(now time.Time, ahead bool) time.Duration {
	rate := p.rate()
	if rate == 0 || !p.slow() {
		return 0
	}
	d := time.Duration(p.backlog(now) / (probing * rate) * float64(time.Second))
	if !ahead {
		d -= lead
	}
	return max(0, d)
}

// roundTrip takes a time between question and answer: the truth is the shortest.
func (p *pace) roundTrip(d time.Duration) {
	if d = max(d, shortest); p.trip == 0 || d < p.trip {
		p.trip = d
	}
}

// rate in bytes a second; 0: unknown.
func (p *pace) rate() float64 {
	if len(p.rates) == 0 {
		return 0
	}
	return slices.Max(p.rates)
}

// slow reports whether pictures should be of few bytes; so they are while nothing is known.
func (p *pace) slow() bool { return p.rate() < fastRate }

// window is how many bytes may be under way when the next picture goes out: what the link holds and what it sends in the time that a
// frame may wait. Where that was too little to fill the link it grows with every round trip, since the rate that it gave is multiplied by
// more than the trip.
func (p *pace) window(queueing time.Duration) int {
	rate := p.rate()
	if rate == 0 {
		return firstWindow
	}
	return int(min(max(rate*(p.trip+queueing).Seconds(), minWindow), maxWindow))
}
