package session

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"anomalymatch/engine/label"
	"anomalymatch/internal/say"
	"anomalymatch/session/journal"
)

// LabelFiles are files with labels of other people.
type LabelFiles struct {
	Journals []string
	CSVs     []string
}

// FindLabelFiles sorts files by what they are. Of a folder all journals in it count, of a project those of its labels folder.
func FindLabelFiles(paths []string) (LabelFiles, error) {
	var out LabelFiles
	for _, path := range paths {
		st, err := os.Stat(path)
		switch {
		case err != nil:
			return out, fmt.Errorf("%s cannot be read: %w", say.Path(path), say.Cause(err))
		case st.IsDir():
			found, err := journalsIn(path)
			if err != nil {
				return out, err
			}
			out.Journals = append(out.Journals, found...)
		case strings.EqualFold(filepath.Ext(path), ".csv"):
			out.CSVs = append(out.CSVs, path)
		default:
			out.Journals = append(out.Journals, path)
		}
	}
	return out, nil
}

func journalsIn(dir string) (found []string, err error) {
	in := dir
	if _, err := os.Stat(filepath.Join(dir, projectFile)); err == nil {
		in = filepath.Join(dir, "labels")
	}
	list, err := os.ReadDir(in)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s cannot be read: %w", say.Path(in), say.Cause(err))
	}
	for _, d := range list {
		if filepath.Ext(d.Name()) == ".jsonl" && !strings.HasPrefix(d.Name(), ".") {
			found = append(found, filepath.Join(in, d.Name()))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there are no journals (WRITER.jsonl) in %s", say.Path(in))
	}
	return found, nil
}

// Merged is what became of one journal of another copy of the project.
type Merged struct {
	Path     string
	Writer   string
	Standing journal.Standing
	Events   int // in it
	Added    int // of them, new here
	Unknown  int // images that are not in this project
}

// MergeJournals brings journals into the labels folder dir of a project; known tells whether an image is in it. All of them are read and
// checked before anything is written: on an error about one of them nothing was, unless the disk failed. Nothing that is in dir is changed.
func MergeJournals(dir string, paths []string, known func(id string) bool) ([]Merged, error) {
	var all []journal.Foreign
	var merged []Merged
	at := map[string]int{} // by writer
	for _, path := range paths {
		f, err := journal.ReadForeign(path)
		if err != nil {
			return nil, err
		}
		if k, again := at[f.Name]; again { // two copies of one journal: the longer one counts
			standing, err := f.Same(all[k])
			if err != nil {
				return nil, fmt.Errorf("%s and %s are journals of one name that went different ways: rename one of them", say.Path(all[k].Path), say.Path(path))
			}
			if standing == journal.Known {
				continue
			}
			all[k], merged[k] = f, Merged{Path: path, Writer: f.Name}
		} else {
			at[f.Name] = len(all)
			all, merged = append(all, f), append(merged, Merged{Path: path, Writer: f.Name})
		}
	}
	for k, f := range all {
		m := &merged[k]
		ids := map[string]bool{}
		for _, e := range f.Events {
			if !ids[e.ID] && !known(e.ID) {
				m.Unknown++
			}
			ids[e.ID] = true
		}
		if m.Events = len(f.Events); m.Unknown > 0 && m.Unknown == len(ids) {
			return nil, fmt.Errorf("none of the images of %s is in this project: it belongs to another one", say.Path(f.Path))
		}
		var err error
		if m.Standing, err = f.Compare(dir); err != nil {
			return nil, err
		}
	}
	for k, f := range all {
		if merged[k].Standing == journal.Known {
			continue
		}
		var err error
		if merged[k].Added, err = f.Into(dir); err != nil {
			return merged[:k], err
		}
	}
	return merged, nil
}

// Opinions is what a labels CSV of one writer adds to what they have said already: the changes, which replace labels in force.
type Opinions struct {
	Import
	Replaced int // labels in force that the file says otherwise about
}

// PlanOpinions matches the rows of a CSV of one writer with images: own is what that writer has said of each image, current what is in
// force. What others said alike is an opinion all the same.
func PlanOpinions(rows []LabelRow, match func(name string) (int, error), id func(i int) string, own, current map[string]label.Value) Opinions {
	plan := Opinions{Import: PlanImport(rows, match, id, own)}
	for k, c := range plan.Changes {
		was := current[c.ID]
		plan.Changes[k].From = was
		if was != label.None && was != c.To {
			plan.Replaced++
		}
	}
	return plan
}

// Own is the newest opinion of a writer about each image.
func Own(events []journal.Event, by string) map[string]label.Value {
	own := map[string]label.Value{}
	for _, e := range events {
		if e.By == by && e.Mark == "" {
			own[e.ID] = e.To
		}
	}
	return own
}
