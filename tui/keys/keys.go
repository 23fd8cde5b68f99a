// Package keys holds every key of the program in one table: which keys, what they do, and why they do nothing just now. Help,
// hints and docs/keys.md are made from it.
package keys

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// State is what a binding has to know to tell whether it works just now.
type State struct {
	Page       string // gallery, single, compare, training, scores, preparation, map, labels, jobs, settings
	Candidates int    // images in the list
	Label      string // of the selected image
	Picture    string // why the selected image cannot be labelled; empty when its picture is on screen
	Anomalies  int64
	Normals    int64
	Job        string // running job: indexing, embedding, training, scoring, installing; empty when idle
	Connected  bool
	Embedded   bool // the images can be compared
	CanUndo    bool
	CanRedo    bool
	Unsaved    int
	Stuck      string // why labels can be kept nowhere; empty: they can
	SignIn     bool   // the host wants the person to sign in again
	Runs       int    // of a sweep that are over
	Columns    int    // of the metadata

	Here func(id string) string // why the page takes nothing of an action just now; nil: it never refuses
}

// Binding is one thing that keys do.
type Binding struct {
	ID       string             // what config.toml calls it
	Keys     []string           // as Bubble Tea names them
	Does     string             // for the help and docs/keys.md
	Hint     string             // two words at most, for the hint line
	Group    string             // heading in the help
	Pages    []string           // where it works; empty: everywhere
	Yields   bool               // its keys go to another action that a person gives them to
	Disabled func(State) string // why it does nothing just now; empty or nil: it works
}

// Why tells why the binding does nothing in this state; empty when it works.
func (b Binding) Why(s State) string {
	if len(b.Pages) > 0 && !slices.Contains(b.Pages, s.Page) {
		return "works " + where(b.Pages)
	}
	if b.Group == "Label" && s.Stuck != "" {
		return "labels can be kept nowhere: " + s.Stuck
	}
	if b.Disabled != nil {
		if why := b.Disabled(s); why != "" {
			return why
		}
	}
	if s.Here != nil {
		return s.Here(b.ID)
	}
	return ""
}

// where names pages as people do.
func where(names []string) string {
	var said []string
	for _, n := range names {
		switch n {
		case "gallery":
			n = "in the gallery"
		case "single":
			n = "on the large picture"
		case "compare":
			n = "when comparing"
		case "map":
			n = "on the map"
		default:
			n = "on the " + n + " page"
		}
		said = append(said, n)
	}
	if n := len(said); n > 2 {
		said = append(said[:n-2], said[n-2]+" and "+said[n-1])
		return strings.Join(said, ", ")
	}
	return strings.Join(said, " and ")
}

// Label is the first key as a person reads it.
func (b Binding) Label() string {
	if len(b.Keys) == 0 {
		return ""
	}
	return Pretty(b.Keys[0])
}

// Map finds bindings by key and by id.
type Map struct {
	list  []Binding
	byKey map[string]int
	byID  map[string]int
}

// Load makes the map of a table with other keys for some ids, as [keys] in config.toml names them. An unknown id, an unknown key
// and a key that would do two things are errors; an empty list leaves the action without a key.
func Load(table []Binding, other map[string][]string) (Map, error) {
	m := Map{byKey: map[string]int{}, byID: map[string]int{}}
	for i, b := range table {
		b.Keys = slices.Clone(b.Keys)
		m.list = append(m.list, b)
		m.byID[b.ID] = i
	}
	ids := make([]string, 0, len(other))
	for id := range other {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		i, ok := m.byID[id]
		if !ok {
			return Map{}, fmt.Errorf("[keys] in config.toml: there is no action %q; docs/keys.md lists them", id)
		}
		m.list[i].Keys = nil
		for _, k := range other[id] {
			name, err := Name(k)
			if err != nil {
				return Map{}, fmt.Errorf("[keys] in config.toml: %s: %w", id, err)
			}
			m.list[i].Keys = append(m.list[i].Keys, name)
		}
	}
	for i, b := range m.list {
		if b.Yields && other[b.ID] == nil {
			m.list[i].Keys = slices.DeleteFunc(b.Keys, func(k string) bool { return given(m, other, k) })
		}
	}
	for i, b := range m.list {
		for _, k := range b.Keys {
			if j, taken := m.byKey[k]; taken && j != i {
				return Map{}, fmt.Errorf("[keys] in config.toml: the key %s is taken twice, by %s and by %s", Pretty(k), m.list[j].ID, b.ID)
			}
			m.byKey[k] = i
		}
	}
	if quit, ok := m.byID["quit"]; ok && len(m.list[quit].Keys) == 0 {
		return Map{}, fmt.Errorf("[keys] in config.toml: quit needs a key")
	}
	return m, nil
}

// given tells whether a person gave a key to an action.
func given(m Map, other map[string][]string, key string) bool {
	for id := range other {
		if slices.Contains(m.list[m.byID[id]].Keys, key) {
			return true
		}
	}
	return false
}

// Match finds the binding of a pressed key.
func (m Map) Match(key string) (Binding, bool) {
	i, ok := m.byKey[key]
	if !ok {
		return Binding{}, false
	}
	return m.list[i], true
}

// Pick returns the bindings with these ids, in this order; unknown ids are left out.
func (m Map) Pick(ids ...string) []Binding {
	var out []Binding
	for _, id := range ids {
		if i, ok := m.byID[id]; ok {
			out = append(out, m.list[i])
		}
	}
	return out
}

// Hinted gives bindings other words for the hint line, by their ids: what they mean on one page.
func Hinted(all []Binding, hints map[string]string) []Binding {
	for i, b := range all {
		if hint, ok := hints[b.ID]; ok {
			all[i].Hint = hint
		}
	}
	return all
}

// Label is the first key of an action as a person reads it; "(no key)" for one without.
func (m Map) Label(id string) string {
	if i, ok := m.byID[id]; ok && len(m.list[i].Keys) > 0 {
		return m.list[i].Label()
	}
	return "(no key)"
}

// All returns every binding in the order of the table.
func (m Map) All() []Binding { return slices.Clone(m.list) }

var named = map[string]string{ // what people write → what Bubble Tea says
	"enter": "enter", "return": "enter", "esc": "esc", "escape": "esc", "tab": "tab", "space": "space", " ": "space",
	"backspace": "backspace", "delete": "delete", "del": "delete", "insert": "insert", "home": "home", "end": "end",
	"up": "up", "down": "down", "left": "left", "right": "right",
	"pgup": "pgup", "pageup": "pgup", "pgdown": "pgdown", "pgdn": "pgdown", "pagedown": "pgdown",
}

// Name turns a key as a person writes it into Bubble Tea's name: "Ctrl+T" → "ctrl+t", "pgdn" → "pgdown".
func Name(s string) (string, error) {
	rest, mods := s, ""
	for _, mod := range []string{"ctrl+", "alt+", "shift+"} { // in the order Bubble Tea writes them
		if n := len(mod); len(rest) > n && strings.EqualFold(rest[:n], mod) {
			mods += mod
			rest = rest[n:]
		}
	}
	if n, ok := named[strings.ToLower(rest)]; ok {
		return mods + n, nil
	}
	if r := []rune(rest); len(r) >= 2 && (r[0] == 'f' || r[0] == 'F') {
		var n int
		if _, err := fmt.Sscanf(string(r[1:]), "%d", &n); err == nil && n >= 1 && n <= 20 && fmt.Sprint(n) == string(r[1:]) {
			return mods + fmt.Sprintf("f%d", n), nil
		}
	}
	if r, n := utf8.DecodeRuneInString(rest); n == len(rest) && n > 0 && unicode.IsPrint(r) && r != utf8.RuneError {
		switch {
		case mods == "shift+": // a letter with shift arrives as the letter it makes
			return string(unicode.ToUpper(r)), nil
		case mods != "":
			return mods + string(unicode.ToLower(r)), nil
		}
		return rest, nil
	}
	return "", fmt.Errorf("%q is no key; write for example a, X, ctrl+t, pgdown, f5", s)
}

// Pretty is a key's name for the screen.
func Pretty(key string) string {
	switch key {
	case "left":
		return "←"
	case "right":
		return "→"
	case "up":
		return "↑"
	case "down":
		return "↓"
	case "pgdown":
		return "pgdn"
	}
	return key
}

// Markdown writes docs/keys.md.
func (m Map) Markdown() string {
	var b strings.Builder
	b.WriteString("# Keys\n\nMade from the table in `tui/keys/table.go` (`go test ./tui/keys -update`). The ids are what `[keys]` in `config.toml` calls the actions:\n" +
		"`train = [\"ctrl+t\", \"f5\"]` replaces the keys of `train`. Pasted text never labels, and a label key that is held down labels once.\n")
	group := ""
	for _, k := range m.list {
		if k.Group != group {
			group = k.Group
			fmt.Fprintf(&b, "\n## %s\n\n| keys | does | id |\n| --- | --- | --- |\n", group)
		}
		var names []string
		for _, key := range k.Keys {
			names = append(names, "`"+Pretty(key)+"`")
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` |\n", strings.Join(names, " "), k.Does, k.ID)
	}
	return b.String()
}
