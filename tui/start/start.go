// Package start is the page that comes up when no project was named: the projects opened of late, the demo, and how to make a
// project.
package start

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"
)

// Choice is what the person wants. The zero value: nothing, they left.
type Choice struct {
	Project string // folder to open
	Demo    bool
}

// Options of the page.
type Options struct {
	Recent []string // project folders, newest first
	Styles styles.Styles
}

// Run shows the page until the person has chosen or left.
func Run(ctx context.Context, opt Options, program ...tea.ProgramOption) (Choice, error) {
	end, err := tea.NewProgram(New(opt), append([]tea.ProgramOption{tea.WithContext(ctx)}, program...)...).Run()
	switch {
	case errors.Is(err, tea.ErrInterrupted) || ctx.Err() != nil:
		return Choice{}, nil
	case err != nil:
		return Choice{}, fmt.Errorf("the start page ended: %s", common.Clean(err.Error()))
	}
	return end.(Page).Chosen, nil
}

// Page is the model. Chosen is set when it ended.
type Page struct {
	Chosen Choice

	styles styles.Styles
	rows   []row
	at     int // selected row
	top    int // first project that is shown
	w, h   int
}

type row struct {
	Choice
	name, note string
}

// New makes the page.
func New(opt Options) Page {
	p := Page{styles: opt.Styles}
	for _, dir := range opt.Recent {
		p.rows = append(p.rows, row{Choice{Project: dir}, common.Clean(filepath.Base(dir)), common.Clean(dir)})
	}
	p.rows = append(p.rows, row{Choice{Demo: true}, "the demo", "synthetic galaxies with rare ones among them"})
	return p
}

// projects is how many rows are projects: the last row is the demo.
func (p Page) projects() int { return len(p.rows) - 1 }

func (p Page) Init() tea.Cmd { return nil }

func (p Page) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		p.w, p.h = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "esc", "ctrl+c", "ctrl+d":
			return p, tea.Quit
		case "enter", "l", "right":
			p.Chosen = p.rows[p.at].Choice
			return p, tea.Quit
		case "down", "j", "tab":
			p.at++
		case "up", "k", "shift+tab":
			p.at--
		case "home", "g":
			p.at = 0
		case "end", "G":
			p.at = len(p.rows) - 1
		case "pgdown", "]":
			p.at += p.shown()
		case "pgup", "[":
			p.at -= p.shown()
		case "ctrl+z":
			return p, tea.Suspend
		}
	}
	p.at = max(0, min(p.at, len(p.rows)-1))
	p.top = max(0, min(p.top, p.at, p.projects()-p.shown()))
	if p.at < p.projects() {
		p.top = max(p.top, p.at-p.shown()+1)
	}
	return p, nil
}

// others is how many lines of the page are no projects.
const others = 14

// shown is how many projects are on the page.
func (p Page) shown() int { return max(1, min(p.projects(), p.h-others)) }

func (p Page) View() tea.View {
	var v tea.View
	v.AltScreen = true
	v.WindowTitle = "anomalymatch"
	if p.w < 1 || p.h < 1 {
		return v
	}
	s := p.styles
	lines := []string{"", " " + s.Strong.Render("anomalymatch") + s.Dim.Render("  finds rare objects in very large sets of images"), ""}
	if p.projects() > 0 {
		title := s.Section.Title.Render("Projects")
		if p.shown() < p.projects() {
			title += s.Dim.Render(fmt.Sprintf("  %d to %d of %d", p.top+1, p.top+p.shown(), p.projects()))
		}
		lines = append(lines, " "+title)
		for i := p.top; i < p.top+p.shown(); i++ {
			lines = append(lines, p.row(i))
		}
		lines = append(lines, "")
	}
	lines = append(lines, " "+s.Section.Title.Render("Try it"), p.row(len(p.rows)-1), "",
		" "+s.Section.Title.Render("A new project"), "   anomalymatch new PROJECT --images FOLDER",
		s.Dim.Render("   the images stay where they are; `anomalymatch --help` has the rest"))
	hint := " " + s.Hint.Key.Render("↑↓") + s.Hint.Does.Render(" choose  ") + s.Hint.Key.Render("enter") + s.Hint.Does.Render(" open  ") + s.Hint.Key.Render("q") + s.Hint.Does.Render(" quit")
	lines = append(common.Lines(lines, p.w, max(0, p.h-1)), common.Fit(hint, p.w))
	text := ""
	for i, l := range lines {
		if i > 0 {
			text += "\n"
		}
		text += l
	}
	v.SetContent(text)
	return v
}

// row draws one thing to choose.
func (p Page) row(i int) string {
	const name = 24
	r, mark, style := p.rows[i], "   ", p.styles.Text
	if i == p.at {
		mark, style = " "+p.styles.Accent.Render("▌")+" ", p.styles.Strong
	}
	return mark + style.Render(common.Fit(r.name, min(name, p.w/2))) + " " + p.styles.Dim.Render(common.CutLeft(r.note, p.w-min(name, p.w/2)-5))
}
