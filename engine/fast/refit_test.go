package fast

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/x448/float16"
)

// simulatedLabels are the first anomalies and normals of simulated embeddings, one in five an anomaly.
func simulatedLabels(seed uint64, n int) (anomalies, normals []int, known map[int]bool) {
	known = map[int]bool{}
	for i := 0; len(known) < n; i++ {
		switch rare := SimulatedRare(seed, i); {
		case rare && len(anomalies) < n/5:
			anomalies = append(anomalies, i)
		case !rare && len(normals) < n-n/5:
			normals = append(normals, i)
		default:
			continue
		}
		known[i] = true
	}
	return anomalies, normals, known
}

// BenchmarkRefit is a refit of the head to 1,000 labels and the scores of all images, as after each label: REFIT_IMAGES of them, 8 KB of
// disk each (default 20,000).
func BenchmarkRefit(b *testing.B) {
	n := 20_000
	if v, err := strconv.Atoi(os.Getenv("REFIT_IMAGES")); err == nil {
		n = v
	}
	e, err := Simulate(b.TempDir(), Key{Size: 128, Views: 8}, n, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	anomalies, normals, known := simulatedLabels(1, 1000)
	for b.Loop() {
		if _, _, _, err := Learn(e, anomalies, normals, known, Best(6)); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	h, err := Fit(e, anomalies, normals, Beliefs{}, Best(6))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/fit")
	began = time.Now()
	h.Scores()
	b.ReportMetric(time.Since(began).Seconds(), "s/scores")
}

// BenchmarkMeasure is one row of an image, by the way this processor has and by the one that all have.
func BenchmarkMeasure(b *testing.B) {
	const dims, rows = 4128, 32
	p := points{mean: make([]float32, dims), gain: slices.Repeat([]float32{1}, dims)}
	raw, weights := make([]byte, rows*2*dims), make([]float32, dims)
	b.Run("here", func(b *testing.B) {
		for b.Loop() {
			p.measure(raw, weights, rows, func(int, float64, float64) {})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			p.measureGo(raw, weights)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/row")
	})
}

// TestKernels: what is added up in assembly is what Go adds up, also where a value is not to be counted or does not exist, and for any number of rows.
func TestKernels(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, dims := range []int{16, 40, 4128} {
		p := points{mean: make([]float32, dims), gain: make([]float32, dims)}
		weights, wide := make([]float32, dims), make([]float64, dims)
		for j := range dims {
			p.mean[j], p.gain[j], weights[j] = rng.Float32(), rng.Float32()+0.1, float32(rng.NormFloat64())
			wide[j] = rng.NormFloat64()
		}
		p.gain[3], p.mean[3] = 0, float32(math.Inf(1))
		for rows := range 10 {
			raw := make([]byte, 0, rows*2*dims)
			for k := range rows * dims {
				v := float16.Fromfloat32(float32(rng.NormFloat64()))
				if k%dims == 3 {
					v = float16.Inf(1)
				}
				raw = binary.LittleEndian.AppendUint16(raw, v.Bits())
			}
			seen := 0
			p.measure(raw, weights, rows, func(k int, dot, squares float64) {
				wantDot, wantSquares := p.measureGo(raw[2*dims*k:2*dims*(k+1)], weights)
				if k != seen || math.Abs(dot-wantDot) > 1e-5*math.Sqrt(wantSquares*float64(dims)) || math.Abs(squares-wantSquares) > 1e-5*wantSquares || wantSquares == 0 {
					t.Errorf("%d values, row %d of %d: %v and %v, want %v and %v", dims, k, rows, dot, squares, wantDot, wantSquares)
				}
				seen++
			})
			if seen != rows {
				t.Errorf("%d of %d rows", seen, rows)
			}
		}
		for _, n := range []int{0, 1, 15, dims} {
			row, sum := weights[:n], slices.Clone(wide)
			want := 0.0
			for j := range row {
				want += wide[j] * float64(row[j])
			}
			if got := dot(wide, row); math.Abs(got-want) > 1e-9 {
				t.Errorf("dot of %d: %v, want %v", n, got, want)
			}
			add(sum, 0.7, row)
			for j := range sum {
				want := wide[j]
				if j < n {
					want += 0.7 * float64(row[j])
				}
				if math.Abs(sum[j]-want) > 1e-12 {
					t.Errorf("sum %d of %d: %v, want %v", j, n, sum[j], want)
				}
			}
		}
	}
}

// plainly is how a head was fitted and applied before it was made fast: one row after the other in double precision.
func plainly(e *Embeddings, h Head) []float64 {
	out, row := make([]float64, e.Rows), make([]float32, e.Dims)
	for i := range out {
		if !e.Row(i, row) {
			out[i] = math.NaN()
			continue
		}
		h.points.point(row)
		out[i] = h.bias
		for j, v := range row {
			out[i] += float64(v) * float64(h.weights[j])
		}
	}
	return out
}

// TestFastIsTheSame: the fast way to score gives the scores of the plain one, and so its order.
func TestFastIsTheSame(t *testing.T) {
	e, err := Simulate(t.TempDir(), Key{Size: 128, Views: 8}, 3001, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	anomalies, normals, known := simulatedLabels(5, 200)
	h, scores, _, err := Learn(e, anomalies, normals, known, Best(6))
	if err != nil {
		t.Fatal(err)
	}
	want := plainly(e, *h)
	order := make([]int, len(want))
	for i := range order {
		order[i] = i
		if d := math.Abs(float64(scores[i]) - sigmoid(want[i])); !(d < 1e-5) || h.Score(i) != scores[i] {
			t.Errorf("image %d scores %v, alone %v, plainly %v", i, scores[i], h.Score(i), sigmoid(want[i]))
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(want[b], want[a]) })
	for k := 1; k < len(order); k++ {
		if a, b := order[k-1], order[k]; scores[a] < scores[b] && want[a]-want[b] > 1e-4 {
			t.Errorf("images %d and %d changed places", a, b)
		}
	}
	right := 0
	for _, i := range order[:60] {
		if SimulatedRare(5, i) {
			right++
		}
	}
	if right < 40 {
		t.Errorf("%d of the first 60 are rare: nothing was learnt", right)
	}
}

// TestRankerIsLearn: with labels that become more a ranker finds what is found anew each time, and looks at few images for it.
func TestRankerIsLearn(t *testing.T) {
	const seed, n = 6, 6000
	e, err := Simulate(t.TempDir(), Key{Size: 128, Views: 8}, n, seed)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	r, narrowed := NewRanker(e, Best(6)), 0
	for labels := 310; labels < 315; labels++ {
		anomalies, normals, known := simulatedLabels(seed, labels)
		if r.odds != nil {
			h, err := Fit(e, anomalies, normals, Beliefs{Normals: background(e, max(0, 300-len(normals)), known)}, Best(6))
			if err != nil {
				t.Fatal(err)
			}
			if r.near(h, 30, known) != nil {
				narrowed++
			}
		}
		h, scores, beliefs, err := r.Learn(anomalies, normals, known)
		if err != nil {
			t.Fatal(err)
		}
		wantHead, want, wantBeliefs, err := Learn(e, anomalies, normals, known, Best(6))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(beliefs.Anomalies, wantBeliefs.Anomalies) || !slices.Equal(beliefs.Normals, wantBeliefs.Normals) {
			t.Fatalf("%d labels: it believes %v, want %v", labels, beliefs.Anomalies, wantBeliefs.Anomalies)
		}
		if !slices.Equal(scores, want) || h.bias != wantHead.bias {
			t.Fatalf("%d labels: other scores", labels)
		}
	}
	if narrowed == 0 {
		t.Error("all images were looked at each time")
	}
	t.Logf("narrowed %d times of 4", narrowed)
}
