package engine

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/estimate"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/metrics"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
	"anomalymatch/engine/train"
)

func TestDotsKeepTheCurve(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for _, n := range []int{2, 50, 20_000} {
		labels, scores := make([]bool, n), make([]float64, n)
		for i := range labels {
			labels[i] = i%7 == 0
			scores[i] = r.NormFloat64()
			if labels[i] {
				scores[i]++
			}
		}
		for name, of := range map[string]func([]bool, []float64) (metrics.Curve, bool){"ROC": metrics.ROC, "PR": metrics.PrecisionRecall} {
			c, _ := of(labels, scores)
			d := dots(c)
			var thin metrics.Curve
			for _, p := range d {
				thin.X, thin.Y = append(thin.X, p.X), append(thin.Y, p.Y)
			}
			last := len(d) - 1
			if len(d) > mostDots || d[0].X != c.X[0] || d[0].Y != c.Y[0] || d[last].X != c.X[len(c.X)-1] || d[last].Y != c.Y[len(c.Y)-1] {
				t.Errorf("%s of %d images has %d points, from %v to %v", name, n, len(d), d[0], d[last])
			}
			if diff := math.Abs(thin.Area() - c.Area()); diff > 0.01 {
				t.Errorf("%s of %d images: the area differs by %.4f", name, n, diff)
			}
		}
	}
}

func TestFound(t *testing.T) {
	if got := found(nil); got != nil {
		t.Errorf("nothing was looked at: %v", got)
	}
	text := func(points []*rpc.Point) (s string) {
		for _, p := range points {
			s += fmt.Sprintf("%v:%v ", p.X, p.Y)
		}
		return s
	}
	if got := text(found([]bool{true, false, true})); got != "0:0 1:1 2:1 3:2 " {
		t.Error(got)
	}
	many := found(slices.Repeat([]bool{false, true}, 5001))
	if last := many[len(many)-1]; len(many) > mostDots+1 || last.X != 10002 || last.Y != 5001 {
		t.Errorf("%d points, the last %v", len(many), last)
	}
}

func TestAgainst(t *testing.T) {
	nan := float32(math.NaN())
	got := against([]float32{0, 0.2, 1, nan, 0.6}, []float32{0.99, 0.1, 1, 0.5, nan}, 2)
	if want := []int64{1, 1, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestTruthThatNobodyLearntFrom: labelled images do not count, nor do those nobody knows about.
func TestTruthThatNobodyLearntFrom(t *testing.T) {
	a, n := label.Anomaly, label.Normal
	v := view{r: rank("fast", time.Now(), []float32{0.9, 0.8, 0.1, 0.2, 0.3}), of: said{bits: []uint64{0b1001}, images: []int32{0, 3}, values: []label.Value{a, label.Skip}}}
	anomaly, scores, of := unlabelled(v, []label.Value{a, a, n, n, ""})
	if fmt.Sprint(anomaly, len(scores)) != "[true false false] 3" || of != "fast ranking, truth of 3 images that are not labelled" {
		t.Errorf("%v %v, %q", anomaly, scores, of)
	}
	v.r = rank("order", time.Now(), v.r.scores)
	if anomaly, _, _ := unlabelled(v, []label.Value{a, a, n, n, ""}); anomaly != nil {
		t.Error("nothing ranks yet")
	}
}

func TestJudgedByHeadsThatDoNotKnow(t *testing.T) {
	nan := float32(math.NaN())
	as := &assessment{judged: []estimate.Judged{{Image: 3, Anomaly: true}, {Image: 4}, {Image: 5}}, scores: map[int]float32{3: 0.9, 4: 0.1, 5: nan}}
	anomaly, scores, of := judgedBy(as)
	if !slices.Equal(anomaly, []bool{true, false}) || len(scores) != 2 || of != "fast ranking, 2 labels, scored by heads that do not know them" {
		t.Errorf("%v %v %q", anomaly, scores, of)
	}
	var out rpc.CurvesReply
	out.Of = of
	judge(&out, anomaly, scores)
	if !out.Auroc.Known || out.Auroc.Value != 1 || out.Auroc.Low > 0.9 || !out.Auprc.Known {
		t.Errorf("%v", &out)
	}
	judge(&out, anomaly[:1], scores[:1])
	if out.Of != "" || out.Auroc.Known {
		t.Errorf("one class: %v", &out)
	}
}

func TestCurvesFromNothingToTwoCycles(t *testing.T) {
	p := newProject(t)
	p.start()
	ask := func() *rpc.CurvesReply {
		t.Helper()
		c, err := p.Curves(t.Context(), &rpc.CurvesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	p.until("novelty", func(s *rpc.Status) bool { return s.RankedBy == "novelty" && idle(s) })
	if c := ask(); c.Of != "" || len(c.Roc)+len(c.Pr)+len(c.Found)+len(c.Against) > 0 || c.Auroc.Known || c.Truth != 0 {
		t.Errorf("nothing is known: %v", c)
	}
	p.labelSome(10, 4)
	p.fitted()
	c := ask()
	if !strings.HasPrefix(c.Of, "fast ranking, 1") || !strings.Contains(c.Of, "do not know them") || len(c.Roc) < 2 || !c.Auroc.Known || c.Truth != 0 {
		t.Errorf("on labels: %v", c)
	}
	rare := 0
	for _, v := range p.truth {
		if v {
			rare++
		}
	}
	if n := len(c.Found); n != 10+rare-4+1 || c.Found[n-1].Y != float64(rare-4) {
		t.Errorf("found: %v", c.Found)
	}
	if again := ask(); again != c {
		t.Error("it was made again though nothing changed")
	}

	text := "filename,truth\n"
	for name, v := range p.truth {
		text += name + "," + map[bool]string{true: "anomaly", false: "normal"}[v] + "\n"
	}
	if err := os.WriteFile(filepath.Join(p.opt.Dir, "truth.csv"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	left := len(p.truth) - (10 + rare - 4)
	if c := ask(); c.Of != fmt.Sprintf("fast ranking, truth of %d images that are not labelled", left) || c.Truth != int64(rare) || !c.Auroc.Known {
		t.Errorf("on the truth: %v", c)
	}
	p.labelSome(10, 1)
	p.fitted()
	if c := ask(); !strings.Contains(c.Of, "do not know them") || c.Truth != int64(rare) {
		t.Errorf("one anomaly is left, %d are labelled: %q", rare-1, c.Of)
	}
	if err := os.WriteFile(filepath.Join(p.opt.Dir, "truth.csv"), []byte("filename,truth\nx,maybe\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if c := ask(); !strings.Contains(c.Of, "do not know them") || c.Truth != 0 {
		t.Errorf("a truth that cannot be read: %q", c.Of)
	}

	hash := p.e.pool.Hash()
	for cycle := range 2 {
		scores := make([]float32, p.e.pool.Len())
		for i := range scores {
			scores[i] = float32(i+cycle) / float32(len(scores)+1)
		}
		if err := score.Write(filepath.Join(p.opt.Dir, "scores"), score.Header{Pool: hex.EncodeToString(hash[:]), Cycle: cycle + 3}, scores); err != nil {
			t.Fatal(err)
		}
		p.e.takeScores()
		c := ask()
		total := int64(0)
		for _, n := range c.Against {
			total += n
		}
		if cycle == 0 && (c.Cycle != 0 || total != 0) || cycle == 1 && (c.Cycle != 4 || c.Before != 3 || total != int64(len(scores)) || c.RankCorrelation < 0.999 || len(c.Against) != densityBins*densityBins) {
			t.Errorf("cycle %d: %v", cycle+3, c)
		}
	}
}

func TestRunsAndLog(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{Dir: dir}).Service()
	if r, err := s.Runs(t.Context(), &rpc.RunsRequest{}); err != nil || len(r.Runs) > 0 {
		t.Errorf("no runs: %v, %v", r, err)
	}
	if r, err := s.Log(t.Context(), &rpc.LogRequest{}); err != nil || len(r.Lines) > 0 || r.File != filepath.Join(dir, "engine.log") {
		t.Errorf("no log: %v, %v", r, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "runs"), 0o777); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for cycle, steps := range map[int]int{1: 3, 2: 1000, 12: 1} {
		text := ""
		for i := range steps {
			text += fmt.Sprintf(`{"cycle":%d,"step":%d,"steps":%d,"loss":0.5}`+"\n", cycle, i+1, steps)
		}
		write(fmt.Sprintf("runs/cycle-%03d.jsonl", cycle), text)
	}
	write("runs/cycle-013.jsonl", "")
	write("runs/cycle-x.jsonl", "{}\n")
	w := fixmatch.State{}
	if err := fixmatch.WriteCheckpoint(train.Checkpoints(dir), w, fixmatch.Info{Cycle: 2, RunStep: 1000, RunSteps: 1000, Anomalies: 7, Normals: 90}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Runs(t.Context(), &rpc.RunsRequest{Points: 50})
	if err != nil || len(r.Runs) != 3 || r.Runs[0].Cycle != 12 || r.Runs[1].Cycle != 2 || r.Runs[2].Cycle != 1 {
		t.Fatalf("%v, %v", r, err)
	}
	two := r.Runs[1]
	if n := len(two.Steps); n > 50 || n < 40 || two.Steps[n-1].Step != 1000 || two.Anomalies != 7 || two.Normals != 90 || r.Runs[2].Anomalies != 0 || two.EndedUnixMs == 0 {
		t.Errorf("%d steps, %d anomalies", n, two.Anomalies)
	}
	write("runs/cycle-012.jsonl", `{"cycle":12,"step":1,"steps":9}`+"\n"+`{"cycle":12,"step":2,"steps":9}`+"\n"+`{"cyc`)
	if r, _ := s.Runs(t.Context(), &rpc.RunsRequest{Limit: 1}); len(r.Runs) != 1 || len(r.Runs[0].Steps) != 2 {
		t.Errorf("a run that goes on: %v", r)
	}
	if r, err := s.Run(t.Context(), &rpc.RunRequest{}); err != nil || r.Running || len(r.Steps) != 2 || r.Steps[1].Cycle != 12 || r.Steps[1].Step != 2 {
		t.Errorf("the newest run, of an engine before: %v, %v", r, err)
	}

	write("engine.log", strings.Repeat("x", logBytes)+"cut off\nlast but one \xff\x1b[2J\nlast\n")
	if r, err := s.Log(t.Context(), &rpc.LogRequest{}); err != nil || !slices.Equal(r.Lines, []string{"last but one \ufffd\x1b[2J", "last"}) {
		t.Errorf("%q, %v", r.GetLines(), err)
	}
	if r, _ := s.Log(t.Context(), &rpc.LogRequest{Lines: 1}); !slices.Equal(r.Lines, []string{"last"}) {
		t.Errorf("%q", r.Lines)
	}
}
