package upgrade

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/engine"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/score"
	"anomalymatch/internal/newer"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/session/outbox"
	"anomalymatch/session/verify"
)

// unpack unpacks a project of a layout, with the times of its files, and returns its folder.
func unpack(t *testing.T, layout string) string {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	root := t.TempDir()
	z, err := zip.OpenReader(layout)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		path := filepath.Join(root, filepath.FromSlash(f.Name))
		r, err := f.Open()
		var text []byte
		if err == nil {
			text, err = io.ReadAll(r)
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o777)
		}
		if err == nil {
			err = os.WriteFile(path, text, 0o666)
		}
		if err == nil {
			err = os.Chtimes(path, made, made)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(root, "project")
}

// said is what the journals of all these projects say.
var (
	said = map[string]label.Value{
		"sky/g000001.jpg": label.Anomaly, "sky/g000002.jpg": label.Anomaly, "sky/g000003.jpg": label.Normal, "sky/g000004.jpg": label.Skip,
		"sky/g000007.jpg": label.Normal,
	}
	marked = map[string]label.Marks{"sky/g000005.jpg": label.Marks(0).With(label.Bookmark, true), "sky/g000006.jpg": label.Marks(0).With(label.Bookmark, true)}
)

// TestProjectsOfEarlierLayouts opens each project that an earlier program made, and wants all of it there.
func TestProjectsOfEarlierLayouts(t *testing.T) {
	layouts := glob(t, "testdata/layout-*.zip")
	if len(layouts) < session.Layout {
		t.Fatalf("%d projects for %d layouts: keep one of each", len(layouts), session.Layout)
	}
	for _, layout := range layouts {
		t.Run(strings.TrimSuffix(filepath.Base(layout), ".zip"), func(t *testing.T) {
			dir := unpack(t, layout)
			p, err := session.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if p.Name != "first" || p.Config.Seed != 11 || p.Config.Display.Stretch != "asinh" || len(p.Sources) != 1 || len(p.Metadata) != 1 {
				t.Errorf("%+v", p)
			}
			labels, err := journal.Open(p.Sub("labels"), "carl")
			if err != nil {
				t.Fatal(err)
			}
			if got := labels.Current(); !maps.Equal(got, said) {
				t.Errorf("labels: %v", got)
			}
			if got := labels.Marks(); !maps.Equal(got, marked) {
				t.Errorf("marks: %v", got)
			}
			if ada := labels.History("ada-lab", 0); len(ada) != 7 || !ada[6].Imported() {
				t.Errorf("history: %v", ada)
			}
			if _, err := labels.Poll(); err != nil {
				t.Errorf("something is said to be wrong: %v", err)
			}
			e, done, err := engine.Look(t.Context(), engine.Options{Dir: p.Dir, Name: p.Name, Sources: p.NamedSources(), Metadata: p.Tables(), Config: p.Config, Labels: labels, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer done()
			if by, order, scores := e.Ranked(""); by != "fast" || len(order) != images || scores[order[0]] <= scores[order[images-1]] {
				t.Errorf("ranked by %s: %v %v", by, order, scores)
			}
			if _, order, _ := e.Ranked("deep"); len(order) != images || order[0] != images-1 {
				t.Errorf("ranked by the scores of the network: %v", order)
			}
			tables, err := meta.Open(p.Sub("index"), e.Pool(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tables.Close()
			if tables.Images() != images || tables.Column("mag") < 0 || tables.Column("kind") < 0 {
				t.Errorf("what the table says: %v", tables.Columns())
			}
			state, info, bad, found, err := fixmatch.Latest(p.Sub("checkpoints"))
			if err != nil || !found || len(bad) > 0 || info.Cycle != 1 || info.Anomalies != 2 || state.EMA.Channels() != 3 {
				t.Errorf("checkpoint: %+v, %v, %t, %v", info, bad, found, err)
			}
			v, err := verify.Check(context.Background(), p.Dir, func(string, int64, int64) {})
			if err != nil || len(v.Findings) > 0 || v.Labels != 13 {
				t.Errorf("verify: %+v, %v", v, err)
			}
		})
	}
}

// TestEarlierProgramsReadOn works on a project of layout 1 and wants what the first program would read still to be in its form: it takes lines of
// journals with these fields in this order, project.toml without keys that it does not know, scores, embeddings and checkpoints with these marks.
func TestEarlierProgramsReadOn(t *testing.T) {
	if session.Layout != 1 {
		t.Skip("projects of layout 1 are made over when they are opened")
	}
	dir := unpack(t, "testdata/layout-1.zip")
	files := func() (names []string) {
		for _, f := range glob(t, filepath.Join(dir, "*", "*")) {
			names = append(names, f)
		}
		return names
	}
	before := map[string][]byte{}
	for _, f := range files() {
		before[f], _ = os.ReadFile(f)
	}
	p, err := session.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (session.Settings{Dir: dir}).Set("queue.top_percent", "5"); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(p.Sub("labels"), "ada-lab")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []label.Change{{ID: "sky/g000005.jpg", To: label.Anomaly}, {ID: "sky/g000005.jpg", From: label.Anomaly}, {ID: "sky/g000001.jpg", Mark: "9", To: label.On}} {
		if err := j.Append("", "", []label.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	v, err := verify.Check(context.Background(), p.Dir, func(string, int64, int64) {})
	if err != nil || len(v.Findings) > 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	v.Repair()

	text, err := os.ReadFile(p.Sub("project.toml"))
	if err != nil || !bytes.HasPrefix(text, []byte("# a comment of a person\nname = \"first\"\n")) {
		t.Errorf("%s, %v", text, err)
	}
	for _, key := range anomalymatch.Says(text) {
		if slices.Contains([]string{"layout", "features", "program"}, key) {
			t.Errorf("the first program does not know the key %s", key)
		}
	}
	own := p.Sub("labels", "ada-lab.jsonl")
	for name, was := range before {
		now, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("%v", err)
		}
		if name != own && !bytes.Equal(now, was) {
			t.Errorf("%s was changed", name)
		}
		if name == own && (len(now) <= len(was) || !bytes.HasPrefix(now, was)) {
			t.Errorf("%s is not what it was, and more", name)
		}
	}
	now, _ := os.ReadFile(own)
	for line := range bytes.Lines(now) {
		if len(line) == 1 {
			continue // behind marks
		}
		in := json.NewDecoder(bytes.NewReader(line))
		var keys []string
		for depth := 0; ; {
			token, err := in.Token()
			if err != nil {
				break
			}
			if s, ok := token.(string); ok && depth%2 == 0 {
				keys = append(keys, s)
			}
			if _, delim := token.(json.Delim); !delim {
				depth++
			}
		}
		first := []string{"lamport", "time", "by", "uid", "id", "label", "prev", "crc"}
		if withMark := slices.Insert(slices.Clone(first), 7, "mark"); !slices.Equal(keys, first) && !slices.Equal(keys, withMark) {
			t.Errorf("the first program does not know a line of %v", keys)
		}
	}
	for _, f := range files() {
		if _, known := before[f]; !known && !strings.HasPrefix(filepath.Base(f), ".") {
			t.Errorf("%s is new, where the first program may take it for something else", f)
		}
	}
	if meta, err := nn.ReadMetadata(p.Sub("checkpoints", "cycle-001-step-00005.safetensors")); err != nil || strings.Contains(meta["anomalymatch"], `"format"`) {
		t.Errorf("%v, %v", meta, err)
	}
}

// TestFilesOfANewerProgram has one file of each kind say that it is of a later version. Nobody believes it; what cannot be made again is left where it
// is, by a repair too, and what can is made again.
func TestFilesOfANewerProgram(t *testing.T) {
	dir := unpack(t, "testdata/layout-1.zip")
	p, err := session.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := p.OpenPool(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	hash := pool.Hash()
	replace := func(old, new string) func(string) error {
		return func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil && bytes.Count(b, []byte(old)) != 1 {
				t.Errorf("%s has not one %q", path, old)
			}
			if err == nil {
				err = os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(new), 1), 0o666)
			}
			return err
		}
	}
	checkpoint := func(path string) (fixmatch.State, fixmatch.Info) {
		s, info, err := fixmatch.ReadCheckpoint(path)
		if err != nil {
			t.Fatal(err)
		}
		return s, info
	}
	latest := func(string) error {
		if _, _, bad, found, err := fixmatch.Latest(p.Sub("checkpoints")); err == nil && !found && len(bad) == 1 && strings.Contains(bad[0], "newer version") {
			return newer.Err
		}
		return nil
	}
	for _, test := range []struct {
		name, file string
		change     func(path string) error
		read       func(path string) error // an error: it is not believed
		kept       bool                    // by a repair
	}{
		{"scores", "scores/cycle-001.scores", replace("AMSCORE1", "AMSCORE2"), func(string) error {
			if _, _, found := score.Latest(p.Sub("scores"), hash); found {
				return nil
			}
			return newer.Err
		}, true},
		{"embeddings", "embeddings/frozen-64x1.f16", replace("AMEMBED2", "AMEMBED3"), func(string) error {
			e, err := fast.Open(p.Sub("embeddings"), fast.KeyOf(hash, 64, 1))
			if err == nil {
				e.Close()
			}
			return err
		}, true},
		{"a checkpoint of another form", "checkpoints/cycle-001-step-00005.safetensors", func(path string) error {
			s, info := checkpoint(path)
			info.Format = 1
			return fixmatch.WriteCheckpoint(filepath.Dir(path), s, info)
		}, latest, true},
		{"a checkpoint with more in it", "checkpoints/cycle-001-step-00005.safetensors", func(path string) error {
			w, said, err := nn.ReadFile(path)
			if err != nil {
				return err
			}
			for name, tensor := range w {
				w["second/"+name] = tensor
				break
			}
			var b bytes.Buffer
			if err := nn.WriteSafetensors(&b, w, map[string]string{"anomalymatch": said["anomalymatch"]}); err != nil {
				return err
			}
			return os.WriteFile(path, b.Bytes(), 0o666)
		}, latest, true},
		{"the list of images", "index/images.idx", replace("anomalymatch images 1", "anomalymatch images 2"), nil, false},
		{"what tables say", "index/metadata.cols", nil, nil, false},
		{"near-duplicates", "embeddings/duplicates-64.json", replace(`"version":2`, `"version":3`), nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, filepath.FromSlash(test.file))
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := os.WriteFile(path, whole, 0o666); err != nil {
					t.Fatal(err)
				}
			}()
			if test.change == nil { // the magic
				b := bytes.Clone(whole)
				i := bytes.IndexAny(b, "0123456789")
				b[i]++
				err = os.WriteFile(path, b, 0o666)
			} else {
				err = test.change(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			changed, _ := os.ReadFile(path)
			if test.read != nil && test.read(path) == nil {
				t.Error("it is believed")
			}
			v, err := verify.Check(t.Context(), dir, func(string, int64, int64) {})
			if err != nil || len(v.Findings) != 1 || v.Findings[0].File != test.file || v.Findings[0].Newer != test.kept || v.Findings[0].Damage == test.kept {
				t.Fatalf("%+v, %v", v.Findings, err)
			}
			v.Repair()
			now, err := os.ReadFile(path)
			if left := err == nil && bytes.Equal(now, changed); left != test.kept {
				t.Errorf("left as it is by a repair: %t", left)
			}
		})
	}
}

// TestLabelsOfANewerProgramOnTheirWay: an outbox delivers what it understands, and leaves the rest for who does.
func TestLabelsOfANewerProgramOnTheirWay(t *testing.T) {
	state := t.TempDir()
	o, err := outbox.Open(state, "hpc", "project", "ada")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Keep(outbox.Step{UID: "1", By: "ada", Changes: []label.Change{{ID: "sky/a", To: label.Anomaly}}}); err != nil {
		t.Fatal(err)
	}
	o.Close()
	path := glob(t, filepath.Join(state, "outbox", "*", "ada.jsonl"))[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const fields = `{"lamport":2,"time":"2031-01-31T12:00:00.000Z","by":"ada","uid":"2","id":"sky/b","label":"artefact","prev":""`
	line := fmt.Sprintf("%s,\"crc\":\"%08x\"}\n", fields, crc32.Checksum([]byte(fields), crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(path, append(b, line...), 0o666); err != nil {
		t.Fatal(err)
	}
	if o, err = outbox.Open(state, "hpc", "project", "ada"); err != nil {
		t.Fatal(err)
	}
	if steps := o.Waiting(); len(steps) != 1 || steps[0].UID != "1" {
		t.Errorf("%+v", steps)
	}
	o.Delivered("1")
	if err := o.Keep(outbox.Step{UID: "3", By: "ada", Changes: []label.Change{{ID: "sky/c", To: label.Anomaly}}}); err != nil {
		t.Fatal(err)
	}
	o.Close()
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), line) {
		t.Errorf("%s, %v", b, err)
	}
}
