package bench

import (
	"bytes"
	"encoding/xml"
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

func TestPlot(t *testing.T) {
	var s Scales
	for _, text := range []string{
		`{"images":10000,"real_files":true,"phases":[{"what":"open the project, to the first picture","seconds":0.1,"peak_rss_mib":50}],"search_ms":{"median":0.5},"page_after_label_ms":{"median":0.1}}`,
		`{"images":10000,"phases":[{"what":"open the project, to the first picture","seconds":77,"peak_rss_mib":50}],"refit_ms":{"median":250}}`,
		`{"images":10000000,"phases":[{"what":"open the project, to the first picture","seconds":1.5,"peak_rss_mib":1300}],"search_ms":{"median":80}}`,
		`{"sizes":[{"images":10000,"microseconds":{"wall":60,"cpu":100}},{"images":1000000,"microseconds":{"wall":60,"cpu":105}}]}`,
	} {
		if err := s.Add([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	svg := s.SVG()
	if err := xml.Unmarshal(svg, new(struct{})); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(svg, s.SVG()) {
		t.Error("drawn twice the bytes differ")
	}
	for want, n := range map[string]int{"10000 images: 0.1 s": 1, "77": 0, "10000000 images: 1300 MiB": 1, "1000000 images: 105 µs": 1, "not measured": 0, "10000 images: 0.25 s": 1, "NaN": 0, "Inf": 0} {
		if got := bytes.Count(svg, []byte(want)); got != n {
			t.Errorf("%q is there %d times, want %d:\n%s", want, got, n, svg)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"images":0}`} {
		if err := s.Add([]byte(text)); err == nil {
			t.Errorf("%q is a report", text)
		}
	}
	if empty := (&Scales{}).SVG(); xml.Unmarshal(empty, new(struct{})) != nil {
		t.Errorf("without reports: %s", empty)
	}
}
