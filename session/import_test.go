package session

import (
	"fmt"
	"reflect"
	"testing"

	"anomalymatch/engine/label"
)

func TestPlanImport(t *testing.T) {
	ids := []string{"s/a", "s/b", "s/c"}
	match := func(name string) (int, error) {
		for i, id := range ids {
			if name == id || name == id[2:] {
				return i, nil
			}
		}
		return 0, fmt.Errorf("no image is called %q", name)
	}
	rows := []LabelRow{{2, "a", label.Anomaly}, {3, "x", label.Normal}, {4, "b", label.Normal}, {5, "s/b", label.Normal}, {6, "s/a", label.Skip}, {7, "c", label.Skip}}
	got := PlanImport(rows, match, func(i int) string { return ids[i] }, map[string]label.Value{"s/b": label.Normal, "s/c": label.Anomaly})
	want := Import{
		Changes:   []label.Change{{ID: "s/a", To: label.Anomaly}, {ID: "s/c", To: label.Skip, From: label.Anomaly}},
		Counts:    map[label.Value]int{label.Anomaly: 1, label.Normal: 1, label.Skip: 1},
		Unchanged: 1,
		Bad:       []BadRow{{3, `no image is called "x"`}, {6, `"s/a" is skip here and, as "a", anomaly on line 2`}},
		Unmatched: 1,
		Names:     []string{"x"},
		images:    []string{"s/a", "s/b", "s/c"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDiscard(t *testing.T) {
	images := t.TempDir()
	parent := t.TempDir()
	p, err := Create(parent+"/new", Options{Images: []string{images}})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(p.Dir); err != nil {
		t.Errorf("a project that was opened is discarded: %v", err)
	}
	if err := p.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(p.Dir); err == nil {
		t.Error("a project that was made is not discarded")
	}
}
