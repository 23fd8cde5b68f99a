package tui

import (
	"image/color"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"anomalymatch"
	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/notice"
	"anomalymatch/tui/styles"
)

// terminal is what is known of the terminal besides its pictures: how bright it is, who looks at it, how it tells of things.
type terminal struct {
	notice.Terminal
	bright bool // its background is light
	away   bool // it is known that nobody looks at it
	known  bool // it says when somebody does
	asked  bool // whether it draws whole frames
	spells bool // it was told to leave the order of letters to us

	work notice.Work
}

// BDSM (ECMA-48, mode 8): a terminal that orders right-to-left writing by itself leaves that to the program.
const explicit, implicit = "\x1b[8l", "\x1b[8h"

// ask asks what the background is: older tmuxes do not know it, but may let the question through.
func (t *terminal) ask() tea.Cmd { return styles.Ask(t.Env) }

// see takes the terminal's own messages; restyle: it turned out to be brighter or darker than was thought.
func (t *terminal) see(msg tea.Msg) (cmd tea.Cmd, restyle bool) {
	switch msg := msg.(type) {
	case tea.BackgroundColorMsg:
		bright := msg.Color != nil && !msg.IsDark()
		restyle, t.bright = bright != t.bright, bright
	case tea.FocusMsg:
		t.away, t.known = false, true
		return t.ask(), false // day and night change while nobody looks
	case tea.BlurMsg:
		t.away, t.known = true, true
	case tea.ModeReportMsg:
		common.Joins(msg)
	case tea.TerminalVersionMsg:
		if !strings.HasPrefix(msg.Name, "tmux") || t.Version == "" {
			t.Version = msg.Name
		}
		var raw string
		if !t.asked { // over ssh the library does not ask, since some terminals print the question; those do not say who they are
			t.asked = true
			raw = ansi.RequestModeSynchronizedOutput + ansi.RequestModeUnicodeCore
		}
		if !t.spells && strings.HasPrefix(msg.Name, "VTE") {
			t.spells = true
			raw += explicit
			if t.Env("TMUX") != "" {
				raw = strings.TrimSuffix(raw, explicit) + ansi.TmuxPassthrough(explicit)
			}
		}
		if raw != "" {
			return tea.Raw(raw), false
		}
	}
	return nil, restyle
}

// orders tells that the terminal orders right-to-left writing by itself and cannot be told to leave it.
func (t *terminal) orders() bool {
	return strings.HasPrefix(t.Version, "Konsole") || strings.HasPrefix(t.Version, "mlterm") || t.Env("TERM_PROGRAM") == "Apple_Terminal"
}

// end is what puts the terminal back.
func (t *terminal) end() string {
	switch {
	case !t.spells:
		return ""
	case t.Env("TMUX") != "":
		return ansi.TmuxPassthrough(implicit)
	}
	return implicit
}

// theme is the setting with auto made out.
func (a *app) theme() string { return styles.Theme(a.opt.Config.TUI.Theme, a.term.bright) }

func (a *app) noColour() bool { return a.opt.getenv("NO_COLOR") != "" }

// restyle takes up another theme.
func (a *app) restyle() { a.env.Styles = styles.New(a.theme(), a.noColour()) }

// grounds are the terminal's own colours while the screen is on it; nil: as they are.
func (a *app) grounds() (background, text color.Color) { return styles.Ground(a.theme(), a.noColour()) }

// finished gives notice when something long is over and nobody looks, or nobody knows whether somebody does.
func (a *app) finished() tea.Cmd {
	s := a.env.Monitor.Status
	text := a.term.work.See(a.env.Now(), s.GetState(), s.GetError())
	if text == "" || a.term.known && !a.term.away {
		return nil
	}
	if seq := a.term.Sequence(a.opt.Config.TUI.Notice, a.name(), text); seq != "" {
		return tea.Raw(seq)
	}
	return nil
}

// name is the project as notices and the title call it.
func (a *app) name() string {
	if a.project == "" {
		return "anomalymatch"
	}
	return a.project
}

// title is what the terminal's window is called.
func (a *app) title() string {
	if !a.opt.Config.TUI.Title {
		return ""
	}
	title := a.name()
	if title != "anomalymatch" {
		title += " – anomalymatch"
	}
	if doing := a.env.Monitor.Doing(); doing != "" {
		if share, ok := a.env.Monitor.Progress(); ok {
			doing = common.Percent(share) + " " + doing
		}
		title = doing + " – " + title
	}
	return title
}

// bar is the progress for terminals that draw it on their own; nil: none.
func (a *app) bar() *tea.ProgressBar {
	share, ok := a.env.Monitor.Progress()
	if !ok || !a.opt.Config.TUI.Title || !a.term.Bars() {
		return nil
	}
	return tea.NewProgressBar(tea.ProgressBarDefault, int(100*share))
}

// reconfigure takes up settings of the person that were changed. Pictures are drawn as they were until the next start.
func (a *app) reconfigure(c anomalymatch.Config) {
	if bindings, err := keys.Load(keys.Table(), c.Keys); err == nil {
		a.env.Common.Keys = bindings
	}
	a.opt.Config = c
	a.setup.Reload()
	a.restyle()
}
