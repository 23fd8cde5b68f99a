// Package session is the project as files: its folder and project.toml, the projects opened of late, labels as CSV, and undo.
package session

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/failpoint"
	"anomalymatch/internal/say"

	"github.com/BurntSushi/toml"
)

const projectFile = "project.toml"

// Project is an opened project folder.
type Project struct {
	Dir      string // absolute
	Name     string
	Sources  []Source
	Metadata []Metadata
	Config   anomalymatch.Config // defaults ← the person's file ← project.toml
	ReadOnly bool                // nothing can be written into the folder
	Notice   string              // for people, when ReadOnly: why, and what that means

	made made // by Create, for Discard
}

// Source is where images come from.
type Source struct {
	Name string `toml:"name"` // first part of the ids of its images; without slash
	Path string `toml:"path"` // absolute
	dataset.Reading
}

// Options of a new project.
type Options struct {
	Images  []string        // folders and containers; they stay where they are
	Reading dataset.Reading // of all of them
	Size    int             // width and height for the network, pixels; 0 = the default
	Prepare bool            // images.prepare
	Name    string          // for people; empty = the name of the project's folder

	Settings Values // more of them; Size and Prepare win
}

// description is the part of project.toml that is no setting.
type description struct {
	layout
	Name     string     `toml:"name,omitempty"`
	Sources  []Source   `toml:"source"`
	Metadata []Metadata `toml:"metadata,omitempty"`
}

// Create makes a project in dir, which must be empty or not exist, and opens it. The errors say what to do.
func Create(dir string, opt Options) (*Project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	sources, err := SourcesOf(opt.Images)
	if err != nil {
		return nil, err
	}
	for i := range sources {
		sources[i].Reading = opt.Reading
	}
	text, err := describe(description{Name: opt.Name, Sources: sources}, opt)
	if err != nil {
		return nil, err
	}
	if _, _, err := parse(projectFile, text, anomalymatch.Default()); err != nil {
		return nil, err
	}
	made := madeFiles
	list, err := os.ReadDir(dir)
	list = slices.DeleteFunc(list, func(d fs.DirEntry) bool { return atomicfile.IsPart(d.Name()) }) // of a Create that was killed
	switch {
	case errors.Is(err, fs.ErrNotExist):
		made = madeFolder
	case err != nil:
		return nil, fmt.Errorf("%s cannot be a project: %w; choose another folder", say.Path(dir), say.Cause(err))
	case slices.ContainsFunc(list, func(d fs.DirEntry) bool { return d.Name() == projectFile }):
		return nil, fmt.Errorf("%s is a project already: open it with `anomalymatch %s`", say.Path(dir), say.Path(dir))
	case len(list) > 0:
		return nil, fmt.Errorf("%s is not empty: choose a new folder for the project", say.Path(dir))
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("the project folder %s cannot be made: %w; choose a place where you may write", say.Path(dir), say.Cause(err))
	}
	failpoint.Hit(failpoint.ProjectFolder)
	if err := atomicfile.Bytes(filepath.Join(dir, projectFile), text); err != nil {
		_ = (&Project{Dir: dir, made: made}).Discard()
		return nil, fmt.Errorf("the project %s cannot be written: %w", say.Path(dir), say.Cause(err))
	}
	p, err := Open(dir)
	if err != nil { // the person's own settings
		_ = (&Project{Dir: dir, made: made}).Discard()
		return nil, err
	}
	p.made = made
	return p, nil
}

// Open reads the project in dir. The error for what is no project says how to make one; those about settings name file and line.
func Open(dir string) (*Project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, projectFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no project: %s; make one with `anomalymatch new PROJECT --images FOLDER`", say.Path(dir), missing(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("the project %s cannot be read: %w", say.Path(file), say.Cause(err))
	}
	settings, err := anomalymatch.Load(anomalymatch.UserFile())
	if err != nil {
		return nil, err
	}
	d, settings, err := parse(file, text, settings)
	if err != nil {
		return nil, err
	}
	p := &Project{Dir: dir, Name: d.Name, Sources: d.Sources, Metadata: d.Metadata, Config: settings}
	if p.Name == "" {
		p.Name = filepath.Base(dir)
	}
	if err := writable(dir); err != nil {
		p.ReadOnly = true
		p.Notice = fmt.Sprintf("%s cannot be written to (%v): look around, but labels and training are not kept", say.Path(dir), say.Cause(err))
	}
	return p, nil
}

// Sub is a path in the project's folder.
func (p *Project) Sub(elem ...string) string {
	return filepath.Join(append([]string{p.Dir}, elem...)...)
}

func missing(dir string) string {
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		return "there is no such folder"
	case !st.IsDir():
		return "it is not a folder"
	}
	return "there is no " + projectFile + " in it"
}

// parse reads project.toml over the settings below it, and checks the sources.
func parse(file string, text []byte, settings anomalymatch.Config) (description, anomalymatch.Config, error) {
	var d description
	if err := newerProject(file, text); err != nil {
		return d, settings, err
	}
	if err := settings.Overlay(file, text, &d); err != nil {
		return d, settings, err
	}
	if !readable(d.Name) {
		return d, settings, fmt.Errorf("%s: the name %q cannot be shown: use letters", say.Path(file), d.Name)
	}
	if len(d.Sources) == 0 {
		return d, settings, fmt.Errorf(`%s names no images: add a [[source]] with name = "images" and path = "/where/they/are"`, say.Path(file))
	}
	seen := map[string]bool{}
	for i, s := range d.Sources {
		what := ""
		switch {
		case s.Name == "" || strings.ContainsAny(s.Name, `/\`) || s.Name == "." || s.Name == ".." || !readable(s.Name):
			what = "needs a name of letters and digits, without slash"
		case seen[s.Name]:
			what = "has the name of another one"
		case s.Path == "":
			what = "has no path"
		default:
			if err := s.Check(); err != nil {
				what = "cannot be read so: " + err.Error()
			}
		}
		if what != "" {
			return d, settings, fmt.Errorf("%s: [[source]] number %d (%q) %s", say.Path(file), i+1, s.Name, what)
		}
		seen[s.Name] = true
		if !filepath.IsAbs(s.Path) {
			d.Sources[i].Path = filepath.Join(filepath.Dir(file), s.Path)
		}
	}
	for i, m := range d.Metadata {
		if m.File == "" {
			return d, settings, fmt.Errorf("%s: [[metadata]] number %d has no file", say.Path(file), i+1)
		}
		if !filepath.IsAbs(m.File) {
			d.Metadata[i].File = filepath.Join(filepath.Dir(file), m.File)
		}
	}
	return d, settings, nil
}

// describe is the text of a new project.toml.
func describe(d description, opt Options) ([]byte, error) {
	for _, s := range append([]string{d.Name}, paths(d.Sources)...) {
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("%q is not UTF-8: rename it", s)
		}
	}
	set := map[string]any{}
	for table, keys := range opt.Settings {
		if table == "" {
			maps.Copy(set, map[string]any(keys))
		} else {
			set[table] = maps.Clone(keys)
		}
	}
	also := func(table, key string, v any) {
		keys, _ := set[table].(map[string]any)
		if keys == nil {
			keys = map[string]any{}
		}
		keys[key], set[table] = v, keys
	}
	if opt.Size != 0 {
		also("model", "size", opt.Size)
	}
	if opt.Prepare {
		also("images", "prepare", true)
	}
	// What stands at the top of the file comes before its tables: the settings that have none, the sources, the others.
	tables := map[string]any{}
	for key, v := range set {
		if _, ok := v.(map[string]any); ok {
			tables[key] = v
			delete(set, key)
		}
	}
	var text []byte
	for _, part := range []any{set, d, tables} {
		t, err := toml.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", projectFile, err)
		}
		if len(t) > 0 && len(text) > 0 && text[len(text)-1] == '\n' && t[0] == '[' {
			text = append(text, '\n')
		}
		text = append(text, t...)
	}
	const head = "# Where the images of this project are, and the settings in which it differs from yours.\n" +
		"# A source's name is the first part of its images' ids: keep it once there are labels.\n\n"
	return append([]byte(head), text...), nil
}

func paths(sources []Source) []string {
	var all []string
	for _, s := range sources {
		all = append(all, s.Path)
	}
	return all
}

// SourcesOf makes sources of image folders and containers: absolute paths, named after their last part, made unique. The errors say what to do.
func SourcesOf(folders []string) ([]Source, error) {
	if len(folders) == 0 {
		return nil, errors.New("a project needs images: name their folder or file with --images PATH")
	}
	var sources []Source
	for _, folder := range folders {
		path, err := filepath.Abs(folder)
		if err != nil {
			return nil, err
		}
		switch st, err := os.Stat(path); {
		case Pickled(path) != "":
			return nil, errors.New(Pickled(path))
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("there are no images at %s: check the path", say.Path(path))
		case err != nil:
			return nil, fmt.Errorf("the images at %s cannot be opened: %w", say.Path(path), say.Cause(err))
		case !st.IsDir() && !dataset.IsContainer(path):
			return nil, fmt.Errorf("%s is a file of a kind that is not read: name the folder that the images are in, or one of these: %s", say.Path(path), dataset.Containers())
		}
		if slices.Contains(paths(sources), path) {
			return nil, fmt.Errorf("%s is named twice", say.Path(path))
		}
		sources = append(sources, Source{Name: sourceName(path, sources), Path: path})
	}
	return sources, nil
}

func sourceName(path string, taken []Source) string {
	base := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r == '/' || r == '\\' || !unicode.IsPrint(r) {
			return '-'
		}
		return r
	}, filepath.Base(path))
	base = strings.TrimLeft(base, "=+-@＝＋－＠") // ids begin with it, and spreadsheets take such a cell for a formula
	if strings.Trim(base, "-.") == "" {
		base = "images"
	}
	name := base
	for n := 2; slices.ContainsFunc(taken, func(s Source) bool { return s.Name == name }); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

// readable: it can be shown as it is, on one line.
func readable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
