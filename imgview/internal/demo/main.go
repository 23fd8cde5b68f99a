// Demo shows synthetic pictures in a grid, to try imgview in a terminal: arrows or hjkl move, n and p turn the page, enter shows one
// large, ctrl+l draws again, w says why, q leaves.
package main

import (
	"flag"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"anomalymatch/imgview"
)

const across, down = 4, 3

type model struct {
	screen     *imgview.Screen
	w, h       int
	page, sel  int
	large, why bool
}

// galaxy is the n-th picture: a blob whose place, colour and shape are its own, with n dots in the corner. Every fifth is wide, every
// seventh tall.
func galaxy(n int) image.Image {
	w, h := 96, 96
	if n%5 == 4 {
		h = 32
	} else if n%7 == 6 {
		w = 24
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	a := float64(n) * 2.4
	cx, cy := float64(w)/2+math.Cos(a)*float64(w)/5, float64(h)/2+math.Sin(a)*float64(h)/5
	for y := range h {
		for x := range w {
			dx, dy := float64(x)-cx, float64(y)-cy
			u, v := dx*math.Cos(a)+dy*math.Sin(a), (dy*math.Cos(a)-dx*math.Sin(a))*(1+float64(n%3))
			i := 235*math.Exp(-math.Sqrt(u*u+v*v)/9) + 8
			img.SetRGBA(x, y, color.RGBA{uint8(i), uint8(i * (0.6 + 0.4*math.Cos(a))), uint8(i * (0.6 + 0.4*math.Sin(a))), 255})
		}
	}
	for k := range n {
		for d := range 4 {
			img.SetRGBA(2+(k%12)*4+d%2, 2+k/12*4+d/2, color.RGBA{255, 255, 90, 255})
		}
	}
	return img
}

func (m model) box() (cols, rows int) {
	if m.large {
		return m.w, m.h - 2
	}
	return m.w/across - 2, (m.h-1)/down - 3
}

func (m model) first() int { return m.page * across * down }

func key(n int) string { return fmt.Sprint(n) }

var drawn = map[int]image.Image{}

func picture(n int) image.Image {
	if drawn[n] == nil {
		drawn[n] = galaxy(n)
	}
	return drawn[n]
}

func (m model) wants() []imgview.Want {
	cols, rows := m.box()
	if m.large {
		return []imgview.Want{{Key: key(m.first() + m.sel), Img: picture(m.first() + m.sel), Cols: cols, Rows: rows}}
	}
	var wants []imgview.Want
	for i := range 2 * across * down { // this page, then the next
		wants = append(wants, imgview.Want{Key: key(m.first() + i), Img: picture(m.first() + i), Cols: cols, Rows: rows})
	}
	return wants
}

func (m model) Init() tea.Cmd { return m.screen.Init() }

func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmds := []tea.Cmd{m.screen.Update(msg)}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "ctrl+c":
			return m, tea.Sequence(tea.Raw(m.screen.Close()), tea.Quit)
		case "l", "right":
			m.sel = min(m.sel+1, across*down-1)
		case "h", "left":
			m.sel = max(m.sel-1, 0)
		case "j", "down":
			m.sel = min(m.sel+across, across*down-1)
		case "k", "up":
			m.sel = max(m.sel-across, 0)
		case "n":
			m.page++
		case "p":
			m.page = max(0, m.page-1)
		case "enter":
			m.large = !m.large
		case "w":
			m.why = !m.why
		case "ctrl+l":
			cmds = append(cmds, tea.ClearScreen, m.screen.Forget())
		}
	}
	if m.w > 0 {
		cmds = append(cmds, m.screen.Show(m.wants()))
	}
	return m, tea.Batch(cmds...)
}

func (m model) View() tea.View {
	cols, rows := m.box()
	cell := func(i int) string {
		n := m.first() + i
		colour := lipgloss.Color("238")
		if i == m.sel {
			colour = lipgloss.Color("212")
		}
		seen := " "
		if m.screen.Visible(key(n), cols, rows) {
			seen = "✓"
		}
		text := strings.Join(m.screen.Lines(key(n), cols, rows), "\n")
		if m.large {
			return text + "\n" + fmt.Sprint(n, seen)
		}
		return lipgloss.NewStyle().Border(lipgloss.RoundedBorder()).BorderForeground(colour).Render(text + fmt.Sprintf("\n%-*s", cols, fmt.Sprint(n, seen)))
	}
	var content string
	switch {
	case m.w == 0 || cols <= 0 || rows <= 0:
		content = "the window is too small"
	case m.why:
		content = m.screen.Why() + "\n" + m.screen.Hint()
	case m.large:
		content = cell(m.sel)
	default:
		var lines []string
		for r := range down {
			var line []string
			for c := range across {
				line = append(line, cell(r*across+c))
			}
			lines = append(lines, lipgloss.JoinHorizontal(lipgloss.Top, line...))
		}
		content = strings.Join(lines, "\n")
	}
	w, h := m.screen.CellPixels()
	v := tea.NewView(m.screen.Frame(content + fmt.Sprintf("\npage %d, %s, cell %d×%d", m.page, m.screen.Driver(), w, h)))
	v.AltScreen = true
	return v
}

func main() {
	force := flag.String("force", "auto", "auto, kitty, kitty-direct, iterm2, sixel, halfblocks, quadrants, sextants, text or none")
	window := flag.Int("window", 0, "bytes under way, 0: the default")
	flag.Parse()
	m := model{screen: imgview.New(imgview.Options{Force: *force, Window: *window, Pixels: imgview.PixelsOf(os.Stdout)})}
	if _, err := tea.NewProgram(m).Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
