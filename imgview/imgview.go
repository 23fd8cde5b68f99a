// Package imgview shows decoded pictures in a grid of terminal cells.
//
// A Screen asks the terminal what it can draw, without ever waiting for the answer, and picks a driver: kitty's Unicode
// placeholders, where a picture behaves like text, or half-blocks, which work everywhere. The program hands it the pictures
// it wants to see (Show), puts the text of Lines into its view, and passes it every message (Update).
//
//	s := imgview.New(imgview.Options{})
//	func (m model) Init() tea.Cmd { return s.Init() }
//	func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) { cmd := s.Update(msg); …; return m, tea.Batch(cmd, s.Show(wants)) }
//	func (m model) View() tea.View { … s.Lines(key, cols, rows) … }
package imgview

import (
	"image"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// Options says how a Screen finds its driver and how much it sends at once. The zero value is right for most programs.
type Options struct {
	Force  string              // "auto" or "": ask the terminal; "kitty", "halfblocks", "none": use that
	Env    func(string) string // TERM, TMUX, …; nil: os.Getenv
	Window int                 // bytes of pictures under way to the terminal without its answer; 0: 32 KiB
}

// Want is one picture to be shown in a box of Cols×Rows cells. Key names the picture and its version (another stretch, another
// key): the same key must always mean the same pixels. A nil Img is a picture that is not there yet: it stays blank.
type Want struct {
	Key        string
	Img        image.Image
	Cols, Rows int
}

// Screen shows pictures. One per program; all methods run in the program's Update or View, none of them waits.
type Screen struct{ opt Options }

// New makes a Screen; nothing is drawn or asked before Init.
func New(opt Options) *Screen { return &Screen{opt: opt} }

// Init asks the terminal what it can draw.
func (s *Screen) Init() tea.Cmd { return nil }

// Update takes the terminal's answers and the Screen's own messages; it ignores all others. Give it every message.
func (s *Screen) Update(msg tea.Msg) tea.Cmd { return nil }

// Driver is "kitty", "half-blocks" or "none".
func (s *Screen) Driver() string { return "none" }

// Why says what was asked, what came back and what was chosen: some lines for `doctor` and the help page.
func (s *Screen) Why() string { return "" }

// Hint is one sentence on how to see better pictures here, "" when there is nothing to say.
func (s *Screen) Hint() string { return "" }

// Show says which pictures are wanted now, most interesting first; it replaces the last call's. Cheap when nothing changed.
func (s *Screen) Show(wants []Want) tea.Cmd { return nil }

// Lines is the text of a picture's box: exactly rows lines of cols cells, blank until there is something to see.
func (s *Screen) Lines(key string, cols, rows int) []string {
	return strings.Split(strings.Repeat("\n", max(0, rows-1)), "\n")
}

// Visible reports whether the picture is on screen: the terminal said so, or it is drawn as text.
func (s *Screen) Visible(key string, cols, rows int) bool { return false }

// Forget takes every picture out of the terminal, sends the wanted ones again and asks the terminal again: for ctrl+l, after a
// suspended program comes back, after tmux is attached elsewhere.
func (s *Screen) Forget() tea.Cmd { return nil }

// Close is what to write to the terminal before leaving: it frees every picture there.
func (s *Screen) Close() string { return "" }

// CellPixels is the size of one cell in pixels, 0,0 when the terminal did not say.
func (s *Screen) CellPixels() (w, h int) { return 0, 0 }
