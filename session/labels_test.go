package session

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"anomalymatch/engine/label"
	"anomalymatch/internal/say"
	"anomalymatch/internal/testdata"
)

func TestReadLabelsCSV(t *testing.T) {
	const a, n, s = label.Anomaly, label.Normal, label.Skip
	for name, c := range map[string]struct {
		text string
		rows []LabelRow
		bad  []string // line:part of the reason
	}{
		"plain":           {"filename,label\na.png,anomaly\nb.png,normal\nc.png,skip\n", []LabelRow{{2, "a.png", a}, {3, "b.png", n}, {4, "c.png", s}}, nil},
		"numbers":         {"filename,label\na,1\nb,0\n", []LabelRow{{2, "a", a}, {3, "b", n}}, nil},
		"id, other order": {"Label,note, ID \nanomaly,,s/a.png\n", []LabelRow{{2, "s/a.png", a}}, nil},
		"BOM, CRLF":       {"\ufefffilename,label\r\na,Anomaly \r\n\r\nb, NORMAL\r\n", []LabelRow{{2, "a", a}, {4, "b", n}}, nil},
		"quoted":          {"\"filename\",\"label\"\n\"a, \"\"b\"\".png\",\"skip\"\n", []LabelRow{{2, `a, "b".png`, s}}, nil},
		"no last newline": {"filename,label\na,1", []LabelRow{{2, "a", a}}, nil},
		"only the header": {"filename,label\n", nil, nil},
		"spaces of names": {"filename,label\n a ,1\n", []LabelRow{{2, " a ", a}}, nil},
		"unknown label":   {"filename,label\na,maybe\nb,\nc,1\n", []LabelRow{{4, "c", a}}, []string{`2:"maybe" is no label`, `3:"" is no label`}},
		"no name":         {"filename,label\n,1\n", nil, []string{"2:name of the image is missing"}},
		"short line":      {"filename,label\na\nb,1\n", []LabelRow{{3, "b", a}}, []string{"2:1 columns"}},
		"bad quote":       {"filename,label\na\"b,1\nc,1\n", []LabelRow{{3, "c", a}}, []string{"2:quotation mark"}},
		"open quote":      {"filename,label\nc,1\n\"a,1\nd,1\n", []LabelRow{{2, "c", a}}, []string{"3:quotation mark"}},
		"twice the same":  {"filename,label\na,1\na,anomaly\n", []LabelRow{{2, "a", a}}, nil},
		"contradiction":   {"filename,label\na,1\nb,0\na,0\n", []LabelRow{{2, "a", a}, {3, "b", n}}, []string{`4:"a" is normal here and anomaly on line 2`}},
		"hidden letters":  {"filename,label\n\x1b[31m,1\n\x1b[31m,0\n", []LabelRow{{2, "\x1b[31m", a}}, []string{`3:"\x1b[31m" is normal`}},
		"in many lines":   {"filename,label\n\"a\nb\",1\nc,?\n", []LabelRow{{2, "a\nb", a}}, []string{"4:no label"}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, bad, err := ReadLabelsCSV(strings.NewReader(c.text))
			if err != nil || !slices.Equal(rows, c.rows) || len(bad) != len(c.bad) {
				t.Fatalf("got %v, %v, %v; want %v, %v", rows, bad, err, c.rows, c.bad)
			}
			for i, b := range bad {
				line, part, _ := strings.Cut(c.bad[i], ":")
				if line != string(rune('0'+b.Line)) || !strings.Contains(b.Reason, part) {
					t.Errorf("got %+v, want %s", b, c.bad[i])
				}
			}
		})
	}
}

func TestReadLabelsCSVRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   io.Reader
		want string
	}{
		"empty":         {strings.NewReader(""), "is empty"},
		"no header":     {strings.NewReader("a.png,anomaly\n"), `must be filename,label; this one is "a.png,anomaly"`},
		"no label":      {strings.NewReader("filename,truth\na,1\n"), "must be filename,label"},
		"a picture":     {strings.NewReader("\x89PNG\r\n\x1a\n\x00"), "must be filename,label"},
		"bad header":    {strings.NewReader("\"a"), "cannot be read"},
		"broken stream": {io.MultiReader(strings.NewReader("filename,label\na,1\n"), iotest.ErrReader(errors.New("gone"))), "to its end: gone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ReadLabelsCSV(c.in)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\x1a") {
				t.Errorf("got %v, want …%s", err, c.want)
			}
		})
	}
}

func TestLabelsOfTheBenchmarks(t *testing.T) {
	f, err := os.Open(testdata.Shared(t, "benchmark/galaxies_merger/labels.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, bad, err := ReadLabelsCSV(f)
	anomalies := 0
	for _, r := range rows {
		if r.Label == label.Anomaly {
			anomalies++
		}
	}
	if err != nil || len(bad) != 0 || len(rows) != 500 || anomalies != 5 {
		t.Errorf("%d rows, %d anomalies, bad %v, %v; want 5 + 495", len(rows), anomalies, bad, err)
	}
}

func TestWriteLabelsCSV(t *testing.T) {
	labels := map[string]label.Value{
		"b.png": label.Normal, "a, \"x\".png": label.Anomaly, "=1+1": label.Skip, "gone": label.None, " c": label.Normal, "ü\nd": label.Skip,
	}
	var out bytes.Buffer
	if err := WriteLabelsCSV(&out, labels); err != nil {
		t.Fatal(err)
	}
	const want = "filename,label\n\" c\",normal\n\\u003d1+1,skip\n\"a, \"\"x\"\".png\",anomaly\nb.png,normal\nü\\u000ad,skip\n"
	if out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
	rows, bad, err := ReadLabelsCSV(&out)
	got := map[string]label.Value{"gone": label.None}
	for _, r := range rows {
		got[say.Unescaped(r.Name)] = r.Label
	}
	if err != nil || len(bad) != 0 || !maps.Equal(got, labels) {
		t.Errorf("read back: %v, %v, %v", got, bad, err)
	}
}

func FuzzReadLabelsCSV(f *testing.F) {
	f.Add("filename,label\na,1\n\"b\",normal\n")
	f.Add("\ufeffid;label\r\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		rows, bad, err := ReadLabelsCSV(strings.NewReader(text))
		seen := map[string]bool{}
		for _, r := range rows {
			if r.Name == "" || r.Label == label.None || r.Line < 2 || seen[r.Name] {
				t.Errorf("%q gave %+v", text, r)
			}
			seen[r.Name] = true
		}
		for _, b := range bad {
			if b.Line < 2 || b.Reason == "" {
				t.Errorf("%q gave %+v", text, b)
			}
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Errorf("control characters in %q", err)
		}
	})
}
