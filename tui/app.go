package tui

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/imgview"
	"anomalymatch/tui/batch"
	"anomalymatch/tui/common"
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
	"anomalymatch/tui/pages/preparation"
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
	jobs    pages.Page
	setup   *settings.Page
	stack   dialogs.Stack
	asked   *dialogs.Prompt // what to search for

	condition *condition     // that is being typed; nil: none
	columns   review.Columns // of the metadata, as they were when they were asked for last

	offer   *dialogs.Offer
	offered bool // the offer was made in this sitting

	project  string
	version  string // of the engine, when it was asked about
	pool     string // hash of the images whose pictures are here
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
	switch {
	case opt.Outbox != nil && opt.Beside:
		env.Desk.Beside(opt.Outbox, opt.Waiting)
	case opt.Outbox != nil:
		env.Desk.Through(opt.Outbox, opt.Waiting)
	}
	env.Told = describe.New(l)
	env.Links = func() bool { return a.term.Links() }
	env.Display = sticky.New(c, l, opt.Config.Display, env.Thumbs.Look)
	g := gallery.New(env, opt.Config.TUI.Thumbnail)
	a.tabs = []pages.Page{g, training.New(env), scores.New(env), preparation.New(env, l), atlas.New(env, l), pagelabels.New(env, l)}
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

// Update takes a message and what is wished because of it.
func (a *app) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmds []tea.Cmd
	for ; msg != nil; msg = a.env.Wished() {
		cmds = append(cmds, a.take(msg))
	}
	return a, tea.Batch(cmds...)
}

// take routes a message to everybody it may concern.
func (a *app) take(msg tea.Msg) tea.Cmd {
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
	return tea.Batch(cmds...)
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
			if pool := s.GetPoolHash(); pool != "" && pool != a.pool {
				if a.pool != "" { // they may be read in another way
					a.env.Thumbs.Renew()
				}
				a.pool = pool
			}
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
	case askWhereMsg:
		return a.where()
	case typedMsg:
		return a.env.Desk.CountChosen(string(msg))
	case review.Chosen:
		a.chosen(msg)
	case whereMsg:
		return a.setWhere(string(msg))
	case review.Columns:
		if a.columns = msg; a.condition != nil && a.condition.text == "" {
			a.condition.prompt.Help = a.whereHelp()
		}
	case askColumnMsg:
		return a.askColumn()
	case columnMsg:
		return a.sortColumn(msg)
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
			a.env.Wish(answer)
		}
		return nil
	}
	if a.offer != nil && !msg.IsRepeat {
		if answer, ok := a.offer.Press(key); ok {
			return a.env.Wish(answer)
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
	case "where":
		return a.where()
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
	case "gallery", "training", "scores", "preparation", "map", "labels", "jobs", "settings":
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
		return a.env.Wish(answer)
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
		Job: a.env.Monitor.Job(), Connected: st == link.Connected, Embedded: s.GetEmbedded(), CanUndo: d.CanUndo(), CanRedo: d.CanRedo(), Unsaved: n, Stuck: d.Stuck(),
		SignIn: a.link.Held() && a.opt.SignIn != nil, Runs: len(a.over()), Columns: int(s.GetColumns()), Here: a.page.Refuse,
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
