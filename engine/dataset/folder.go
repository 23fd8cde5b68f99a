package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// folder is a source: every file below a folder that isImageName a folder, capitals included.
type folder struct {
	name, root string
	limits     Limits
}

// OpenFolder opens the images below a folder as the source name. Hidden files and folders (.name) are left out. Links to
// files are read; a link to a folder is followed unless that folder was visited already or holds this one, so loops end.
func OpenFolder(name, dir string, l Limits) (Source, error) {
	if err := checkSourceName(name); err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the folder %q of source %q does not exist: check the path, or whether its disk is mounted", dir, name)
	case err != nil:
		return nil, fmt.Errorf("the folder %q of source %q cannot be opened: %s", dir, name, reason(err))
	case !info.IsDir():
		return nil, fmt.Errorf("%q of source %q is a file of a kind that is not read: name a folder of images, or one of these: %s", dir, name, Containers())
	}
	return &folder{name: name, root: dir, limits: l.orDefault()}, nil
}

func (f *folder) Close() error { return nil }

func (f *folder) Read(ctx context.Context, e Entry) (Content, error) {
	if err := ctx.Err(); err != nil {
		return Content{}, err
	}
	if !fs.ValidPath(e.Path) || !filepath.IsLocal(filepath.FromSlash(e.Path)) {
		return Content{}, errors.New("has a path that leads out of its source")
	}
	file, err := os.Open(filepath.Join(f.root, filepath.FromSlash(e.Path)))
	if err != nil {
		if _, gone := os.Stat(f.root); gone != nil {
			return Content{}, fmt.Errorf("%w: the folder %q of source %q cannot be read any more: %s", ErrSource, f.root, f.name, reason(gone))
		}
		return Content{}, fmt.Errorf("%w: %s", errRead, reason(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Content{}, fmt.Errorf("%w: %s", errRead, reason(err))
	}
	if !info.Mode().IsRegular() {
		return Content{}, errors.New("is not a regular file")
	}
	if err := f.limits.checkBytes(info.Size()); err != nil {
		return Content{}, err
	}
	b := make([]byte, info.Size())
	n, err := io.ReadFull(file, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) { // shorter than it was: the decoder will say
		return Content{}, fmt.Errorf("%w: %s", errRead, reason(err))
	}
	if info, err = file.Stat(); err == nil && e.differs(info.Size(), info.ModTime().UnixNano()) { // also while it was read
		return Content{Encoded: b[:n]}, ErrChanged
	}
	return Content{Encoded: b[:n]}, nil
}

// Stat tells the size and the time of e's file as it is now.
func (f *folder) Stat(ctx context.Context, e Entry) (size, modTime int64, err error) {
	if !fs.ValidPath(e.Path) || !filepath.IsLocal(filepath.FromSlash(e.Path)) {
		return 0, 0, errors.New("has a path that leads out of its source")
	}
	info, err := os.Stat(f.at(e.Path))
	if err != nil {
		return 0, 0, err
	}
	return info.Size(), info.ModTime().UnixNano(), ctx.Err()
}

func (f *folder) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w := walk{folder: f, ctx: ctx, yield: yield, visited: map[string]bool{}, ahead: map[string]chan listedFolder{}}
		root, sep := realPath(f.root), string(filepath.Separator)
		w.dir("", root)
		for len(w.links) > 0 && !w.done { // after the real folders, so that those give the ids
			link := w.links[0]
			w.links = w.links[1:]
			real := realPath(f.at(link))
			if _, above := strings.CutPrefix(root, strings.TrimSuffix(real, sep)+sep); !above && !w.visited[real] {
				w.dir(link, real)
			}
		}
		switch {
		case w.done:
		case ctx.Err() != nil:
			yield(Entry{}, ctx.Err())
		case w.images == 0:
			yield(Entry{}, w.nothing())
		}
	}
}

func (f *folder) at(rel string) string { return filepath.Join(f.root, filepath.FromSlash(rel)) }

func realPath(p string) string {
	if real, err := filepath.EvalSymlinks(p); err == nil {
		p = real
	}
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	return p
}

// walk is one listing of a folder.
type walk struct {
	*folder
	ctx     context.Context
	yield   func(Entry, error) bool
	done    bool            // the consumer has enough, or the listing cannot go on
	visited map[string]bool // folders without links in their paths
	links   []string        // to folders, for later
	ahead   map[string]chan listedFolder
	images  int
	others  int // files that are no images
	failed  int
}

// listedFolder is what os.ReadDir says of a folder.
type listedFolder struct {
	items []fs.DirEntry
	err   error
}

// foldersAhead is how many folders of one level are read before their turn: on a shared file system each takes some round trips, and a survey may have
// a hundred thousand of them.
var foldersAhead = 8

// readDir is os.ReadDir; a variable, so that a benchmark can make it slow.
var readDir = os.ReadDir

// read returns what was read ahead of a folder, or reads it.
func (w *walk) read(rel string) ([]fs.DirEntry, error) {
	c, ok := w.ahead[rel]
	if !ok {
		return readDir(w.at(rel))
	}
	delete(w.ahead, rel)
	f := <-c
	return f.items, f.err
}

// readAhead begins to read a folder.
func (w *walk) readAhead(rel string) {
	c := make(chan listedFolder, 1)
	w.ahead[rel] = c
	at := w.at(rel)
	go func() {
		items, err := readDir(at)
		c <- listedFolder{items, err}
	}()
}

// dir lists one folder and those below it; real is its path without links.
func (w *walk) dir(rel, real string) {
	w.visited[real] = true
	items, err := w.read(rel)
	if err != nil {
		if rel == "" {
			w.done = true
			w.yield(Entry{}, fmt.Errorf("the folder %q of source %q cannot be listed: %s", w.root, w.name, reason(err)))
			return
		}
		w.fail(rel+"/", fmt.Errorf("is a folder that cannot be listed: %s", reason(err)))
	}
	var below []string
	const chunk = 1024
	for len(items) > 0 && !w.done && w.ctx.Err() == nil {
		part := items[:min(chunk, len(items))]
		items = items[len(part):]
		for i, found := range w.look(rel, part) {
			name := path.Join(rel, part[i].Name())
			switch {
			case w.done:
				return
			case found.kind == isFolder:
				below = append(below, part[i].Name())
			case found.kind == isFolderLink:
				w.links = append(w.links, name)
			case found.kind == isOther:
				w.others++
			case found.kind == isHidden:
			case !utf8.ValidString(name):
				w.fail(strings.ToValidUTF8(name, "\uFFFD"), errors.New("has a name that is not valid UTF-8: rename the file"))
			case found.err != nil:
				w.fail(name, fmt.Errorf("%w: %s", errRead, reason(found.err)))
			default:
				w.images++
				id := w.name + "/" + name
				w.done = !w.yield(Entry{ID: id, Path: id[len(w.name)+1:], Size: found.size, ModTime: found.modTime}, nil)
			}
		}
	}
	next := 0
	for k, name := range below {
		if w.done || w.ctx.Err() != nil {
			return
		}
		for ; next < min(len(below), k+foldersAhead); next++ {
			w.readAhead(path.Join(rel, below[next]))
		}
		if real, rel := filepath.Join(real, name), path.Join(rel, name); !w.visited[real] {
			w.dir(rel, real)
		} else {
			delete(w.ahead, rel)
		}
	}
}

func (w *walk) fail(rel string, err error) {
	w.failed++
	if !w.done {
		w.done = !w.yield(Entry{ID: w.name + "/" + rel, Path: rel}, err)
	}
}

// nothing says why a listing has no image.
func (w *walk) nothing() error {
	switch {
	case w.failed > 0:
		return fmt.Errorf("no images in %q: %s could not be read", w.root, count(w.failed, "file or folder", "files or folders"))
	case w.others > 0:
		return fmt.Errorf("no images in %q: it has %s; %s are read", w.root, count(w.others, "other file", "other files"), readable)
	}
	return fmt.Errorf("no images in %q: it is empty; put images there, or name another folder", w.root)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

type kind int

const (
	isImage kind = iota
	isFolder
	isFolderLink
	isOther
	isHidden
)

// seen is what a look at one name of a folder found.
type seen struct {
	kind          kind
	size, modTime int64
	err           error
}

// look asks the file system about the names of one folder, several at a time: on a shared file system each answer is a round
// trip.
func (w *walk) look(rel string, items []fs.DirEntry) []seen {
	out := make([]seen, len(items))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(4*runtime.GOMAXPROCS(0), 1+len(items)/16) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(items) && w.ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				out[i] = w.lookAt(rel, items[i])
			}
		})
	}
	wg.Wait()
	return out
}

func (w *walk) lookAt(rel string, item fs.DirEntry) seen {
	name := item.Name()
	image := isImageName(name)
	switch {
	case strings.HasPrefix(name, "."):
		return seen{kind: isHidden}
	case item.IsDir():
		return seen{kind: isFolder}
	case item.Type()&fs.ModeSymlink != 0:
		info, err := os.Stat(w.at(path.Join(rel, name)))
		switch {
		case err == nil && info.IsDir():
			return seen{kind: isFolderLink}
		case err == nil && image && info.Mode().IsRegular():
			return seen{size: info.Size(), modTime: info.ModTime().UnixNano()}
		case err != nil && image:
			return seen{err: err}
		}
		return seen{kind: isOther}
	case !image || !item.Type().IsRegular():
		return seen{kind: isOther}
	}
	info, err := item.Info()
	if err != nil {
		return seen{err: err}
	}
	return seen{size: info.Size(), modTime: info.ModTime().UnixNano()}
}

func isImageName(name string) bool {
	name = strings.ToLower(name)
	for _, end := range []string{".jpg", ".jpeg", ".png", ".webp", ".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".tif", ".tiff"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
