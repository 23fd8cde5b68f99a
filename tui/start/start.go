// Package start is the page that comes up when no project was named: the projects opened of late, a new project on a folder of images, a project
// on another machine, the demo. It knows folders, projects and hosts only by what its options tell; all of that is asked in commands.
package start

import (
	"context"
	"errors"
	"fmt"
	"image"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch"
	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/styles"
)

// Choice is what the person wants. The zero value: nothing, they left.
type Choice struct {
	Host    string // the project is there; empty: on this machine
	Project string // folder to open
	Demo    bool
}

// About is what a look into a project's folder tells.
type About struct {
	Known             bool
	Images            int // < 0: not listed yet
	Anomalies, Normal int
	Used              time.Time // of the newest label; zero: none
	Engine            string    // where it runs: "here", a machine; empty: it does not
	Err               string    // why it cannot be opened, a sentence
}

// Look is what a look into a folder of images tells.
type Look struct {
	Images   int
	More     bool // there are more than were counted
	Pictures []image.Image
	Place    string // where a project on them could be kept
	Err      string // one sentence
}

// Options of the page. The functions are called in commands; nil: the page does without.
type Options struct {
	Recent []Choice // newest first
	Here   string   // the folder to begin in when one is picked

	About     func(ctx context.Context, dir string) About
	Container func(path string) bool // whether a file holds many images; nil: folders only
	Look      func(ctx context.Context, dir string, pictures int) Look
	Create    func(ctx context.Context, place, images string, listed func(images int64)) (dir string, err error)
	Hosts     func() []string // that ssh knows, those used of late first

	Config  anomalymatch.TUI
	Environ []string // TERM=…, NO_COLOR=…
	Now     func() time.Time
}

func (o Options) getenv(name string) string {
	for _, kv := range slices.Backward(o.Environ) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// Run shows the page until the person has chosen or left.
func Run(ctx context.Context, opt Options, program ...tea.ProgramOption) (Choice, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// NO_COLOR is about text, as in the rest of the program.
	env := slices.DeleteFunc(slices.Clone(opt.Environ), func(s string) bool { return strings.HasPrefix(s, "NO_COLOR=") })
	p := New(ctx, opt)
	run := tea.NewProgram(p, append([]tea.ProgramOption{tea.WithEnvironment(env)}, program...)...)
	defer context.AfterFunc(ctx, run.Quit)()
	_, err := run.Run()
	switch {
	case errors.Is(err, tea.ErrInterrupted) || ctx.Err() != nil:
		return Choice{}, nil
	case err != nil:
		return Choice{}, fmt.Errorf("the start page ended: %s", common.Clean(err.Error()))
	}
	return p.Chosen, nil
}

// mode is what is on the page.
type mode int

const (
	list    mode = iota // projects, and what can be begun
	folders             // the folder of a new project is picked
	hosts               // another machine is picked
	making              // a project is made
)

// Page is the model. Chosen is set when it ended.
type Page struct {
	Chosen Choice

	ctx    context.Context
	opt    Options
	common *common.Common
	bright bool
	w, h   int
	mode   mode
	stack  dialogs.Stack
	said   string // what went wrong; empty: nothing

	rows     []row
	at, top  int
	about    map[string]About
	hostRows []row
	hostAt   int
	hostTop  int

	screen *imgview.Screen
	folder browser

	place, images string // of the project that is made
	listed        *atomic.Int64
	stop          context.CancelFunc
}

// what a row is for.
type what int

const (
	project what = iota
	newProject
	connect
	demo
	oneHost
	otherHost
)

type row struct {
	what
	Choice
	name, note string
}

// The page's own messages.
type (
	aboutMsg struct {
		dir string
		About
	}
	hostsMsg   []string
	placeMsg   struct{ text string }
	hostMsg    struct{ text string }
	thereMsg   struct{ host, project string }
	tickMsg    struct{}
	createdMsg struct {
		dir string
		err error
	}
)

// New makes the page.
func New(ctx context.Context, opt Options) *Page {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	p := &Page{ctx: ctx, opt: opt, about: map[string]About{}, common: &common.Common{Now: opt.Now},
		screen: imgview.New(imgview.Options{Force: opt.Config.Images, Env: opt.getenv})}
	p.bright = styles.Bright(opt.getenv)
	p.restyle()
	for _, c := range opt.Recent {
		r := row{what: project, Choice: c, name: common.Clean(filepath.Base(c.Project)), note: common.Clean(c.Project)}
		if c.Host != "" {
			r.name, r.note = common.Clean(path.Base(c.Project)), common.Clean(c.Host+":"+c.Project)
		}
		p.rows = append(p.rows, r)
	}
	if opt.Create != nil {
		p.rows = append(p.rows, row{what: newProject, name: "new project", note: "pick the folder of the images; they stay where they are"})
	}
	if opt.Hosts != nil {
		p.rows = append(p.rows, row{what: connect, name: "connect to a host", note: "a project on another machine, over ssh"})
	}
	p.rows = append(p.rows, row{what: demo, Choice: Choice{Demo: true}, name: "the demo", note: "synthetic galaxies with rare ones among them"})
	return p
}

func (p *Page) theme() string  { return styles.Theme(p.opt.Config.Theme, p.bright) }
func (p *Page) noColour() bool { return p.opt.getenv("NO_COLOR") != "" }
func (p *Page) restyle()       { p.common.Styles = styles.New(p.theme(), p.noColour()) }

// projects is how many rows are projects; the others follow.
func (p *Page) projects() int {
	n := 0
	for _, r := range p.rows {
		if r.what == project {
			n++
		}
	}
	return n
}

// Init asks the terminal, and about the projects.
func (p *Page) Init() tea.Cmd {
	return tea.Batch(p.screen.Init(), styles.Ask(p.opt.getenv), p.ask())
}

// ask looks into the next project that nothing is known of, one at a time, so that a slow disk is not asked twenty things at once.
func (p *Page) ask() tea.Cmd {
	look := p.opt.About
	if look == nil {
		return nil
	}
	for _, r := range p.rows {
		if _, known := p.about[r.Project]; r.what != project || r.Host != "" || known {
			continue
		}
		ctx, dir := p.ctx, r.Project
		p.about[dir] = About{}
		return func() tea.Msg {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			return aboutMsg{dir, look(ctx, dir)}
		}
	}
	return nil
}

// Update takes a message.
func (p *Page) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmds := []tea.Cmd{p.screen.Update(msg), p.handle(msg)}
	p.frame()
	return p, tea.Batch(append(cmds, p.screen.Show(p.folder.wants(p)))...)
}

func (p *Page) handle(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		p.w, p.h = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		p.bright = msg.Color != nil && !msg.IsDark()
		p.restyle()
	case tea.ModeReportMsg:
		common.Joins(msg)
	case tea.ResumeMsg:
		return tea.Batch(tea.ClearScreen, p.screen.Forget())
	case tea.KeyPressMsg:
		return p.press(msg)
	case tea.PasteMsg:
		if p.stack.Typed() {
			return p.handle(p.stack.Type(msg)) // at once: what is typed next is for what it opens
		}
	case tea.MouseClickMsg:
		if m := msg.Mouse(); m.Button == tea.MouseLeft && len(p.stack) == 0 {
			return p.click(m.Y)
		}
	case tea.MouseWheelMsg:
		if len(p.stack) == 0 {
			return p.move(map[bool]int{true: 3, false: -3}[msg.Mouse().Button == tea.MouseWheelDown])
		}

	case aboutMsg:
		p.about[msg.dir] = msg.About
		return p.ask()
	case listedMsg, lookedMsg:
		return p.folder.take(p, msg)
	case pathMsg:
		return p.folder.open(p, msg.text)
	case placeMsg:
		return p.create(msg.text)
	case tickMsg:
		if p.mode == making {
			return tick()
		}
	case createdMsg:
		return p.created(msg)
	case hostsMsg:
		p.hostRows = nil
		for _, h := range msg {
			p.hostRows = append(p.hostRows, row{what: oneHost, Choice: Choice{Host: h}, name: common.Clean(h)})
		}
		p.hostRows = append(p.hostRows, row{what: otherHost, name: "another host", note: "any name that ssh knows, or USER@ADDRESS"})
	case hostMsg:
		p.askThere(msg.text)
	case thereMsg:
		p.Chosen = Choice{Host: msg.host, Project: msg.project}
		return tea.Quit
	}
	return nil
}

func (p *Page) press(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	if key == "ctrl+c" {
		return p.leave()
	}
	if p.stack.Typed() {
		return p.handle(p.stack.Type(msg)) // at once: what is typed next is for what it opens
	}
	p.said = ""
	switch key {
	case "ctrl+z":
		return tea.Suspend
	case "ctrl+l":
		return tea.Batch(tea.ClearScreen, p.screen.Forget())
	case "q", "ctrl+d", "esc":
		if p.mode == list {
			return p.leave()
		}
		return p.back()
	}
	if p.mode == making {
		return nil
	}
	switch key {
	case "enter", "l", "right":
		return p.enter()
	case "backspace", "left", "h":
		if p.mode == folders {
			return p.folder.up(p)
		}
		if p.mode == hosts {
			return p.back()
		}
	case "/", "~":
		if p.mode == folders {
			p.folder.askPath(p, map[bool]string{true: "~/", false: ""}[key == "~"])
		}
	case "down", "j", "tab":
		return p.move(+1)
	case "up", "k", "shift+tab":
		return p.move(-1)
	case "home", "g":
		return p.move(-1 << 20)
	case "end", "G":
		return p.move(1 << 20)
	case "pgdown", "]":
		return p.move(p.page())
	case "pgup", "[":
		return p.move(-p.page())
	}
	return nil
}

func (p *Page) leave() tea.Cmd {
	if p.stop != nil {
		p.stop()
	}
	p.Chosen = Choice{}
	return tea.Quit
}

// back is the way from a part of the page to the list.
func (p *Page) back() tea.Cmd {
	if p.mode == making {
		p.stop() // the answer leads back
		return nil
	}
	p.folder.rest()
	p.mode = list
	return nil
}

func (p *Page) page() int {
	if p.mode == list {
		return p.shown()
	}
	return max(1, p.h-8)
}

func (p *Page) move(by int) tea.Cmd {
	switch p.mode {
	case list:
		p.at = max(0, min(p.at+by, len(p.rows)-1))
	case hosts:
		p.hostAt = max(0, min(p.hostAt+by, len(p.hostRows)-1))
	case folders:
		return p.folder.move(p, by)
	}
	return nil
}

// click selects what is on a line; on what is selected already it is enter.
func (p *Page) click(y int) tea.Cmd {
	_, rows := p.lines()
	if y < 0 || y >= len(rows) || rows[y] < 0 {
		return nil
	}
	switch p.mode {
	case list:
		if p.at != rows[y] {
			return p.move(rows[y] - p.at)
		}
	case hosts:
		if p.hostAt != rows[y] {
			return p.move(rows[y] - p.hostAt)
		}
	case folders:
		if p.folder.at != rows[y] {
			return p.move(rows[y] - p.folder.at)
		}
	default:
		return nil
	}
	return p.enter()
}

func (p *Page) enter() tea.Cmd {
	switch p.mode {
	case folders:
		return p.folder.enter(p)
	case hosts:
		if p.hostAt >= len(p.hostRows) {
			return nil
		}
		if r := p.hostRows[p.hostAt]; r.what == oneHost {
			p.askThere(r.Host)
		} else {
			p.askHost("")
		}
		return nil
	}
	switch r := p.rows[p.at]; r.what {
	case newProject:
		p.mode = folders
		return p.folder.open(p, p.opt.Here)
	case connect:
		p.mode, p.hostRows, p.hostAt, p.hostTop = hosts, nil, 0, 0
		find := p.opt.Hosts
		return func() tea.Msg { return hostsMsg(find()) }
	default:
		if why := p.about[r.Project].Err; why != "" && r.Host == "" && r.what == project {
			p.said = common.Clean(why)
			return nil
		}
		p.Chosen = r.Choice
		return tea.Quit
	}
}

func (p *Page) askHost(text string) {
	p.stack.Open(dialogs.NewPrompt(dialogs.Prompt{Common: p.common, Title: "Which host?", Help: "any name that your ssh configuration knows, or USER@ADDRESS",
		Check: func(text string) string {
			switch {
			case text == "":
				return "A name: leo, ada@10.0.0.7"
			case anomalymatch.Check("cluster.x.host", anomalymatch.TOML(text)) != nil:
				return "A name without spaces that does not begin with -"
			}
			return ""
		},
		Answer: func(text string) tea.Msg { return hostMsg{text} }}, text))
}

// askThere asks which project of a host; the one opened there last is the proposal.
func (p *Page) askThere(host string) {
	last := ""
	for _, r := range p.rows {
		if r.what == project && r.Host == host {
			last = r.Project
			break
		}
	}
	p.stack.Open(dialogs.NewPrompt(dialogs.Prompt{Common: p.common, Title: "Which project of " + common.Clean(host) + "?",
		Help: "its folder there, as a path from your home folder there. `anomalymatch -H HOST new PROJECT --images FOLDER` makes one.",
		Check: func(text string) string {
			if strings.TrimSpace(text) == "" {
				return "A folder on " + common.Clean(host) + ": projects/rings, or /data/rings"
			}
			return ""
		},
		Answer: func(text string) tea.Msg { return thereMsg{host, strings.TrimSpace(text)} }}, last))
}

// askPlace asks where the project on a folder of images is to be kept.
func (p *Page) askPlace(images, text string) {
	p.images = images
	p.stack.Open(dialogs.NewPrompt(dialogs.Prompt{Common: p.common, Title: "Where is the project to be kept?",
		Help: "a new folder for labels, scores and networks; its last part is the project's name. The images stay in " + common.CutLeft(common.Clean(images), 50),
		Check: func(text string) string {
			if strings.TrimSpace(text) == "" {
				return "A new folder, such as ~/rings"
			}
			return ""
		},
		Answer: func(text string) tea.Msg { return placeMsg{strings.TrimSpace(text)} }}, text))
}

func tick() tea.Cmd {
	return tea.Tick(200*time.Millisecond, func(time.Time) tea.Msg { return tickMsg{} })
}

// create makes the project.
func (p *Page) create(place string) tea.Cmd {
	p.mode, p.place, p.listed = making, place, &atomic.Int64{}
	p.folder.rest()
	ctx, stop := context.WithCancel(p.ctx)
	p.stop = stop
	images, listed, make := p.images, p.listed, p.opt.Create
	return tea.Batch(tick(), func() tea.Msg {
		dir, err := make(ctx, place, images, listed.Store)
		if ctx.Err() != nil {
			err = errors.New("not made")
		}
		return createdMsg{dir, err}
	})
}

// created opens the new project, or says why there is none and asks again.
func (p *Page) created(msg createdMsg) tea.Cmd {
	p.stop()
	p.stop = nil
	if msg.err == nil {
		p.Chosen = Choice{Project: msg.dir}
		return tea.Quit
	}
	p.mode, p.said = folders, common.Clean(msg.err.Error())
	p.askPlace(p.images, p.place)
	return p.folder.look(p)
}

// others is how many lines of the page are no projects.
const others = 13

// shown is how many projects are on the page.
func (p *Page) shown() int { return max(1, min(p.projects(), p.h-others)) }

// frame keeps the selected rows on the page.
func (p *Page) frame() {
	p.top = max(0, min(p.top, p.at, p.projects()-p.shown()))
	if p.at < p.projects() {
		p.top = max(p.top, p.at-p.shown()+1)
	}
	room := max(1, p.h-7)
	p.hostTop = max(0, min(p.hostTop, p.hostAt, len(p.hostRows)-room))
	p.hostTop = max(p.hostTop, p.hostAt-room+1)
}

// View draws the page.
func (p *Page) View() tea.View {
	var v tea.View
	v.AltScreen = true
	if p.opt.Config.Title {
		v.WindowTitle = "anomalymatch"
	}
	if p.opt.Config.Mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	v.BackgroundColor, v.ForegroundColor = styles.Ground(p.theme(), p.noColour())
	if p.w < 1 || p.h < 1 {
		return v
	}
	lines, _ := p.lines()
	foot := []string{p.foot(), p.hint()}
	lines = append(common.Lines(lines, p.w, max(0, p.h-len(foot))), common.Lines(foot, p.w, min(p.h, len(foot)))...)
	v.SetContent(common.Visual(strings.Join(p.stack.Over(lines[:p.h], p.w), "\n")))
	return v
}

// lines are those above the foot, and which row stands on each; -1: none.
func (p *Page) lines() (out []string, rows []int) {
	s := p.common.Styles
	add := func(line string, row int) { out, rows = append(out, line), append(rows, row) }
	add("", -1)
	add(" "+s.Strong.Render("anomalymatch")+s.Dim.Render("  finds rare objects in very large sets of images"), -1)
	add("", -1)
	switch p.mode {
	case folders:
		p.folder.draw(p, add)
	case hosts:
		add(" "+s.Section.Title.Render("Which host?"), -1)
		if p.hostRows == nil {
			add("   "+s.Dim.Render("reading your ssh configuration…"), -1)
		}
		room := max(1, p.h-7)
		for i := p.hostTop; i < min(len(p.hostRows), p.hostTop+room); i++ {
			add(p.line(p.hostRows[i].name, p.hostRows[i].note, i == p.hostAt), i)
		}
	case making:
		add(" "+s.Section.Title.Render("A new project"), -1)
		n := p.listed.Load()
		doing := "listing the images…"
		if n > 0 {
			doing = "listing the images: " + common.Plural(n, "image") + " so far"
		}
		add("   "+s.Text.Render(doing), -1)
		add("   "+s.Dim.Render(common.CutLeft(common.Clean(p.images), p.w-4)), -1)
	default:
		if p.projects() > 0 {
			title := s.Section.Title.Render("Projects")
			if p.shown() < p.projects() {
				title += s.Dim.Render(fmt.Sprintf("  %d to %d of %d", p.top+1, p.top+p.shown(), p.projects()))
			}
			add(" "+title, -1)
			for i := p.top; i < p.top+p.shown(); i++ {
				add(p.line(p.rows[i].name, p.facts(p.rows[i]), i == p.at), i)
			}
			add("", -1)
		}
		add(" "+s.Section.Title.Render("Begin"), -1)
		for i := p.projects(); i < len(p.rows); i++ {
			add(p.line(p.rows[i].name, p.rows[i].note, i == p.at), i)
		}
	}
	return out, rows
}

// line draws one thing to choose.
func (p *Page) line(name, note string, selected bool) string {
	s := p.common.Styles
	mark, style, quiet := "   ", s.Text, s.Dim
	if selected {
		mark, style, quiet = " "+s.Accent.Render("▌")+" ", s.Strong, s.Text
	}
	wide := min(24, p.w/2)
	return mark + style.Render(common.Fit(name, wide)) + " " + quiet.Render(common.Cut(note, p.w-wide-5))
}

// facts are what is known of a project, on one line.
func (p *Page) facts(r row) string {
	if r.Host != "" {
		return "on " + common.Clean(r.Host)
	}
	a := p.about[r.Project]
	switch {
	case p.opt.About == nil:
		return r.note
	case a.Err != "":
		return common.Clean(a.Err)
	case !a.Known:
		return "…"
	}
	parts := []string{"not listed yet"}
	if a.Images >= 0 {
		parts[0] = common.Plural(a.Images, "image")
	}
	if a.Anomalies+a.Normal > 0 {
		parts = append(parts, "A "+common.Count(a.Anomalies)+" N "+common.Count(a.Normal))
	}
	if age := common.Age(p.opt.Now(), a.Used); age != "" {
		parts = append(parts, age)
	}
	switch a.Engine {
	case "":
	case "here":
		parts = append(parts, "● engine runs")
	default:
		parts = append(parts, "● engine on "+common.Clean(a.Engine))
	}
	return strings.Join(parts, " · ")
}

// foot is what went wrong, or more of what is selected.
func (p *Page) foot() string {
	s := p.common.Styles
	switch {
	case p.said != "":
		return " " + s.Warn.Render(common.Cut("! "+p.said, p.w-2))
	case p.mode == list && p.rows[p.at].what == project:
		return " " + s.Dim.Render(common.CutLeft(p.rows[p.at].note, p.w-2))
	}
	return ""
}

func (p *Page) hint() string {
	s := p.common.Styles
	hint := func(pairs ...string) string {
		out, n := " ", 1
		for i := 0; i+1 < len(pairs); i += 2 {
			if n += common.Width(pairs[i]) + common.Width(pairs[i+1]) + 4; n > p.w {
				break
			}
			out += s.Hint.Key.Render(pairs[i]) + " " + s.Hint.Does.Render(pairs[i+1]) + "   "
		}
		return out
	}
	switch p.mode {
	case folders:
		return hint("↑↓", "choose", "enter", map[bool]string{true: "use this folder", false: "look into it"}[p.folder.at == 0], "←", "up", "/", "type a path", "esc", "back")
	case hosts:
		return hint("↑↓", "choose", "enter", "connect", "esc", "back")
	case making:
		return hint("esc", "cancel")
	}
	return hint("↑↓", "choose", "enter", map[bool]string{true: "open", false: "begin"}[p.rows[p.at].what == project], "q", "quit")
}
