package journal

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/label"
)

var sample = Event{
	Lamport: 7, Time: time.Date(2025, 1, 31, 12, 0, 0, 1e6, time.UTC), By: "ada-lab", UID: "K3",
	Change: label.Change{ID: "survey/0042.png", To: label.Anomaly, From: label.Skip},
}

// The format is a promise: files outlive the program.
func TestLineFormat(t *testing.T) {
	const want = `{"lamport":7,"time":"2025-01-31T12:00:00.001Z","by":"ada-lab","uid":"K3","id":"survey/0042.png","label":"anomaly","prev":"skip","crc":"af59a907"}` + "\n"
	if got := string(appendLine(nil, sample)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(want), &fields); err != nil || len(fields) != 8 {
		t.Errorf("not JSON: %v, %v", err, fields)
	}
}

func TestLineFormatOfMarks(t *testing.T) {
	e := sample
	e.Mark, e.To, e.From = "3", label.On, label.None
	line := string(appendLine(nil, e))
	if want := `,"id":"survey/0042.png","label":"on","prev":"","mark":"3","crc":"`; !strings.Contains(line, want) {
		t.Errorf("%s has no %s", line, want)
	}
	if got, err := parseLine([]byte(strings.TrimSuffix(line, "\n")), words{}); err != nil || got != e {
		t.Errorf("%v, %v", got, err)
	}
	for _, mark := range []string{"", "0", "10", "x"} {
		e.Mark = mark
		body := strings.TrimSuffix(string(appendLine(nil, e)), "\n")
		if mark == "" {
			body = sealed(strings.Replace(body[:len(body)-crcLen], `"prev":""`, `"prev":"","mark":""`, 1))
		}
		if got, err := parseLine([]byte(body), words{}); err == nil {
			t.Errorf("%s was read as %v", body, got)
		}
	}
}

// No single changed byte goes unnoticed.
func TestEveryByteCounts(t *testing.T) {
	line := strings.TrimSuffix(string(appendLine(nil, sample)), "\n")
	if e, err := parseLine([]byte(line), words{}); err != nil || e != sample {
		t.Fatalf("%v, %v", e, err)
	}
	for i := range line {
		for _, bit := range []byte{1, 4, 32, 128} {
			hurt := []byte(line)
			hurt[i] ^= bit
			if e, err := parseLine(hurt, words{}); err == nil && e != sample {
				t.Errorf("byte %d: %s was read as %v", i, hurt, e)
			}
		}
		if _, err := parseLine([]byte(line[:i]), words{}); err == nil {
			t.Errorf("%d bytes of a line were read", i)
		}
	}
}

// What is read can be written and read again, and is what any JSON reader sees.
func FuzzParseLine(f *testing.F) {
	f.Add(string(appendLine(nil, sample)[:len(appendLine(nil, sample))-crcLen-1]))
	f.Add(`{"lamport":1,"time":"2025-01-31T12:00:00.000Z","by":"","uid":"\\","id":"\"\u00fc\n\\\\","label":"","prev":""`)
	f.Add(`{"lamport":1,"time":"2025-01-31T12:00:00.000Z","by":"","uid":"","id":"a","label":"on","prev":"","mark":"bookmark"`)
	f.Add(`{"lamport":18446744073709551616,"time":"","by":"`)
	f.Fuzz(func(t *testing.T, body string) {
		_, _ = parseLine([]byte(body), words{})
		line := sealed(body)
		e, err := parseLine([]byte(line), words{})
		if err != nil {
			return
		}
		again := appendLine(nil, e)
		if e2, err := parseLine(again[:len(again)-1], words{}); err != nil || e2 != e {
			t.Errorf("%q: %v became %v, %v", line, e, e2, err)
		}
		var fields struct{ By, UID, ID, Label, Prev, Mark string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q was read but is not JSON: %v", line, err)
		}
		if fields.ID != e.ID || fields.By != e.By || fields.UID != e.UID || fields.Label != string(e.To) || fields.Prev != string(e.From) || fields.Mark != e.Mark {
			t.Errorf("%q: %v, but JSON says %v", line, e, fields)
		}
	})
}

// sealed is a line of these fields with a right checksum.
func sealed(fields string) string { return string(seal([]byte(fields), []byte(fields))) }

// A step of which a disk without power left out sectors is a torn end; zeros that are none of its sectors, or have lines of other steps behind them, are damage.
func TestUnwrittenSectors(t *testing.T) {
	var text []byte
	line := func(uid string, n uint64) {
		text = appendLine(text, Event{Lamport: n, Time: time.Unix(0, 0), By: "ada", UID: uid, Change: label.Change{ID: "pool/" + strings.Repeat("x", 60) + ".png", To: label.Anomaly}})
	}
	line("first", 1)
	line("second", 2)
	whole := len(text)
	for n := range uint64(12) {
		line("third", 3+n)
	}
	zeros := func(from, to int) []byte {
		b := bytes.Clone(text)
		clear(b[from:to])
		return b
	}
	length := len(text)
	for _, c := range []struct {
		name string
		text []byte
		torn bool
	}{
		{"a sector", zeros(1024, 1536), true},
		{"its beginning", zeros(whole, 512*(whole/512+1)), true},
		{"all of it", zeros(whole, length), true},
		{"its end", zeros(1024, length), true},
		{"two sectors", append(zeros(1024, 1536)[:2048:2048], zeros(2048, 2560)[2048:]...), true},
		{"part of a sector", zeros(1024, 1500), false},
		{"the step before", zeros(512*(whole/512), whole), false},
		{"with another step behind", append(zeros(1024, 1536), appendLine(nil, Event{Lamport: 99, Time: time.Unix(0, 0), By: "ada", UID: "fourth", Change: label.Change{ID: "pool/y.png", To: label.Anomaly}})...), false},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "ada.jsonl"), c.text, 0o666); err != nil {
			t.Fatal(err)
		}
		j, err := Open(dir, "ada")
		if (err == nil) != c.torn {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			continue
		}
		for _, uid := range []string{"fourth", "third"} {
			if err := j.Append("ada", uid, []label.Change{{ID: "pool/z.png", To: label.Normal}}); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		n := map[string]int{}
		for _, e := range j.History("", 0) {
			n[e.UID]++
		}
		if n["first"] != 1 || n["second"] != 1 || n["fourth"] != 1 || n["third"] > 12 {
			t.Errorf("%s: it holds %v", c.name, n)
		}
		j.Close()
	}
}
