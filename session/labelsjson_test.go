package session

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"anomalymatch/engine/label"
)

func TestWriteLabelsJSON(t *testing.T) {
	at := time.Date(2025, 3, 1, 12, 0, 0, 5e6, time.UTC)
	event := func(by, uid, id string, to label.Value, mark string) label.Event {
		at = at.Add(time.Second)
		return label.Event{Time: at, By: by, UID: uid, Change: label.Change{ID: id, To: to, Mark: mark}}
	}
	odd := "s/\x1b[31m\u202e\"\n</script>"
	history := []label.Event{event("ada", "k1", odd, label.Normal, ""), event("bob", "import-1", "s/b", label.Anomaly, ""), event("eve", "k2", odd, label.Anomaly, ""), event("ada", "k3", "s/b", label.On, "3")}
	var b bytes.Buffer
	err := WriteLabelsJSON(&b, map[string]label.Value{odd: label.Anomaly, "s/b": label.Anomaly}, map[string]label.Marks{"s/b": label.Marks(0).With("3", true), "s/c": label.Marks(0).With(label.Bookmark, true), "s/d": 0}, history)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.ReplaceAll(b.String(), "\n", "") {
		if unicode.IsControl(r) {
			t.Fatalf("%U in %q", r, b.String())
		}
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, want := range []LabelLine{{ID: odd, Label: label.Anomaly, By: "eve"}, {ID: "s/b", Label: label.Anomaly, By: "bob", Imported: true, Tags: []string{"3"}}, {ID: "s/c", Bookmark: true}} {
		var got LabelLine
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		if got.ID != want.ID || got.Label != want.Label || got.By != want.By || got.Imported != want.Imported || got.Bookmark != want.Bookmark || strings.Join(got.Tags, "") != strings.Join(want.Tags, "") || (got.Time == nil) != (want.By == "") {
			t.Errorf("%s is not %+v", lines[i], want)
		}
	}
	if want := `"time":"2025-03-01T12:00:03.005Z"`; !strings.Contains(lines[0], want) {
		t.Errorf("%s lacks %s", lines[0], want)
	}
}
