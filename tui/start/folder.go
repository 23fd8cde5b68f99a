package start

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
)

// browser picks a folder or a container: those in a folder, with a look at what images are in the selected one. Its first row is the folder itself.
type browser struct {
	dir     string
	dirs    []string // names of the folders in it, then of the containers
	folders int      // how many of them are folders
	parent  bool     // there is one above
	at, top int

	req     uint64 // of the newest listing and look
	looking string // folder that is looked into, or was; empty: none
	seen    *Look  // what was seen there; nil: nothing yet
	stop    context.CancelFunc
	loading bool
}

// maxFolders is how many folders of one are listed.
const maxFolders = 5000

type (
	listedMsg struct {
		req     uint64
		dir     string
		dirs    []string
		folders int
		parent  bool
		err     error
	}
	lookedMsg struct {
		req uint64
		dir string
		Look
	}
	pathMsg struct{ text string }
)

// rest ends what goes on.
func (b *browser) rest() {
	if b.stop != nil {
		b.stop()
	}
	b.req++
	b.stop, b.seen, b.looking = nil, nil, ""
}

// open lists a folder.
func (b *browser) open(p *Page, dir string) tea.Cmd {
	b.rest()
	b.loading = true
	req := b.req
	container := p.opt.Container
	return func() tea.Msg {
		full, dirs, folders, err := within(dir, container)
		return listedMsg{req: req, dir: full, dirs: dirs, folders: folders, parent: filepath.Dir(full) != full, err: err}
	}
}

// within lists the folders in one, links to folders too, then the files that container, if not nil, says are one; hidden ones are left out.
// dir may begin with ~.
func within(dir string, container func(path string) bool) (full string, dirs []string, folders int, err error) {
	if dir == "" {
		dir = "."
	}
	if rest, ok := strings.CutPrefix(dir, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		home, err := os.UserHomeDir()
		if err != nil {
			return dir, nil, 0, errors.New("there is no home folder")
		}
		dir = home + rest
	}
	if full, err = filepath.Abs(dir); err != nil {
		return dir, nil, 0, err
	}
	items, err := os.ReadDir(full)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return full, nil, 0, fmt.Errorf("%s cannot be read: %w", common.Clean(full), err)
	}
	var files []string
	for _, it := range items {
		if strings.HasPrefix(it.Name(), ".") || len(dirs)+len(files) == maxFolders {
			continue
		}
		is := it.IsDir()
		if it.Type()&fs.ModeSymlink != 0 {
			st, err := os.Stat(filepath.Join(full, it.Name()))
			is = err == nil && st.IsDir()
		}
		switch {
		case is && (container == nil || !strings.HasSuffix(it.Name(), ".zarr")):
			dirs = append(dirs, it.Name())
		case container != nil && container(filepath.Join(full, it.Name())):
			files = append(files, it.Name())
		}
	}
	for _, list := range [][]string{dirs, files} {
		slices.SortFunc(list, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	}
	return full, append(dirs, files...), len(dirs), nil
}

// rows: the folder itself, the one above, those in it.
func (b *browser) above() int {
	if b.parent {
		return 1
	}
	return 0
}

func (b *browser) rows() int { return 1 + b.above() + len(b.dirs) }

// container says whether the selected row is a file, or a folder that is one container.
func (b *browser) container() bool { return b.at-1-b.above() >= b.folders && b.at > 0 }

// selected is the folder or file that a row stands for.
func (b *browser) selected() string {
	switch n := b.at - 1 - b.above(); {
	case b.at == 0 || n >= len(b.dirs):
		return b.dir
	case n < 0:
		return filepath.Dir(b.dir)
	default:
		return filepath.Join(b.dir, b.dirs[n])
	}
}

func (b *browser) take(p *Page, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case listedMsg:
		if msg.req != b.req {
			return nil
		}
		b.loading = false
		if msg.err != nil {
			if p.said = common.Clean(msg.err.Error()); b.dir == "" {
				b.dir, b.parent = msg.dir, msg.parent
			}
			return b.look(p)
		}
		from := b.dir
		b.dir, b.dirs, b.folders, b.parent, b.at, b.top = msg.dir, msg.dirs, msg.folders, msg.parent, 0, 0
		if filepath.Dir(from) == b.dir {
			if i := slices.Index(b.dirs, filepath.Base(from)); i >= 0 && from != b.dir {
				b.at = 1 + b.above() + i
			}
		}
		return b.look(p)
	case lookedMsg:
		if msg.req == b.req {
			b.seen = &msg.Look
		}
	}
	return nil
}

// look looks into the selected folder.
func (b *browser) look(p *Page) tea.Cmd {
	b.rest()
	b.looking = b.selected()
	see := p.opt.Look
	if see == nil {
		return nil
	}
	_, _, n := b.grid(p)
	ctx, stop := context.WithCancel(p.ctx)
	b.stop = stop
	req, dir := b.req, b.looking
	return func() tea.Msg { return lookedMsg{req, dir, see(ctx, dir, n)} }
}

func (b *browser) move(p *Page, by int) tea.Cmd {
	at := max(0, min(b.at+by, b.rows()-1))
	if at == b.at {
		return nil
	}
	b.at = at
	return b.look(p)
}

func (b *browser) up(p *Page) tea.Cmd {
	if !b.parent {
		return nil
	}
	return b.open(p, filepath.Dir(b.dir))
}

// enter goes into a folder, or takes the one that is open, or a container.
func (b *browser) enter(p *Page) tea.Cmd {
	if b.loading {
		return nil
	}
	if b.at > 0 && !b.container() {
		return b.open(p, b.selected())
	}
	if b.seen == nil && p.opt.Look != nil {
		p.said = "wait: what is in it is being looked at"
		return nil
	}
	if b.seen != nil && b.seen.Images == 0 && !b.seen.More {
		if p.said = common.Clean(b.seen.Err); p.said == "" {
			p.said = "there are no images in it"
		}
		return nil
	}
	place := ""
	if b.seen != nil {
		place = b.seen.Place
	}
	p.askPlace(b.selected(), place)
	return nil
}

func (b *browser) askPath(p *Page, text string) {
	if text == "" {
		text = strings.TrimSuffix(b.dir, string(filepath.Separator)) + string(filepath.Separator)
	}
	p.stack.Open(dialogs.NewPrompt(dialogs.Prompt{Common: p.common, Title: "Which folder?", Help: "a path; ~ is your home folder",
		Answer: func(text string) tea.Msg { return pathMsg{strings.TrimSpace(text)} }}, text))
}

// The size of a picture in cells, with the blank around it.
const cols, rows, gap = 14, 7, 1

// split is the width of the list, and of what is beside it; 0: there is no room for that.
func split(w int) (left, right int) {
	if w < 60 {
		return w, 0
	}
	left = min(44, w*2/5)
	return left, w - left
}

// grid is how many pictures are beside and above each other, and how many there are at most.
func (b *browser) grid(p *Page) (across, down, n int) {
	_, right := split(p.w)
	across, down = max(0, (right-2)/(cols+gap)), max(0, (p.h-7)/(rows+gap))
	return across, down, min(12, across*down)
}

func key(dir string, req uint64, i int) string { return fmt.Sprintf("%s\x00%d\x00%d", dir, req, i) }

// wants are the pictures to be shown.
func (b *browser) wants(p *Page) (all []imgview.Want) {
	if p.mode != folders || b.seen == nil {
		return nil
	}
	_, _, n := b.grid(p)
	for i, img := range b.seen.Pictures[:min(n, len(b.seen.Pictures))] {
		all = append(all, imgview.Want{Key: key(b.looking, b.req, i), Img: img, Cols: cols, Rows: rows})
	}
	return all
}

// draw draws the list and what the selected folder holds.
func (b *browser) draw(p *Page, add func(string, int)) {
	s := p.common.Styles
	left, right := split(p.w)
	add(" "+s.Section.Title.Render("A new project: where are the images?")+"  "+s.Dim.Render(common.CutLeft(common.Clean(b.dir), max(4, p.w-41))), -1)
	room := max(1, p.h-6)
	b.top = max(0, min(b.top, b.at, b.rows()-room))
	b.top = max(b.top, b.at-room+1)
	beside := b.beside(p, right, room)
	for y := range room {
		i := b.top + y
		line, row := "", -1
		if i < b.rows() && b.dir != "" {
			name, style := "", s.Text
			switch n := i - 1 - b.above(); {
			case i == 0:
				name, style = "use this folder", s.Accent
			case n < 0:
				name = ".."
			default:
				if name = common.Clean(b.dirs[n]); n < b.folders {
					name += "/"
				}
			}
			mark := "   "
			if i == b.at {
				mark, style = " "+s.Accent.Render("▌")+" ", s.Strong
			}
			line, row = mark+style.Render(common.Cut(name, left-4)), i
		} else if i == 0 {
			line = "   " + s.Dim.Render("reading…")
		}
		add(common.Fit(line, left)+beside[y], row)
	}
}

// beside is what the selected folder holds, in lines of w cells.
func (b *browser) beside(p *Page, w, h int) []string {
	s := p.common.Styles
	if w == 0 {
		return make([]string, h)
	}
	var lines []string
	switch seen := b.seen; {
	case p.opt.Look == nil || b.looking == "":
	case seen == nil:
		lines = append(lines, s.Dim.Render("looking into it…"))
	case seen.Images == 0 && seen.Err != "":
		for _, l := range common.Wrap(common.Clean(seen.Err), w-2) {
			lines = append(lines, s.Warn.Render(l))
		}
	case seen.Images == 0 && seen.More:
		lines = append(lines, s.Dim.Render("no image found in the time of a look"))
	case seen.Images == 0:
		lines = append(lines, s.Dim.Render("no images in it"))
	default:
		n := common.Plural(seen.Images, "image")
		if seen.More {
			n = "more than " + n
		}
		lines = append(lines, s.Text.Render(n)+s.Dim.Render(map[bool]string{false: " in it and the folders below", true: " in it"}[b.container()]))
		across, down, most := b.grid(p)
		n2 := min(most, len(seen.Pictures))
		for y := 0; y < down && y*across < n2; y++ {
			block := make([]string, rows)
			for x := y * across; x < min(n2, (y+1)*across); x++ {
				for k, l := range p.screen.Lines(key(b.looking, b.req, x), cols, rows) {
					block[k] += l + common.Blank(gap)
				}
			}
			lines = append(append(lines, ""), block...)
		}
		if seen.Err != "" {
			lines = append(lines, "", s.Warn.Render(common.Cut(common.Clean(seen.Err), w-2)))
		}
	}
	return common.Lines(lines, w, h)
}
