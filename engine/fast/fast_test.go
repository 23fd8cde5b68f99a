package fast

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/metrics"
	"anomalymatch/engine/runtime"
)

// pool is a sky of 48 images and one file that is none.
func pool(t *testing.T) (*dataset.Pool, map[string]bool) {
	t.Helper()
	dir := t.TempDir()
	sky := filepath.Join(dir, "sky")
	truth, err := synth.Write(sky, 48, synth.Params{Seed: 5, Size: 48, Rare: 0.25, RareKind: synth.Ring}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sky, "g000010x.jpg"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := dataset.OpenPool(t.Context(), filepath.Join(dir, "index"), []dataset.NamedSource{{Name: "sky", Path: sky}}, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, truth
}

func TestEmbeddingsGoOnAndRank(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "auto")
	if err != nil {
		t.Fatal(err)
	}
	p, truth := pool(t)
	key := KeyOf(p.Hash(), 48, 2)
	whole, cut := t.TempDir(), t.TempDir()
	if _, err := Open(whole, key); !errors.Is(err, ErrNone) {
		t.Errorf("embeddings in an empty folder: %v", err)
	}
	e, err := Create(t.Context(), whole, key, p, o, Options{Batch: 8, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()

	// Cut off after two batches, then going on: the same bytes.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Create(ctx, cut, key, p, o, Options{Batch: 8, Workers: 2, Progress: func(done, _ int) {
		if done >= 16 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("after a cancel: %v", err)
	}
	first := -1
	again, err := Create(t.Context(), cut, key, p, o, Options{Batch: 8, Workers: 2, Progress: func(done, _ int) {
		if first < 0 {
			first = done
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if first < 16 {
		t.Errorf("began again at image %d", first)
	}
	if e.CRC != again.CRC {
		t.Error("the embeddings differ after an interruption")
	}

	// The unreadable image has no embedding, no score, and shifts nobody.
	row := make([]float32, e.Dims)
	var anomalies, normals []int
	for i := range p.Len() {
		name := filepath.Base(p.ID(i))
		if has := e.Row(i, row); has == (name == "g000010x.jpg") {
			t.Errorf("%s: has an embedding: %v", name, has)
		}
		switch {
		case name == "g000010x.jpg":
		case truth[name] && len(anomalies) < 5:
			anomalies = append(anomalies, i)
		case !truth[name] && len(normals) < 15:
			normals = append(normals, i)
		}
	}
	h, err := Fit(e, anomalies, normals, Beliefs{}, Plain())
	if err != nil {
		t.Fatal(err)
	}
	known := map[int]bool{}
	for _, i := range append(anomalies, normals...) {
		known[i] = true
	}
	var labels []bool
	var scores []float64
	for i, s := range h.Scores() {
		name := filepath.Base(p.ID(i))
		if math.IsNaN(float64(s)) != (name == "g000010x.jpg") {
			t.Errorf("%s scores %v", name, s)
		}
		if !known[i] && name != "g000010x.jpg" {
			labels, scores = append(labels, truth[name]), append(scores, float64(s))
		}
	}
	if auroc, ok := metrics.AUROC(labels, scores); !ok || auroc < 0.9 {
		t.Errorf("rings among galaxies: AUROC %.3f, %v", auroc, ok)
	}
	if _, err := Fit(e, anomalies, nil, Beliefs{}, Plain()); err == nil {
		t.Error("fitted to one class")
	}

	// What the program ranks with finds them too, from five or from one, and the same twice.
	for _, few := range []int{5, 1} {
		labelled := map[int]bool{}
		for _, i := range anomalies[:few] {
			labelled[i] = true
		}
		var no []int
		if few > 1 {
			no = normals
			for _, i := range no {
				labelled[i] = true
			}
		}
		s, b, novelty, err := Rank(e, anomalies[:few], no, labelled, Best(6))
		if err != nil || novelty {
			t.Fatal(novelty, err)
		}
		again, _, _, _ := Rank(e, anomalies[:few], no, labelled, Best(6))
		labels, scores = nil, nil
		for i := range s {
			if s[i] != again[i] && s[i] == s[i] {
				t.Fatalf("image %d scores %v, then %v", i, s[i], again[i])
			}
			if !labelled[i] && s[i] == s[i] {
				labels, scores = append(labels, truth[filepath.Base(p.ID(i))]), append(scores, float64(s[i]))
			}
		}
		auroc, _ := metrics.AUROC(labels, scores)
		t.Logf("%d anomalies labelled: AUROC %.3f", few, auroc)
		if least := map[int]float64{5: 0.9, 1: 0.7}[few]; auroc < least {
			t.Errorf("rings among galaxies from %d: AUROC %.3f", few, auroc)
		}
		if want := (few + 1) / 2; len(b.Anomalies) != want {
			t.Errorf("%d images are believed to be anomalies, want %d", len(b.Anomalies), want)
		}
		for _, i := range append(b.Anomalies, b.Normals...) {
			if labelled[i] {
				t.Errorf("image %d is labelled and believed", i)
			}
		}
		for _, i := range b.Anomalies {
			if slices.Contains(b.Normals, i) {
				t.Errorf("image %d is believed to be both", i)
			}
		}
	}
	if _, _, novelty, err := Rank(e, nil, normals, nil, Best(6)); err != nil || !novelty {
		t.Error("without an anomaly it is not novelty that ranks", err)
	}

	// Damage is noticed where it is read, and only what is damaged is embedded again; damage behind the rows makes the file none.
	file := filepath.Join(whole, "frozen-48x2.f16")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(at int) {
		d := slices.Clone(b)
		d[at] ^= 1
		if err := os.WriteFile(file, d, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	damage(2*e.Dims*40 + 77)
	hurt, err := Open(whole, key)
	if err != nil {
		t.Fatal(err)
	}
	defer hurt.Close()
	if hurt.Damaged() != 0 {
		t.Error("opening looked at all rows")
	}
	for i, s := range hurt.Novelty() {
		if isNaN := s != s; isNaN != (i >= 32 || filepath.Base(p.ID(i)) == "g000010x.jpg") {
			t.Errorf("image %d is ranked: %v", i, !isNaN)
		}
	}
	if n := hurt.Damaged(); n != p.Len()-32 || hurt.Row(33, row) {
		t.Errorf("%d images are damaged", n)
	}
	total := 0
	mended, err := Create(t.Context(), whole, key, p, o, Options{Batch: 8, Workers: 2, Progress: func(_, of int) { total = of }})
	if err != nil || mended.CRC != e.CRC || total != p.Len()-32 {
		t.Errorf("mended: %v, %d images embedded", err, total)
	}
	mended.Close()
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, b) {
		t.Errorf("not the same file as before: %v", err)
	}
	for at := 2 * e.Dims * p.Len(); at < len(b); at += 501 {
		damage(at)
		if _, err := Open(whole, key); !errors.Is(err, ErrNone) {
			t.Errorf("damaged byte %d of %d: %v", at, len(b), err)
		}
	}
	other := key
	other.Pool = "another"
	if _, err := Open(cut, other); !errors.Is(err, ErrNone) {
		t.Errorf("embeddings of another pool: %v", err)
	}
}

// TestOddPools: nothing that varies, and labels that contradict each other, give numbers.
func TestOddPools(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "go")
	if err != nil {
		t.Fatal(err)
	}
	black, grey := dataset.NewRGB(32, 32), dataset.NewRGB(32, 32)
	for k := range grey.Pix {
		grey.Pix[k] = 99
	}
	galaxy, _ := synth.Galaxy(1, 1, 32)
	for name, images := range map[string][]dataset.RGB{
		"all black":       {black, black, black, black},
		"constant images": {black, grey, black, grey},
		"one that varies": {black, grey, galaxy, galaxy},
	} {
		dir := t.TempDir()
		for i, m := range images {
			var b bytes.Buffer
			if err := png.Encode(&b, m.Image()); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.png", i)), b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		p, err := dataset.OpenPool(t.Context(), t.TempDir(), []dataset.NamedSource{{Name: "sky", Path: dir}}, dataset.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		e, err := Create(t.Context(), t.TempDir(), KeyOf(p.Hash(), 32, 2), p, o, Options{Batch: 8, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		check := func(what string, scores []float32) {
			t.Helper()
			if len(scores) != 4 {
				t.Errorf("%s, %s: %d scores", name, what, len(scores))
			}
			for i, s := range scores {
				if !(s >= 0 && s <= 1) {
					t.Errorf("%s, %s: image %d scores %v", name, what, i, s)
				}
			}
		}
		check("novelty", e.Novelty())
		for _, labels := range [][2][]int{{{0}, {1}}, {{0}, {2}}, {{2}, {3}}} { // the last two are the same pixels
			scores, _, _, err := Rank(e, labels[0], labels[1], map[int]bool{labels[0][0]: true, labels[1][0]: true}, Best(6))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			check(fmt.Sprint("labels ", labels), scores)
		}
	}
}
