package metrics

import "math"

const z95 = 1.959964

// AUROCInterval is the 95% interval of an AUROC of a anomalies and n normal images: Newcombe's method 5 (Statistics in Medicine 25, 559, 2006), which stays wide
// where a perfect score is of a handful of images.
func AUROCInterval(auroc float64, a, n int) (low, high float64) {
	m := float64(a+n)/2 - 1
	beyond := func(t float64) bool { // t is too far from what was measured
		v := t * (1 - t) * (1 + m*((1-t)/(2-t)+t/(1+t))) / (float64(a) * float64(n))
		return math.Abs(auroc-t) > z95*math.Sqrt(v)
	}
	edge := func(out float64) float64 {
		if !beyond(out) {
			return out
		}
		in := auroc
		for range 60 {
			if mid := (in + out) / 2; beyond(mid) {
				out = mid
			} else {
				in = mid
			}
		}
		return in
	}
	return edge(0), edge(1)
}

// AUPRCInterval is the 95% interval of an AUPRC of a anomalies by the logit method of Boyd, Eng and Page (ECML PKDD 2013): symmetric on the scale
// of log-odds, with the number of anomalies as the size of the sample. An area of 0 or 1 counts as half an anomaly from there.
func AUPRCInterval(auprc float64, a int) (low, high float64) {
	if a < 2 {
		return 0, 1
	}
	half := 0.5 / float64(a)
	p := min(1-half, max(half, auprc))
	middle, spread := math.Log(p/(1-p)), z95/math.Sqrt(float64(a)*p*(1-p))
	at := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	return min(auprc, at(middle-spread)), max(auprc, at(middle+spread))
}
