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

func TestCosts(t *testing.T) {
	r, err := Costs(t.Context(), t.TempDir(), anomalymatch.Default(), []int{700, 2100}, ScaleOptions{Embedded: true, Seed: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Sizes {
		all := 0.0
		for _, what := range costPhases {
			if c.Of[what].Wall <= 0 {
				t.Errorf("%d images: %s takes no time", c.Images, what)
			}
			all += c.Of[what].Wall
		}
		if all < 0.5*c.All.Wall || all > 2*c.All.Wall || c.Peak <= 0 {
			t.Errorf("%+v", c)
		}
	}
	if r.Sizes[0].Runs != 2 || r.Sizes[1].Runs != 1 || r.Ratio.Wall <= 0 {
		t.Errorf("%+v", r)
	}
	t.Log(r)
	for _, sizes := range [][]int{nil, {1000}, {2000, 1000}, {10, 1000}} {
		if _, err := Costs(t.Context(), t.TempDir(), anomalymatch.Default(), sizes, ScaleOptions{}, nil); err == nil {
			t.Errorf("%v are compared", sizes)
		}
	}
}
