package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// module makes one with two packages and three targets, of which one fails.
func module(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module m\n",
		"a/a.go":      "package a\n",
		"b/b.go":      "package b\n",
		"a/a_test.go": "package a\nimport \"testing\"\nfunc FuzzGood(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }\nfunc FuzzyIsNone(t *testing.T) {}\n",
		"b/b_test.go": "package b_test\nimport \"testing\"\nfunc FuzzBad(f *testing.F) { f.Fuzz(func(t *testing.T, b []byte) { if len(b) > 2 { t.Fatal(\"long\") } }) }\n" +
			"func FuzzLast(f *testing.F) { f.Fuzz(func(*testing.T, string) {}) }\n// func FuzzComment(f *testing.F)\ntype x struct{}\nfunc (x) FuzzMethod(f *testing.F) {}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), options{dir: module(t), list: true}, &out); err != nil || out.String() != "m/a.FuzzGood\nm/b.FuzzBad\nm/b.FuzzLast\n" {
		t.Errorf("%v, %q", err, &out)
	}
	if err := run(t.Context(), options{dir: module(t), only: "Nothing"}, &out); err == nil {
		t.Error("nothing was tried, and it is no error")
	}
}

// TestRun: the one that fails is told, its input is kept, and the others run all the same.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds with instruments")
	}
	dir := module(t)
	var out bytes.Buffer
	err := run(t.Context(), options{dir: dir, time: 6 * time.Second, parallel: 1}, &out)
	if err == nil || err.Error() != "1 of 3 targets failed" {
		t.Errorf("%v\n%s", err, &out)
	}
	for _, want := range []string{`(?m)^m/a\.FuzzGood +\d{3,} +\d+ +\d+ +-$`, `(?m)^m/b\.FuzzBad +.* FAILED$`, `(?m)^m/b\.FuzzLast +\d{3,} `, `an input fails: .*/testdata/fuzz/FuzzBad/`} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("%s is not in\n%s", want, &out)
		}
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "b", "testdata", "fuzz", "FuzzBad", "*")); len(kept) != 1 {
		t.Errorf("kept: %v", kept)
	}
}

func TestOnlyLate(t *testing.T) {
	for said, want := range map[string]bool{
		"fuzz: elapsed: 3s\n--- FAIL: FuzzX (3.01s)\n    context deadline exceeded\nFAIL\n":                                                      true,
		"fuzz: elapsed: 3s\n--- FAIL: FuzzX (3.01s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:1: context deadline exceeded\nFAIL\n":        false,
		"--- FAIL: FuzzX (3.01s)\n    fuzzing process hung or terminated unexpectedly\n    Failing input written to testdata/fuzz/FuzzX/1\nFAIL": false,
	} {
		if got := onlyLate([]byte(said)); got != want {
			t.Errorf("%v for %s", got, strings.TrimSpace(said))
		}
	}
}
