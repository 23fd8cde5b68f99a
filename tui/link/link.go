// Package link keeps the screen in touch with the engine: it greets it, follows its events, and finds it again when it is gone.
package link

import (
	"context"
	"errors"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
)

// State is how the link stands.
type State int

// The states.
const (
	Connecting State = iota
	Connected
	Lost
)

// Up says that there is an engine, at the start or again. Hello is its answer.
type Up struct{ Hello *rpc.HelloReply }

// Down says that the engine is gone. The link is already looking for it.
type Down struct{ Why string }

// Event is one event of the engine.
type Event struct {
	*rpc.Event
	gen  uint64
	next func() tea.Msg
}

// Hold is an error of reconnecting that trying again does not mend: a person has to do something, such as sign in.
type Hold struct{ Err error }

func (h Hold) Error() string { return h.Err.Error() }
func (h Hold) Unwrap() error { return h.Err }

// Told is an error of reconnecting that says in a sentence why there is no engine just now, as while its job waits. It is tried again.
type Told struct{ Err error }

func (t Told) Error() string { return t.Err.Error() }
func (t Told) Unwrap() error { return t.Err }

// A link to another machine is asked now and then whether it is there: what goes into a dead line is not answered, and nothing else tells.
const (
	pingEvery  = 4 * time.Second
	pingWithin = 6 * time.Second
)

// Link is the state of the connection; it lives in Update.
type Link struct {
	ctx       context.Context
	version   string
	client    rpc.EngineClient
	reconnect func(context.Context) (rpc.EngineClient, error)
	state     State
	gen       uint64 // number of the present connection
	tries     int
	why       string
	held      bool // until Resume
	told      bool // why is a sentence for people
	pings     bool
}

// New makes a link on a client; reconnect (nil: none) starts or redials the engine. ctx ends every call.
func New(ctx context.Context, client rpc.EngineClient, version string, reconnect func(context.Context) (rpc.EngineClient, error)) *Link {
	return &Link{ctx: ctx, client: client, version: version, reconnect: reconnect}
}

// Context ends with the program.
func (l *Link) Context() context.Context { return l.ctx }

// Client is what to call; nil while there is no engine.
func (l *Link) Client() rpc.EngineClient {
	if l.state != Connected {
		return nil
	}
	return l.client
}

// Far says that the engine is on another machine.
func (l *Link) Far() { l.pings = true }

// Held tells whether the link waits for a person to do something.
func (l *Link) Held() bool { return l.held }

// Told is why there is no engine, where somebody told that; empty where there is one, or nobody knows.
func (l *Link) Told() string {
	if l.state == Connected || !l.told {
		return ""
	}
	return l.why
}

// Resume tries again at once.
func (l *Link) Resume() tea.Cmd {
	l.gen++
	l.tries, l.held = 0, false
	return l.dial(0)
}

// State tells how the link stands, and why.
func (l *Link) State() (State, string) { return l.state, l.why }

// Init greets the engine.
func (l *Link) Init() tea.Cmd {
	if l.client == nil {
		return l.dial(0)
	}
	return l.greet(l.client)
}

type greeted struct {
	gen    uint64
	client rpc.EngineClient
	hello  *rpc.HelloReply
	err    error
}

type broken struct {
	gen uint64
	err error
}

type pinged struct {
	gen uint64
	err error
}

// ping waits and asks the engine whether it is there.
func (l *Link) ping() tea.Cmd {
	if !l.pings {
		return nil
	}
	ctx, gen, version, client := l.ctx, l.gen, l.version, l.client
	return func() tea.Msg {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pingEvery):
		}
		ctx, cancel := context.WithTimeout(ctx, pingWithin)
		defer cancel()
		_, err := client.Hello(ctx, &rpc.HelloRequest{Version: version})
		return pinged{gen, err}
	}
}

func (l *Link) greet(client rpc.EngineClient) tea.Cmd {
	ctx, gen, version := l.ctx, l.gen, l.version
	return func() tea.Msg { return greet(ctx, gen, version, client) }
}

func greet(ctx context.Context, gen uint64, version string, client rpc.EngineClient) tea.Msg {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	hello, err := client.Hello(ctx, &rpc.HelloRequest{Version: version})
	return greeted{gen, client, hello, err}
}

// dial waits and looks for the engine.
func (l *Link) dial(wait time.Duration) tea.Cmd {
	ctx, gen, version, client, reconnect := l.ctx, l.gen, l.version, l.client, l.reconnect
	return func() tea.Msg {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if reconnect != nil {
			c, err := reconnect(ctx)
			if err != nil {
				return broken{gen, err}
			}
			client = c
		}
		if client == nil {
			return broken{gen, errors.New("there is no engine to connect to")}
		}
		return greet(ctx, gen, version, client)
	}
}

// Redial lets the present engine go and looks for another one.
func (l *Link) Redial(why string) tea.Cmd { return l.lose(errors.New(why)) }

func (l *Link) lose(err error) tea.Cmd {
	l.gen++
	l.state, l.why = Lost, Reason(err)
	l.told = errors.As(err, new(Told))
	down := Down{Why: l.why}
	if l.held = errors.As(err, new(Hold)); l.held {
		return func() tea.Msg { return down }
	}
	wait := min(5*time.Second, 200*time.Millisecond<<min(l.tries, 6))
	l.tries++
	return tea.Batch(func() tea.Msg { return down }, l.dial(wait))
}

// Update takes the link's own messages. An Event is the caller's to use; the link only asks for the next one.
func (l *Link) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case greeted:
		if msg.gen != l.gen || l.ctx.Err() != nil {
			return nil
		}
		if msg.err != nil {
			return l.lose(msg.err)
		}
		l.client, l.state, l.why = msg.client, Connected, ""
		up := Up{Hello: msg.hello}
		return tea.Batch(func() tea.Msg { return up }, l.watch(), l.ping())
	case pinged:
		if msg.gen != l.gen || l.ctx.Err() != nil {
			return nil
		}
		if msg.err != nil {
			return l.lose(msg.err)
		}
		return l.ping()
	case broken:
		if msg.gen == l.gen && l.ctx.Err() == nil {
			return l.lose(msg.err)
		}
	case Event:
		if msg.gen == l.gen {
			l.tries = 0 // it works
			return msg.next
		}
	}
	return nil
}

// Current tells whether an event is of the present connection.
func (l *Link) Current(e Event) bool { return e.gen == l.gen }

func (l *Link) watch() tea.Cmd {
	ctx, gen, client := l.ctx, l.gen, l.client
	return func() tea.Msg {
		stream, err := client.Watch(ctx, &rpc.WatchRequest{})
		if err != nil {
			return broken{gen, err}
		}
		return follow(gen, stream)()
	}
}

func follow(gen uint64, stream grpc.ServerStreamingClient[rpc.Event]) func() tea.Msg {
	return func() tea.Msg {
		e, err := stream.Recv()
		if err != nil {
			return broken{gen, err}
		}
		return Event{Event: e, gen: gen, next: follow(gen, stream)}
	}
}

// Gone tells whether an error means that the engine cannot be reached just now.
func Gone(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Reason is an error of a call as words for people: one line, safe to draw.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled:
		return "the engine is gone"
	case codes.DeadlineExceeded:
		return "the engine does not answer"
	case codes.Unimplemented:
		return "the engine is of another version and does not know this"
	}
	text := err.Error()
	if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	text = strings.Join(strings.Fields(text), " ")
	if text == "" || text == "EOF" {
		return "the engine is gone"
	}
	return common.Clean(text)
}
