//go:build unix

package start_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch"
	"anomalymatch/tui/start"
	"anomalymatch/tui/tuitest"
)

// sitting is a person at the start page.
type sitting struct {
	*tuitest.Driver
	chosen chan start.Choice
	made   chan [2]string
	home   string
}

func open(t *testing.T, term tuitest.Options) sitting {
	t.Helper()
	home := t.TempDir()
	for _, dir := range []string{"galaxies/deep", "empty", ".hidden", "zoo"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"survey.zip", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(home, "zoo", file), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	term.Patience = 30 * time.Second
	s := sitting{chosen: make(chan start.Choice, 1), made: make(chan [2]string, 4), home: home}
	picture := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for i := range 32 {
		picture.Set(i, i, color.White)
	}
	s.Driver = tuitest.Inside(t, term, func(ctx context.Context, tty *os.File, environ []string) error {
		c, err := start.Run(ctx, start.Options{
			Recent: []start.Choice{{Project: "/data/mergers"}, {Project: "/data/rings"}, {Host: "leo", Project: "far/jellyfish"}},
			Here:   home, Config: anomalymatch.Default().TUI, Environ: environ,
			About: func(_ context.Context, dir string) start.About {
				return start.About{Known: true, Images: 6446, Anomalies: 5, Normal: 12}
			},
			Container: func(path string) bool { return filepath.Ext(path) == ".zip" },
			Look: func(_ context.Context, dir string, n int) start.Look {
				switch filepath.Base(dir) {
				case "empty":
					return start.Look{}
				case "galaxies":
					return start.Look{Images: 1234, Pictures: []image.Image{picture, picture}, Place: filepath.Join(home, "galaxies-project")}
				}
				return start.Look{Images: 100, More: true, Place: "/somewhere"}
			},
			Create: func(ctx context.Context, place, images string, listed func(int64)) (string, error) {
				s.made <- [2]string{place, images}
				switch {
				case strings.HasSuffix(place, "full"):
					return "", errors.New("the disk is full")
				case strings.HasSuffix(place, "slow"):
					listed(77)
					<-ctx.Done()
					return "", ctx.Err()
				}
				return place, nil
			},
			Hosts: func() []string { return []string{"leo", "juno"} },
		}, tea.WithInput(tty), tea.WithOutput(tty))
		s.chosen <- c
		return err
	})
	return s
}

func (s sitting) chose(t *testing.T, want start.Choice) {
	t.Helper()
	if code := s.Exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if got := <-s.chosen; got != want {
		t.Errorf("chose %+v, want %+v", got, want)
	}
}

func each(t *testing.T, f func(t *testing.T, term tuitest.Options)) {
	t.Parallel()
	for _, term := range []tuitest.Options{{}, {Cols: 120, Rows: 40}, {Plain: true, Cols: 80, Rows: 24}} {
		t.Run(fmt.Sprintf("%d×%d plain %v", term.Cols, term.Rows, term.Plain), func(t *testing.T) {
			t.Parallel()
			f(t, term)
		})
	}
}

func TestNewProject(t *testing.T) {
	each(t, func(t *testing.T, term tuitest.Options) {
		s := open(t, term)
		s.WaitFor("6,446 images · A 5 N 12").WaitFor("on leo")
		s.Press("j", "j", "j", "enter").WaitFor("use this folder").WaitFor("more than 100 images").WaitGone("hidden")
		s.Press("j", "j").WaitFor("no images in it") // empty/
		s.Press("enter").WaitFor(filepath.Base(s.home) + "/empty").WaitFor("no images in it").Press("enter").WaitFor("there are no images in it")
		s.Press("backspace").WaitFor("galaxies/").Press("j").WaitFor("1,234 images").Press("enter").WaitFor("deep/").WaitFor("1,234 images")
		s.Press("enter").WaitFor("Where is the project to be kept?").WaitFor("galaxies-project")
		s.Press("ctrl+u").WaitFor("such as ~/rings").Type("/x/full").Press("enter").WaitFor("! the disk is full").WaitFor("/x/full")
		s.Press("ctrl+u").Type("/x/slow").Press("enter").WaitFor("77 images so far").Press("esc").WaitFor("! not made").WaitFor("/x/slow")
		s.Press("ctrl+u").Type("/x/good").Press("enter")
		s.chose(t, start.Choice{Project: "/x/good"})
		images := filepath.Join(s.home, "galaxies")
		for _, want := range []string{"/x/full", "/x/slow", "/x/good"} {
			if got := <-s.made; got != [2]string{want, images} {
				t.Errorf("made %q, want %s on %s", got, want, images)
			}
		}
	})
}

// TestContainer: a file that holds images is taken as it is; other files are not shown.
func TestContainer(t *testing.T) {
	t.Parallel()
	s := open(t, tuitest.Options{})
	s.WaitFor("on leo").Press("j", "j", "j", "enter").WaitFor("zoo/").Press("G").WaitFor("more than 100 images in it and the folders below").Press("enter")
	s.WaitFor("survey.zip").WaitGone("notes.txt").Press("G").WaitGone("the folders below").WaitFor("more than 100 images in it")
	s.Press("enter").WaitFor("Where is the project to be kept?").Press("ctrl+u").Type("/x/good").Press("enter")
	s.chose(t, start.Choice{Project: "/x/good"})
	if got, want := <-s.made, [2]string{"/x/good", filepath.Join(s.home, "zoo", "survey.zip")}; got != want {
		t.Errorf("made %q, want %q", got, want)
	}
}

func TestFolderByPath(t *testing.T) {
	t.Parallel()
	s := open(t, tuitest.Options{})
	s.WaitFor("on leo").Press("j", "j", "j", "enter").WaitFor("more than 100 images")
	s.Press("/").WaitFor("Which folder?").Press("ctrl+u").Paste(filepath.Join(s.home, "nowhere")).Press("enter").WaitFor("cannot be read: no such file")
	s.Press("/").Press("ctrl+u").Type(filepath.Join(s.home, "galaxies")).Press("enter").WaitFor("deep/").WaitFor("1,234 images")
	s.Press("esc").WaitFor("Projects").Press("esc")
	s.chose(t, start.Choice{})
}

func TestHosts(t *testing.T) {
	each(t, func(t *testing.T, term tuitest.Options) {
		s := open(t, term)
		s.WaitFor("on leo").Press("j", "j", "j", "j", "enter").WaitFor("Which host?").WaitFor("juno").Press("enter").WaitFor("Which project of leo?").WaitFor("far/jellyfish")
		s.Press("esc").WaitGone("Which project").Press("j", "j", "enter").WaitFor("another host").WaitFor("ada@10.0.0.7").Type("-x").WaitFor("does not begin with -")
		s.Press("ctrl+u").Type("ada@juno").Press("enter").WaitFor("Which project of ada@juno?").WaitFor("projects/rings").Type("/data/rings").Press("enter")
		s.chose(t, start.Choice{Host: "ada@juno", Project: "/data/rings"})
	})
}

// TestMouse: a click selects, one more on the same line opens.
func TestMouse(t *testing.T) {
	t.Parallel()
	s := open(t, tuitest.Options{})
	s.WaitFor("on leo").WaitStill(200 * time.Millisecond)
	y := 0
	for i, l := range strings.Split(s.Screen(), "\n") {
		if strings.Contains(l, "rings") {
			y = i + 1
		}
	}
	click := fmt.Sprintf("\x1b[<0;8;%dM\x1b[<0;8;%dm", y, y)
	s.Type(click).WaitFor("/data/rings").Type(click)
	s.chose(t, start.Choice{Project: "/data/rings"})
}
