//go:build linux

// Command soak puts faults into the real program for a chosen time and counts what they cost:
//
//	go run ./internal/soak --time 5m [--seed N] [--only NAME,…] [--faults N] [--at FAILPOINT,…]
//
// It is a list of trials, each a loop around one kind of fault with what must hold after each of them; all share the time, or have so many faults
// each (--faults). Kills are SIGKILL at random moments of real processes: the engine, a scoring worker, the attach process, the screen in a
// pseudo-terminal; and at each of the places in internal/failpoint, with which the program is built here. After each kill: all labels that were
// confirmed are in the journal, each once, in their order, and at most the step that was on its way besides; checkpoints can be read; scores that were
// cut off end as the same bytes as those that were not; and in the end no process, socket or old part file is left. Only what a process did
// before it died is looked at: that disks keep what they were told to is another trial's business.
//
// The table is printed also when it is cut off (ctrl+c). It ends with 1 when anything was lost, and then leaves its folder to be looked at.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"anomalymatch/internal/failpoint"
)

// trial is one kind of fault.
type trial struct {
	name, does string
	share      int // of the time
	quick      int // faults in the tests of this package
	// run puts faults as long as there are to be more, and counts them. What does not hold is counted or said in t; an error is that it could not
	// go on.
	run func(ctx context.Context, w *world, t *tally, more func() bool) error
}

// trials in their order. What another package has is one line: see command.
var trials = []trial{
	{"engine", "kill -9 of the engine while labels are given, while it embeds and while it trains", 4, 6, killEngine},
	{"scoring", "kill -9 of the engine while it scores", 2, 3, killScoring},
	{"worker", "kill -9 of a worker that scores shards", 3, 3, killWorker},
	{"attach", "kill -9 of the attach process between a client and the engine", 2, 8, killAttach},
	{"screen", "kill -9 of the terminal program, and of its link, over ssh", 4, 3, killScreen},
	{"power", "power cuts on a file system that forgets what was not synced; a run is many of them", 3, 0, command("go", "test", "-count=1", "-timeout=24h", "./internal/faultfs/disktest", "-run", "PowerCut", "-during", "{time/3}")},
	{"fuzz", "all fuzz targets; a run is all of them", 3, 0, command("go", "run", "./internal/fuzzall", "--time", "{time}")},
	{"points", "SIGKILL at each failpoint; each is tried once however long that takes, so this is the last", 3, 1, killAtPoints},
}

// tally is what a trial has seen.
type tally struct {
	faults  int
	acked   int // steps of labels that were confirmed
	lost    int // of them
	doubled int
	orphans int      // processes, sockets and part files that nobody needs
	wrong   []string // whatever else does not hold, one sentence each
	took    time.Duration
}

func (t *tally) bad() bool { return t.lost+t.doubled+t.orphans+len(t.wrong) > 0 }

// say notes what does not hold. Of many the first tell enough.
func (t *tally) say(format string, args ...any) {
	const most = 20
	if len(t.wrong) < most {
		t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
	}
}

// command is the trial of another program or test: it is run again and again until its time is over, each run counts as one fault, and has to end with 0.
// {time} in an argument is the time that is left, {time/3} a third of it; where a number of faults is wanted it is run once, for a minute.
func command(argv ...string) func(context.Context, *world, *tally, func() bool) error {
	return func(ctx context.Context, w *world, t *tally, more func() bool) error {
		for more() {
			left := time.Minute
			if !w.until.IsZero() {
				left = max(time.Second, time.Until(w.until).Round(time.Second))
			}
			args := slices.Clone(argv)
			for i := range args {
				args[i] = strings.NewReplacer("{time}", left.String(), "{time/3}", (left / 3).String()).Replace(args[i])
			}
			out, err := w.tool(ctx, args...)
			if ctx.Err() != nil {
				return nil
			}
			t.faults++
			if err != nil {
				t.say("%s: %v\n%s", strings.Join(args, " "), err, out)
			}
			if w.until.IsZero() {
				return nil
			}
		}
		return nil
	}
}

func main() { os.Exit(soak(os.Args[1:], os.Stdout, os.Stderr)) }

func soak(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(errs)
	long := flags.Duration("time", 5*time.Minute, "how long all trials take together")
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano()), "of the moments at which is killed")
	only := flags.String("only", "", "run these trials, by commas")
	at := flags.String("at", "", "of the failpoints these only, by commas")
	faults := flags.Int("faults", 0, "instead of a time: so many faults in each trial, or each of its points that often")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	run := trials
	if *only != "" {
		run = nil
		for _, name := range strings.Split(*only, ",") {
			i := slices.IndexFunc(trials, func(t trial) bool { return t.name == name })
			if i < 0 {
				fmt.Fprintf(errs, "there is no trial %q; there are:\n", name)
				for _, t := range trials {
					fmt.Fprintf(errs, "  %-8s %s\n", t.name, t.does)
				}
				return 2
			}
			run = append(run, trials[i])
		}
	}
	var points []failpoint.Point
	for _, name := range strings.Split(*at, ",") {
		p := failpoint.Point(name)
		if *at != "" && !slices.Contains(failpoint.Points, p) {
			fmt.Fprintf(errs, "there is no failpoint %q; there are %v\n", name, failpoint.Points)
			return 2
		}
		if *at != "" {
			points = append(points, p)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	line := &meter{to: errs}
	fmt.Fprintf(errs, "seed %d\n", *seed)
	line.set("building the program")
	w, err := newWorld(ctx, *seed)
	if err != nil {
		line.clear()
		if ctx.Err() != nil {
			return 130
		}
		fmt.Fprintln(errs, err)
		return 1
	}
	w.points = points
	var done []result
	shares, end := 0, time.Now().Add(*long)
	for _, t := range run {
		shares += t.share
	}
	for _, t := range run {
		if ctx.Err() != nil {
			break
		}
		mine := time.Until(end) * time.Duration(t.share) / time.Duration(shares)
		shares -= t.share
		done = append(done, w.try(ctx, t, mine, *faults, line))
	}
	line.clear()
	failed := print(out, done)
	if failed {
		fmt.Fprintf(errs, "what there was is in %s; --seed %d chooses the same moments again\n", w.dir, *seed)
	} else if err := w.close(); err != nil {
		fmt.Fprintln(errs, err)
	}
	switch {
	case failed:
		return 1
	case ctx.Err() != nil:
		return 130
	}
	return 0
}

// result is one line of the table.
type result struct {
	trial
	tally
}

// try runs a trial for a time, or until it has so many faults.
func (w *world) try(ctx context.Context, t trial, long time.Duration, faults int, line *meter) result {
	r := result{trial: t}
	w.r = rand.New(rand.NewPCG(w.seed, uint64(len(t.name))<<8|uint64(t.name[0]))) // the same whichever trials run
	begin := time.Now()
	limited, cancel := ctx, func() {}
	if w.until = (time.Time{}); faults == 0 {
		w.until = begin.Add(long)
		limited, cancel = context.WithTimeout(ctx, long)
	}
	more := func() bool {
		left := "of " + fmt.Sprint(faults)
		if faults == 0 {
			left = "· " + (long - time.Since(begin)).Round(time.Second).String() + " left"
		}
		line.set(fmt.Sprintf("%s: %d faults %s", t.name, r.faults, left))
		return limited.Err() == nil && (faults == 0 || r.faults < faults) && len(r.wrong) == 0 && r.lost == 0
	}
	// The context of a trial outlives its time by what is needed to look at what it has left.
	err := t.run(ctx, w, &r.tally, more)
	cancel()
	if err != nil && ctx.Err() == nil {
		r.say("it could not go on: %v", err)
	}
	if n := w.end(); n > 0 && ctx.Err() == nil {
		r.orphans += n
		r.say("%d processes were left", n)
	}
	r.took = time.Since(begin)
	return r
}

// print tells whether anything was lost.
func print(to io.Writer, all []result) (failed bool) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "trial\tfaults\tsteps confirmed\tlost\tdoubled\torphans\tseconds\t")
	for _, r := range all {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%.0f\t\n", r.name, r.faults, r.acked, r.lost, r.doubled, r.orphans, r.took.Seconds())
		failed = failed || r.bad()
	}
	table.Flush()
	for _, r := range all {
		for _, text := range r.wrong {
			fmt.Fprintf(to, "%s: %s\n", r.name, text)
		}
	}
	return failed
}

// meter is one line on a terminal that is written over; elsewhere a line now and then.
type meter struct {
	to   io.Writer
	last time.Time
	text string
}

func (s *meter) set(text string) {
	every, form := 10*time.Second, "%s\n"
	if f, ok := s.to.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		every, form = 100*time.Millisecond, "\r\x1b[K%s"
	}
	if text == s.text || time.Since(s.last) < every {
		return
	}
	s.last, s.text = time.Now(), text
	fmt.Fprintf(s.to, form, text)
}

func (s *meter) clear() {
	if f, ok := s.to.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(s.to, "\r\x1b[K")
	}
}
