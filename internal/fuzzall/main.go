// Fuzzall runs every fuzz target of the module for a share of the time given, one after the other:
//
//	go run ./internal/fuzzall --time 5m [--only REGEXP] [--list]
//
// The targets are found in the source, so that a new one cannot be forgotten. What Go's fuzzing learnt stays in its cache, and the next run goes on from
// there; an input that fails stays in the testdata/fuzz of its package, where go test runs it from then on. It prints a table and ends with 1 where
// something failed. The time is that of fuzzing: building what is not built yet comes on top. Memory is limited, so that an input which asks for all of it is
// found and does not take the machine along.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"text/tabwriter"
	"time"
)

type options struct {
	dir      string
	time     time.Duration
	only     string
	list     bool
	parallel int
	memory   int // GiB for one process, 0 for no limit
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", ".", "folder of the module")
	flag.DurationVar(&o.time, "time", 5*time.Minute, "time for all targets together")
	flag.StringVar(&o.only, "only", "", "regular expression: only targets whose PACKAGE.NAME it matches")
	flag.BoolVar(&o.list, "list", false, "only list the targets")
	flag.IntVar(&o.parallel, "parallel", runtime.GOMAXPROCS(0), "processes that try inputs at a time")
	flag.IntVar(&o.memory, "memory", 4, "GiB of address space that one process may take, 0 for no limit (Unix)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// run tries all targets and prints what came of them. The error says how many of them failed.
func run(ctx context.Context, o options, out io.Writer) error {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	targets, err := find(ctx, o.dir, only)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("no fuzz target matches")
	}
	if o.list {
		for _, t := range targets {
			fmt.Fprintln(out, t)
		}
		return nil
	}
	b, err := newBuilder(o)
	if err != nil {
		return err
	}
	defer b.close()
	each := max(o.time/time.Duration(len(targets)), time.Second)
	fmt.Fprintf(out, "%d targets, %v each\n", len(targets), each.Round(time.Millisecond))
	results := make([]result, len(targets))
	for i, t := range targets {
		results[i] = b.fuzz(ctx, t, each)
		fmt.Fprintf(out, "%3d/%d %v: %v\n", i+1, len(targets), t, results[i])
		if ctx.Err() != nil {
			results = results[:i+1]
			break
		}
	}
	return table(out, results, ctx.Err())
}

// table prints one line a target. Its error is nil where nothing failed.
func table(out io.Writer, results []result, err error) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\ntarget\texecutions\tnew\tcorpus\tfailed")
	var sum result
	failed := 0
	for _, r := range results {
		mark := "-"
		if r.err != nil {
			failed++
			mark = "FAILED"
		}
		fmt.Fprintf(w, "%v\t%d\t%d\t%d\t%s\n", r.target, r.executions, r.found, r.corpus, mark)
		sum.executions, sum.found, sum.corpus = sum.executions+r.executions, sum.found+r.found, sum.corpus+r.corpus
	}
	fmt.Fprintf(w, "%d targets\t%d\t%d\t%d\t%d\n", len(results), sum.executions, sum.found, sum.corpus, failed)
	if e := w.Flush(); e != nil {
		return e
	}
	for _, r := range results {
		if r.err != nil {
			fmt.Fprintf(out, "\n%v: %v\n%s", r.target, r.err, r.said)
		}
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d targets failed", failed, len(results)))
	}
	return err
}
