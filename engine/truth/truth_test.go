package truth

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/label"
)

func match(name string) (int, error) {
	if i := slices.Index([]string{"a.jpg", "b.jpg", "c.jpg"}, strings.TrimPrefix(name, "sky/")); i >= 0 {
		return i, nil
	}
	return 0, errors.New("no image")
}

func TestRead(t *testing.T) {
	a, n := label.Anomaly, label.Normal
	for _, c := range []struct {
		text string
		want []label.Value
		err  string
	}{
		{"filename,truth\na.jpg,normal\nsky/c.jpg,anomaly\nelsewhere.jpg,anomaly\n", []label.Value{n, "", a}, ""},
		{"\ufeffTruth, Filename\r\n1,a.jpg\r\n0,b.jpg\r\n", []label.Value{a, n, ""}, ""},
		{"filename,truth\na.jpg,normal\nsky/a.jpg,normal\n", []label.Value{n, "", ""}, ""},
		{"", nil, "empty"},
		{"filename,label\na.jpg,normal\n", nil, "must be filename,truth"},
		{"filename,truth\na.jpg,skip\n", nil, "line 2"},
		{"filename,truth\na.jpg,normal\nsky/a.jpg,1\n", nil, "line 3"},
		{"filename,truth\nx.jpg,normal\n", nil, "names no image"},
		{"filename,truth\n\"a.jpg,normal\n", nil, "cannot be read"},
		{"filename,truth\na.jpg\n", nil, "cannot be read"},
	} {
		got, err := Read(strings.NewReader(c.text), 3, match)
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("filename,truth\na.jpg,normal\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := Read(strings.NewReader(text), 3, match); err == nil && len(got) != 3 {
			t.Errorf("%q", got)
		}
	})
}
