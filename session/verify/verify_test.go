package verify

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/duplicates"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/score"
	"anomalymatch/engine/score/shards"
	"anomalymatch/engine/train"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/session"
	"anomalymatch/session/journal"
)

const images = 40

// project makes a project with a file of every kind, as the program makes them, and returns its folder.
func project(t testing.TB) string {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	root := t.TempDir()
	survey, dir := filepath.Join(root, "survey"), filepath.Join(root, "project")
	ok(os.Mkdir(survey, 0o777))
	r := rand.New(rand.NewPCG(1, 2))
	table := "id,mag,kind\n"
	for i := range images {
		m := image.NewRGBA(image.Rect(0, 0, 8, 8))
		for x := range 64 {
			m.Set(x%8, x/8, color.RGBA{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32()), 255})
		}
		var b bytes.Buffer
		ok(png.Encode(&b, m))
		ok(os.WriteFile(filepath.Join(survey, fmt.Sprintf("%03d.png", i)), b.Bytes(), 0o666))
		table += fmt.Sprintf("%03d,%d.5,spiral\n", i, i)
	}
	ok(os.WriteFile(filepath.Join(survey, "empty.png"), nil, 0o666)) // a bad image
	other := filepath.Join(root, "other")                            // of several sources hashes of pictures are kept
	ok(os.Mkdir(other, 0o777))
	ok(os.Link(filepath.Join(survey, "001.png"), filepath.Join(other, "extra.png")))
	p, err := session.Create(dir, session.Options{Images: []string{survey, other}, Size: 64, Prepare: true})
	ok(err)
	pool, err := p.OpenPool(t.Context(), nil)
	ok(err)
	defer pool.Close()
	for _, err := range pool.Blocks(t.Context(), 0, pool.Len(), 16, 8, 1) {
		ok(err)
	}
	_, err = pool.Same(t.Context())
	ok(err)
	csv := filepath.Join(root, "table.csv")
	ok(os.WriteFile(csv, []byte(table), 0o666))
	_, err = meta.Build(t.Context(), p.Sub("index"), pool, []meta.File{{Path: csv}}, nil)
	ok(err)

	for _, who := range []string{"ada", "bob"} {
		j, err := journal.Open(p.Sub("labels"), who)
		ok(err)
		for i := range 12 {
			ok(j.Append(who, "", []label.Change{{ID: pool.ID(i), To: label.Anomaly}}))
		}
		ok(j.Append(who, "", []label.Change{{ID: pool.ID(3), Mark: "bookmark", To: "on"}}))
		ok(j.Append(who, "", []label.Change{{ID: pool.ID(1), To: label.Normal, From: label.Anomaly}}))
		ok(j.Close())
	}

	hash := pool.Hash()
	e, err := fast.Simulate(p.Sub("embeddings"), fast.KeyOf(hash, 64, 1), pool.Len(), 7)
	ok(err)
	ok(e.Close())
	ok(duplicates.Write(p.Sub("embeddings", "duplicates-64.json"), "those", duplicates.Make(pool.Len(), [][]int32{{1, 2}, {5, 9, 11}})))

	w, err := nn.Pretrained(3)
	ok(err)
	w.NewHead(r)
	for cycle := 1; cycle <= 2; cycle++ {
		ok(fixmatch.WriteCheckpoint(p.Sub("checkpoints"), fixmatch.NewState(w), fixmatch.Info{Size: 64, Cycle: cycle, RunStep: 5, RunSteps: 5}))
		scores := make([]float32, pool.Len())
		for i := range scores {
			scores[i] = r.Float32()
		}
		ok(score.Write(p.Sub("scores"), score.Header{Pool: hex.EncodeToString(hash[:]), Cycle: cycle, Step: 5}, scores))
	}
	info := fixmatch.Info{Size: 64, Cycle: 2, RunStep: 5, RunSteps: 5}
	plan, err := shards.New(pool, p.Limits(), p.Sub("checkpoints"), info, 8, 3)
	ok(err)
	f, err := shards.Create(p.Sub("scores"), plan)
	ok(err)
	for shard := range plan.Shards {
		ok(f.Run(t.Context(), shard, shards.Work{Host: "node", Backend: "drawn", Bad: func(int, int) []dataset.BadImage { return nil },
			Rows: func(_ context.Context, from, to int) iter.Seq2[[]float32, error] {
				return func(yield func([]float32, error) bool) { yield(make([]float32, to-from), nil) }
			}}))
	}
	ok(os.MkdirAll(p.Sub("runs"), 0o777))
	ok(os.WriteFile(p.Sub("runs", "cycle-001.jsonl"), []byte("{\"step\":1}\n{\"step\":2}\n"), 0o666))
	ok(train.AddParts(dir, train.Part{Cycle: 1, Steps: 5}))
	return dir
}

func check(t testing.TB, dir string) Report {
	t.Helper()
	r, err := Check(t.Context(), dir, func(string, int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAWholeProject(t *testing.T) {
	dir := project(t)
	r := check(t, dir)
	if len(r.Findings) > 0 || r.Labels != 28 {
		t.Fatalf("%+v", r)
	}
	for _, k := range kinds { // a kind without a file would be checked by no test
		if n := strings.Count(strings.Join(read(t, dir, k), " "), "/"); n == 0 && k.name != "submitted jobs" {
			t.Errorf("the project has no file of this kind: %s", k.name)
		}
	}
}

// read lists the files of a kind.
func read(t testing.TB, dir string, k kind) (files []string) {
	t.Helper()
	for _, pattern := range k.files {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// TestEveryFlippedByteIsFound flips single bytes, fills ranges and cuts, of every file that has checksums, and wants each damage found.
func TestEveryFlippedByteIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads files some ten thousand times")
	}
	dir := project(t)
	r := rand.New(rand.NewPCG(3, 4))
	type file struct {
		path  string
		check func(path string) error
	}
	var all []file
	for _, k := range kinds {
		if k.name == "the list of bad images" || k.name == "steps of a training" || k.name == "what each training was of" || k.name == "submitted jobs" {
			continue // texts without checksums, which are only told of
		}
		files := read(t, dir, k)
		if k.name == "a checkpoint" {
			files = files[:1] // 40 MB
		}
		for _, path := range files {
			all = append(all, file{path, func(path string) error { return k.check(t.Context(), path) }})
		}
	}
	for _, name := range []string{"ada", "bob"} {
		all = append(all, file{filepath.Join(dir, "labels", name+".jsonl"), func(path string) error {
			if s, err := journal.Inspect(path); err != nil || len(s.Bad) > 0 || s.Torn > 0 || s.Missing != nil {
				return fmt.Errorf("%+v %w", s, err)
			}
			return nil
		}})
		all = append(all, file{filepath.Join(dir, "labels", "."+name+".kept"), func(path string) error { return journal.Notes(filepath.Dir(path))[path] }})
	}
	plan, _ := filepath.Glob(filepath.Join(dir, "scores", "shards-*"))
	for shard := range 3 {
		f, err := shards.Open(plan[0])
		if err != nil {
			t.Fatal(err)
		}
		manifest, scores := f.Files(shard)
		verify := func(string) error { return f.Verify(shard) }
		all = append(all, file{manifest, verify}, file{scores, verify})
	}
	all = append(all, file{filepath.Join(plan[0], "plan.json"), func(path string) error { _, err := shards.Open(filepath.Dir(path)); return err }})

	for _, f := range all {
		whole, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.check(f.path); err != nil {
			t.Fatalf("%s: %v", f.path, err)
		}
		n := len(whole)
		var at []int // where a byte is flipped: everywhere in small files
		switch {
		case n <= 6000:
			for i := range n {
				at = append(at, i)
			}
		case n <= 2<<20:
			for range 200 {
				at = append(at, r.IntN(n))
			}
			for i := range 200 {
				at = append(at, i, n-1-i)
			}
		default:
			at = append(at, 0, 9, 40, n-1)
			for range 6 {
				at = append(at, r.IntN(n))
			}
		}
		tried, missed := 0, 0
		look := func(how string) {
			if tried++; f.check(f.path) == nil {
				if missed++; missed < 5 {
					t.Errorf("%s: %s is not noticed", filepath.Base(f.path), how)
				}
			}
		}
		try := func(how string, b []byte) {
			if bytes.Equal(b, whole) {
				return
			}
			if err := os.WriteFile(f.path, b, 0o666); err != nil {
				t.Fatal(err)
			}
			look(how)
		}
		out, err := os.OpenFile(f.path, os.O_WRONLY, 0) // bytes are changed in place: some file systems flush a file that is written anew
		if err != nil {
			t.Fatal(err)
		}
		put := func(i int, b byte) {
			if _, err := out.WriteAt([]byte{b}, int64(i)); err != nil {
				t.Fatal(err)
			}
		}
		for _, i := range at {
			bit := byte(1) << r.IntN(8)
			put(i, whole[i]^bit)
			look(fmt.Sprintf("byte %d of %d, flipped by %#x", i, n, bit))
			put(i, whole[i])
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		for range min(20, len(at)) {
			from := r.IntN(n)
			to := from + 1 + r.IntN(n-from)
			b := bytes.Clone(whole)
			for i := from; i < to; i++ {
				b[i] = 0
			}
			try(fmt.Sprintf("zeros from %d to %d of %d", from, to, n), b)
		}
		for range min(40, len(at)) {
			length := r.IntN(n)
			try(fmt.Sprintf("cut at %d of %d", length, n), whole[:length])
		}
		if lines := bytes.SplitAfter(whole, []byte("\n")); strings.HasSuffix(f.path, ".jsonl") { // between lines, each of which has its own checksum
			for i := range lines[:len(lines)-1] {
				try(fmt.Sprintf("cut behind line %d", i), bytes.Join(lines[:i], nil))
				try(fmt.Sprintf("without line %d", i+1), bytes.Join(append(slices.Clone(lines[:i]), lines[i+1:]...), nil))
			}
		}
		if err := os.WriteFile(f.path, whole, 0o666); err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(dir, f.path)
		t.Logf("%-42s %8d bytes, %d of %d damages found", rel, n, tried-missed, tried)
	}
	if r := check(t, dir); len(r.Findings) > 0 {
		t.Errorf("the test did not put everything back: %+v", r.Findings)
	}
}

// TestRepair damages one file of every kind, and wants it named, and after the repair a project that is whole and has lost only what was damaged.
func TestRepair(t *testing.T) {
	journal.Settle = 0 // no file here looks shorter than it is
	dir := project(t)
	var damaged []string
	flip := func(path string, at int) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[(len(b)+at)%len(b)] ^= 0x20
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(dir, path)
		damaged = append(damaged, filepath.ToSlash(rel))
	}
	for _, k := range kinds {
		files := read(t, dir, k)
		if k.repair == nil || len(files) == 0 {
			continue
		}
		at := 30
		if k.name == "embeddings" {
			at = -30 // behind the rows: a damaged row is not worth making all anew
		}
		if k.name == "the list of bad images" {
			at = 0
		}
		flip(files[len(files)-1], at)
	}
	flip(filepath.Join(dir, "labels", "ada.jsonl"), 30) // the first line
	bob := filepath.Join(dir, "labels", "bob.jsonl")    // the last one, cut between lines
	text, err := os.ReadFile(bob)
	if err == nil {
		err = os.WriteFile(bob, text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1], 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	damaged = append(damaged, "labels/bob.jsonl")
	manifests, _ := filepath.Glob(filepath.Join(dir, "scores", "shards-*", "shard-00001.json"))
	flip(manifests[0], 30)
	old := filepath.Join(dir, "scores", ".cycle-009.scores-0a0b0c0d.part")
	if err := os.WriteFile(old, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Now(), time.Now().Add(-2*atomicfile.Leftover)); err != nil {
		t.Fatal(err)
	}

	r := check(t, dir)
	var named []string
	for _, f := range r.Findings {
		if f.Damage {
			named = append(named, f.File)
		}
	}
	slices.Sort(damaged)
	slices.Sort(named)
	if !slices.Equal(named, damaged) || len(r.Findings) != len(damaged)+1 {
		t.Fatalf("named  %q\ndamaged %q", named, damaged)
	}
	if r.Labels != 26 {
		t.Errorf("%d whole label events", r.Labels)
	}
	r.Repair()
	for _, f := range r.Findings {
		if !f.Mended {
			t.Errorf("%s is not mended: %s", f.File, f.Problem)
		}
	}
	r = check(t, dir)
	if len(r.Findings) > 0 || r.Labels != 26 {
		t.Errorf("after the repair: %+v", r)
	}
	j, err := journal.Open(filepath.Join(dir, "labels"), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(j.Current()); n != 12 { // bob labelled the image of the lost line too
		t.Errorf("%d images are labelled", n)
	}
	if _, info, bad, found, err := fixmatch.Latest(filepath.Join(dir, "checkpoints")); err != nil || !found || info.Cycle != 1 || len(bad) > 0 {
		t.Errorf("checkpoint: cycle %d, %v, %v", info.Cycle, bad, err)
	}
	for _, kept := range []string{"checkpoints/cycle-002-step-00005.safetensors.damaged", "scores/cycle-002.scores.damaged", "labels/ada.jsonl.damaged"} {
		if _, err := os.Stat(filepath.Join(dir, kept)); err != nil {
			t.Error(err)
		}
	}
}
