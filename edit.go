package anomalymatch

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
)

// SetKey changes one setting in a TOML text, or adds it: key is "fixmatch.iterations", value what would stand after its "=". The empty
// value takes the key away. All else stays byte for byte: comments, order, blanks. The errors are one sentence.
func SetKey(text []byte, key, value string) ([]byte, error) {
	path, ok := dotted(key)
	if !ok {
		return nil, fmt.Errorf("%s is no key", printable(key))
	}
	want := map[string]any{}
	if _, err := toml.Decode(string(text), &want); err != nil {
		return nil, syntaxError("the settings", text, err)
	}
	if value == "" {
		remove(want, path)
	} else {
		if err := Check(key, value); err != nil {
			return nil, err
		}
		if !insert(want, path, Value(value)) {
			return nil, fmt.Errorf("%s cannot be set: something above it in the file is no table", printable(key))
		}
	}
	out, err := scan(string(text)).set(path, value)
	if err != nil {
		return nil, err
	}
	// The scanner knows less of TOML than the decoder: what it wrote is read again.
	after := map[string]any{}
	if _, err := toml.Decode(out, &after); err != nil || !same(pruned(want), pruned(after)) {
		return nil, fmt.Errorf("%s cannot be changed in the way the file is written: change it there by hand", printable(key))
	}
	return []byte(out), nil
}

// SetIn changes one key of the element number n, from 0, of a list of tables, as the [[source]] of a project.toml are, in the way of SetKey. What a
// value may be is the caller's to know.
func SetIn(text []byte, list string, n int, key, value string) ([]byte, error) {
	want, after := map[string]any{}, map[string]any{}
	if _, err := toml.Decode(string(text), &want); err != nil {
		return nil, syntaxError("the settings", text, err)
	}
	all, _ := want[list].([]map[string]any)
	if n < 0 || n >= len(all) {
		return nil, fmt.Errorf("there is no [[%s]] number %d", list, n+1)
	}
	if delete(all[n], key); value != "" {
		all[n][key] = Value(value)
	}
	out := scan(string(text)).setIn(list, n, key, value)
	if _, err := toml.Decode(out, &after); err != nil || !same(want, after) {
		return nil, fmt.Errorf("[[%s]] number %d cannot be changed in the way the file is written: change its %s there by hand", list, n+1, printable(key))
	}
	return []byte(out), nil
}

// Check tells whether a setting may have a value, written as in a TOML file. The error is one sentence.
func Check(key, value string) error {
	path, ok := dotted(key)
	if !ok {
		return fmt.Errorf("%s is no key", printable(key))
	}
	v := Value(value)
	if v == nil {
		want := ""
		if s, ok := find(path); ok {
			t := s.value.Type()
			want, _ = typeNames(t)
		}
		if want == "" {
			return fmt.Errorf("%s: %s is no value", printable(key), printable(value))
		}
		return fmt.Errorf("%s must be %s", printable(key), want)
	}
	if _, table := v.(map[string]any); table {
		return fmt.Errorf("%s: a table is no value; set its keys one by one", printable(key))
	}
	c := Default()
	err := c.Overlay("x", []byte(Key(path)+" = "+value+"\n"), nil)
	if err == nil {
		return nil
	}
	_, sentence, _ := strings.Cut(err.Error(), ":")
	if n, rest, ok := strings.Cut(sentence, ": "); ok && !strings.ContainsFunc(n, func(r rune) bool { return r < '0' || r > '9' }) {
		sentence = rest
	}
	return errors.New(strings.TrimSpace(sentence))
}

// known are the settings and their tables.
var known = sync.OnceValue(func() []setting {
	c := Default()
	return settings(&c)
})

// find is the setting at a path; a profile's keys are those of the one called NAME.
func find(path []string) (setting, bool) {
	if len(path) == 3 && path[0] == "cluster" {
		path = []string{"cluster", profileDefaults, path[2]}
	}
	for _, s := range known() {
		if slices.Equal(s.path, path) {
			return s, true
		}
		if s.value.Kind() == reflect.Map && len(path) == len(s.path)+1 && slices.Equal(s.path, path[:len(s.path)]) && s.value.Type().Elem().Kind() != reflect.Struct {
			return setting{path: path, value: reflect.New(s.value.Type().Elem()).Elem()}, true
		}
	}
	return setting{}, false
}

// Value is the value that a TOML text is; nil where it is none, or more than one.
func Value(value string) any {
	if end := scanValue(value, 0); end != len(value) || value == "" {
		return nil
	}
	m := map[string]any{}
	if _, err := toml.Decode("x = "+value+"\n", &m); err != nil || len(m) != 1 {
		return nil
	}
	return m["x"]
}

// TOML writes a value as TOML does.
func TOML(v any) string {
	b, err := toml.Marshal(map[string]any{"x": v})
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(b), "x = "), "\n")
}

// Values are the settings of c as TOML writes them, by their keys.
func (c Config) Values() map[string]string {
	all := map[string]string{}
	for _, s := range settings(&c) {
		switch s.value.Kind() {
		case reflect.Struct:
		case reflect.Map:
			if s.value.Type().Elem().Kind() != reflect.Struct {
				for _, k := range s.value.MapKeys() {
					all[Key(append(slices.Clone(s.path), k.String()))] = TOML(s.value.MapIndex(k).Interface())
				}
			}
		case reflect.Slice:
			if s.value.IsNil() {
				all[Key(s.path)] = "[]"
				continue
			}
			all[Key(s.path)] = TOML(s.value.Interface())
		default:
			all[Key(s.path)] = TOML(s.value.Interface())
		}
	}
	return all
}

// Says lists the settings that a TOML text names, in its order; what is no setting is left out.
func Says(text []byte) []string {
	md, err := toml.Decode(string(text), new(map[string]any))
	if err != nil {
		return nil
	}
	var all []string
	for _, key := range md.Keys() {
		if _, known := find(key); known && md.Type(key...) != "Hash" {
			all = append(all, Key(key))
		}
	}
	return all
}

// Doc is a setting as config.toml documents it.
type Doc struct {
	Key     string   // "fixmatch.iterations"; "keys" and "cluster.NAME.gpus" stand for several
	Help    string   // one or more sentences
	Allowed string   // what may be written, in words
	Words   []string // where it is one of these: the values as TOML writes them
	Kind    reflect.Kind
	Default string // as TOML writes it
}

// Docs are all settings in the order of config.toml, and what it says of each table, by the table's name; "" is above all tables.
func Docs() (all []Doc, tables map[string]string) {
	tables = map[string]string{}
	c := Default()
	values := c.Values()
	var comment []string
	table := ""
	for _, l := range strings.Split(string(defaults), "\n") {
		l = strings.TrimSpace(l)
		said := strings.Join(comment, " ")
		switch {
		case strings.HasPrefix(l, "#"):
			comment = append(comment, strings.TrimSpace(strings.TrimPrefix(l, "#")))
			continue
		case strings.HasPrefix(l, "["):
			table = strings.Trim(l, "[]")
			tables[table] = said
		case l != "":
			name, _, _ := strings.Cut(l, "=")
			path := []string{strings.TrimSpace(name)}
			if table != "" {
				path = append(strings.Split(table, "."), path...)
			}
			s, ok := find(path)
			if !ok {
				break
			}
			d := Doc{Key: Key(path), Help: said, Allowed: s.describe(), Kind: s.value.Kind(), Default: values[Key(path)]}
			if d.Allowed != "" {
				d.Help = strings.TrimSpace(strings.TrimSuffix(said, "["+d.Allowed+"]"))
			}
			for _, w := range s.words() {
				if s.value.Kind() == reflect.String {
					w = TOML(w)
				}
				d.Words = append(d.Words, w)
			}
			if s.value.Kind() == reflect.Bool {
				d.Words = []string{"true", "false"}
			}
			all = append(all, d)
		}
		comment = nil
	}
	return all, tables
}

// statement is a line of a TOML text that says something: a key with its value, or the head of a table.
type statement struct {
	path       []string // from the top
	section    []string // table in which it stands
	head, list bool     // [path], [[path]]
	start      int      // of the key
	value, end int      // of the value, or of the head
	after      int      // of the line, its comment and its newline
}

// document is a TOML text with the places of its statements.
type document struct {
	text string
	all  []statement
}

// scan finds the statements of a text that a decoder has accepted.
func scan(text string) document {
	d := document{text: text}
	i := 0
	if strings.HasPrefix(text, "\ufeff") {
		i = 3
	}
	var section []string
	for {
		for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
			i++
		}
		if i >= len(text) {
			return d
		}
		if text[i] == '#' {
			i = lineEnd(text, i)
			continue
		}
		s := statement{start: i, section: section}
		if text[i] == '[' {
			s.head = true
			i++
			if i < len(text) && text[i] == '[' {
				s.list = true
				i++
			}
			s.path, i = scanKey(text, i)
			for i < len(text) && text[i] == ']' {
				i++
			}
			section = s.path
			s.value, s.end = i, i
		} else {
			var name []string
			name, i = scanKey(text, i)
			s.path = append(slices.Clone(section), name...)
			if i < len(text) && text[i] == '=' {
				i++
			}
			i = blanks(text, i)
			s.value = i
			i = scanValue(text, i)
			s.end = i
		}
		s.after = lineEnd(text, i)
		i = s.after
		d.all = append(d.all, s)
	}
}

func blanks(text string, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
		i++
	}
	return i
}

// lineEnd is where the next line begins.
func lineEnd(text string, i int) int {
	if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(text)
}

// scanKey reads a dotted key up to its = or ].
func scanKey(text string, i int) (path []string, end int) {
	for i < len(text) {
		i = blanks(text, i)
		from := i
		switch {
		case i < len(text) && (text[i] == '"' || text[i] == '\''):
			i = scanString(text, i)
			name, _ := Value(text[from:i]).(string)
			path = append(path, name)
		default:
			for i < len(text) && strings.IndexByte(" \t.=]\r\n", text[i]) < 0 {
				i++
			}
			path = append(path, text[from:i])
		}
		i = blanks(text, i)
		if i >= len(text) || text[i] != '.' {
			break
		}
		i++
	}
	return path, i
}

// scanString returns the end of the string of any kind that begins at i.
func scanString(text string, i int) int {
	q := text[i]
	triple := strings.Repeat(string(q), 3)
	if strings.HasPrefix(text[i:], triple) {
		for i += 3; i < len(text); i++ {
			if q == '"' && text[i] == '\\' {
				i++
				continue
			}
			if strings.HasPrefix(text[i:], triple) {
				i += 3
				for n := 0; n < 2 && i < len(text) && text[i] == q; n++ { // """a""""" ends in two quotes of its own
					i++
				}
				return i
			}
		}
		return len(text)
	}
	for i++; i < len(text) && text[i] != '\n'; i++ {
		if q == '"' && text[i] == '\\' {
			i++
		} else if text[i] == q {
			return i + 1
		}
	}
	return min(i, len(text))
}

// scanValue returns the end of the value that begins at i.
func scanValue(text string, i int) int {
	if i >= len(text) {
		return i
	}
	switch text[i] {
	case '"', '\'':
		return scanString(text, i)
	case '[', '{':
		depth := 0
		for i < len(text) {
			switch text[i] {
			case '"', '\'':
				i = scanString(text, i)
				continue
			case '#':
				i = lineEnd(text, i)
				continue
			case '[', '{':
				depth++
			case ']', '}':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(text)
	}
	from := i
	for i < len(text) && text[i] != '#' && text[i] != '\n' {
		i++
	}
	return from + len(strings.TrimRight(text[from:i], " \t\r"))
}

// set changes, adds or (value "") takes away the key at path.
func (d document) set(path []string, value string) (string, error) {
	table := path[:len(path)-1]
	near, head, root := -1, -1, -1 // last statement with keys of the same table, the table's head, the last one above all tables
	for i, s := range d.all {
		switch {
		case s.head && !s.list && slices.Equal(s.path, table):
			head = i
		case s.head:
		case slices.Equal(s.path, path):
			return d.replace(s, value), nil
		case len(s.path) < len(path) && slices.Equal(s.path, path[:len(s.path)]) && strings.HasPrefix(d.text[s.value:s.end], "{"):
			return "", fmt.Errorf("%s is written on one line in braces: change it in the file by hand", printable(Key(s.path)))
		case len(table) > 0 && len(s.path) > len(table) && slices.Equal(s.path[:len(table)], table):
			near = i
		}
		if !s.head && len(s.section) == 0 {
			root = i
		}
	}
	newline := "\n"
	if n := strings.IndexByte(d.text, '\n'); n > 0 && d.text[n-1] == '\r' {
		newline = "\r\n"
	}
	line := func(under []string) string { return Key(path[len(under):]) + " = " + value + newline }
	switch {
	case value == "":
		return d.text, nil
	case head >= 0: // after the last key that stands under it
		at := d.all[head]
		indent := ""
		for _, s := range d.all[head+1:] {
			if s.head {
				break
			}
			at, indent = s, d.indent(s)
		}
		return d.insert(at.after, indent+line(table), newline), nil
	case near >= 0: // fixmatch.ema = 1
		s := d.all[near]
		return d.insert(s.after, d.indent(s)+line(s.section), newline), nil
	case len(table) == 0 && root >= 0:
		return d.insert(d.all[root].after, d.indent(d.all[root])+line(nil), newline), nil
	case len(table) == 0 && len(d.all) > 0: // above the first table and what is said of it
		at := strings.LastIndexByte(d.text[:d.all[0].start], '\n') + 1
		for at > 0 {
			before := strings.LastIndexByte(d.text[:at-1], '\n') + 1
			if !strings.HasPrefix(strings.TrimSpace(d.text[before:at]), "#") {
				break
			}
			at = before
		}
		if at == 0 && strings.HasPrefix(d.text, "\ufeff") {
			at = 3
		}
		return d.insert(at, line(nil)+newline, newline), nil
	case len(table) == 0:
		return d.insert(len(d.text), line(nil), newline), nil
	}
	gap := newline
	if t := strings.TrimRight(d.text, " \t"); t == "" || strings.HasSuffix(t, newline+newline) {
		gap = ""
	}
	return d.insert(len(d.text), gap+"["+Key(table)+"]"+newline+line(table), newline), nil
}

// setIn changes, adds or (value "") takes away a key of element n of a list of tables.
func (d document) setIn(list string, n int, key, value string) string {
	for i, s := range d.all {
		if !s.head || !s.list || !slices.Equal(s.path, []string{list}) {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		last, indent := s, ""
		for _, s := range d.all[i+1:] {
			if s.head {
				break
			}
			if slices.Equal(s.path, []string{list, key}) {
				return d.replace(s, value)
			}
			last, indent = s, d.indent(s)
		}
		if value == "" {
			break
		}
		newline := "\n"
		if strings.HasSuffix(d.text[:last.after], "\r\n") {
			newline = "\r\n"
		}
		return d.insert(last.after, indent+Key([]string{key})+" = "+value+newline, newline)
	}
	return d.text
}

// indent is the blank in front of a statement.
func (d document) indent(s statement) string {
	from := strings.LastIndexByte(d.text[:s.start], '\n') + 1
	if blank := d.text[from:s.start]; strings.Trim(blank, " \t") == "" {
		return blank
	}
	return ""
}

// insert puts whole lines in at a place where a line begins, or the text ends.
func (d document) insert(at int, lines, newline string) string {
	before := d.text[:at]
	if before != "" && before != "\ufeff" && !strings.HasSuffix(before, "\n") {
		before += newline
	}
	return before + lines + d.text[at:]
}

// replace changes the value of a statement; the empty value takes its line away, but a comment behind it stays.
func (d document) replace(s statement, value string) string {
	if value != "" {
		return d.text[:s.value] + value + d.text[s.end:]
	}
	rest := d.text[s.end:s.after]
	if at := strings.IndexByte(rest, '#'); at >= 0 {
		return d.text[:s.start] + rest[at:] + d.text[s.after:]
	}
	return d.text[:s.start-len(d.indent(s))] + d.text[s.after:]
}

var bare = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Key is the key of a path as TOML writes it: Key([]string{"fixmatch", "iterations"}) is "fixmatch.iterations".
func Key(path []string) string {
	parts := make([]string, len(path))
	for i, p := range path {
		if parts[i] = p; !bare.MatchString(p) {
			parts[i] = TOML(p)
		}
	}
	return strings.Join(parts, ".")
}

// dotted reads a key as TOML writes it.
func dotted(key string) ([]string, bool) {
	m := map[string]any{}
	if strings.ContainsAny(key, "\n\r#=") && !strings.ContainsAny(key, `"'`) {
		return nil, false
	}
	if _, err := toml.Decode(key+" = 1\n", &m); err != nil || len(m) != 1 {
		return nil, false
	}
	path, end := scanKey(key, 0)
	if end != len(key) || len(path) == 0 {
		return nil, false
	}
	var at any = m
	for _, p := range path {
		table, ok := at.(map[string]any)
		if !ok || len(table) != 1 {
			return nil, false
		}
		if at, ok = table[p]; !ok {
			return nil, false
		}
	}
	_, leaf := at.(int64)
	return path, leaf
}

func insert(m map[string]any, path []string, v any) bool {
	for _, p := range path[:len(path)-1] {
		if m[p] == nil {
			m[p] = map[string]any{}
		}
		t, ok := m[p].(map[string]any)
		if !ok {
			return false
		}
		m = t
	}
	m[path[len(path)-1]] = v
	return true
}

func remove(m map[string]any, path []string) {
	for _, p := range path[:len(path)-1] {
		t, ok := m[p].(map[string]any)
		if !ok {
			return
		}
		m = t
	}
	delete(m, path[len(path)-1])
}

// pruned leaves out tables that hold nothing: the head of a table may stay when its last key goes.
func pruned(m map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		if t, ok := v.(map[string]any); ok {
			if t = pruned(t); len(t) == 0 {
				continue
			}
			v = t
		}
		out[k] = v
	}
	return out
}

// same compares values of TOML; NaN is the same as NaN.
func same(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && (a == b || math.IsNaN(a) && math.IsNaN(b))
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if v, ok := b[k]; !ok || !same(a[k], v) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case []map[string]any:
		b, ok := b.([]map[string]any)
		return ok && slices.EqualFunc(a, b, func(x, y map[string]any) bool { return same(x, y) })
	}
	return reflect.DeepEqual(a, b)
}
