// Package anomalymatch holds the settings of the program: what there is, the defaults (the embedded config.toml) and how files
// change them.
package anomalymatch

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"
)

// Version of the program; a release sets it with -ldflags "-X anomalymatch.Version=…".
var Version = "dev"

// Config is every setting. The documentation of each, its unit and its default are in config.toml; the tags here hold the key
// and what is allowed: range:"least,most" (ends included, an empty end is open), oneof:"a|b" or form:"one of forms".
type Config struct {
	Seed     int64               `toml:"seed" range:"0,"`
	Method   string              `toml:"method" oneof:"best|fixmatch"`
	Images   Images              `toml:"images"`
	Model    Model               `toml:"model"`
	Fast     Fast                `toml:"fast"`
	FixMatch FixMatch            `toml:"fixmatch"`
	Augment  Augment             `toml:"augment"`
	Queue    Queue               `toml:"queue"`
	Engine   Engine              `toml:"engine"`
	TUI      TUI                 `toml:"tui"`
	Display  Display             `toml:"display"`
	Cluster  map[string]Cluster  `toml:"cluster"` // name → profile; [Config.Profile] gets one
	Keys     map[string][]string `toml:"keys"`    // action id → keys; checked by the tui, which knows the ids
}

// Images limits what is read from sources.
type Images struct {
	MaxMegapixels int  `toml:"max_megapixels" range:"1,10000"`
	MaxFileMiB    int  `toml:"max_file_mib" range:"1,65536"`
	DecodeWorkers int  `toml:"decode_workers" range:"0,1024"` // 0 = all cores
	Prepare       bool `toml:"prepare"`
}

// Model is the deep ranking's network.
type Model struct {
	Size       int `toml:"size" range:"32,512"`
	ScoreBatch int `toml:"score_batch" range:"1,8192"`
}

// Fast is the logistic head on frozen embeddings.
type Fast struct {
	Size           int     `toml:"size" range:"32,512"`
	Views          int     `toml:"views" oneof:"1|2|8"`
	Regularisation float64 `toml:"regularisation" range:"1e-9,1e6"`
}

// FixMatch is the training of the deep ranking.
type FixMatch struct {
	Iterations       int     `toml:"iterations" range:"1,1000000"`
	LabelledBatch    int     `toml:"labelled_batch" range:"2,4096"`
	UnlabelledBatch  int     `toml:"unlabelled_batch" range:"1,4096"`
	LearningRate     float64 `toml:"learning_rate" range:"1e-9,10"`
	Momentum         float64 `toml:"momentum" range:"0,0.9999"`
	Nesterov         bool    `toml:"nesterov"`
	WeightDecay      float64 `toml:"weight_decay" range:"0,1"`
	EMA              float64 `toml:"ema" range:"0,0.999999"`
	Cutoff           float64 `toml:"cutoff" range:"0.5,1"`
	UnlabelledWeight float64 `toml:"unlabelled_weight" range:"0,1000"`
	Dropout          float64 `toml:"dropout" range:"0,0.99"`
	DropConnect      float64 `toml:"drop_connect" range:"0,0.99"`
	BNMomentum       float64 `toml:"bn_momentum" range:"0,1"`
}

// Augment is how images are changed for training.
type Augment struct {
	Operations int     `toml:"operations" range:"0,14"`
	Cutout     float64 `toml:"cutout" range:"0,1"`
	Shift      float64 `toml:"shift" range:"0,0.5"`
	Flip       bool    `toml:"flip"`
}

// Queue is the list of candidates.
type Queue struct {
	TopPercent float64 `toml:"top_percent" range:"0.0001,100"`
	Ranking    string  `toml:"ranking" oneof:"auto|fast|deep|joint|novelty"`
	Strategy   string  `toml:"strategy" oneof:"top|uncertain|diverse|mixed|random"`
}

// Engine is the background process.
type Engine struct {
	Runtime         string `toml:"runtime" oneof:"auto|onnx|xla|go"`
	IdleMinutes     int    `toml:"idle_minutes" range:"0,525600"` // 0 = never
	CheckpointEvery int    `toml:"checkpoint_every" range:"1,1000000"`
	KeepCheckpoints int    `toml:"keep_checkpoints" range:"1,1000"`
}

// TUI is the screen.
type TUI struct {
	Images    string `toml:"images" oneof:"auto|kitty|kitty-direct|iterm2|sixel|halfblocks|quadrants|sextants|text|none"`
	Thumbnail int    `toml:"thumbnail" range:"0,200"` // cells; 0 = as fits
	Theme     string `toml:"theme" oneof:"auto|dark|light|contrast"`
	Mouse     bool   `toml:"mouse"`
	Notice    string `toml:"notice" oneof:"auto|osc9|osc777|bell|none"`
	Title     bool   `toml:"title"`
}

// Display is how pictures are shown; the network never sees it.
type Display struct {
	Stretch    string `toml:"stretch" oneof:"none|linear|sqrt|asinh|log|zscale|percentile"`
	Band       int    `toml:"band" range:"0,1000"` // 0 = all, as colours
	Invert     bool   `toml:"invert"`
	Colours    string `toml:"colours" oneof:"none|grey|viridis|magma|cubehelix"`
	Brightness int    `toml:"brightness" range:"-10,10"`
	Contrast   int    `toml:"contrast" range:"-10,10"`
}

// Cluster is a profile: how one batch system is used. session/cluster gives these their meaning. None of the texts can hold a line end.
type Cluster struct {
	Host      string   `toml:"host" form:"host"` // empty = the batch system is on this machine
	Scheduler string   `toml:"scheduler" oneof:"slurm|pbs|lsf|sge|kubernetes|ssh"`
	Partition string   `toml:"partition" form:"word"` // empty = the batch system's default, as with account and time
	Account   string   `toml:"account" form:"word"`
	GPUs      int      `toml:"gpus" range:"0,64"`
	Time      string   `toml:"time" form:"time"` // [Walltime] reads it
	Extra     []string `toml:"extra" form:"lines"`
	Modules   []string `toml:"modules" form:"words"`
	Scratch   string   `toml:"scratch" form:"path"`
	Attach    string   `toml:"attach" oneof:"ssh|srun"`
}

// profileDefaults is the name of the profile in config.toml that every other one begins as.
const profileDefaults = "NAME"

// Profile returns a cluster profile; the error says which ones there are.
func (c Config) Profile(name string) (Cluster, error) {
	if p, ok := c.Cluster[name]; ok && name != profileDefaults {
		return p, nil
	}
	names := c.Profiles()
	if len(names) == 0 {
		return Cluster{}, fmt.Errorf("there is no cluster %q: no [cluster.NAME] is in your settings (%s)", name, printable(UserFile()))
	}
	return Cluster{}, fmt.Errorf("there is no cluster %q in your settings (%s); there is %s", name, printable(UserFile()), strings.Join(names, ", "))
}

// Profiles returns the names of the cluster profiles in order.
func (c Config) Profiles() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Cluster)), func(s string) bool { return s == profileDefaults })
}

// Walltime reads a time as Slurm writes them: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S. It is zero for the empty text and whatever is none.
func Walltime(s string) time.Duration {
	if s == "" || !forms["time"].ok.MatchString(s) {
		return 0
	}
	units := []time.Duration{time.Hour, time.Minute, time.Second} // of what follows the days
	days, rest, dashed := strings.Cut(s, "-")
	if !dashed {
		days, rest = "0", s
		if strings.Count(s, ":") < 2 {
			units = units[1:]
		}
	}
	d := time.Duration(number(days)) * 24 * time.Hour
	for i, part := range strings.Split(rest, ":") {
		d += time.Duration(number(part)) * units[i]
	}
	return d
}

//go:embed config.toml
var defaults []byte

// Default returns the settings of config.toml.
func Default() Config {
	var c Config
	if err := c.Overlay("config.toml", defaults, nil); err != nil {
		panic(err) // part of the binary: a test reads it
	}
	return c
}

// UserFile is where a person's own settings are; empty where the system names no folder for them.
func UserFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "anomalymatch", "config.toml")
}

// Load returns the defaults changed by each of the files in turn. A file that is not there changes nothing. The error names
// file and line.
func Load(files ...string) (Config, error) {
	c := Default()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if file == "" || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Config{}, fmt.Errorf("settings %s cannot be read: %w", printable(file), cause(err))
		}
		if err := c.Overlay(file, text, nil); err != nil {
			return Config{}, err
		}
	}
	if text := os.Getenv(CallSettings); text != "" {
		if err := c.Overlay("the settings that came along", []byte(text), nil); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// CallSettings is a variable of the environment with settings that count for one call, such as the profiles that a person keeps at home for the
// host on which the call runs.
const CallSettings = "ANOMALYMATCH_SETTINGS"

// Overlay changes the settings that the TOML text names; file is its name in errors. also, when not nil, points to a struct for
// the keys of this file that are no settings. After an error c is half changed and not to be used.
func (c *Config) Overlay(file string, text []byte, also any) error {
	md, err := toml.NewDecoder(bytes.NewReader(text)).Decode(new(map[string]any))
	if err != nil {
		return syntaxError(file, text, err)
	}
	profiles := c.Cluster
	c.Cluster = namedProfiles(md) // so that their keys are known
	allowed := settings(c)
	if also != nil {
		allowed = append(allowed, settings(also)...)
	}
	for _, key := range md.Keys() {
		if err := check(key, md, allowed); err != nil {
			return fmt.Errorf("%s:%d: %w", printable(file), line(text, key), err)
		}
	}
	c.Cluster = nil // the decoder must not write into profiles
	for _, dst := range []any{c, also} {
		if dst == nil {
			continue
		}
		if err := toml.Unmarshal(text, dst); err != nil {
			return syntaxError(file, text, err)
		}
	}
	if c.Cluster, err = overlayProfiles(profiles, text); err != nil {
		return syntaxError(file, text, err)
	}
	allowed = settings(c)
	if also != nil {
		allowed = append(allowed, settings(also)...)
	}
	for _, s := range allowed {
		if !md.IsDefined(s.path...) {
			continue
		}
		if err := s.inRange(); err != nil {
			return fmt.Errorf("%s:%d: %w", printable(file), line(text, s.path), err)
		}
	}
	return nil
}

// namedProfiles has an empty profile for each that a file names.
func namedProfiles(md toml.MetaData) map[string]Cluster {
	all := map[string]Cluster{}
	for _, key := range md.Keys() {
		if len(key) > 1 && key[0] == "cluster" {
			all[key[1]] = Cluster{}
		}
	}
	return all
}

// overlayProfiles returns the profiles as a file that was checked changes them; new ones begin as the one called NAME. The decoder by itself begins
// each table of a map at zero.
func overlayProfiles(before map[string]Cluster, text []byte) (map[string]Cluster, error) {
	var file struct {
		Cluster map[string]toml.Primitive `toml:"cluster"`
	}
	md, err := toml.NewDecoder(bytes.NewReader(text)).Decode(&file)
	if err != nil {
		return nil, err
	}
	all := map[string]Cluster{}
	maps.Copy(all, before)
	for _, name := range append([]string{profileDefaults}, slices.Sorted(maps.Keys(file.Cluster))...) {
		table, found := file.Cluster[name]
		if !found {
			continue
		}
		p, known := all[name]
		if !known {
			p = all[profileDefaults]
		}
		p.Extra, p.Modules = slices.Clone(p.Extra), slices.Clone(p.Modules) // the decoder writes into slices
		if err := md.PrimitiveDecode(table, &p); err != nil {
			return nil, err
		}
		all[name] = p
	}
	return all, nil
}

// forms are the texts that a setting may be held to, by the tag form.
var forms = map[string]struct {
	ok    *regexp.Regexp // of the text; of each text of a list
	words string
}{
	"host":  {regexp.MustCompile(`^([^\pC\pZ-][^\pC\pZ]*)?$`), "a name without spaces that does not begin with -"},
	"word":  {regexp.MustCompile(`^([\w.,:@/+][\w.,:@/+-]*)?$`), "letters, digits and _ . , : @ / + -"},
	"words": {regexp.MustCompile(`^[\w.,:@/+][\w.,:@/+-]*$`), "a list of names of letters, digits and _ . , : @ / + -"},
	"lines": {regexp.MustCompile(`^[^\pC\p{Zl}\p{Zp}]+$`), "a list of texts of one line each"},
	"path":  {regexp.MustCompile(`^([/$][^\pC\p{Zl}\p{Zp}]*)?$`), "a path on one line that begins with / or $"},
	"time":  {regexp.MustCompile(`^(\d{1,7}(:\d{1,2}){0,2}|\d{1,4}-\d{1,2}(:\d{1,2}){0,2})?$`), "minutes, hours:minutes:seconds or days-hours:minutes:seconds"},
}

// setting is one key that a file may have.
type setting struct {
	path  toml.Key
	value reflect.Value // of the struct that was walked, so that it is read after decoding
	tag   reflect.StructTag
}

// settings lists the keys of the struct that ptr points to, tables before what they hold.
func settings(ptr any) []setting {
	var all []setting
	var walk func(v reflect.Value, path toml.Key)
	walk = func(v reflect.Value, path toml.Key) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Anonymous { // its keys are those of the table it is in
				walk(v.Field(i), path)
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			s := setting{append(slices.Clone(path), name), v.Field(i), f.Tag}
			all = append(all, s)
			switch {
			case f.Type.Kind() == reflect.Struct:
				walk(s.value, s.path)
			case f.Type.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.Struct:
				for _, key := range s.value.MapKeys() {
					table := reflect.New(f.Type.Elem()).Elem()
					table.Set(s.value.MapIndex(key))
					path := append(slices.Clone(s.path), key.String())
					all = append(all, setting{path, table, `form:"word"`})
					walk(table, path)
				}
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct: // [[table]]
				walk(reflect.New(f.Type.Elem()).Elem(), s.path)
			}
		}
	}
	walk(reflect.ValueOf(ptr).Elem(), nil)
	return all
}

// check tells whether a key of a file is one of the settings and has a value of its type.
func check(key toml.Key, md toml.MetaData, allowed []setting) error {
	for _, s := range allowed {
		t := s.value.Type()
		if t.Kind() == reflect.Map && t.Elem().Kind() != reflect.Struct && len(key) == len(s.path)+1 && slices.Equal(key[:len(s.path)], s.path) {
			t = t.Elem() // under any key
		} else if !slices.Equal(s.path, key) {
			continue
		}
		want, ok := typeNames(t)
		if got := md.Type(key...); !slices.Contains(ok, got) {
			return fmt.Errorf("%s must be %s", printable(key.String()), want)
		}
		return nil
	}
	best, least := "", 1+len(key.String())/2
	for _, s := range allowed {
		if len(key.String()) > 100 {
			break
		}
		if d := distance(key.String(), s.path.String()); d < least {
			best, least = s.path.String(), d
		}
	}
	if best == "" { // right name, wrong table
		for _, s := range allowed {
			if s.path[len(s.path)-1] == key[len(key)-1] {
				best = s.path.String()
			}
		}
	}
	if best == "" {
		return fmt.Errorf("unknown key %q", key)
	}
	return fmt.Errorf("unknown key %q; did you mean %q?", key, best)
}

// typeNames says what a value of type t must be, and which types of TOML are that.
func typeNames(t reflect.Type) (want string, ok []string) {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number", []string{"Integer"}
	case reflect.Float64:
		return "a number", []string{"Float", "Integer"}
	case reflect.Bool:
		return "true or false", []string{"Bool"}
	case reflect.String:
		return "text in quotes", []string{"String"}
	case reflect.Slice:
		return "a list", []string{"Array", "ArrayHash"}
	}
	return "a table", []string{"Hash"}
}

// inRange compares the value with the setting's tag.
func (s setting) inRange() error {
	ok := true
	if least, most, found := s.limits(); found {
		x := 0.0
		if s.value.CanInt() {
			x = float64(s.value.Int())
		} else {
			x = s.value.Float()
		}
		ok = (least == "" || x >= number(least)) && (most == "" || x <= number(most)) // false for NaN
	} else if words := s.words(); words != nil {
		ok = slices.Contains(words, fmt.Sprint(s.value.Interface()))
	} else if form, found := forms[s.tag.Get("form")]; found {
		switch s.value.Kind() {
		case reflect.String:
			ok = form.ok.MatchString(s.value.String())
		case reflect.Slice:
			for i := range s.value.Len() {
				ok = ok && form.ok.MatchString(s.value.Index(i).String())
			}
		case reflect.Struct: // the name of a table
			if name := s.path[len(s.path)-1]; name == "" || !form.ok.MatchString(name) {
				return fmt.Errorf("[%s]: the name must be %s", s.path, form.words)
			}
		}
	}
	if ok {
		return nil
	}
	if s.value.Kind() == reflect.Slice {
		return fmt.Errorf("%s = %q: must be %s", s.path, s.value.Interface(), s.describe())
	}
	return fmt.Errorf("%s = %#v: must be %s", s.path, s.value.Interface(), s.describe())
}

func (s setting) limits() (least, most string, found bool) {
	return strings.Cut(s.tag.Get("range"), ",")
}

func (s setting) words() []string {
	if w := s.tag.Get("oneof"); w != "" {
		return strings.Split(w, "|")
	}
	return nil
}

// describe says what is allowed, in the words of config.toml; empty where any value is.
func (s setting) describe() string {
	if least, most, found := s.limits(); found {
		if most == "" {
			return least + " or more"
		}
		return plain(least) + " to " + plain(most)
	}
	if w := s.words(); w != nil {
		return strings.Join(w[:len(w)-1], ", ") + " or " + w[len(w)-1]
	}
	if form, found := forms[s.tag.Get("form")]; found && s.value.Kind() != reflect.Struct {
		return form.words
	}
	if s.value.Kind() == reflect.Bool {
		return "true or false"
	}
	return ""
}

// number reads a limit of a tag; a test reads them all.
func number(s string) float64 {
	x, _ := strconv.ParseFloat(s, 64)
	return x
}

func plain(s string) string {
	if strings.Contains(s, "e") {
		return strconv.FormatFloat(number(s), 'g', -1, 64)
	}
	return s
}

// here makes the decoder fail where it meets a key.
type here struct{}

func (*here) UnmarshalTOML(any) error { return errors.New("here") }

// line finds the line of a key, 1 for the first. The decoder tells places only in errors, so it is made to fail there.
func line(text []byte, key toml.Key) int {
	t := reflect.TypeFor[here]()
	for _, name := range slices.Backward(key) {
		t = reflect.StructOf([]reflect.StructField{{Name: "F", Type: t, Tag: reflect.StructTag("toml:" + strconv.Quote(name))}})
	}
	var pe toml.ParseError
	if errors.As(toml.Unmarshal(text, reflect.New(t).Interface()), &pe) {
		return max(1, pe.Position.Line)
	}
	return 1
}

// syntaxError is an error of the TOML decoder as file:line: sentence.
func syntaxError(file string, text []byte, err error) error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return fmt.Errorf("%s: %s", printable(file), printable(strings.TrimPrefix(err.Error(), "toml: ")))
	}
	// counted here: the decoder says the next line where a line ends too early
	n := max(1, pe.Position.Line)
	if at := pe.Position.Start; at > 0 && at <= len(text) {
		n = 1 + bytes.Count(text[:at], []byte("\n"))
	}
	return fmt.Errorf("%s:%d: %s", printable(file), n, printable(pe.Message))
}

// distance is the number of letters to insert, delete or replace to make b of a (Levenshtein 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// printable returns s as it may go to a terminal: quoted where it holds control characters.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// cause is what went wrong without the path, which the sentence around it already has.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
