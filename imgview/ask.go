package imgview

import (
	"context"
	"io"

	tea "charm.land/bubbletea/v2"
)

// Ask asks the terminal as a Screen does and waits until it has answered, or for two seconds: for `doctor`. Nothing is drawn. The Screen
// it returns is good for Driver, Why and Hint.
func Ask(ctx context.Context, opt Options, in io.Reader, out io.Writer) (*Screen, error) {
	s := New(opt)
	if s.driver == nil {
		return s, nil
	}
	_, err := tea.NewProgram(asker{s}, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out)).Run()
	return s, err
}

type asker struct{ s *Screen }

func (a asker) Init() tea.Cmd { return a.s.Init() }

func (a asker) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := a.s.Update(msg)
	if key, ok := msg.(tea.KeyPressMsg); ok && key.String() == "ctrl+c" || a.s.facts.settled() {
		return a, tea.Quit
	}
	return a, cmd
}

func (asker) View() tea.View { return tea.NewView("") }
