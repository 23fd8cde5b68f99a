package tui

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest/fake"
)

// catalogue is a fake engine whose images have a magnitude: the last digit of their number; names that want to be more than names.
func catalogue() *fake.Engine {
	mag := func(id string) int { return int(id[len(id)-5] - '0') }
	return fake.New(fake.Options{
		Columns: []*rpc.MetadataColumn{{Name: "mag", Type: "float", Unit: "mag", Quoted: "mag"}, {Name: "class\x1b]0;x\a", Type: "text", Quoted: "`class\x1b]0;x\a`"}},
		Known: func(id, column string) string {
			if column == "mag" {
				return fmt.Sprintf("%d.5", mag(id))
			}
			return "spiral\x1b[2J\u202e"
		},
		Where: func(id, condition string) (bool, error) {
			var most int
			if n, err := fmt.Sscanf(condition, "mag < %d", &most); n != 1 || err != nil {
				return false, errors.New("at character 1: there is no column \"" + condition + "\"")
			}
			return mag(id) < most, nil
		},
	})
}

func (s *stage) typed(text string) *stage {
	for _, r := range text {
		s.press(string(r))
	}
	return s
}

func (s *stage) shows(text string) {
	s.t.Helper()
	s.until(text, func() bool { return strings.Contains(s.text(), text) })
}

func TestWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, catalogue(), 120, 40)
		defer s.close()
		s.ready()
		s.press("F")
		s.shows("columns: mag, `class␛]0;x␇`")
		s.typed("mga < 3")
		s.shows("at character 1: there is no column")
		s.press("enter") // refused: the line stays
		s.shows("at character 1: there is no column")
		for range 7 {
			s.press("backspace")
		}
		s.typed("mag < 3")
		s.shows("192 images of this list")
		s.press("enter")
		s.shows("candidates where mag < 3")
		s.press("f")
		s.shows("w ● where…      mag < 3")
		s.press("i")
		s.shows("1/192 images where mag < 3")

		s.press("o", "c")
		s.shows("1   mag")
		s.press("1")
		s.shows("images where mag < 3, by mag")
		if id := s.app.env.Desk.List().Items[0].ID; id[len(id)-5] != '0' {
			t.Errorf("%s comes first", id)
		}
		s.press("o", "c")
		s.shows("again: the other way round")
		s.press("enter")
		s.shows("by mag, largest first")
		if id := s.app.env.Desk.List().Items[0].ID; id[len(id)-5] != '2' {
			t.Errorf("%s comes first", id)
		}

		s.press("enter")
		s.shows("Metadata")
		s.shows("class␛]0;x␇ spiral␛[2J�")
		s.shows("look at    ESASky · Aladin")
		for _, link := range []string{"https://sky.esa.int/esasky/?target=210.500000%20-54.250000&", "https://aladin.cds.unistra.fr/AladinLite/?target=210.500000%20-54.250000&"} {
			if !strings.Contains(s.app.content(), "\x1b]8;;"+link) {
				t.Errorf("no link %s", link)
			}
		}

		s.press("F")
		s.shows("Where")
		for range len("mag < 3") {
			s.press("backspace")
		}
		s.press("enter")
		s.shows("1/640 images, by mag, largest first")
	})
}

// Without metadata there is nothing to ask about; without a terminal that knows links there are none.
func TestNoMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, fake.New(fake.Options{}), 120, 40)
		defer s.close()
		s.ready()
		s.press("F")
		s.shows("there is no metadata: `anomalymatch metadata PROJECT FILE` adds a table")
		s.press("f", "w")
		s.shows("there is no metadata")
		s.press("esc", "enter")
		s.shows("Image ─")
		if strings.Contains(s.app.content(), "\x1b]8;") || strings.Contains(s.text(), "Metadata") {
			t.Error("metadata of nothing")
		}
	})
}

// A condition that the engine does not take any more, since the metadata changed, is given up.
func TestWhereGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, catalogue(), 120, 40)
		defer s.close()
		s.ready()
		s.run(s.app.setWhere("nosuch > 1"))
		s.shows("there is no column")
		s.until("no condition", func() bool { return s.app.env.Desk.Where == "" && len(s.app.env.Desk.List().Items) > 0 })
	})
}
