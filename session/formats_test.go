package session

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/label"
)

// npy is a list of names as np.save writes it.
func npy(descr string, order binary.AppendByteOrder, width int, names ...string) string {
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }", descr, len(names))
	head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), byte(len(head)>>8))
	b = append(b, head...)
	for _, n := range names {
		for _, r := range append([]rune(n), make([]rune, width)...)[:width] {
			b = order.AppendUint32(b, uint32(r))
		}
	}
	return string(b)
}

func TestReadLabels(t *testing.T) {
	task := func(name string, choices ...string) string {
		var results []string
		for _, c := range choices {
			results = append(results, fmt.Sprintf(`{"id":1,"was_cancelled":%v,"result":[{"type":"rectanglelabels","value":{}},{"type":"choices","value":{"choices":[%q]}}]}`, c == "cancelled", c))
		}
		return fmt.Sprintf(`{"id":7,"data":{"ra":1.5,"image":%q},"annotations":[%s],"predictions":[{"result":[{"type":"choices","value":{"choices":["Anomaly"]}}]}]}`, name, strings.Join(results, ","))
	}
	usual := LabelOptions{Threshold: UsualThreshold}
	lens := LabelOptions{Anomaly: []string{"Lens"}, Normal: []string{"Spiral", "Elliptical"}}
	for _, c := range []struct {
		what, text string
		opt        LabelOptions
		format     string
		rows       string
		none, bad  int
	}{
		{"own", "filename,label\na,1\nb,0\n", usual, OwnLabels, "a anomaly, b normal", 0, 0},
		{"own by id", "id,label\na,anomaly\nb,skip\n", usual, OwnLabels, "a anomaly, b skip", 0, 0},
		{"Astronomaly", ",score,human_label,trained_score\na,4.1,5,1\nb,3.0,-1,2\nc,0.2,0,3\nd,1,3,1\ne,1,2,1\nf,1,,1\ng,1,-1.0,\n", usual, Astronomaly, "a anomaly, c normal, d anomaly, e normal", 3, 0},
		{"Astronomaly, another threshold", ",score,human_label\na,4.1,5\nd,1,3\n", LabelOptions{Threshold: 4}, Astronomaly, "a anomaly, d normal", 0, 0},
		{"Astronomaly, odd scores", "objid,human_label\na,7\nb,x\nc,-2\n,5\nd,NaN\ne,4\nf\n", usual, Astronomaly, "e anomaly", 1, 5},
		{"scores as labels", "id,label\na,5\nb,-1\nc,1\n", usual, Astronomaly, "a anomaly, c normal", 1, 0},
		{"scores by their name", "id,score\na,5\nb,\nc,2\n", usual, Astronomaly, "a anomaly, c normal", 1, 0},
		{"Label Studio", "[" + task("/data/upload/1/0123abcd-g1.jpg", "Anomaly") + "," + task("/data/local-files/?d=sky/g2.jpg", "normal", "Normal") + "," + task("s3://bucket/sky/g%203.jpg", "skip") + "," +
			task("g4.jpg") + "," + task("g5.jpg", "cancelled") + "]", usual, LabelStudio, "g1.jpg anomaly, sky/g2.jpg normal, sky/g 3.jpg skip", 2, 0},
		{"Label Studio, annotators who differ", "[" + task("g1.jpg", "Anomaly", "Normal") + `,{"data":{"ra":1}},{"data":3}]`, usual, LabelStudio, "", 0, 3},
		{"Label Studio, other choices", "[" + task("g1.jpg", " lens") + "," + task("g2.jpg", "Spiral") + "]", lens, LabelStudio, "g1.jpg anomaly, g2.jpg normal", 0, 0},
		{"Label Studio in short", "\ufeff [{\"image\":\"a.jpg\",\"id\":1,\"choice\":\"Anomaly\",\"annotator\":1,\"created_at\":\"2026\",\"lead_time\":2.5},\n{\"image\":\"b.jpg\",\"choice\":{\"choices\":[\"Normal\"]},\"id\":2}]", usual, LabelStudio, "a.jpg anomaly, b.jpg normal", 0, 0},
		{"names", "Filename,Score\na,0.9\nb,0.8\n,1\n", LabelOptions{As: label.Anomaly}, Names, "a anomaly, b anomaly", 0, 1},
		{"npy", npy("<U5", binary.LittleEndian, 5, "a.jpg", "é"), LabelOptions{As: label.Normal}, Names, "a.jpg normal, é normal", 0, 0},
		{"npy, big-endian", npy(">U3", binary.BigEndian, 3, "abc", ""), LabelOptions{As: label.Normal}, Names, "abc normal", 0, 1},
	} {
		got, err := ReadLabels(strings.NewReader(c.text), c.opt)
		var rows []string
		for _, r := range got.Rows {
			rows = append(rows, r.Name+" "+string(r.Label))
		}
		if err != nil || got.Format != c.format || strings.Join(rows, ", ") != c.rows || got.Unlabelled != c.none || len(got.Bad) != c.bad {
			t.Errorf("%s: %+v, %v", c.what, got, err)
		}
	}
	for _, c := range []struct{ text, why string }{
		{"filename,score\na,0.73\n", "no labels: say what they are with --as"},
		{npy("<U5", binary.LittleEndian, 5, "a.jpg"), "--as"},
		{npy("|O", binary.LittleEndian, 0), "runs code"},
		{npy("<f8", binary.LittleEndian, 2), "no list of names"},
		{npy("<U99999999", binary.LittleEndian, 0), "no list of names"},
		{"\x93NUMPY", "no list of names"},
		{"[" + task("a.jpg", "Lens") + "," + task("b.jpg", "normal") + "]", `"Lens" (1)`},
		{"[" + task("a.jpg", "normal"), "no export of Label Studio"},
		{`{"data":{}}`, "does not begin with ["},
		{"[1]", "no export of Label Studio"},
		{"", "empty"},
		{"mag,z\n1,2\n", "must be filename,label"},
	} {
		if got, err := ReadLabels(strings.NewReader(c.text), usual); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%.60q: %+v, %v; want %q", c.text, got, err, c.why)
		}
	}
}

// What a file names is counted: what it matches, what not, and what can be several images.
func TestPlanImportCounts(t *testing.T) {
	match := func(name string) (int, error) {
		switch name {
		case "a", "b":
			return int(name[0] - 'a'), nil
		case "several":
			return 0, ambiguous{}
		}
		return 0, fmt.Errorf("no image is called %q", name)
	}
	ids := []string{"sky/a", "sky/b"}
	rows := []LabelRow{{2, "a", label.Anomaly}, {3, "x", label.Normal}, {4, "several", label.Normal}, {5, "b", label.Normal}, {6, "y", label.Normal}}
	plan := PlanImport(rows, match, func(i int) string { return ids[i] }, nil)
	if plan.Unmatched != 2 || plan.Ambiguous != 1 || !slices.Equal(plan.Names, []string{"x", "y"}) || len(plan.Bad) != 3 || len(plan.Changes) != 2 {
		t.Errorf("%+v", plan)
	}
	marks := plan.Marked(label.Bookmark, map[string]label.Marks{"sky/a": label.Marks(0).With(label.Bookmark, true)})
	if len(marks) != 1 || marks[0] != (label.Change{ID: "sky/b", To: label.On, Mark: label.Bookmark}) || marks[0].Check() != nil {
		t.Errorf("%+v", marks)
	}
}

type ambiguous struct{}

func (ambiguous) Error() string { return "can be two images" }
func (ambiguous) Several() int  { return 2 }

func TestWithMetadata(t *testing.T) {
	text := "# the project\nname = \"x\"\n\n[[source]]\nname = \"s\" # kept\npath = \"/p\"\n\n[[metadata]]\nfile = \"/old.csv\"\n\n[fast]\nviews = 2"
	got, err := withMetadata([]byte(text), []Metadata{{"/a.csv", ""}, {"/b.fits", "ID"}})
	want := "# the project\nname = \"x\"\n\n[[source]]\nname = \"s\" # kept\npath = \"/p\"\n\n[fast]\nviews = 2\n\n[[metadata]]\n  file = \"/a.csv\"\n\n[[metadata]]\n  file = \"/b.fits\"\n  key = \"ID\"\n"
	if err != nil || string(got) != want {
		t.Errorf("%s\n%v", got, err)
	}
	again, err := withMetadata(got, nil)
	if err != nil || strings.Contains(string(again), "metadata") || !strings.Contains(string(again), "views = 2") {
		t.Errorf("%s\n%v", again, err)
	}
	if got, err := withMetadata([]byte("note = \"\"\"\n[[metadata]]\n\"\"\"\n"), nil); err == nil {
		t.Errorf("%s", got)
	}
}

func FuzzReadLabels(f *testing.F) {
	for _, s := range []string{"filename,label\na,1\n", ",score,human_label\na,1,5\n", `[{"data":{"image":"a.jpg"},"annotations":[{"result":[{"type":"choices","value":{"choices":["normal"]}}]}]}]`,
		`[{"image":"a.jpg","choice":"anomaly"}]`, npy("<U5", binary.LittleEndian, 5, "a.jpg"), "id,score\na,-1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadLabels(strings.NewReader(text), LabelOptions{Threshold: 3, As: label.Skip})
		if err != nil {
			return
		}
		for _, r := range got.Rows {
			if r.Name == "" || r.Label == label.None || r.Line < 1 {
				t.Errorf("%+v", r)
			}
		}
	})
}
