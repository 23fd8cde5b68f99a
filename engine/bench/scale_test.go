package bench

import (
	"testing"

	"anomalymatch"
)

func TestScale(t *testing.T) {
	for name, opt := range map[string]ScaleOptions{
		"simulated": {Images: 2000, Labels: 100, Embedded: true, Seed: 3},
		"real":      {Images: 12_000, Labels: 100, Real: true, Seed: 3},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Scale(t.Context(), t.TempDir(), anomalymatch.Default(), opt, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Images != opt.Images || r.Search.Median <= 0 || r.PageAfter.Median <= 0 || (r.Refit.Median > 0) != opt.Embedded {
				t.Errorf("%+v", r)
			}
			t.Log(r)
		})
	}
	if _, err := Scale(t.Context(), t.TempDir(), anomalymatch.Default(), ScaleOptions{Images: 3, Labels: 100}, nil); err == nil {
		t.Error("three images are enough")
	}
}
