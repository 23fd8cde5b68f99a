// Package tui is the screen: a gallery of candidates that are labelled with single keys while the engine ranks, trains and scores
// in its own process. It knows the engine only through engine/rpc.
package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/imgview"
	"anomalymatch/tui/batch"
	"anomalymatch/tui/common"
	"anomalymatch/tui/input"
	"anomalymatch/tui/review"
)

// Options is what the screen needs to know.
type Options struct {
	// Client is the engine. nil: Reconnect is called at once.
	Client rpc.EngineClient
	// Reconnect starts or redials the engine after the link broke; nil: the same client is tried again.
	Reconnect func(context.Context) (rpc.EngineClient, error)
	// Host is the machine of the engine as the person named it; empty: this one. Far engines are asked now and then whether they are there, and
	// send compact pictures.
	Host string
	// SignIn is a command that takes the terminal, so that the person can do what Reconnect could not (a link.Hold); nil: there is none.
	SignIn func() *exec.Cmd
	// Outbox keeps labels on this machine until the engine has them, Waiting are those in it; nil: they go to the engine only.
	Outbox  review.Outbox
	Waiting []*rpc.LabelRequest
	Beside  bool // the outbox is for what the engine cannot keep only
	// Jobs are the batch systems of the engine's machine; nil: there are none.
	Jobs     batch.Systems
	Settings string // file with the person's settings
	// SaveSetting changes a setting there, see settings.Options; OwnSettings lists the keys that it names. nil: that cannot be done.
	SaveSetting func(key, value string) (anomalymatch.Config, error)
	OwnSettings func() ([]string, error)
	Config      anomalymatch.Config
	Images      string // how pictures are shown; empty: as Config says
	Writer      string // whose journal labels go to
	Version     string // of this program; an engine of another one is asked about
	Project     string // name in the header; empty: what the engine says
	// RuntimeDeclined: the faster runtime was offered before and not wanted.
	RuntimeDeclined bool
	// SaveRuntimeAnswer remembers the answer to that offer; nil: it is asked again next time.
	SaveRuntimeAnswer func(install bool) error

	Log     *slog.Logger     // nil: nothing is logged
	Environ []string         // TERM=…, NO_COLOR=…; nil: os.Environ()
	Now     func() time.Time // nil: time.Now
	Input   io.Reader        // nil: the terminal
	Output  io.Writer        // nil: the terminal

	ctx context.Context
}

func (o Options) filled(ctx context.Context) Options {
	o.ctx = ctx
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// getenv reads a variable of the terminal's environment, the last one where it is there twice.
func (o Options) getenv(name string) string {
	for _, kv := range slices.Backward(o.Environ) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// keyboard is where keys come from; nil: Bubble Tea is to look for it, and say that there is none.
func (o Options) keyboard() io.Reader {
	if o.Input != nil {
		return o.Input
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return os.Stdin
	}
	if tty, _, err := tea.OpenTTY(); err == nil {
		return tty
	}
	return nil
}

// pixels asks the system how many pixels the terminal has.
func (o Options) pixels() func() (cols, rows, width, height int) {
	if o.Output == nil {
		return imgview.PixelsOf(os.Stdout)
	}
	if f, ok := o.Output.(*os.File); ok {
		return imgview.PixelsOf(f)
	}
	return nil
}

// New makes the model that Run runs. The error is one of the settings: a key that cannot be.
func New(ctx context.Context, opt Options) (tea.Model, error) {
	return newApp(opt.filled(ctx))
}

// Run shows the screen until the person leaves or ctx ends. The engine goes on without it.
func Run(ctx context.Context, opt Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opt = opt.filled(ctx)
	keys := opt.keyboard()
	if f, ok := keys.(*os.File); ok && opt.SignIn != nil {
		command := opt.SignIn
		opt.SignIn = func() *exec.Cmd { // a command reads the terminal itself: of another reader, os/exec makes a pipe
			cmd := command()
			if cmd.Stdin == nil {
				cmd.Stdin = f
			}
			return cmd
		}
	}
	a, err := newApp(opt)
	if err != nil {
		return err
	}
	// NO_COLOR is about text: the styles follow it. Pictures, whose places are marked by colours, stay.
	env := slices.DeleteFunc(slices.Clone(opt.Environ), func(s string) bool { return strings.HasPrefix(s, "NO_COLOR=") })
	const frames = 120 // a second: a key waits for the next one, and of 60 the wait alone would be up to 17 ms
	options := []tea.ProgramOption{tea.WithEnvironment(env), tea.WithFPS(frames), tea.WithFilter(func(_ tea.Model, msg tea.Msg) tea.Msg { return a.env.Screen.Filter(msg) })}
	var out io.Writer = os.Stdout
	if f, ok := keys.(*os.File); ok {
		keys = input.New(f)
	}
	if keys != nil {
		options = append(options, tea.WithInput(keys))
	}
	if opt.Output != nil {
		out = opt.Output
		options = append(options, tea.WithOutput(opt.Output))
	}
	program := tea.NewProgram(&guard{app: a}, options...)
	// not tea.WithContext: it leaves without waiting for the reader of the terminal
	defer context.AfterFunc(ctx, program.Quit)()
	_, err = program.Run()
	io.WriteString(out, a.env.Screen.Close()+a.term.end()) // frees the terminal's pictures; a terminal that is gone has none
	switch {
	case err == nil, errors.Is(err, tea.ErrInterrupted), ctx.Err() != nil:
		return nil
	}
	return fmt.Errorf("the screen ended: %s", common.Clean(err.Error()))
}

// guard keeps a mistake in one message from ending a sitting: it is logged and said, and the screen goes on.
type guard struct {
	app  *app
	last string // frame before
}

func (g *guard) Init() tea.Cmd { return g.app.Init() }

func (g *guard) Update(msg tea.Msg) (m tea.Model, cmd tea.Cmd) {
	m = g
	defer func() {
		if r := recover(); r != nil {
			g.app.env.Log.Error("internal error", "in", fmt.Sprintf("%T", msg), "what", r, "stack", string(debug.Stack()))
			g.app.env.Say(common.Warning, "internal error; the log has it. What is saved is safe")
		}
	}()
	_, cmd = g.app.Update(msg)
	return g, cmd
}

func (g *guard) View() (v tea.View) {
	defer func() {
		if r := recover(); r != nil {
			g.app.env.Log.Error("internal error", "in", "View", "what", r, "stack", string(debug.Stack()))
			v = tea.NewView(g.last)
			v.AltScreen = true
		}
	}()
	v = g.app.View()
	g.last = v.Content
	return v
}
