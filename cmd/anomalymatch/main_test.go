package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"anomalymatch": main,
		"sky":          sky,
		"field":        field,
	})
}

// sky FOLDER N draws N small galaxies: g000001.jpg and so on.
func sky() {
	n, err := strconv.Atoi(os.Args[2])
	if err == nil {
		p := synth.Defaults()
		p.Size = 32
		_, err = synth.Write(os.Args[1], n, p, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// field FILE WIDTH HEIGHT draws a FITS of WIDTH × HEIGHT floats without sky coordinates, each its number.
func field() {
	w, err := strconv.Atoi(os.Args[2])
	h, odd := strconv.Atoi(os.Args[3])
	var out bytes.Buffer
	for _, card := range []string{"SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2", fmt.Sprintf("NAXIS1  = %d", w), fmt.Sprintf("NAXIS2  = %d", h), "END"} {
		fmt.Fprintf(&out, "%-80s", card)
	}
	out.Write(bytes.Repeat([]byte{' '}, 2880-out.Len()))
	for i := range w * h {
		binary.Write(&out, binary.BigEndian, float32(i))
	}
	out.Write(make([]byte, (2880-out.Len()%2880)%2880))
	if err := errors.Join(err, odd, os.WriteFile(os.Args[1], out.Bytes(), 0o666)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			for name, dir := range map[string]string{"HOME": "home", "XDG_CONFIG_HOME": "home/config", "XDG_DATA_HOME": "home/data", "XDG_STATE_HOME": "home/state"} {
				env.Setenv(name, filepath.Join(env.WorkDir, dir))
			}
			env.Setenv("USER", "ada")
			env.Setenv("TERM", "xterm-256color")
			env.Setenv("TMUX", "")
			env.Defer(func() { stopEngines(t, env.WorkDir) })
			return os.Mkdir(filepath.Join(env.WorkDir, "home"), 0o700)
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Getuid() == 0, nil
			case "race":
				return raceBuild, nil
			case "formats":
				_, err := os.Stat(hostileFiles)
				if err != nil && os.Getenv("CI") != "" {
					return false, fmt.Errorf("CI must have the files: %w", err)
				}
				return err == nil, nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "hostile": hostileFolder, "payloads": payloads, "says": says, "tidy": tidy},
	})
}

// hostileFiles are files that must be refused, from this folder.
var hostileFiles = filepath.Join("..", "..", "..", "shared", "data", "formats", "hostile")

// hostile FOLDER copies the files that must be refused there; hostile --pack FOLDER FILE makes a tar.gz of a folder.
func hostileFolder(ts *testscript.TestScript, neg bool, args []string) {
	switch {
	case !neg && len(args) == 1:
		ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(hostileFiles)))
	case !neg && len(args) == 3 && args[0] == "--pack":
		f, err := os.Create(ts.MkAbs(args[2]))
		ts.Check(err)
		z := gzip.NewWriter(f)
		w := tar.NewWriter(z)
		ts.Check(errors.Join(w.AddFS(os.DirFS(ts.MkAbs(args[1]))), w.Close(), z.Close(), f.Close()))
	default:
		ts.Fatalf("usage: hostile FOLDER | hostile --pack FOLDER FILE")
	}
}

// exits CODE PROGRAM ARGS… runs a program that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("ended with %d, want %s", got, args[0])
	}
}

// stopEngines ends what a script started.
func stopEngines(t *testing.T, work string) {
	files, _ := filepath.Glob(filepath.Join(work, "*", "project.toml"))
	for _, file := range files {
		p, err := session.Open(filepath.Dir(file))
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if _, err := stopEngine(ctx, p); err != nil && !errors.Is(err, rpc.ErrNotRunning) {
			t.Errorf("the engine of %s does not stop: %v", p.Dir, err)
		}
		cancel()
	}
}
