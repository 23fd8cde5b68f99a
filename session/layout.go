package session

import (
	"fmt"
	"slices"

	"anomalymatch"
	"anomalymatch/internal/say"

	"github.com/BurntSushi/toml"
)

// Layout is the version of how a project is laid out on disk. project.toml says it from 2 on: without the key it is 1. Whoever changes the layout so that
// an older program would read something wrong, or spoil it - also by another format of checkpoints or scores, whose names it would write over - raises
// this, keeps what is in upgrade/testdata readable, and has project.toml say
//
//	layout = 2
//	program = "1.4.0"        # which opens it; for people
//
// What only some projects need is named instead, so that an older program opens the others: features = ["name"].
const Layout = 1

// Features are what this program knows of them.
var Features = []string{}

// layout is the part of project.toml that every program understands, whatever else is in there.
type layout struct {
	Layout   int      `toml:"layout,omitzero"`
	Features []string `toml:"features,omitempty"`
	Program  string   `toml:"program,omitempty"`
}

// newerProject says which program is needed for project.toml where it is not this one. It comes before everything else in the file is looked at: a newer
// one may hold what would be a mistake here.
func newerProject(file string, text []byte) error {
	var l struct {
		Layout   any `toml:"layout"`
		Features any `toml:"features"`
		Program  any `toml:"program"`
	}
	if _, err := toml.Decode(string(text), &l); err != nil {
		return nil // told with its line by who reads the rest
	}
	why := ""
	switch n, ok := l.Layout.(int64); {
	case l.Layout == nil, ok && n == Layout:
	case ok && n < 1, !ok:
		return fmt.Errorf("%s: layout must be a whole number from 1 on", say.Path(file))
	case n > Layout:
		why = fmt.Sprintf("is of layout %d, and this version (%s) knows layouts up to %d", n, say.Text(anomalymatch.Version), Layout)
	}
	features, ok := l.Features.([]any)
	if !ok && l.Features != nil {
		return fmt.Errorf("%s: features must be a list of texts", say.Path(file))
	}
	for _, f := range features {
		if name, ok := f.(string); why == "" && (!ok || !slices.Contains(Features, name)) {
			why = fmt.Sprintf("needs %q, which this version (%s) does not know", say.Text(fmt.Sprint(f)), say.Text(anomalymatch.Version))
		}
	}
	if why == "" {
		return nil
	}
	get := "the newest version of anomalymatch"
	if p, ok := l.Program.(string); ok && p != "" {
		get = fmt.Sprintf("anomalymatch %s or a later version", say.Text(p))
	}
	return fmt.Errorf("%s is the project of a newer program: it %s; get %s. Nothing was changed", say.Path(file), why, get)
}
