package capsule

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/engine/train"
	"anomalymatch/session"
	"anomalymatch/session/journal"

	"github.com/gomlx/compute"
)

// sky is a project of small galaxies on the Go backend.
type sky struct {
	t    *testing.T
	dir  string
	p    *session.Project
	pool *dataset.Pool
	on   runtime.Opened
}

const small = `
[model]
size = 32
score_batch = 8
[fast]
size = 32
views = 1
[fixmatch]
labelled_batch = 2
unlabelled_batch = 2
[engine]
runtime = "go"
checkpoint_every = 2
`

func newSky(t *testing.T) *sky {
	if raceDetector {
		t.Skip("the Go backend is slow and not clean under the race detector")
	}
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	s := &sky{t: t, dir: t.TempDir()}
	images := filepath.Join(s.dir, "sky")
	_, err := synth.Write(images, 20, synth.Params{Seed: 3, Size: 32, Rare: 0.2}, nil)
	if err == nil {
		err = os.WriteFile(filepath.Join(images, "broken.jpg"), []byte("no picture"), 0o666)
	}
	if err == nil {
		_, err = session.Create(filepath.Join(s.dir, "project"), session.Options{Images: []string{images}})
	}
	if err == nil {
		file := filepath.Join(s.dir, "project", "project.toml")
		var text []byte
		text, err = os.ReadFile(file)
		err = errors.Join(err, os.WriteFile(file, append(text, small...), 0o666))
	}
	if err == nil {
		s.p, err = session.Open(filepath.Join(s.dir, "project"))
	}
	if err == nil {
		s.pool, err = s.p.OpenPool(t.Context(), nil)
	}
	if err == nil {
		s.on, err = runtime.Open(runtime.Train, "go")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.pool.Close() })
	return s
}

// say labels the images by number.
func (s *sky) say(v label.Value, images ...int) {
	s.t.Helper()
	j, err := journal.Open(s.p.Sub("labels"), "ada")
	for _, i := range images {
		err = errors.Join(err, j.Append("", "", []label.Change{{ID: s.pool.ID(i), To: v}}))
	}
	if err := errors.Join(err, j.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// train trains as an engine does, with the labels of now, to the step stop of a round of steps.
func (s *sky) train(steps, stop int) {
	s.t.Helper()
	j, err := journal.Open(s.p.Sub("labels"), "ada")
	if err != nil {
		s.t.Fatal(err)
	}
	images := train.Images{Pool: s.pool, Labels: train.Hash(j.Current())}
	for i := range s.pool.Len() {
		switch v := j.Current()[s.pool.ID(i)]; {
		case s.pool.IsBad(i):
		case v == label.Anomaly:
			images.Anomalies = append(images.Anomalies, i)
		case v == label.Normal:
			images.Normals = append(images.Normals, i)
		default:
			images.Unlabelled = append(images.Unlabelled, i)
		}
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var tr train.Trainer
	defer tr.Close()
	err = tr.Round(ctx, train.Round{Dir: s.p.Dir, Images: images, Config: s.p.Config, Steps: steps,
		Print: func(ctx context.Context, size int) (*fingerprint.Print, error) {
			return fingerprint.Of(ctx, s.pool, size)
		},
		Open: func() (compute.Backend, error) { return s.on.Backend, nil },
		Step: func(st *rpc.TrainStep, _ float64) bool {
			if int(st.Step) == stop && stop < steps {
				cancel()
			}
			return false
		}})
	if err != nil && ctx.Err() == nil {
		s.t.Fatal(err)
	}
}

func (s *sky) score() {
	s.t.Helper()
	state, info, _, _, err := fixmatch.Latest(train.Checkpoints(s.p.Dir))
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := nn.NewModel(s.on, state.Scoring())
	if err != nil {
		s.t.Fatal(err)
	}
	defer m.Close()
	scores, err := score.Pool(s.t.Context(), s.pool, m, score.Options{Size: info.Size, Batch: 8, Workers: 2})
	if err == nil {
		sum := s.pool.Hash()
		err = score.Write(s.p.Sub("scores"), score.Header{Pool: hex.EncodeToString(sum[:]), Cycle: info.Cycle, Step: info.RunStep, Backend: "go", Batch: 8}, scores)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sky) embed() {
	s.t.Helper()
	e, err := fast.Create(s.t.Context(), s.p.Sub("embeddings"), fast.KeyOf(s.pool.Hash(), 32, 1), s.pool, s.on, fast.Options{Batch: 8, Workers: 2})
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sky) capsule(opt Options) string {
	s.t.Helper()
	opt.Top, opt.Say, opt.Progress = func(int) int { return 5 }, func(text string) { s.t.Log(text) }, func(string) {}
	path := filepath.Join(s.t.TempDir(), "run.zip")
	if _, err := Make(s.t.Context(), s.p, path, opt); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *sky) replay(path string, r Replay) (Result, error) {
	s.t.Helper()
	c, err := Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	r.Dir = s.t.TempDir()
	r.Say, r.Progress = func(text string) { s.t.Log(text) }, func(string, int, int) {}
	return r.Run(s.t.Context(), c)
}

// TestReplay derives rankings again: of two rounds, the second of which was taken up with more labels, after the project has moved on.
func TestReplay(t *testing.T) {
	s := newSky(t)
	s.say(label.Anomaly, 3, 4)
	s.say(label.Normal, 5, 6, 7)
	s.train(2, 2) // before anybody knows that one is broken
	s.score()
	s.say(label.Normal, 8)
	s.train(3, 2)
	s.say(label.Anomaly, 9)
	s.say(label.None, 4)
	s.train(3, 3)
	s.score()
	s.embed()
	deep, quick, bare := s.capsule(Options{By: "deep"}), s.capsule(Options{By: "fast"}), s.capsule(Options{By: "joint", WithoutCheckpoint: true})
	s.say(label.Anomaly, 10) // it is of no matter what comes later
	s.train(1, 1)

	same := func(name string, res Result, err error, trained int) {
		t.Helper()
		if err != nil || !res.Same || !res.Exact || res.Trained != trained || res.Rank != 1 || res.Overlap != 1 || len(res.Differs) != 0 || trained > 0 && res.Network != "same" {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
	res, err := s.replay(deep, Replay{ScoreOnly: true})
	same("deep, scored only", res, err, 0)
	if res.Images != 20 {
		t.Errorf("%d images", res.Images)
	}
	res, err = s.replay(quick, Replay{})
	same("fast", res, err, 0)
	res, err = s.replay(bare, Replay{})
	same("joint, without checkpoint", res, err, 3)
	if _, err = s.replay(bare, Replay{ScoreOnly: true}); err == nil || !strings.Contains(err.Error(), "leave out --score-only") {
		t.Error(err)
	}

	// The images at another place are the same images; other images are none.
	there := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(filepath.Join(s.dir, "sky"), there); err != nil {
		t.Fatal(err)
	}
	if _, err := s.replay(quick, Replay{}); !errors.Is(err, ErrSources) || !strings.Contains(err.Error(), "say where they are with --sources PATH, or --sources sky=PATH") {
		t.Error(err)
	}
	for _, at := range []string{there, "sky=" + there} {
		res, err = s.replay(quick, Replay{Sources: []string{at}})
		same("elsewhere", res, err, 0)
	}
	if _, err := s.replay(quick, Replay{Sources: []string{there, there}}); !errors.Is(err, ErrSources) {
		t.Error(err)
	}
	pictures, _ := filepath.Glob(filepath.Join(there, "g*"))
	one, err := os.ReadFile(pictures[0])
	if err == nil {
		err = os.WriteFile(pictures[0], append(one, 0), 0o666)
	}
	if _, odd := s.replay(quick, Replay{Sources: []string{there}}); err != nil || !errors.Is(odd, ErrSources) || !strings.Contains(odd.Error(), "names or sizes of files are others") {
		t.Error(err, odd)
	}
	if err := os.Remove(pictures[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.replay(quick, Replay{Sources: []string{there}}); !errors.Is(err, ErrSources) || !strings.Contains(err.Error(), `has 20 images here, 21 in the capsule`) {
		t.Error(err)
	}
	if err := os.WriteFile(pictures[0], one, 0o666); err != nil {
		t.Fatal(err)
	}

	// Of the same names and sizes, but with other pixels: the ranking is another, and both are said.
	flip := func(path string) {
		b, err := os.ReadFile(path)
		if err == nil {
			at := len(b) - 60
			b[at] ^= 0x10
			err = os.WriteFile(path, b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pictures[:4] {
		flip(p)
	}
	res, err = s.replay(quick, Replay{Sources: []string{there}})
	if err != nil || res.Exact || len(res.Differs) != 1 || !strings.Contains(res.Differs[0], "pixels") || res.Rank < 0.3 || res.Rank > 1 || !res.Same && res.First == 0 {
		t.Errorf("other pixels: %+v, %v", res, err)
	}
}

// TestUnknownTraining: of what an older program trained only the network is known; what was trained since goes on from it.
func TestUnknownTraining(t *testing.T) {
	s := newSky(t)
	if _, err := Make(t.Context(), s.p, filepath.Join(t.TempDir(), "x.zip"), Options{Say: func(string) {}, Progress: func(string) {}}); err == nil || !strings.Contains(err.Error(), "nothing ranks the images yet") {
		t.Error(err)
	}
	s.say(label.Anomaly, 3, 4)
	s.say(label.Normal, 5, 6, 7)
	s.train(2, 2)
	if err := os.Remove(train.RecordPath(s.p.Dir)); err != nil {
		t.Fatal(err)
	}
	s.score()
	res, err := s.replay(s.capsule(Options{By: "deep"}), Replay{})
	if err != nil || !res.Exact || res.Trained != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	s.train(2, 2)
	s.score()
	path := s.capsule(Options{By: "deep"})
	res, err = s.replay(path, Replay{})
	if err != nil || !res.Exact || res.Trained != 1 || res.Network != "same" {
		t.Errorf("%+v, %v", res, err)
	}
	_, err = Make(t.Context(), s.p, path, Options{By: "deep", WithoutCheckpoint: true, Say: func(string) {}, Progress: func(string) {}})
	if err == nil || !strings.Contains(err.Error(), "leave out --without-checkpoint") {
		t.Error(err)
	}
	_, err = Make(t.Context(), s.p, path, Options{By: "fast", Say: func(string) {}, Progress: func(string) {}})
	if err == nil || !strings.Contains(err.Error(), "no ranking by fast yet") {
		t.Error(err)
	}
}

// rewrite makes a capsule with other files: nil leaves one out. The manifest is not changed but by change.
func rewrite(t *testing.T, path string, change map[string]func([]byte) []byte) string {
	t.Helper()
	in, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	add := func(name string, b []byte) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err == nil {
			_, err = f.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range in.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if ch, ok := change[f.Name]; ok {
			b = ch(b)
		}
		if b != nil {
			add(f.Name, b)
		}
	}
	if extra, ok := change["+"]; ok {
		add(string(extra(nil)), []byte("x"))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "changed.zip")
	if err := os.WriteFile(file, out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestHostile: what is damaged, made up or too new is refused in a sentence, and nothing is written outside the folder.
func TestHostile(t *testing.T) {
	s := newSky(t)
	s.say(label.Anomaly, 3, 4)
	s.say(label.Normal, 5, 6, 7)
	s.embed()
	good := s.capsule(Options{})
	manifest := func(change func(*Manifest)) map[string]func([]byte) []byte {
		return map[string]func([]byte) []byte{manifestName: func(b []byte) []byte {
			var m Manifest
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			change(&m)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}}
	}
	gone := func([]byte) []byte { return nil }
	for name, c := range map[string]struct {
		change map[string]func([]byte) []byte
		want   string
	}{
		"no manifest":    {map[string]func([]byte) []byte{manifestName: gone}, "it is no run capsule"},
		"other manifest": {map[string]func([]byte) []byte{manifestName: func([]byte) []byte { return []byte(`{"a":1}`) }}, "it is no run capsule"},
		"newer":          {manifest(func(m *Manifest) { m.Format, m.Versions.Program = 2, "9.1\x1b[2J" }), "of a newer program (9.1"},
		"path out":       {manifest(func(m *Manifest) { m.Files[1].Name = "labels/../../evil.jsonl" }), "a file that no capsule has"},
		"checkpoint out": {manifest(func(m *Manifest) { m.Files[1].Name = "checkpoints/../x-step-1" }), "a file that no capsule has"},
		"file missing":   {map[string]func([]byte) []byte{orderName: gone}, "ranking/order.u32 is missing"},
		"other size":     {map[string]func([]byte) []byte{configName: func(b []byte) []byte { return append(b, '\n') }}, "does not have the size"},
		"other bytes":    {map[string]func([]byte) []byte{configName: func(b []byte) []byte { b = bytes.Clone(b); b[0] ^= 1; return b }}, "does not have the checksum"},
		"huge":           {manifest(func(m *Manifest) { m.Files[0].Bytes = 1 << 40 }), "does not have the size"},
		"source out":     {manifest(func(m *Manifest) { m.Pool.Sources[0].Name = "../up" }), "a source cannot be called"},
		"source stretch": {manifest(func(m *Manifest) { m.Pool.Sources[0].Stretch = "nonsense" }), "nonsense"},
		"no sources":     {manifest(func(m *Manifest) { m.Pool.Sources = nil }), "there are no sources"},
		"ranking":        {manifest(func(m *Manifest) { m.Ranking.By = "\x1b[31mred" }), "there is no ranking"},
		"hash":           {manifest(func(m *Manifest) { m.Pool.Hash = "abc" }), "a hash is none"},
		"network":        {manifest(func(m *Manifest) { m.Ranking.By = "deep" }), "the network is missing"},
		"embeddings":     {manifest(func(m *Manifest) { m.Embeddings.Size = 1 << 30 }), "embeddings cannot be of that size"},
		"images":         {manifest(func(m *Manifest) { m.Pool.Images = 1 << 40 }), "so many images cannot be"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(rewrite(t, good, c.change))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("%v", err)
			}
		})
	}
	odd := rewrite(t, good, map[string]func([]byte) []byte{"+": func([]byte) []byte { return []byte("../../evil") }})
	if res, err := s.replay(odd, Replay{}); err != nil || !res.Exact { // it is in nobody's list, and never looked at
		t.Errorf("%+v, %v", res, err)
	}
	order := manifest(func(m *Manifest) {
		i := slices.IndexFunc(m.Files, func(f File) bool { return f.Name == orderName })
		b := bytes.Repeat([]byte{0xff}, int(m.Files[i].Bytes))
		m.Files[i].SHA256 = sumOfBytes(b)
	})
	order[orderName] = func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) }
	if _, err := s.replay(rewrite(t, good, order), Replay{}); err == nil || !strings.Contains(err.Error(), "names an image that is not there") {
		t.Error(err)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.zip")
	for _, n := range []int{0, 10, len(text) / 2, len(text) - 1} {
		if err := os.WriteFile(cut, text[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(cut); err == nil {
			t.Errorf("cut at %d: opened", n)
		}
	}
}

func FuzzOpen(f *testing.F) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, text := range map[string]string{manifestName: `{"format":1,"ranking":{"by":"fast"},"files":[{"name":"config.toml","bytes":9}]}`, configName: "seed = 42"} {
		z, _ := w.Create(name)
		io.WriteString(z, text)
	}
	w.Close()
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "x.zip")
		if err := os.WriteFile(file, b, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := Open(file)
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.parts()
	})
}
