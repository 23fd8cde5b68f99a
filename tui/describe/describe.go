// Package describe asks what is known of the image looked at, once it has been looked at for a moment.
package describe

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/link"
)

// rest is how long the cursor stays before the engine is asked.
const rest = 200 * time.Millisecond

// Version is what a description depends on besides the image.
type Version struct{ Labels, Ranking uint64 }

// Teller knows one image; it lives in Update.
type Teller struct {
	link    *link.Link
	id      string
	version Version
	req     uint64 // number of the newest question: what belongs to another one is stale
	told    *rpc.DescribeReply
	why     string
}

// New makes a teller that was asked nothing yet.
func New(l *link.Link) *Teller { return &Teller{link: l} }

type rested struct{ req uint64 }

type answer struct {
	req   uint64
	reply *rpc.DescribeReply
	err   error
}

// Look is called with the image under the cursor, as often as one likes.
func (t *Teller) Look(id string, v Version) tea.Cmd {
	if t.link.Client() == nil || id == t.id && v == t.version {
		return nil
	}
	if id != t.id {
		t.told, t.why = nil, ""
	}
	t.id, t.version = id, v
	t.req++
	if id == "" {
		return nil
	}
	req := t.req
	return tea.Tick(rest, func(time.Time) tea.Msg { return rested{req} })
}

// Of is what is known of an image, nil until the engine has answered; why: it cannot. Its texts are not safe to draw.
func (t *Teller) Of(id string) (told *rpc.DescribeReply, why string) {
	if id != t.id {
		return nil, ""
	}
	return t.told, t.why
}

// Connected makes the next Look ask again: another engine is there.
func (t *Teller) Connected() { t.id = "" }

// Update takes the teller's own messages.
func (t *Teller) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case rested:
		client, ctx := t.link.Client(), t.link.Context()
		if msg.req != t.req || client == nil {
			return nil
		}
		req, id := t.req, t.id
		return func() tea.Msg {
			ctx, cancel := context.WithTimeout(ctx, 60*time.Second) // it reads the scores of every cycle
			defer cancel()
			r, err := client.Describe(ctx, &rpc.DescribeRequest{Id: id})
			return answer{req, r, err}
		}
	case answer:
		if msg.req != t.req {
			return nil
		}
		if msg.err != nil {
			t.why = link.Reason(msg.err)
			return nil
		}
		t.told, t.why = msg.reply, ""
	}
	return nil
}
