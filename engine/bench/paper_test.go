package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset/synth"
)

// zooHead is the first line of the Galaxy Zoo challenge's table.
const zooHead = "GalaxyID,Class1.1,Class1.2,Class1.3,Class2.1,Class2.2,Class3.1,Class3.2,Class4.1,Class4.2,Class5.1,Class5.2,Class5.3,Class5.4," +
	"Class6.1,Class6.2,Class7.1,Class7.2,Class7.3,Class8.1,Class8.2,Class8.3,Class8.4,Class8.5,Class8.6,Class8.7,Class9.1,Class9.2,Class9.3," +
	"Class10.1,Class10.2,Class10.3,Class11.1,Class11.2,Class11.3,Class11.4,Class11.5,Class11.6"

// zooRow is a row of that table.
func zooRow(id int, odd string) string {
	votes := slices.Repeat([]string{"0.250000"}, 37)
	votes[13], votes[14] = odd, "0.1"
	return fmt.Sprintf("%d,%s", id, strings.Join(votes, ","))
}

// draw puts a galaxy of the kind into a file.
func draw(t testing.TB, file string, n int, kind synth.Kind) {
	t.Helper()
	p := synth.Params{Seed: uint64(n), Size: 32}
	if kind.Rare() {
		p.Rare, p.RareKind = 1, kind
	}
	for i := 0; ; i++ {
		if p.Kind(i) != kind {
			continue
		}
		m, _ := p.Galaxy(i)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := jpeg.Encode(f, m.Image(), nil); err != nil {
			t.Fatal(err)
		}
		return
	}
}

func write(t testing.TB, file string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// touch makes files that are listed as images; nothing here decodes them.
func touch(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, file, name)
	}
}

// classes of the data set's images, by path.
func (d *DataSet) byPath() map[string]string {
	out := map[string]string{}
	for i, c := range d.Class {
		out[d.Images.Entry(i).Path] = d.Names[c]
	}
	return out
}

func TestLayouts(t *testing.T) {
	for name, c := range map[string]struct {
		files   []string
		tables  map[string][]string
		layout  Layout
		want    string // the data set, or the error
		classes string // to look for
		leftOut int
	}{
		"folders": {files: []string{"ant/1.jpg", "ant/2.png", "bee/1.jpg", "stray.jpg"},
			want: "map[ant/1.jpg:ant ant/2.png:ant bee/1.jpg:bee]", classes: "[ant bee]", leftOut: 1},
		"folders in splits": {files: []string{"train/ant/1.jpg", "val/ant/2.jpg", "val/bee/1.jpg"},
			want: "map[train/ant/1.jpg:ant val/ant/2.jpg:ant val/bee/1.jpg:bee]", classes: "[ant bee]"},
		"one class to look for": {files: []string{"ant/1.jpg", "bee/1.jpg"}, layout: Layout{Classes: []string{"bee"}},
			want: "map[ant/1.jpg:ant bee/1.jpg:bee]", classes: "[bee]"},
		"no such class":  {files: []string{"ant/1.jpg", "bee/1.jpg"}, layout: Layout{Classes: []string{"wasp"}}, want: `has no class "wasp": there is ["ant" "bee"]`},
		"no folders":     {files: []string{"1.jpg"}, want: "holds no class folders"},
		"only one class": {files: []string{"ant/1.jpg"}, want: `has one class, "ant": anomalies need others`},
		"pool by class": {files: []string{"1.jpg", "2.jpg", "3.jpg"}, tables: map[string][]string{"pool.csv": {"filename,class", "1.jpg,ant", "2.jpg,bee", "9.jpg,bee"}},
			want: "map[1.jpg:ant 2.jpg:bee]", classes: "[ant bee]", leftOut: 1},
		"pool by truth": {files: []string{"1.jpg", "2.jpg"}, tables: map[string][]string{"pool.csv": {"\ufefffilename,truth", "1.jpg,normal", "2.jpg,anomaly"}},
			want: "map[1.jpg:normal 2.jpg:anomaly]", classes: "[anomaly]"},
		"folders in spite of a table": {files: []string{"ant/1.jpg", "bee/2.jpg"}, tables: map[string][]string{"pool.csv": {"nonsense"}}, layout: Layout{Kind: "folders"},
			want: "map[ant/1.jpg:ant bee/2.jpg:bee]", classes: "[ant bee]"},
		"neither":        {files: []string{"1.jpg"}, tables: map[string][]string{"pool.csv": {"name,kind"}}, want: "pool.csv must begin with the line filename,class or filename,truth"},
		"empty table":    {files: []string{"1.jpg"}, tables: map[string][]string{"pool.csv": nil}, want: "pool.csv has no first line"},
		"wrong truth":    {files: []string{"1.jpg"}, tables: map[string][]string{"pool.csv": {"filename,truth", "1.jpg,odd"}}, want: `pool.csv:2: truth is "odd", not anomaly or normal`},
		"no class":       {files: []string{"1.jpg"}, tables: map[string][]string{"pool.csv": {"filename,class", "1.jpg,"}}, want: `pool.csv:2: "1.jpg" has no class`},
		"two classes":    {files: []string{"1.jpg"}, tables: map[string][]string{"pool.csv": {"filename,class", "1.jpg,ant", "1.jpg,bee"}}, want: `pool.csv:3: "1.jpg" is "bee" here and "ant" above`},
		"short row":      {files: []string{"1.jpg"}, tables: map[string][]string{"pool.csv": {"filename,class", "1.jpg"}}, want: "wrong number of fields"},
		"no image":       {files: []string{"1.jpg"}, tables: map[string][]string{"pool.csv": {"filename,class", "7.jpg,ant"}}, want: `none of its 1 rows has an image`},
		"table not here": {files: []string{"1.jpg"}, layout: Layout{Kind: "galaxyzoo"}, want: "there is no training_solutions_rev1.csv"},
		"no such layout": {files: []string{"1.jpg"}, layout: Layout{Kind: "zoo"}, want: `no layout "zoo": choose`},
		"galaxy zoo": {files: []string{"images_training_rev1/100008.jpg", "images_training_rev1/100023.jpg", "images_training_rev1/100053.jpg"},
			tables: map[string][]string{"training_solutions_rev1.csv": {zooHead, zooRow(100008, "0.054453"), zooRow(100023, "0.91"), zooRow(100053, "0.9"), zooRow(100078, "0.99")}},
			want:   "map[images_training_rev1/100008.jpg:normal images_training_rev1/100023.jpg:anomaly images_training_rev1/100053.jpg:normal]", classes: "[anomaly]", leftOut: 1},
		"galaxy zoo at 0.7": {files: []string{"1.jpg", "2.jpg", "3.jpg"}, layout: Layout{Threshold: 0.7},
			tables: map[string][]string{"training_solutions_rev1.csv": {zooHead, zooRow(1, "0.71"), zooRow(2, "0.7"), zooRow(3, "0")}},
			want:   "map[1.jpg:anomaly 2.jpg:normal 3.jpg:normal]", classes: "[anomaly]"},
		"galaxy zoo without ids":  {files: []string{"1.jpg"}, tables: map[string][]string{"training_solutions_rev1.csv": {strings.Replace(zooHead, "GalaxyID", "id", 1), zooRow(1, "1")}}, want: "training_solutions_rev1.csv has no column GalaxyID"},
		"galaxy zoo without odd":  {files: []string{"1.jpg"}, tables: map[string][]string{"training_solutions_rev1.csv": {"GalaxyID,Class1.1", "1,0.5"}}, want: "has no column Class6.1"},
		"galaxy zoo, no number":   {files: []string{"1.jpg"}, tables: map[string][]string{"training_solutions_rev1.csv": {zooHead, zooRow(1, "yes")}}, want: `training_solutions_rev1.csv:2: Class6.1 is "yes", not a share of votes`},
		"galaxy zoo, NaN":         {files: []string{"1.jpg"}, tables: map[string][]string{"training_solutions_rev1.csv": {zooHead, zooRow(1, "NaN")}}, want: `Class6.1 is "NaN"`},
		"galaxy zoo, a percent":   {files: []string{"1.jpg"}, tables: map[string][]string{"training_solutions_rev1.csv": {zooHead, zooRow(1, "91")}}, want: `Class6.1 is "91"`},
		"galaxy zoo, nothing odd": {files: []string{"1.jpg"}, tables: map[string][]string{"training_solutions_rev1.csv": {zooHead, zooRow(1, "0.62")}}, want: "no galaxy with more than 0.9 of the votes for odd (Class6.1; the most is 0.62): a lower --threshold"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			touch(t, dir, c.files...)
			for table, lines := range c.tables {
				write(t, filepath.Join(dir, table), lines...)
			}
			l := c.layout
			l.Images = dir
			if l.Threshold == 0 {
				l.Threshold = 0.9
			}
			d, err := OpenDataSet(t.Context(), l, t.TempDir())
			if err != nil {
				if c.classes != "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %q, want %q", err, c.want)
				}
				return
			}
			defer d.Close()
			var looked []string
			for _, k := range d.Anomalies {
				looked = append(looked, d.Names[k])
			}
			if got := fmt.Sprint(d.byPath()); got != c.want || fmt.Sprint(looked) != c.classes || d.LeftOut != c.leftOut || (d.Why != "") != (c.leftOut > 0) {
				t.Errorf("got %s, looks for %v, %d left out (%s)", got, looked, d.LeftOut, d.Why)
			}
		})
	}
}

func TestReadPoints(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"shares":       {[]string{"inspected,found", "0.5,0.9", "0.1,0.5"}, "{[0.1 0.5] [0.5 0.9] false}"},
		"counts":       {[]string{"found,inspected,note", "5,100,a", "10,1000,b"}, "{[0.1 1] [0.5 1] true}"},
		"from zero":    {[]string{"inspected,found", "0,0", "1,1"}, "{[0 1] [0 1] false}"},
		"mixed":        {[]string{"inspected,found", "100,0.5"}, "mixes fractions and numbers above 1"},
		"too many":     {[]string{"inspected,found", "2000,5"}, "this pool has 1000 images, 10 of them anomalies"},
		"words":        {[]string{"inspected,found", "few,5"}, `row 1: "few" is no share`},
		"below":        {[]string{"inspected,found", "-1,5"}, `row 1: "-1" is no share`},
		"without end":  {[]string{"inspected,found", "inf,5"}, `row 1: "inf" is no share`},
		"no points":    {[]string{"inspected,found"}, "has no points"},
		"other header": {[]string{"x,y", "1,2"}, "must begin with the line inspected,found"},
	} {
		file := filepath.Join(t.TempDir(), "points.csv")
		write(t, file, c.lines...)
		p, err := ReadPoints(file, 1000, 10)
		switch {
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: error %q, want %q", name, err, c.want)
		case err == nil && fmt.Sprint(*p) != c.want:
			t.Errorf("%s: got %v, want %s", name, *p, c.want)
		}
	}
}

// folders is a data set of n images a class; nothing decodes them.
func folders(t testing.TB, sizes map[string]int) *DataSet {
	t.Helper()
	dir := t.TempDir()
	for class, n := range sizes {
		for i := range n {
			touch(t, dir, fmt.Sprintf("%s/%03d.jpg", class, i))
		}
	}
	d, err := OpenDataSet(t.Context(), Layout{Images: dir}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestPoolOfASetting(t *testing.T) {
	d := folders(t, map[string]int{"ant": 40, "bee": 60, "cow": 150})
	s := Setting{Name: "test", OneIn: 10, Anomalies: 3, Normals: 17}
	p, numbers := d.pool(0, s, 7)
	anomalies, start := 0, map[bool]int{}
	for k, i := range numbers {
		if p.Images.ID(k) != d.Images.ID(i) || p.Truth[k] != (d.Names[d.Class[i]] == "ant") {
			t.Fatalf("image %d of the pool is not image %d of the data set, or its truth is not", k, i)
		}
		if p.Truth[k] {
			anomalies++
		}
	}
	for k, v := range p.Start {
		start[v]++
		if p.Truth[k] != v {
			t.Error("a wrong label")
		}
	}
	// 210 others: 23 ants are one in ten of 233.
	if anomalies != 23 || len(numbers) != 233 || start[true] != 3 || start[false] != 17 {
		t.Errorf("%d anomalies in %d images, started from %v", anomalies, len(numbers), start)
	}
	again, _ := d.pool(0, s, 7)
	other, _ := d.pool(0, s, 8)
	if again.Images.Hash() != p.Images.Hash() || fmt.Sprint(again.Start) != fmt.Sprint(p.Start) || other.Images.Hash() == p.Images.Hash() {
		t.Error("the pool is not a function of the seed")
	}
	if p, _ := d.pool(0, Setting{Anomalies: 3, Normals: 17}, 7); p.Images.Len() != 250 {
		t.Errorf("all images: %d", p.Images.Len())
	}
	// The paper's own: 600 of 60,000 are exactly 1%.
	paper := DataSet{Class: make([]int, 60000)}
	for i := range paper.Class {
		paper.Class[i] = i % 100
	}
	if a, n := paper.Counts(3, Settings()[0]); a != 600 || n != 59400 {
		t.Errorf("miniImageNet: %d + %d", a, n)
	}
}

func TestTooFewImages(t *testing.T) {
	d := folders(t, map[string]int{"ant": 12, "bee": 60})
	for _, c := range []struct {
		setting Setting
		cycles  int
		want    string
	}{
		{Setting{Name: "all", Anomalies: 2, Normals: 3}, 2, `"ant" has 12 images; the setting all with --cycles 2 needs 13 anomalies: 2 labelled at the start, 10 by the oracle later, and one to find; fewer --cycles need fewer`},
		{Setting{Name: "few", OneIn: 11, Anomalies: 6, Normals: 3}, 1, `1 in 11 of the pool is 6 images of "ant" beside 60 others; the setting few with --cycles 1 needs 7 anomalies: 6 labelled at the start, 0 by the oracle later, and one to find, so 70 other images or more`},
		{Setting{Name: "many", Anomalies: 1, Normals: 100}, 1, `beside "ant" there are 60 images; the setting many with --cycles 1 needs 101`},
	} {
		if err := d.enough(c.setting, c.cycles); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	if err := d.enough(Setting{Anomalies: 2, Normals: 3}, 1); err != nil {
		t.Error(err)
	}
}

// pretend is a protocol whose ranking puts all anomalies but one at the top.
func pretend(calls *[]string, fail func(n int) error) func(context.Context, *Pool, Options) (*Report, error) {
	return func(ctx context.Context, p *Pool, opt Options) (*Report, error) {
		*calls = append(*calls, fmt.Sprint(opt.Config.Seed))
		if fail != nil {
			if err := fail(len(*calls)); err != nil {
				return nil, err
			}
		}
		r := &Report{Backend: "none", Seed: opt.Config.Seed, Method: opt.Method, Size: 32}
		scores := make([]float32, len(p.Truth))
		missed := false
		for i, anomaly := range p.Truth {
			scores[i] = 0.4 * float32(i) / float32(len(scores))
			if _, labelled := p.Start[i]; anomaly && !labelled {
				if missed {
					scores[i] += 0.5
				}
				missed = true
			}
		}
		for c := range opt.Cycles + 1 {
			row := Cycle{Cycle: c}
			row.measure(p.Truth, p.Start, scores)
			r.Cycles = append(r.Cycles, row)
			opt.Scored(c, scores, p.Start)
			if opt.Progress != nil {
				opt.Progress(Progress{What: "scoring", Done: c, All: opt.Cycles})
			}
		}
		return r, nil
	}
}

func paperOptions(dir string) PaperOptions {
	cfg, _ := anomalymatch.Load("")
	return PaperOptions{Options: Options{Config: cfg, Method: "fixmatch", Cycles: 1, Dir: dir}, Setting: Setting{Name: "test", Anomalies: 4, Normals: 6}, Seeds: 3}
}

// What was finished before a run was cut off is not run again; what decides the outcome makes it another run.
func TestPaperGoesOn(t *testing.T) {
	d := folders(t, map[string]int{"a b": 20, "bee": 20, "cow": 25})
	dir := t.TempDir()
	var calls, said []string
	opt := paperOptions(dir)
	opt.Say = func(s string) { said = append(said, s) }
	ctx, cancel := context.WithCancel(t.Context())
	opt.protocol = pretend(&calls, func(n int) error {
		if n == 5 {
			cancel()
		}
		return ctx.Err()
	})
	_, err := Paper(ctx, d, opt)
	var u *Unfinished
	if !errors.As(err, &u) || u.Done != 4 || u.All != 9 || !errors.Is(err, context.Canceled) {
		t.Fatalf("cut off: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "run-*")); len(left) > 0 {
		t.Errorf("%v stays", left)
	}

	calls = nil
	opt.protocol = pretend(&calls, nil)
	var left []float64
	opt.Progress = func(p Progress) { left = append(left, p.SecondsLeft) }
	r, err := Paper(t.Context(), d, opt)
	if err != nil || fmt.Sprint(calls) != "[43 44 42 43 44]" {
		t.Fatalf("ran again: %v, %v", calls, err)
	}
	if left[0] != -1 || slices.Max(left) < 0 || left[len(left)-1] != 0 {
		t.Errorf("seconds left: %v", left)
	}
	if !slices.Contains(said, "4 of 9 runs were done before") || !strings.HasPrefix(said[len(said)-1], "run 9 of 9: cow, seed 44: cycle 1: 4 + 6 labels, AUROC ") {
		t.Errorf("said %q", said)
	}

	calls = nil
	kept, err := Paper(t.Context(), d, opt)
	if err != nil || len(calls) != 0 {
		t.Fatalf("finished, yet ran %v, %v", calls, err)
	}
	a, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(kept); string(a) != string(b) {
		t.Error("the kept runs give another result")
	}

	for name, change := range map[string]func(*PaperOptions){
		"setting":    func(o *PaperOptions) { o.Setting.Normals++ },
		"cycles":     func(o *PaperOptions) { o.Cycles++ },
		"iterations": func(o *PaperOptions) { o.Config.FixMatch.Iterations++ },
		"size":       func(o *PaperOptions) { o.Config.Model.Size++ },
	} {
		calls = nil
		other := opt
		change(&other)
		if _, err := Paper(t.Context(), d, other); err != nil || len(calls) != 9 {
			t.Errorf("another %s: ran %v, %v", name, calls, err)
		}
	}

	// A torn file is run again.
	files, _ := filepath.Glob(filepath.Join(dir, "runs", "bee-43-*"))
	for _, f := range files {
		if err := os.Truncate(f, 100); err != nil {
			t.Fatal(err)
		}
	}
	calls = nil
	if _, err := Paper(t.Context(), d, opt); err != nil || fmt.Sprint(calls) != "[43]" {
		t.Errorf("a torn file: ran %v, %v", calls, err)
	}
}

func TestPaperReport(t *testing.T) {
	d := folders(t, map[string]int{"ant": 20, "bee": 30})
	var calls []string
	opt := paperOptions(t.TempDir())
	opt.protocol = pretend(&calls, nil)
	r, err := Paper(t.Context(), d, opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Classes) != 2 || len(r.Classes[1].Runs) != 3 || r.Classes[0].Anomalies != 20 || r.Classes[0].Images != 50 || fmt.Sprint(r.Seeds) != "[42 43 44]" {
		t.Fatalf("%+v", r)
	}
	// The table is the runs' mean, by hand.
	sum := 0.0
	for _, c := range r.Classes {
		of := 0.0
		for _, run := range c.Runs {
			of += *run.Cycles[1].AUROC / 3
		}
		if math.Abs(*c.AUROC.Mean-of) > 1e-4 || c.AUROC.SD == nil {
			t.Errorf("%s: %v, want %v", c.Class, *c.AUROC.Mean, of)
		}
		sum += of / 2
	}
	if math.Abs(*r.Mean.OverClasses.AUROC.Mean-sum) > 1e-4 || math.Abs(*r.Mean.OverSeeds.AUROC.Mean-sum) > 1e-4 {
		t.Errorf("means %v and %v, want %v", *r.Mean.OverClasses.AUROC.Mean, *r.Mean.OverSeeds.AUROC.Mean, sum)
	}
	// The curves hold what the table says, and end where curves end.
	at := func(b Band, x float64) float64 { return b.Mean[slices.Index(Grid, x)] }
	if at(r.Curves.ROC, 1) != 1 || at(r.Curves.Detection, 0) != 0 || at(r.Curves.Detection, 1) != 1 || len(r.Curves.ROC.SD) != len(Grid) || len(r.Curves.Detection.Classes) != 2 {
		t.Error("the curves do not end in their corners")
	}
	// 15 of the 16 ants without a label are at the top of 40 images.
	if got := r.Classes[0].Runs[0].Curves.Detection[slices.Index(Grid, 0.5)]; got != 0.9375 {
		t.Errorf("found %v after half of the images", got)
	}
	var anomalies, normals int64
	for k := range scoreBins {
		anomalies += r.Curves.Anomaly[k]
		normals += r.Curves.Normal[k]
	}
	if anomalies != 3*(16+26) || normals != 3*(24+14) {
		t.Errorf("%d and %d scores", anomalies, normals)
	}
	opt.Seeds = 1
	if r, err = Paper(t.Context(), d, opt); err != nil || r.Classes[0].AUROC.SD != nil || r.Curves.ROC.SD != nil || r.Mean.OverClasses.AUROC.SD == nil {
		t.Errorf("one seed has a deviation, %v", err)
	}
}

// The whole way with the real fast method, in the three layouts: rings among other galaxies are found.
func TestPaperOnGalaxies(t *testing.T) {
	if testing.Short() {
		t.Skip("embeds images")
	}
	if raceDetector {
		t.Skip("the Go backend's matrix product stops the race detector's pointer checks")
	}
	dir := t.TempDir()
	kinds := []synth.Kind{synth.Ring, synth.EdgeOn, synth.Elliptical}
	table, truth, zoo := []string{"filename,class"}, []string{"filename,truth"}, []string{zooHead}
	for n := range 90 {
		kind := kinds[n%3]
		file := fmt.Sprintf("%s/%d.jpg", kind, 100000+n)
		draw(t, filepath.Join(dir, file), n, kind)
		table = append(table, fmt.Sprintf("%d.jpg,%s", 100000+n, kind))
		is, odd := "normal", "0.1"
		if kind == synth.Ring {
			is, odd = "anomaly", "0.95"
		}
		truth, zoo = append(truth, file+","+is), append(zoo, zooRow(100000+n, odd))
	}
	tables := t.TempDir()
	write(t, filepath.Join(tables, "class.csv"), table...)
	write(t, filepath.Join(tables, "truth.csv"), truth...)
	write(t, filepath.Join(tables, "zoo.csv"), zoo...)
	work := t.TempDir()
	for _, c := range []struct {
		layout  Layout
		classes int
	}{
		{Layout{Images: dir}, 3},
		{Layout{Images: dir, Table: filepath.Join(tables, "class.csv"), Classes: []string{"ring", "edge-on"}}, 2},
		{Layout{Images: dir, Table: filepath.Join(tables, "truth.csv")}, 1},
		{Layout{Images: dir, Table: filepath.Join(tables, "zoo.csv"), Threshold: 0.9}, 1},
	} {
		d, err := OpenDataSet(t.Context(), c.layout, filepath.Join(work, "index"))
		if err != nil {
			t.Fatal(err)
		}
		opt := paperOptions(work)
		opt.Method, opt.Seeds, opt.Config.Fast.Size, opt.Config.Engine.Runtime, opt.Setting.OneIn = "fast", 1, 32, "go", 4
		r, err := Paper(t.Context(), d, opt)
		d.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Classes) != c.classes || r.Classes[0].Images != 80 || r.Classes[0].Anomalies != 20 {
			t.Errorf("%s: %d classes, %d of %d images", r.Layout, len(r.Classes), r.Classes[0].Anomalies, r.Classes[0].Images)
		}
		if auroc := *r.Mean.OverSeeds.AUROC.Mean; auroc < 0.7 {
			t.Errorf("%s: AUROC %v", r.Layout, auroc)
		}
	}
}

func TestPace(t *testing.T) {
	now := time.Now()
	p := pace{began: now.Add(-100 * time.Second), all: 4}
	if p.left() != -1 {
		t.Error("time left before anything is known")
	}
	// One run took 60 seconds, 40 seconds ago.
	p.done, p.at = 1, now.Add(-40*time.Second)
	if left := p.left(); left < 138 || left > 140 {
		t.Errorf("%v seconds left", left)
	}
	p.done, p.at = 3.9, now.Add(-40*time.Second)
	if left := p.left(); left != 0 {
		t.Errorf("late: %v seconds left", left)
	}
}
