package main

import (
	"archive/tar"
	"archive/zip"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"anomalymatch/internal/hostile"

	"github.com/rogpeppe/go-internal/testscript"
)

// payloads WHAT FILE makes what a person may be given by others, with the texts of internal/hostile wherever text can be: images (a folder with one image
// in it, which is copied under each name), tar, zip, catalogue (names of columns, units, values), labels, journal (of another writer: ids and writers), fits
// (cards), npy, zarr, safetensors, toml, and a program (of the batch system, or ssh) that prints them on both ways out and fails.
func payloads(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: payloads WHAT FILE")
	}
	path := ts.MkAbs(args[1])
	write := func(text string) { ts.Check(os.WriteFile(path, []byte(text), 0o777)) }
	var texts []string // that are UTF-8 without NUL
	for _, p := range hostile.Payloads {
		if utf8.ValidString(p.Text) && !strings.Contains(p.Text, "\x00") {
			texts = append(texts, p.Text)
		}
	}
	switch args[0] {
	case "images":
		one := image(ts, path)
		for _, name := range hostile.Names() {
			ts.Check(os.WriteFile(filepath.Join(path, name+".jpg"), one, 0o666))
		}
	case "tar", "zip":
		one := image(ts, filepath.Dir(path)+"/images")
		f, err := os.Create(path)
		ts.Check(err)
		put, end := tarred(f)
		if args[0] == "zip" {
			put, end = zipped(f)
		}
		for _, p := range hostile.Payloads {
			ts.Check(put(p.Text+".jpg", one))
		}
		ts.Check(errors.Join(end(), f.Close()))
	case "catalogue":
		f, err := os.Create(path)
		ts.Check(err)
		w := csv.NewWriter(f)
		ts.Check(w.Write(append([]string{"id", "ra", "dec"}, texts...)))
		for i := range 3 {
			ts.Check(w.Write(append([]string{fmt.Sprintf("g%06d.jpg", i+1), "1", "2"}, texts...)))
		}
		ts.Check(w.Write([]string{"\x1b]0;owned\a\u202e", "1"}))
		w.Flush()
		ts.Check(errors.Join(w.Error(), f.Close()))
	case "labels":
		f, err := os.Create(path)
		ts.Check(err)
		w := csv.NewWriter(f)
		ts.Check(w.Write([]string{"filename", "label", "\x1b]0;owned\a"}))
		for i, name := range hostile.Names() {
			ts.Check(w.Write([]string{"images/" + name + ".jpg", []string{"anomaly", "normal"}[i%2]}))
			ts.Check(w.Write([]string{name, name}))
		}
		w.Flush()
		ts.Check(errors.Join(w.Error(), f.Close()))
	case "fits":
		var b strings.Builder
		for _, text := range append([]string{"SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2", "NAXIS1  =                    4", "NAXIS2  =                    4"}, cards(texts)...) {
			fmt.Fprintf(&b, "%-80.80s", text)
		}
		fmt.Fprintf(&b, "%-80s", "END")
		b.WriteString(strings.Repeat(" ", (2880-b.Len()%2880)%2880) + strings.Repeat("\x07", 2880))
		write(b.String())
	case "npy":
		head := "{'descr': '\x1b]0;owned\a\u202e', 'fortran_order': False, 'shape': (2, 2), '\x1b[2J': 1}\n"
		write("\x93NUMPY\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(head)))) + head)
	case "zarr":
		ts.Check(os.Mkdir(path, 0o777))
		ts.Check(os.WriteFile(filepath.Join(path, ".zarray"), []byte(`{"zarr_format":2,"shape":[1,2,2],"chunks":[1,2,2],"dtype":"\u001b]0;owned\u0007\u202e","compressor":{"id":"\u001b[2J"},"order":"C","filters":null,"fill_value":0}`), 0o666))
	case "safetensors":
		meta := map[string]string{}
		for _, t := range texts {
			meta[t] = t
		}
		head, err := json.Marshal(map[string]any{"__metadata__": meta, "\x1b]0;owned\a\u202e": map[string]any{"dtype": "\x1b[2JF32", "shape": []int{1}, "data_offsets": []int{0, 4}}})
		ts.Check(err)
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
		write(string(binary.LittleEndian.AppendUint64(nil, uint64(len(head)))) + string(head) + "\x00\x00\x00\x00")
	case "toml":
		quoted := func(s string) string { b, _ := json.Marshal(s); return string(b) }
		var b strings.Builder
		for _, t := range texts {
			fmt.Fprintf(&b, "%s = %s\n", quoted(t), quoted(t))
		}
		write(b.String())
	case "program": // nothing but lines of text, as ssh and batch systems print
		said := filepath.Join(filepath.Dir(path), "said")
		var b strings.Builder
		for _, p := range hostile.Payloads {
			fmt.Fprintf(&b, "%s|%s|%s\n", p.Text, p.Text, p.Text)
		}
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
		ts.Check(os.WriteFile(said, []byte(b.String()), 0o666))
		write("#!/bin/sh\ncat '" + said + "'\ncat '" + said + "' >&2\nexit ${FAKE_EXIT:-1}\n")
	default:
		ts.Fatalf("payloads cannot make %q", args[0])
	}
}

// image is one image of a folder.
func image(ts *testscript.TestScript, dir string) []byte {
	b, err := os.ReadFile(filepath.Join(dir, "g000001.jpg"))
	ts.Check(err)
	return b
}

func tarred(to io.Writer) (func(string, []byte) error, func() error) {
	w := tar.NewWriter(to)
	return func(name string, b []byte) error {
		h := &tar.Header{Name: name, Size: int64(len(b)), Mode: 0o644}
		if strings.Contains(name, "\x00") || !utf8.ValidString(name) {
			return nil // archive/tar writes no such name
		}
		if err := w.WriteHeader(h); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		_, err := w.Write(b)
		return err
	}, w.Close
}

func zipped(to io.Writer) (func(string, []byte) error, func() error) {
	w := zip.NewWriter(to)
	return func(name string, b []byte) error {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name})
		if err == nil {
			_, err = f.Write(b)
		}
		return err
	}, w.Close
}

// cards are a FITS header's with texts in values, comments and keywords.
func cards(texts []string) (all []string) {
	for i, t := range texts {
		all = append(all, fmt.Sprintf("K%-7d= '%s' / %s", i, t, t), fmt.Sprintf("%-8.8s= 1", t), "COMMENT "+t)
	}
	return append(all, "EXTNAME = '\x1b]0;owned\a'", "CTYPE1  = '\x1b[2J\u202e'", "BUNIT   = '\x1b[31m'", "BSCALE  = '\x1b[31m'")
}

// says PROGRAM ARGS… runs a program, however that ends but by a panic, and what it prints must be tidy.
func says(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: says PROGRAM ARGS…")
	}
	var exit *exec.ExitError
	if err := ts.Exec(args[0], args[1:]...); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	if strings.Contains(ts.ReadFile("stderr"), "goroutine ") {
		ts.Fatalf("a panic")
	}
	if ts.ReadFile("stdout")+ts.ReadFile("stderr") == "" {
		ts.Fatalf("it says nothing")
	}
	tidy(ts, false, nil)
}

// tidy FILE…, by default what the last program printed, fails where anything in it would act on a terminal or hide in it; of a folder, the names of its files too.
func tidy(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: tidy [FILE…]")
	}
	if len(args) == 0 {
		args = []string{"stdout", "stderr"}
	}
	for _, name := range args {
		if info, err := os.Stat(ts.MkAbs(name)); name != "stdout" && name != "stderr" && err == nil && info.IsDir() {
			ts.Check(filepath.WalkDir(ts.MkAbs(name), func(path string, d fs.DirEntry, err error) error {
				return errors.Join(err, hostile.Raw([]byte(d.Name())))
			}))
			continue
		}
		if err := hostile.Raw([]byte(ts.ReadFile(name))); err != nil {
			ts.Fatalf("%s: %v", name, err)
		}
	}
}
