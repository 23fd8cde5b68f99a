package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A result is what came of one target.
type result struct {
	target     target
	executions int  // inputs tried
	found      int  // inputs that reached something new
	corpus     int  // inputs known at the end
	repeats    bool // the input that failed fails by itself too
	err        error
	said       string // what the failed run printed
}

func (r result) String() string {
	if r.err != nil {
		return "FAILED: " + r.err.Error()
	}
	return fmt.Sprintf("%d executions, %d new", r.executions, r.found)
}

// A builder makes the instrumented test program of a package once for all targets in it.
type builder struct {
	options
	dir   string // programs
	cache string // what fuzzing learnt, where go test keeps it
	made  map[string]error
}

func newBuilder(o options) (*builder, error) {
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOCACHE: %w", err)
	}
	dir, err := os.MkdirTemp("", "fuzzall-")
	return &builder{options: o, dir: dir, cache: filepath.Join(strings.TrimSpace(string(out)), "fuzz"), made: map[string]error{}}, err
}

func (b *builder) close() { os.RemoveAll(b.dir) }

// program returns the test program of a package.
func (b *builder) program(ctx context.Context, t target) (string, error) {
	path := filepath.Join(b.dir, strings.ReplaceAll(t.pkg, "/", "_")+".test")
	err, ok := b.made[t.pkg]
	if !ok {
		build := exec.CommandContext(ctx, "go", "test", "-c", "-fuzz=.", "-o", path, t.pkg)
		build.Dir = t.dir
		var said []byte
		if said, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("it does not build: %w\n%s", err, said)
		}
		b.made[t.pkg] = err
	}
	return path, err
}

// grace is what a program may take beyond its time: for the corpus, which it runs first, and to end.
const grace = 2 * time.Minute

// fuzz tries a target for a while. What fails because the machine stood still (a laptop asleep, a frozen group of processes), which Go's fuzzing takes for
// an input that hangs, is no finding: the target goes on for the rest of its time.
func (b *builder) fuzz(ctx context.Context, t target, length time.Duration) result {
	r := result{target: t}
	path, err := b.program(ctx, t)
	if err != nil {
		r.err = err
		return r
	}
	for end := time.Now().Add(length); ; {
		var still atomic.Bool
		watching, stop := context.WithCancel(ctx)
		go watch(watching, &still)
		input := b.once(ctx, path, t, length, &r)
		stop()
		if length = time.Until(end); input == "" || r.repeats || !still.Load() || length < time.Second {
			return r
		}
		os.Remove(input)
		r.err, r.said = nil, ""
	}
}

// watch says when the time between two looks at the clock was longer than any busy machine makes it.
func watch(ctx context.Context, still *atomic.Bool) {
	for last := time.Now(); ctx.Err() == nil; {
		time.Sleep(100 * time.Millisecond)
		now := time.Now()
		if now.Sub(last) > 3*time.Second {
			still.Store(true)
		}
		last = now
	}
}

// once runs a target and adds to r what came of it. It returns the file of an input that failed.
func (b *builder) once(ctx context.Context, path string, t target, length time.Duration, r *result) (input string) {
	limited, cancel := context.WithTimeout(ctx, length+grace)
	defer cancel()
	out, err := b.command(limited, path, t, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+length.String(), "-test.fuzzminimizetime=10x",
		"-test.parallel="+strconv.Itoa(b.parallel), "-test.fuzzcachedir="+filepath.Join(b.cache, t.pkg), "-test.timeout=0").CombinedOutput()
	r.read(out)
	switch {
	case err == nil:
		return ""
	case ctx.Err() != nil:
		r.err = ctx.Err()
		return ""
	case limited.Err() != nil:
		r.err, r.said = fmt.Errorf("it did not end within %v of its time", grace), string(out)
		return ""
	case onlyLate(out): // go.dev/issue/75804: the end of the time told as a failure
		return ""
	}
	r.said = string(out)
	found := kept.FindSubmatch(out)
	if found == nil {
		r.err = errors.New("it failed and left no input")
		return ""
	}
	// By itself, since an input that passes then says something else than one that fails each time.
	input = filepath.Join(t.dir, filepath.FromSlash(string(found[1])))
	alone, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if r.repeats = b.command(alone, path, t, "-test.run=^"+t.name+"$/^"+filepath.Base(input)+"$").Run() != nil; r.repeats {
		r.err = fmt.Errorf("an input fails: %s", input)
	} else {
		r.err = fmt.Errorf("an input failed once and passes by itself: %s", input)
	}
	return input
}

// command runs a test program in the folder of its package, with the memory that it may take.
func (b *builder) command(ctx context.Context, path string, t target, args ...string) *exec.Cmd {
	args = append([]string{path}, args...)
	if b.memory > 0 && runtime.GOOS != "windows" {
		args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -v %d && exec "$0" "$@"`, b.memory<<20)}, args...)
	}
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir = t.dir
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // it ends its workers
	c.WaitDelay = 10 * time.Second
	return c
}

var (
	progress = regexp.MustCompile(`(?m)^fuzz: elapsed: .*, execs: (\d+) \(.*\), new interesting: (\d+) \(total: (\d+)\)`)
	kept     = regexp.MustCompile(`Failing input written to (testdata/fuzz/\S+)`)
	late     = regexp.MustCompile(`^--- FAIL: \S+ \(\S+\)\s+context deadline exceeded\s+FAIL\s*$`)
)

// read takes the last figures that fuzzing printed.
func (r *result) read(said []byte) {
	all := progress.FindAllSubmatch(said, -1)
	if len(all) == 0 {
		return
	}
	last := all[len(all)-1]
	number := func(i int) int { n, _ := strconv.Atoi(string(last[i])); return n }
	r.executions, r.found, r.corpus = r.executions+number(1), r.found+number(2), number(3)
}

func onlyLate(said []byte) bool {
	var rest [][]byte
	for _, line := range bytes.Split(said, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte("fuzz: ")) {
			rest = append(rest, line)
		}
	}
	return late.Match(bytes.TrimSpace(bytes.Join(rest, []byte("\n"))))
}
