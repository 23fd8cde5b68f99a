// Package near finds the labelled images that are most like the one looked at, once it has been looked at for a moment.
package near

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/link"
	"anomalymatch/tui/review"
)

const (
	rest = 150 * time.Millisecond // how long the cursor stays before the engine is asked
	most = 5                      // neighbours asked for
)

// Neighbour is a labelled image and how much it is like the one looked at: 1 is the same.
type Neighbour struct {
	ID         string
	Label      review.Label
	Similarity float64
}

// Finder knows the neighbours of one image; it lives in Update.
type Finder struct {
	link   *link.Link
	id     string
	labels uint64 // version of the labels it was asked with
	req    uint64 // number of the newest question: what belongs to another one is stale
	found  []Neighbour
	known  bool
	why    string // why there is no answer
}

// New makes a finder that was asked nothing yet.
func New(l *link.Link) *Finder { return &Finder{link: l} }

type rested struct{ req uint64 }

type answer struct {
	req   uint64
	reply *rpc.NeighboursReply
	err   error
}

// Look is called with the image under the cursor and the version of the labels, as often as one likes.
func (f *Finder) Look(id string, labels uint64) tea.Cmd {
	if f.link.Client() == nil || id == f.id && labels == f.labels {
		return nil
	}
	if id != f.id {
		f.found, f.known, f.why = nil, false, ""
	}
	f.id, f.labels = id, labels
	f.req++
	if id == "" {
		return nil
	}
	req := f.req
	return tea.Tick(rest, func(time.Time) tea.Msg { return rested{req} })
}

// Of are the neighbours of an image, nearest first; known: the engine has answered. why: it cannot.
func (f *Finder) Of(id string) (found []Neighbour, known bool, why string) {
	if id != f.id {
		return nil, false, ""
	}
	return f.found, f.known, f.why
}

// Connected makes the next Look ask again: another engine is there.
func (f *Finder) Connected() { f.id = "" }

// Update takes the finder's own messages.
func (f *Finder) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case rested:
		client, ctx := f.link.Client(), f.link.Context()
		if msg.req != f.req || client == nil {
			return nil
		}
		req, id := f.req, f.id
		return func() tea.Msg {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			r, err := client.Neighbours(ctx, &rpc.NeighboursRequest{Id: id, Limit: most, Labelled: true})
			return answer{req, r, err}
		}
	case answer:
		if msg.req != f.req {
			return nil
		}
		if msg.err != nil {
			f.why = link.Reason(msg.err)
			return nil
		}
		f.found, f.known, f.why = nil, true, ""
		for _, n := range msg.reply.GetNeighbours() {
			f.found = append(f.found, Neighbour{ID: n.GetId(), Label: review.Label(n.GetLabel()), Similarity: n.GetSimilarity()})
		}
	}
	return nil
}
