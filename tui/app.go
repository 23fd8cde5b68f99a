package tui

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"anomalymatch/engine/rpc"
	"anomalymatch/imgview"
	"anomalymatch/tui/batch"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/describe"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/monitor"
	"anomalymatch/tui/near"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/pages/atlas"
	"anomalymatch/tui/pages/compare"
	"anomalymatch/tui/pages/gallery"
	"anomalymatch/tui/pages/jobs"
	pagelabels "anomalymatch/tui/pages/labels"
	"anomalymatch/tui/pages/scores"
	"anomalymatch/tui/pages/settings"
	"anomalymatch/tui/pages/single"
	"anomalymatch/tui/pages/training"
	"anomalymatch/tui/review"
	"anomalymatch/tui/sticky"
	"anomalymatch/tui/styles"
	"anomalymatch/tui/thumbs"
)

// least is the smallest terminal that shows something useful.
const leastWidth, leastHeight = 60, 16

// app is the root: it routes messages, draws what is around the page, and does what concerns no single page.
type app struct {
	opt  Options
	env  *pages.Env
	link *link.Link

	w, h    int
	page    pages.Page
	drawn   pages.Page   // whose pictures are on screen, or on their way
	tabs    []pages.Page // what tab goes through
	single  pages.Page
	compare pages.Page
	from    pages.Page // where compare was opened, to go back to
	jobs    *jobs.Page
	setup   *settings.Page
	stack   dialogs.Stack
	asked   *dialogs.Prompt // what to search for
	offer   *dialogs.Offer
	offered bool // the offer was made in this sitting

	project  string
	version  string // of the engine, when it was asked about
	quitting bool   // as soon as the last label is saved
	ended    bool   // the program is about to end: what is pressed now could not be saved
	expiry   time.Time

	repeats  bool // the terminal tells a held key from a pressed one
	lastKey  string
	lastTime time.Time // of lastKey
	clicked  tea.Mouse // the last click
	clickAt  time.Time
	term     terminal
}

func newApp(opt Options) (*app, error) {
	bindings, err := keys.Load(keys.Table(), opt.Config.Keys)
	if err != nil {
		return nil, err
	}
	c := &common.Common{Keys: bindings, Now: opt.Now, Log: opt.Log}
	l := link.New(opt.ctx, opt.Client, opt.Version, opt.Reconnect)
	env := &pages.Env{
		Common: c, Desk: review.NewDesk(c, l, opt.Writer), Thumbs: thumbs.New(l), Monitor: monitor.New(c, l, opt.Writer), Near: near.New(l),
		Screen: imgview.New(imgview.Options{Force: cmp.Or(opt.Images, opt.Config.TUI.Images), Env: opt.getenv, Pixels: opt.pixels()}),
		Board:  batch.New(opt.ctx, c, opt.Jobs), Waits: l.Told, Settings: common.Clean(opt.Settings),
	}
	a := &app{opt: opt, env: env, link: l, project: common.Clean(opt.Project)}
	a.term.Env, a.term.bright = opt.getenv, styles.Bright(opt.getenv)
	a.restyle()
	if opt.Host != "" {
		l.Far()
		env.Thumbs.Compact()
	}
	if opt.Outbox != nil {
		env.Desk.Through(opt.Outbox, opt.Waiting)
	}
	env.Told = describe.New(l)
	env.Display = sticky.New(c, l, opt.Config.Display, env.Thumbs.Look)
	g := gallery.New(env, opt.Config.TUI.Thumbnail)
	a.tabs = []pages.Page{g, training.New(env), scores.New(env), atlas.New(env, l), pagelabels.New(env, l)}
	a.jobs = jobs.New(env, l, opt.Host)
	a.setup = settings.New(env, l, settings.Options{Config: &a.opt.Config, Host: common.Clean(opt.Host), Save: opt.SaveSetting, Own: opt.OwnSettings})
	a.tabs = append(a.tabs, a.jobs, a.setup)
	a.single, a.compare, a.page = single.New(env), compare.New(env), g
	return a, nil
}

// The root's own messages.
type (
	secondMsg struct{} // ages on screen grow
	expireMsg struct{} // what was said has been read
	jobMsg    struct { // the engine's answer to an order
		done  string // what to say when it started
		reply *rpc.JobReply
		err   error
	}
	answerMsg struct{ install bool } // to the offer
	useMsg    struct {               // which run of a sweep
		*rpc.UseSweepRequest
		done string // what to say then
	}
	quitMsg    struct{}
	restartMsg struct{}
	stoppedMsg struct{ err error }
	signedMsg  struct{ err error } // the terminal is back
	lateMsg    struct{}            // saving the last labels takes long
)

// Init asks the terminal, greets the engine and starts the clock.
func (a *app) Init() tea.Cmd {
	return tea.Batch(a.env.Screen.Init(), a.term.ask(), a.link.Init(), second())
}

func second() tea.Cmd { return tea.Tick(time.Second, func(time.Time) tea.Msg { return secondMsg{} }) }

// Update routes a message to everybody it may concern.
func (a *app) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmds := []tea.Cmd{a.env.Screen.Update(msg), a.link.Update(msg), a.env.Desk.Update(msg), a.env.Monitor.Update(msg), a.env.Near.Update(msg), a.env.Told.Update(msg), a.env.Display.Update(msg), a.env.Board.Update(msg)}
	load, _ := a.env.Thumbs.Update(msg)
	ask, restyle := a.term.see(msg)
	if restyle {
		a.restyle()
	}
	cmds = append(cmds, load, ask)
	cmds = append(cmds, a.handle(msg), a.leave(), a.env.Board.Watch(a.page == a.jobs), a.setup.Watch(a.page == a.setup))
	if by := a.env.Desk.By; by != a.env.Monitor.By {
		cmds = append(cmds, a.env.Monitor.Choose(by))
	}
	a.layout()
	if a.page != a.drawn {
		a.drawn = a.page
		a.env.Screen.Hide()
	}
	var cmd tea.Cmd
	a.page, cmd = a.page.Update(msg)
	cmds = append(cmds, cmd, a.expire())
	return a, tea.Batch(cmds...)
}

func (a *app) handle(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		a.w, a.h = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return a.press(msg)
	case tea.PasteMsg:
		return a.typed(msg) // pasted text never labels
	case tea.MouseClickMsg:
		return a.click(msg.Mouse())
	case tea.MouseWheelMsg:
		return a.wheel(msg.Mouse())
	case tea.KeyboardEnhancementsMsg:
		a.repeats = msg.SupportsEventTypes() && msg.SupportsAllKeysAsEscapeCodes() // else letters come as text
	case tea.ResumeMsg:
		return a.redraw()
	case secondMsg:
		return tea.Batch(second(), a.runs())

	case link.Up:
		if a.project == "" {
			a.project = common.Clean(msg.Hello.GetName())
		}
		a.env.Thumbs.Connected()
		a.env.Near.Connected()
		a.env.Told.Connected()
		a.setup.Connected()
		return tea.Batch(a.env.Desk.Connected(), a.env.Monitor.Connected(), a.env.Display.Connected(), a.greeted(msg.Hello))
	case link.Down:
		a.env.Log.Info("engine gone", "why", msg.Why)
	case link.Event:
		if !a.link.Current(msg) {
			return nil
		}
		cmd := a.env.Monitor.Event(msg.Event)
		if s := msg.GetStatus(); s != nil {
			a.consider(s.GetOffer())
			return tea.Batch(cmd, a.env.Desk.Status(s), a.finished())
		}
		return cmd

	case jobMsg:
		switch {
		case msg.err != nil:
			a.env.Say(common.Warning, link.Reason(msg.err))
		case !msg.reply.GetStarted():
			a.env.Say(common.Warning, common.Clean(msg.reply.GetReason()))
		default:
			a.env.Say(common.Info, msg.done) // the answer to a key; what the engine tells besides comes after it
		}
	case settings.Answer:
		a.setup.Take(msg)
		if msg.Config != nil {
			a.reconfigure(*msg.Config)
		}
	case useMsg:
		return a.order(msg.done, func(ctx context.Context, c rpc.EngineClient) (*rpc.JobReply, error) {
			return c.UseSweep(ctx, msg.UseSweepRequest)
		})
	case pages.Ask:
		a.stack.Open(msg.Dialog)
	case pages.Goto:
		return a.show(msg.Name)
	case pages.For:
		for _, p := range a.tabs {
			if p.Name() == msg.Page {
				_, cmd := p.Update(msg.Msg)
				return cmd
			}
		}
	case dialogs.Run:
		if b := a.env.Common.Keys.Pick(msg.ID); len(b) > 0 {
			return a.act(b[0])
		}
	case dialogs.Place:
		a.show("gallery")
		return a.env.Desk.Go(msg.Number - 1)
	case strategyMsg:
		return a.pick(string(msg))
	case rankingMsg:
		return a.rankBy(string(msg))
	case liveMsg:
		return a.env.Desk.CountMatches(string(msg))
	case review.Counted:
		a.counted(msg)
	case searchMsg:
		return a.env.Desk.Search(string(msg))
	case sortMsg:
		return a.sortBy(string(msg))
	case filterMsg:
		return a.filter(msg)
	case answerMsg:
		return a.answered(msg.install)
	case quitMsg:
		return a.end()
	case lateMsg:
		if a.quitting && !a.env.Desk.Busy() {
			return a.end()
		}
		if a.quitting {
			a.quitting = false
			a.askQuit("the engine has not answered yet")
		}
	case restartMsg:
		client, ctx := a.link.Client(), a.opt.ctx
		if client == nil {
			return a.link.Redial("the engine is restarted")
		}
		return func() tea.Msg {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			_, err := client.Stop(ctx, &rpc.StopRequest{})
			return stoppedMsg{err}
		}
	case signedMsg:
		if msg.err != nil {
			a.env.Say(common.Warning, "signing in to "+common.Clean(a.opt.Host)+" did not work")
			return a.redraw()
		}
		return tea.Batch(a.redraw(), a.link.Resume())
	case stoppedMsg:
		if msg.err != nil && !link.Gone(msg.err) {
			a.env.Say(common.Warning, "the engine does not stop: "+link.Reason(msg.err))
			return nil
		}
		return a.link.Redial("the engine is restarted")
	}
	return nil
}

// redraw draws all anew, after others had the terminal.
func (a *app) redraw() tea.Cmd { return tea.Batch(tea.ClearScreen, a.env.Screen.Forget()) }

// labels are the actions that a key held down does once.
var labels = []string{"anomaly", "normal", "skip", "clear", "rest-normal", "bookmark"}

// pressed names a key. A key of another alphabet counts as the one in its place on a PC keyboard, where the terminal says which.
func pressed(msg tea.KeyPressMsg) string {
	key := msg.String()
	if r := []rune(key); len(r) == 1 && r[0] > 0x7f && msg.BaseCode != 0 && msg.BaseCode < 0x7f {
		if name, err := keys.Name(msg.Keystroke()); err == nil {
			return name
		}
	}
	return key
}

func (a *app) press(msg tea.KeyPressMsg) tea.Cmd {
	key := pressed(msg)
	held := a.held(key, msg.IsRepeat)
	b, known := a.env.Common.Keys.Match(key)
	if a.tooSmall() {
		if known && b.ID == "quit" {
			return a.quit()
		}
		return nil
	}
	if len(a.stack) > 0 {
		if key == "ctrl+c" {
			a.stack = nil
			return a.quit()
		}
		if a.stack.Typed() {
			return a.typed(msg)
		}
		if msg.IsRepeat && (key == "enter" || key == "y" || key == "r") {
			return nil
		}
		if answer := a.stack.Press(key); answer != nil {
			return func() tea.Msg { return answer }
		}
		return nil
	}
	if a.offer != nil && !msg.IsRepeat {
		if answer, ok := a.offer.Press(key); ok {
			return func() tea.Msg { return answer }
		}
	}
	if !known {
		return nil
	}
	if tag := strings.HasPrefix(b.ID, "tag-"); held && (tag || slices.Contains(labels, b.ID)) {
		a.env.Say(common.Info, b.Label()+" is held down: it labelled once")
		return nil
	}
	return a.act(b)
}

// act does what a binding is for.
func (a *app) act(b keys.Binding) tea.Cmd {
	if a.ended {
		return nil
	}
	if why := b.Why(a.state()); why != "" {
		a.env.Say(common.Info, why)
		return nil
	}
	if p, ok := a.page.(pages.Owner); ok && p.Owns(b.ID) {
		return a.pass(b.ID)
	}
	switch b.ID {
	case "quit":
		return a.quit()
	case "help":
		notes := []string{}
		for _, n := range append(strings.Split(a.env.Screen.Why(), "\n"), a.env.Screen.Hint()) {
			if n != "" {
				notes = append(notes, common.Clean(n))
			}
		}
		a.stack.Open(&dialogs.Help{Common: a.env.Common, State: a.state(), Notes: append(notes, "anomalymatch "+common.Clean(a.opt.Version))})
	case "suspend":
		if !canSuspend() {
			a.env.Say(common.Info, "there is no shell to go back to")
			return nil
		}
		return tea.Suspend
	case "sign-in":
		return tea.ExecProcess(a.opt.SignIn(), func(err error) tea.Msg { return signedMsg{err} })
	case "redraw":
		a.env.Thumbs.Forget()
		return a.redraw()
	case "undo":
		return a.env.Desk.Undo()
	case "redo":
		return a.env.Desk.Redo()
	case "train":
		return a.order("training starts · "+a.env.Common.Keys.Label("cancel")+" ends it", func(ctx context.Context, c rpc.EngineClient) (*rpc.JobReply, error) {
			return c.Train(ctx, &rpc.TrainRequest{ThenScore: true})
		})
	case "score":
		return a.order("scoring starts · "+a.env.Common.Keys.Label("cancel")+" ends it", func(ctx context.Context, c rpc.EngineClient) (*rpc.JobReply, error) {
			return c.Score(ctx, &rpc.ScoreRequest{})
		})
	case "use-run":
		a.stack.Open(a.askRun())
	case "cancel":
		return a.order("the job ends at its next step", func(ctx context.Context, c rpc.EngineClient) (*rpc.JobReply, error) {
			return c.Cancel(ctx, &rpc.CancelRequest{})
		})
	case "filter":
		pick := dialogs.NewPick(a.env.Common, "List", a.filters)
		pick.Next = b.Keys
		a.stack.Open(pick)
		return a.env.Desk.CountMarks()
	case "ranking":
		a.stack.Open(dialogs.NewPick(a.env.Common, "Order", a.orders))
	case "similar":
		it, _ := a.env.Desk.List().Selected()
		a.page = a.tabs[0]
		a.env.Say(common.Info, "the most alike first · "+a.env.Common.Keys.Label("back")+" goes back")
		return a.env.Desk.Similar(it.ID)
	case "stretch", "invert", "colours", "channel", "brighter", "darker", "more-contrast", "less-contrast", "plain":
		it, _ := a.env.Desk.List().Selected()
		pic, _ := a.env.Thumbs.Get(it.ID)
		return a.env.Display.Press(b.ID, pic.Bands)
	case "search":
		a.search()
	case "next-match", "previous-match":
		return a.env.Desk.NextMatch(b.ID == "previous-match")
	case "restart":
		a.env.Say(common.Info, "at the top of the newest ranking")
		return a.env.Desk.Restart()
	case "palette":
		a.stack.Open(dialogs.NewPalette(a.env.Common, a.state))
	case "jump":
		a.stack.Open(dialogs.NewPlace(a.env.Common, a.env.Desk.Len()))
	case "gallery", "training", "scores", "map", "labels", "jobs", "settings":
		return a.show(b.ID)
	case "compare":
		a.from = a.page
		return a.show("compare")
	case "pages":
		return a.turn(+1)
	case "pages-back":
		return a.turn(-1)
	case "open", "back":
		switch on := a.page; {
		case b.ID == "open" && on == a.tabs[0]:
			return a.show("single")
		case on == a.compare && b.ID == "back":
			return a.show(a.from.Name())
		case b.ID == "open" && on == a.single, b.ID == "back" && on != a.tabs[0]:
			return a.show("gallery")
		}
		return a.pass(b.ID)
	default:
		if mark := strings.TrimPrefix(b.ID, "tag-"); slices.Contains(review.Marks, mark) {
			it, _ := a.env.Desk.List().Selected()
			return a.env.Desk.Toggle(mark, []review.Item{it})
		}
		return a.pass(b.ID)
	}
	return nil
}

// pass gives the page an action.
func (a *app) pass(id string) tea.Cmd { return a.tell(pages.Pressed{ID: id}) }

// tell gives the page a message of its own.
func (a *app) tell(msg tea.Msg) tea.Cmd {
	a.layout()
	var cmd tea.Cmd
	a.page, cmd = a.page.Update(msg)
	return cmd
}

// show goes to a page.
func (a *app) show(name string) tea.Cmd {
	for _, p := range append([]pages.Page{a.single, a.compare}, a.tabs...) {
		if p.Name() == name {
			a.page = p
			return a.runs()
		}
	}
	a.env.Say(common.Info, "there is no "+name+" page here")
	return nil
}

// turn goes to the next of the pages, or the one before; from a large picture as from the gallery.
func (a *app) turn(by int) tea.Cmd {
	i := max(0, slices.Index(a.tabs, a.page))
	return a.show(a.tabs[(i+by+len(a.tabs))%len(a.tabs)].Name())
}

// typed gives a dialog with a line to type into a key or a paste.
func (a *app) typed(msg tea.Msg) tea.Cmd {
	if !a.stack.Typed() {
		return nil
	}
	if answer := a.stack.Type(msg); answer != nil {
		return pages.Send(answer)
	}
	return nil
}

// click passes a click on to the page; twice at one place soon after another counts as one of two.
func (a *app) click(m tea.Mouse) tea.Cmd {
	const soon = 400 * time.Millisecond
	if m.Button != tea.MouseLeft || len(a.stack) > 0 || a.tooSmall() {
		return nil
	}
	now := a.env.Now()
	again := m.X == a.clicked.X && m.Y == a.clicked.Y && now.Sub(a.clickAt) < soon
	a.clicked, a.clickAt = m, now
	if again {
		a.clickAt = time.Time{}
	}
	if m.Y == 0 {
		return a.tab(m.X)
	}
	if m.Y > a.h-3-len(a.banner()) {
		return nil
	}
	return a.tell(pages.Clicked{X: m.X, Y: m.Y - 1, Again: again})
}

func (a *app) wheel(m tea.Mouse) tea.Cmd {
	if len(a.stack) > 0 || a.tooSmall() || m.Button != tea.MouseWheelDown && m.Button != tea.MouseWheelUp {
		return nil
	}
	return a.tell(pages.Wheeled{Down: m.Button == tea.MouseWheelDown})
}

// tab goes to the page whose name stands at column x of the header.
func (a *app) tab(x int) tea.Cmd {
	head := ansi.Strip(a.header())
	for _, p := range a.tabs {
		at := strings.LastIndex(head, "  "+p.Name())
		if at < 0 {
			continue
		}
		if from := common.Width(head[:at]) + 2; x >= from && x < from+len(p.Name()) {
			return a.show(p.Name())
		}
	}
	return nil
}

// heldWithin is less than a person needs between two presses of a key, and more than keyboards take between two repeats.
const heldWithin = 60 * time.Millisecond

// held tells whether a key is repeated because it is held down. Where the terminal does not tell (tmux, xterm), by the time since
// the same key came last.
func (a *app) held(key string, repeat bool) bool {
	now := a.env.Now()
	soon := key == a.lastKey && now.Sub(a.lastTime) < heldWithin
	a.lastKey, a.lastTime = key, now
	return repeat || !a.repeats && soon
}

// order asks the engine for a job.
func (a *app) order(done string, call func(context.Context, rpc.EngineClient) (*rpc.JobReply, error)) tea.Cmd {
	client, ctx := a.link.Client(), a.opt.ctx
	if client == nil {
		return nil
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		r, err := call(ctx, client)
		return jobMsg{done, r, err}
	}
}

// state is what the bindings decide by.
func (a *app) state() keys.State {
	d, s := a.env.Desk, a.env.Monitor.Status
	st, _ := a.link.State()
	n, _ := d.Unsaved()
	k := keys.State{
		Page: a.page.Name(), Candidates: len(d.List().Items), Picture: a.page.Blocked(), Anomalies: s.GetAnomalies(), Normals: s.GetNormals(),
		Job: a.env.Monitor.Job(), Connected: st == link.Connected, Embedded: s.GetEmbedded(), CanUndo: d.CanUndo(), CanRedo: d.CanRedo(), Unsaved: n,
		SignIn: a.link.Held() && a.opt.SignIn != nil, Runs: len(a.over()), Here: a.page.Refuse,
	}
	if it, ok := d.List().Selected(); ok {
		label, _ := d.Label(it)
		k.Label = string(label)
		if s, ok := a.page.(interface{ Selecting() bool }); ok && s.Selecting() {
			k.Label = "of several"
		}
	}
	return k
}

// runs asks for what only the page on screen shows.
func (a *app) runs() tea.Cmd { return a.env.Monitor.Show(a.page.Name()) }

// over are the runs of the sweep on screen that are over.
func (a *app) over() (runs []*rpc.SweepRun) {
	for _, r := range a.env.Monitor.Sweep.GetRuns() {
		if r.GetPhase() == "done" {
			runs = append(runs, r)
		}
	}
	return runs
}

// askRun asks which run of the sweep is to be used. Runs beyond the ninth have no key: the command line takes those.
func (a *app) askRun() dialogs.Confirm {
	sweep := a.env.Monitor.Sweep
	d := dialogs.Confirm{Common: a.env.Common, Title: "Use a run of sweep " + common.Clean(sweep.GetName()), Text: "Its network and scores become the newest of the project; with all, the mean of " +
		"their scores becomes the deep ranking. So far: " + common.Clean(sweep.GetVerdict()) + "."}
	over := a.over()
	if len(over) > 1 {
		d.Choices = append(d.Choices, dialogs.Choice{Keys: []string{"a"}, Does: "all", Answer: useMsg{&rpc.UseSweepRequest{Name: sweep.GetName(), Ensemble: true}, "the mean of all runs is the deep ranking"}})
	}
	for _, r := range over {
		if n := r.GetRun(); n < 10 {
			d.Choices = append(d.Choices, dialogs.Choice{Keys: []string{fmt.Sprint(n)}, Does: common.Cut(common.Clean(r.GetName()), 24), Answer: useMsg{&rpc.UseSweepRequest{Name: sweep.GetName(), Run: n}, fmt.Sprintf("run %d is what the project is trained to", n)}})
		}
	}
	d.Choices = append(d.Choices, dialogs.Choice{Keys: []string{"n"}, Does: "none"})
	return d
}

// quit leaves once every label is saved, and asks where that does not work.
func (a *app) quit() tea.Cmd {
	n, why := a.env.Desk.Unsaved()
	switch {
	case n > 0:
		a.askQuit(why)
		return nil
	case a.env.Desk.Busy(), a.delivering():
		a.quitting = true
		a.env.Say(common.Info, "saving the last labels…")
		return tea.Tick(5*time.Second, func(time.Time) tea.Msg { return lateMsg{} })
	}
	return a.end()
}

// end keeps how pictures are displayed, and leaves.
func (a *app) end() tea.Cmd {
	a.ended = true
	if keep := a.env.Display.Leave(); keep != nil {
		return tea.Sequence(keep, tea.Quit)
	}
	return tea.Quit
}

func (a *app) askQuit(why string) {
	n := a.env.Desk.Waiting()
	a.stack.Open(dialogs.Confirm{Common: a.env.Common, Title: "Quit?",
		Text:    common.Plural(n, "label") + " not saved yet: " + why + ". Leaving now loses what is not saved.",
		Choices: []dialogs.Choice{{Keys: []string{"y"}, Does: "quit and lose them", Answer: quitMsg{}}, {Keys: []string{"n"}, Does: "stay"}}})
}

// leave quits when there is nothing left to save.
func (a *app) leave() tea.Cmd {
	if !a.quitting {
		return nil
	}
	if n, why := a.env.Desk.Unsaved(); n > 0 {
		a.quitting = false
		a.askQuit(why)
		return nil
	}
	if !a.env.Desk.Busy() && !a.delivering() {
		a.quitting = false // once
		return a.end()
	}
	return nil
}

// delivering tells whether labels of the outbox are on their way. That they arrive is worth a moment, not more: they are on this machine's disk.
func (a *app) delivering() bool {
	n, why := a.env.Desk.Undelivered()
	st, _ := a.link.State()
	return n > 0 && why == "" && st == link.Connected
}

// greeted asks what to do about an engine of another version, once for each.
func (a *app) greeted(h *rpc.HelloReply) tea.Cmd {
	v := h.GetVersion()
	if v == a.opt.Version || v == a.version || a.opt.Version == "" {
		return nil
	}
	a.version = v
	a.stack.Open(dialogs.Confirm{Common: a.env.Common, Title: "Another version",
		Text: fmt.Sprintf("The engine of this project is anomalymatch %s, this program is %s. A restart checkpoints a running job and takes some seconds; "+
			"to go on works where both understand each other.", common.Clean(v), common.Clean(a.opt.Version)),
		Choices: []dialogs.Choice{{Keys: []string{"r"}, Does: "restart the engine", Answer: restartMsg{}}, {Keys: []string{"g"}, Does: "go on"}}})
	return nil
}

// consider makes the offer of a faster runtime, once.
func (a *app) consider(o *rpc.RuntimeOffer) {
	if o == nil {
		a.offer = nil
		return
	}
	if a.offered || a.opt.RuntimeDeclined {
		return
	}
	a.offered = true
	if a.opt.Host != "" { // which may have no way to the internet
		a.env.Say(common.Note, "a faster runtime for "+common.Clean(a.opt.Host)+": `anomalymatch runtime install "+common.Clean(o.GetKind())+" -H "+common.Clean(a.opt.Host)+"`")
		return
	}
	name, gain := "XLA", "about 13 times faster"
	if kind := common.Clean(o.GetKind()); strings.HasPrefix(kind, "cuda") {
		name, gain = "XLA for "+strings.ToUpper(kind[:4])+" "+kind[4:], "many times faster"
	}
	a.offer = &dialogs.Offer{
		Text: fmt.Sprintf("A faster runtime (%s, %s download, %s on disk) makes training %s. Install?", name, common.Bytes(o.GetDownloadBytes()), common.Bytes(o.GetDiskBytes()), gain),
		Yes:  dialogs.Choice{Keys: []string{"y"}, Does: "yes", Answer: answerMsg{true}},
		No:   dialogs.Choice{Keys: []string{"n"}, Does: "not now", Answer: answerMsg{false}},
	}
}

// answered remembers the answer to the offer and starts the installation.
func (a *app) answered(install bool) tea.Cmd {
	a.offer = nil
	kind := a.env.Monitor.Status.GetOffer().GetKind()
	var cmds []tea.Cmd
	if save := a.opt.SaveRuntimeAnswer; save != nil {
		log := a.env.Log
		cmds = append(cmds, func() tea.Msg {
			if err := save(install); err != nil {
				log.Warn("the answer about the runtime is not remembered", "err", err)
			}
			return nil
		})
	}
	if install {
		cmds = append(cmds, a.order("installing the runtime; labelling goes on", func(ctx context.Context, c rpc.EngineClient) (*rpc.JobReply, error) {
			return c.InstallRuntime(ctx, &rpc.InstallRuntimeRequest{Kind: kind})
		}))
	}
	return tea.Batch(cmds...)
}

// expire wakes the screen when what was said has been read.
func (a *app) expire() tea.Cmd {
	said, ok := a.env.Said()
	if !ok || said.Until.Equal(a.expiry) {
		return nil
	}
	a.expiry = said.Until
	return tea.Tick(said.Until.Sub(a.env.Now())+10*time.Millisecond, func(time.Time) tea.Msg { return expireMsg{} })
}

func (a *app) tooSmall() bool { return a.w < leastWidth || a.h < leastHeight }

// layout gives the pages what header, offer, hints and status leave.
func (a *app) layout() {
	h := a.h - 3 - len(a.banner())
	a.page.SetSize(a.w, max(1, h))
}

func (a *app) banner() []string {
	if a.offer == nil {
		return nil
	}
	return a.offer.View(a.env.Common, a.w)
}

// View draws the screen.
func (a *app) View() tea.View {
	v := tea.NewView(a.env.Screen.Frame(a.content()))
	v.AltScreen = true
	v.ReportFocus = true
	if a.opt.Config.TUI.Mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	v.WindowTitle, v.ProgressBar = a.title(), a.bar()
	v.BackgroundColor, v.ForegroundColor = a.grounds()
	if !a.term.orders() {
		v.Content = common.Visual(v.Content)
	}
	// repeats of letters are told apart from presses only when the terminal sends all keys as codes
	v.KeyboardEnhancements = tea.KeyboardEnhancements{ReportEventTypes: true, ReportAlternateKeys: true, ReportAllKeysAsEscapeCodes: true, ReportAssociatedText: true}
	return v
}

func (a *app) content() string {
	if a.w <= 0 || a.h <= 0 {
		return ""
	}
	if a.tooSmall() {
		return pages.Join(a.env.Centre([]string{fmt.Sprintf("anomalymatch needs %d × %d cells; this terminal has %d × %d", leastWidth, leastHeight, a.w, a.h)}, a.w, a.h))
	}
	lines := []string{a.header()}
	lines = append(lines, strings.Split(a.page.View(), "\n")...)
	lines = append(lines, a.banner()...)
	lines = append(lines, a.hints(), a.status())
	return pages.Join(a.stack.Over(lines, a.w))
}

// header is the project, the pages and where in the list the cursor is.
func (a *app) header() string {
	st := a.env.Styles.Header
	count := ""
	if a.env.Monitor.Known {
		count = a.count()
	}
	tabs := ""
	for _, p := range a.tabs {
		style := st.Page
		if p == a.page || p == a.tabs[0] && (a.page == a.single || a.page == a.compare) {
			style = st.Current
		}
		tabs += "  " + style.Render(p.Name())
	}
	room := a.w - 2 - common.Width(count) - 2
	name := a.project
	if a.opt.Host != "" {
		name = common.Clean(a.opt.Host) + ":" + name
	}
	left := st.Project.Render(common.Cut(name, max(8, room-common.Width(tabs)-1))) + " " + tabs
	if common.Width(left) > room {
		left = st.Project.Render(common.Cut(name, max(8, room-2-len(a.page.Name())))) + "  " + st.Current.Render(a.page.Name())
	}
	return " " + common.Ends(left, st.Count.Render(count), a.w-2) + " "
}

// count is where in the list the cursor is, and what list that is.
func (a *app) count() string {
	d := a.env.Desk
	l := d.List()
	at := int64(0)
	if len(l.Items) > 0 {
		at = l.Place() + 1
	}
	of := common.Count(at) + "/" + common.Count(d.Len())
	pool := " of " + common.Plural(a.env.Monitor.Status.GetPool(), "image")
	sorted := ""
	if d.Sort != "" {
		sorted = ", " + sorts[d.Sort]
	}
	switch {
	case d.Like != "":
		return of + " like " + common.CutLeft(common.Clean(path.Base(d.Like)), 28)
	case d.Match != "":
		return of + " matching " + common.Cut(common.Clean(d.Match), 28) + sorted
	case d.Aside():
		return of + " of a region of the map" + sorted
	case d.Mark == "any":
		return of + " marked" + sorted + pool
	case d.Mark == review.Bookmark:
		return of + " bookmarks" + sorted + pool
	case d.Mark != "":
		return of + " with " + review.MarkName(d.Mark) + sorted + pool
	case d.Filter == "" && a.env.Strategy() != "top":
		return of + " " + a.env.Strategy() + " candidates" + sorted + pool
	case d.Filter == "":
		return of + " candidates" + sorted + pool
	case d.Filter == "all":
		return of + " images" + sorted
	case d.Filter == "skip":
		return of + " skipped" + sorted + pool
	case d.Filter == "audit":
		return of + " doubtful labels of " + common.Count(a.env.Monitor.Status.GetAnomalies()+a.env.Monitor.Status.GetNormals())
	}
	return of + " labelled " + d.Filter + sorted + pool
}

// hints is what was just said, else what is not saved, else the keys of the page.
func (a *app) hints() string {
	st := a.env.Styles.Hint
	w := a.w - 2
	if said, ok := a.env.Said(); ok {
		style := st.Flash
		if said.Kind == common.Warning {
			style = st.Warn
		}
		return " " + common.Fit(style.Render(common.Cut(said.Text, w)), w) + " "
	}
	if n, why := a.env.Desk.Unsaved(); n > 0 {
		return " " + common.Fit(st.Warn.Render(common.Cut("! "+common.Plural(n, "label")+" not saved yet: "+why, w)), w) + " "
	}
	if text := a.away(); text != "" && a.page != a.jobs { // there it stands on the page
		return " " + common.Fit(st.Warn.Render(common.Cut(text, w)), w) + " "
	}
	if n, ok := a.page.(interface{ Note() string }); ok && n.Note() != "" {
		return " " + common.Fit(a.env.Styles.Accent.Render(common.Cut(n.Note(), w)), w) + " "
	}
	shown := ""
	if how := a.env.Display.Settings().String(); how != "" && slices.Contains([]string{"gallery", "single", "compare"}, a.page.Name()) {
		shown = "  " + common.Cut(how, 3*w/5)
		w -= common.Width(shown)
	}
	state := a.state()
	state.Picture = "" // comes and goes too quickly to hide keys for it
	line, n, help := "", 0, 0
	if b := a.env.Common.Keys.Pick("help"); len(b) > 0 && len(b[0].Keys) > 0 {
		help = common.Width(b[0].Label()+b[0].Hint) + 4 // it is always there
	}
	for _, b := range a.page.Keys() {
		if len(b.Keys) == 0 || b.Why(state) != "" {
			continue
		}
		part := st.Key.Render(b.Label()) + " " + st.Does.Render(b.Hint)
		size := common.Width(b.Label()) + 1 + common.Width(b.Hint)
		if n > 0 {
			part, size = "   "+part, size+3
		}
		if b.ID == "help" {
			help = 0
		}
		if n+size+help > w {
			continue
		}
		line, n = line+part, n+size
	}
	return " " + line + common.Blank(w-n) + a.env.Styles.Accent.Render(shown) + " "
}

// away is what there is to say while the engine or the link to its machine is away; empty: it is not.
func (a *app) away() string {
	n, why := a.env.Desk.Undelivered()
	waiting := ""
	if n > 0 {
		waiting = " · " + common.Plural(n, "label") + " on this machine, delivered when it is back"
	}
	switch st, lost := a.link.State(); {
	case why != "":
		return "! " + common.Plural(n, "label") + " on this machine, the engine does not take them yet: " + why
	case st != link.Lost:
		return ""
	case a.link.Told() != "":
		return "! " + a.link.Told() + waiting
	case a.opt.Host == "":
		return ""
	case a.link.Held() && a.opt.SignIn != nil:
		return a.env.Common.Keys.Label("sign-in") + " signs in again: " + lost + waiting
	default:
		return "no link to " + common.Clean(a.opt.Host) + ", labelling goes on" + waiting
	}
}

// status is the last line.
func (a *app) status() string {
	m, s := a.env.Monitor, a.env.Monitor.Status
	share, known := m.Progress()
	unsaved, _ := a.env.Desk.Unsaved()
	line := components.Status{
		State: m.Doing(), Detail: common.Clean(s.GetDetail()), Share: share, HasShare: known, Rate: s.GetImagesPerSecond(), Left: s.GetRemainingSeconds(),
		Backend: common.Clean(s.GetBackend()), A: s.GetAnomalies(), N: s.GetNormals(), S: s.GetSkipped(),
		Ranked: a.env.Ranked(), Bad: s.GetBad(), Driver: a.env.Screen.Driver(), Unsaved: unsaved, Job: common.Clean(s.GetJob()),
	}
	if m.Job() == "indexing" && s.GetStep() > 0 { // how many there are is what it finds out
		line.Detail = common.Plural(s.GetStep(), "image") + " so far"
	}
	if ms := s.GetEndsAtUnixMs(); ms > 0 {
		line.Ends = time.UnixMilli(ms)
	}
	line.Waiting, _ = a.env.Desk.Undelivered()
	switch st, _ := a.link.State(); st {
	case link.Lost:
		line.Gone = "engine gone, reconnecting…"
		if a.opt.Host != "" {
			line.Gone = "no link, reconnecting…"
		}
		if a.link.Held() {
			line.Gone = "not connected"
		} else if a.link.Told() != "" {
			line.Gone = "no engine yet"
		}
	case link.Connecting:
		line.Gone = "connecting to the engine…"
	}
	return components.StatusLine(a.env.Styles, line, a.env.Now(), a.w)
}
