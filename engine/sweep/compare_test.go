package sweep

import (
	"math"
	"math/rand/v2"
	"testing"

	"anomalymatch/engine/metrics"
)

// draw makes a judged set of a anomalies and n normal images and two scorings: anomalies lie shift above the others, and both scorings share half of
// their noise. truth is what both would reach on endless images.
func draw(r *rand.Rand, a, n int, shift, other float64) (j judged, x, y []float32) {
	j.a, j.n = a, n
	for i := range a + n {
		j.images, j.anomaly = append(j.images, i), append(j.anomaly, i < a)
		common, up, more := r.NormFloat64(), 0.0, 0.0
		if i < a {
			up, more = shift, other
		}
		x = append(x, float32(up+(common+r.NormFloat64())/math.Sqrt2))
		y = append(y, float32(more+(common+r.NormFloat64())/math.Sqrt2))
	}
	return j, x, y
}

// TestIntervalsHoldTheTruth: nine of ten 95% intervals at least hold what endless images would show, with as few images as people label.
func TestIntervalsHoldTheTruth(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	for _, c := range []struct{ a, n int }{{3, 10}, {5, 20}, {25, 100}} {
		for _, shift := range []float64{0, 1, 2.5} {
			truth := 0.5 * math.Erfc(-shift/2) // P(N(shift,1) > N(0,1))
			held, draws := 0, 2000
			for range draws {
				j, x, _ := draw(r, c.a, c.n, shift, shift)
				m := j.measure(x)
				if m.Low > m.AUROC || m.High < m.AUROC || m.Low < 0 || m.High > 1 {
					t.Fatalf("%+v", m)
				}
				if m.Low <= truth && truth <= m.High {
					held++
				}
			}
			if share := float64(held) / float64(draws); share < 0.9 {
				t.Errorf("%d and %d images, AUROC %.3f: %.3f of the intervals hold it", c.a, c.n, truth, share)
			} else {
				t.Logf("%d and %d images, AUROC %.3f: %.3f of the intervals hold it", c.a, c.n, truth, share)
			}
		}
	}
	if low, high := metrics.AUROCInterval(1, 2, 5); low > 0.7 || high != 1 {
		t.Errorf("a perfect score on seven images: %.3f to %.3f", low, high)
	}
}

// TestChance: runs that are equally good are seldom told apart, also with few images; what is far apart is.
func TestChance(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 2))
	for _, c := range []struct{ a, n int }{{2, 5}, {8, 30}} {
		apart, draws := 0, 200
		for range draws {
			j, x, y := draw(r, c.a, c.n, 1, 1)
			if chance(j, x, y) < alpha {
				apart++
			}
		}
		share := float64(apart) / float64(draws)
		t.Logf("%d and %d images: %.3f of equal runs are told apart", c.a, c.n, share)
		if share > 0.09 { // 0.05 and 2.6 standard deviations
			t.Errorf("%d and %d images: %.3f of equal runs are told apart", c.a, c.n, share)
		}
	}
	j, x, y := draw(r, 25, 100, 3, 0)
	if p := chance(j, x, y); p > 0.01 {
		t.Errorf("runs as far apart as can be differ by chance in %.3f", p)
	}
	j, x, y = draw(r, 2, 2, 9, -9)
	if p := chance(j, x, y); p < 0.1 {
		t.Errorf("four images tell runs apart: %.3f", p)
	}
	if p := chance(j, x, x); p != 1 {
		t.Errorf("a run differs from itself: %.3f", p)
	}
}

func TestAgreement(t *testing.T) {
	nan := float32(math.NaN())
	up, down, odd := []float32{0.1, 0.2, 0.3, 0.4, nan}, []float32{0.9, 0.8, 0.2, 0.1, 0}, []float32{0, 0, 0, 0, 0}
	for k, want := range []float64{(1 - 1 + 0) / 3., (1 - 1 + 0) / 3., (-1 - 1 + 0) / 3., 0} {
		if got := agreement([][]float32{up, up, down, odd})[k]; math.Abs(got-want) > 1e-9 {
			t.Errorf("scoring %d agrees %.3f with the others, want %.3f", k, got, want)
		}
	}
	// Ties in the middle, as textbooks have it: d² = 0+0.25+0.25+0 → but for ties r is Pearson's of the places.
	if got := agreement([][]float32{{1, 2, 3, 4}, {1, 2, 2, 4}})[0]; math.Abs(got-0.9486832981) > 1e-9 {
		t.Errorf("with ties %.6f", got)
	}
}

func TestRanksGiveTheSameAUROC(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	j, x, _ := draw(r, 6, 20, 1, 1)
	for i := range x {
		x[i] = float32(math.Round(float64(x[i]) * 2)) // ties
	}
	own := make([]float64, len(x))
	for k, p := range ranks(x) {
		own[k] = float64(p)
	}
	want, _ := metrics.AUROC(j.anomaly, own)
	if got := j.measure(x).AUROC; got != want {
		t.Errorf("%v by scores, %v by places", got, want)
	}
}
