// Package upgrade holds projects as earlier programs made them, and tests that this one opens them and leaves them readable for those.
//
// A layout's project is made once, by the first program that wrote it, and kept from then on:
//
//	git worktree add /tmp/first COMMIT && cp -r session/upgrade /tmp/first/session/ && cd /tmp/first &&
//		go test ./session/upgrade -run TestMakeProject -write layout-1.zip
//
// layout-1.zip is of the commit bc9ffd1. Its images are drawn, its checkpoint is all of one number so that it packs well, and its embeddings are drawn too.
package upgrade

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/duplicates"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/score"
	"anomalymatch/engine/train"
	"anomalymatch/session"
	"anomalymatch/session/journal"
)

var write = flag.String("write", "", "makes a project of this program's layout, and packs it into this file")

const images = 8

// made is the time of all files: of images it is part of the list.
var made = time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)

// TestMakeProject makes a project with a file of every kind that is kept, as the program makes them.
func TestMakeProject(t *testing.T) {
	if *write == "" {
		t.Skip("-write makes one")
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := filepath.Abs(filepath.Join("testdata", *write))
	ok(err)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	root := t.TempDir()
	t.Chdir(root)
	draw := synth.Defaults()
	draw.Size = 32
	_, err = synth.Write("sky", images, draw, nil)
	ok(err)
	ok(os.WriteFile("table.csv", []byte("id,mag,kind\ng000001,17.5,spiral\ng000002,18.25,ring\n"), 0o666))
	for _, f := range glob(t, "sky/*") {
		ok(os.Chtimes(f, made, made))
	}
	ok(os.Chtimes("table.csv", made, made))
	p, err := session.Create("project", session.Options{Images: []string{"sky"}, Size: 64, Name: "first"})
	ok(err)
	text := "# a comment of a person\nname = \"first\"\nseed = 11\n\n[[source]]\nname = \"sky\"\npath = \"../sky\"\n\n[[metadata]]\nfile = \"../table.csv\"\n\n" +
		"[model]\nsize = 64\n\n[fast]\nsize = 64\nviews = 1\n\n[queue]\nranking = \"fast\"\n\n[display]\nstretch = \"asinh\"\n"
	ok(os.WriteFile(p.Sub("project.toml"), []byte(text), 0o666))
	p, err = session.Open("project")
	ok(err)
	pool, err := p.OpenPool(t.Context(), nil)
	ok(err)
	defer pool.Close()
	_, err = meta.Build(t.Context(), p.Sub("index"), pool, []meta.File{{Path: filepath.Join(root, "table.csv")}}, nil)
	ok(err)
	for k, who := range []string{"ada-lab", "bob-desk"} {
		j, err := journal.Open(p.Sub("labels"), who)
		ok(err)
		for i := range 3 {
			ok(j.Append(who, "", []label.Change{{ID: pool.ID(i + k), To: []label.Value{label.Anomaly, label.Normal, label.Skip}[i]}}))
		}
		ok(j.Append(who, "", []label.Change{{ID: pool.ID(4 + k), Mark: "bookmark", To: "on"}, {ID: pool.ID(4 + k), Mark: "3", To: "on"}}))
		ok(j.Append(who, "", []label.Change{{ID: pool.ID(4 + k), Mark: "3", From: "on"}}))
		ok(j.Append(who, "import-x", []label.Change{{ID: pool.ID(6 + k), To: label.Normal}}))
		ok(j.Close())
	}
	hash := pool.Hash()
	e, err := fast.Simulate(p.Sub("embeddings"), fast.KeyOf(hash, 64, 1), pool.Len(), 7)
	ok(err)
	ok(e.Close())
	ok(duplicates.Write(p.Sub("embeddings", "duplicates-64.json"), "those", duplicates.Make(pool.Len(), [][]int32{{1, 2}})))
	w, err := nn.Pretrained(3)
	ok(err)
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	state := fixmatch.NewState(w)
	for _, w := range []nn.Weights{state.Train, state.EMA, state.Momentum} {
		for _, tensor := range w {
			for i := range tensor.Data {
				tensor.Data[i] = 0.5
			}
		}
	}
	ok(fixmatch.WriteCheckpoint(p.Sub("checkpoints"), state, fixmatch.Info{Size: 64, Cycle: 1, RunStep: 5, RunSteps: 5, Anomalies: 2, Normals: 3}))
	scores := make([]float32, pool.Len())
	for i := range scores {
		scores[i] = float32(i) / images
	}
	ok(score.Write(p.Sub("scores"), score.Header{Pool: hex.EncodeToString(hash[:]), Cycle: 1, Step: 5}, scores))
	ok(os.MkdirAll(p.Sub("runs"), 0o777))
	ok(os.WriteFile(p.Sub("runs", "cycle-001.jsonl"), []byte("{\"step\":1}\n{\"step\":2}\n"), 0o666))
	ok(train.AddParts(p.Dir, train.Part{Cycle: 1, Steps: 5}))
	ok(pool.Close())
	ok(pack(out, root))
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// pack packs all files of a folder.
func pack(path, root string) error {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: made})
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	})
	if err == nil {
		err = z.Close()
	}
	if err == nil && b.Len() > 200<<10 {
		err = fmt.Errorf("%d bytes are too many to keep", b.Len())
	}
	if err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}
