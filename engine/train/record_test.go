package train

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fixmatch"
)

func TestParts(t *testing.T) {
	at := func(cycle, step int, from, labels string) Part {
		return Part{Cycle: cycle, Step: step, Steps: 10, From: from, Labels: labels}
	}
	file := func(cycle, step int) string { return fixmatch.Info{Cycle: cycle, RunStep: step}.File() }
	one := fixmatch.Info{Cycle: 1, RunStep: 10}
	two := fixmatch.Info{Cycle: 2, RunStep: 10}
	for name, c := range map[string]struct {
		lines []Part
		of    fixmatch.Info
		want  []Part // what counts
		from  string
	}{
		"nothing known":           {nil, one, nil, file(1, 10)},
		"one round":               {[]Part{at(1, 0, "", "a")}, one, []Part{at(1, 0, "", "a")}, ""},
		"taken up, as it was":     {[]Part{at(1, 0, "", "a"), at(1, 4, file(1, 4), "a")}, one, []Part{at(1, 0, "", "a")}, ""},
		"taken up, other labels":  {[]Part{at(1, 0, "", "a"), at(1, 4, file(1, 4), "b")}, one, []Part{at(1, 0, "", "a"), at(1, 4, "", "b")}, ""},
		"back to a checkpoint":    {[]Part{at(1, 0, "", "a"), at(1, 8, file(1, 8), "b"), at(1, 4, file(1, 4), "c")}, one, []Part{at(1, 0, "", "a"), at(1, 4, "", "c")}, ""},
		"begun twice":             {[]Part{at(1, 0, "", "a"), at(1, 0, file(1, 0), "b")}, one, []Part{at(1, 0, "", "b")}, ""},
		"two rounds":              {[]Part{at(1, 0, "", "a"), at(2, 0, file(1, 10), "b")}, two, []Part{at(1, 0, "", "a"), at(2, 0, file(1, 10), "b")}, ""},
		"the first of two":        {[]Part{at(1, 0, "", "a"), at(2, 0, file(1, 10), "b")}, one, []Part{at(1, 0, "", "a")}, ""},
		"begun twice, second":     {[]Part{at(1, 0, "", "a"), at(2, 0, file(1, 10), "b"), at(2, 0, file(2, 0), "c")}, two, []Part{at(1, 0, "", "a"), at(2, 0, file(1, 10), "c")}, ""},
		"an older program's":      {[]Part{at(2, 0, file(1, 10), "b")}, two, []Part{at(2, 0, file(1, 10), "b")}, file(1, 10)},
		"its end is unknown":      {[]Part{at(1, 0, "", "a")}, two, nil, file(2, 10)},
		"begun by an older one":   {[]Part{at(1, 4, file(1, 4), "a")}, one, []Part{at(1, 4, file(1, 4), "a")}, file(1, 4)},
		"not from the one before": {[]Part{at(1, 0, "", "a"), at(2, 0, "", "b")}, two, []Part{at(2, 0, "", "b")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, p := range c.lines {
				if err := AddParts(dir, p); err != nil {
					t.Fatal(err)
				}
			}
			all, err := Parts(dir)
			if err != nil {
				t.Fatal(err)
			}
			got, from := Chain(all, c.of)
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(c.want)
			if !bytes.Equal(a, b) || from != c.from {
				t.Errorf("from %q: %s\nwant %q: %s", from, a, c.from, b)
			}
		})
	}
}

// TestCutOffParts: a line that was cut off by a crash is none, and does not spoil the next.
func TestCutOffParts(t *testing.T) {
	dir := t.TempDir()
	if err := AddParts(dir, Part{Cycle: 1, Labels: "a"}, Part{Cycle: 2, Labels: "b"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(RecordPath(dir))
	if err == nil {
		err = os.WriteFile(RecordPath(dir), text[:len(text)-5], 0o666)
	}
	if err == nil {
		err = AddParts(dir, Part{Cycle: 2, Labels: "c"})
	}
	all, odd := Parts(dir)
	if err != nil || odd != nil || len(all) != 2 || all[0].Labels != "a" || all[1].Labels != "c" {
		t.Fatal(err, odd, all)
	}
}

// TestPartImages: what a round was trained on is found again in its pool, and in no other.
func TestPartImages(t *testing.T) {
	dir := t.TempDir()
	if _, err := synth.Write(filepath.Join(dir, "sky"), 9, synth.Params{Seed: 3, Size: 32}, nil); err != nil {
		t.Fatal(err)
	}
	open := func(name string) *dataset.Pool {
		t.Helper()
		pool, err := dataset.OpenPool(t.Context(), filepath.Join(dir, name), []dataset.NamedSource{{Name: name, Path: filepath.Join(dir, "sky")}}, dataset.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pool.Close() })
		return pool
	}
	pool := open("a")
	r := Round{Images: Images{Pool: pool, Anomalies: []int{7, 2}, Normals: []int{1, 0}, Unlabelled: []int{3, 4, 6, 8}}, Config: anomalymatch.Default()}
	p := r.part(fixmatch.Info{Cycle: 1}, pool, "", "go")
	im, err := p.Images(pool)
	if err != nil || !slices.Equal(im.Anomalies, r.Images.Anomalies) || !slices.Equal(im.Normals, r.Images.Normals) || !slices.Equal(im.Unlabelled, r.Images.Unlabelled) || len(p.LeftOut) != 1 {
		t.Errorf("%+v, %v of %+v", im, err, p)
	}
	if _, err := p.Images(open("b")); err == nil || !strings.Contains(err.Error(), "another list") {
		t.Error(err)
	}
	p.Normals = append(p.Normals, p.Anomalies[0])
	if _, err := p.Images(pool); err == nil || !strings.Contains(err.Error(), "named twice") {
		t.Error(err)
	}
}
