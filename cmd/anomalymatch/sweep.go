package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	goruntime "runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/label"
	"anomalymatch/engine/sweep"
	"anomalymatch/session"
	"anomalymatch/session/array"
	"anomalymatch/session/cluster"
	"anomalymatch/session/journal"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

const sweepsFolder = "sweeps"

func sweepCommand() *cobra.Command {
	use := -1
	var ensemble, asJSON bool
	cmd := &cobra.Command{
		Use:     "sweep PROJECT [SWEEP]",
		GroupID: groupWork,
		Short:   "Compare trainings with several seeds or settings, and use one of them or all",
		Long: "Compare the runs of `train --seeds` and `train --set`: the newest sweep, or the one that is named. The measure is how well a run tells the anomalies " +
			"from the normal images that were labelled after the sweep was planned, which no run was trained on; it comes with its 95% interval. " +
			"With --use a run becomes what the project is trained to; with --ensemble the mean of all runs' scores becomes the deep ranking. An engine of the project takes either in within seconds.",
		Example: `anomalymatch train rings --seeds 42,43,44
anomalymatch sweep rings
anomalymatch sweep rings --ensemble`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactly("PROJECT")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			using := cmd.Flags().Changed("use")
			if using && ensemble {
				return usage("--use takes one run, --ensemble all: choose one of them")
			}
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			f, err := openSweep(p, args[1:])
			if err != nil {
				return err
			}
			line := progress.New(os.Stderr)
			defer line.Clear()
			pool, err := p.OpenPool(cmd.Context(), func(n int64) { line.Set(progress.Listing(n)) })
			if err != nil {
				return err
			}
			defer pool.Close()
			switch {
			case (using || ensemble) && p.ReadOnly:
				return fmt.Errorf("nothing can be used here: the project folder cannot be written")
			case using:
				round, err := f.Use(p.Dir, use)
				if err != nil {
					return err
				}
				takeBad(f, pool)
				line.Say(fmt.Sprintf("run %d (%s) is what the project is trained to now, as cycle %d", use, f.Plan.Runs[use], round))
			case ensemble:
				round, runs, err := f.Ensemble(p.Dir)
				if err != nil {
					return err
				}
				takeBad(f, pool)
				line.Say(fmt.Sprintf("the mean scores of %d of %s are the deep ranking now, as cycle %d", runs, common.Plural(len(f.Plan.Runs), "run"), round))
			}
			return printSweep(cmd, p, f, pool, asJSON)
		},
	}
	cmd.Flags().IntVar(&use, "use", 0, "make this run's network and scores the project's newest")
	cmd.Flags().BoolVar(&ensemble, "ensemble", false, "make the mean of the scores of all runs the project's deep ranking")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// openSweep opens the sweep that args name, or the newest.
func openSweep(p *session.Project, args []string) (*sweep.Folder, error) {
	names := sweep.Names(p.Sub(sweepsFolder))
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no sweep in this project yet: `anomalymatch train %s --seeds 42,43,44` makes one", asWord(p.Dir))
	}
	name := names[0]
	if len(args) > 0 {
		name = ""
		for _, n := range names {
			if n == args[0] {
				name = n
			}
		}
		if name == "" {
			return nil, usage("there is no sweep %q; there is %s", args[0], common.Clean(strings.Join(names, ", ")))
		}
	}
	return sweep.Open(p.Sub(sweepsFolder, name))
}

// takeBad brings to the project what runs elsewhere found bad.
func takeBad(f *sweep.Folder, pool *dataset.Pool) {
	for run := range f.Plan.Runs {
		if d, ok := f.Done(run); ok {
			pool.TakeBad(d.Bad)
		}
	}
}

func projectLabels(p *session.Project) (map[string]label.Value, error) {
	labels, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return nil, err
	}
	defer labels.Close()
	return labels.Current(), nil
}

// comparison is `sweep --json`.
type comparison struct {
	Project string    `json:"project"`
	Planned time.Time `json:"planned"`
	sweep.Comparison
}

// printSweep prints the runs beside each other.
func printSweep(cmd *cobra.Command, p *session.Project, f *sweep.Folder, pool *dataset.Pool, asJSON bool) error {
	labels, err := projectLabels(p)
	if err != nil {
		return err
	}
	c, err := f.Compare(pool, labels)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, comparison{p.Dir, f.Plan.Made, c})
	}
	return writeSweep(cmd.OutOrStdout(), c)
}

func writeSweep(w io.Writer, c sweep.Comparison) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "run\ttrained with\tstep\tloss\tkept\tAUROC since\tagreement\t")
	number := func(v *float64, format func(float64) string) string {
		if v == nil {
			return "–"
		}
		return format(*v)
	}
	three := func(v float64) string { return fmt.Sprintf("%.3f", v) }
	measure := func(m *sweep.Measure) string {
		if m == nil {
			return "–"
		}
		return fmt.Sprintf("%.3f (%.2f to %.2f)", m.AUROC, m.Low, m.High)
	}
	for _, r := range c.Rows {
		state := string(r.Phase)
		switch {
		case r.Phase == sweep.Ended && r.Run == c.Best:
			state = "← ahead"
		case r.Phase == sweep.Ended:
			state = ""
		case r.Host != "":
			state += " on " + r.Host
		}
		fmt.Fprintf(table, "%d\t%s\t%d of %d\t%s\t%s\t%s\t%s\t%s\n", r.Run, r.Name, r.Step, r.Steps, number(r.Loss, three), number(r.Kept, common.Percent), measure(r.Measure), number(r.Agreement, three), state)
	}
	if c.Ensemble != nil {
		fmt.Fprintf(table, "\tall, averaged\t\t\t\t%s\t\t\n", measure(c.Ensemble))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	text := "sweep " + common.Clean(c.Sweep)
	if c.Verdict != "" {
		text += ": " + c.Verdict
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// sweepOrder is what `train` is asked for with --seeds, --set or --cluster.
type sweepOrder struct {
	seeds      []int64
	sets       []string
	cluster    string
	iterations int
	anew       bool
}

// trainRuns plans the runs, or finds them planned, makes what is missing of them, and compares them.
func trainRuns(cmd *cobra.Command, p *session.Project, o sweepOrder, asJSON bool) error {
	ctx := cmd.Context()
	if p.ReadOnly {
		return fmt.Errorf("the runs are kept in the project folder, which cannot be written: copy it, or ask its owner")
	}
	if o.iterations > 0 {
		p.Config.FixMatch.Iterations = o.iterations
	}
	for _, s := range o.seeds {
		if s < 0 {
			return usage("a seed is 0 or more")
		}
	}
	runs, err := sweep.Grid(p.Config, o.seeds, o.sets)
	if err != nil {
		return usage("%w", err)
	}
	var made runsMaker = runsHere
	if o.cluster != "" {
		if made, err = runsOn(p, o.cluster); err != nil {
			return err
		}
	}
	line := progress.New(os.Stderr)
	defer line.Clear()
	pool, err := p.OpenPool(ctx, func(n int64) { line.Set(progress.Listing(n)) })
	if err != nil {
		return err
	}
	defer pool.Close()
	f, err := planned(p, pool, runs, o.anew, line)
	if err != nil {
		return err
	}
	if err := made(ctx, p, f, pool, line); err != nil {
		if ctx.Err() != nil {
			return cancelled("cancelled: %d of %s are there, and what the others have learnt is kept; the same command goes on", f.There(), common.Plural(len(runs), "run"))
		}
		return err
	}
	line.Clear()
	takeBad(f, pool)
	if err := printSweep(cmd, p, f, pool, asJSON); err != nil || asJSON {
		return err
	}
	text := fmt.Sprintf("`anomalymatch sweep %s` compares again, --use 0 takes run 0", asWord(p.Dir))
	if len(runs) > 1 {
		text += ", --ensemble the mean of all"
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

// planned finds the newest sweep, if it is of these runs and not over, or plans a new one.
func planned(p *session.Project, pool *dataset.Pool, runs []sweep.Run, anew bool, line *progress.Line) (*sweep.Folder, error) {
	if names := sweep.Names(p.Sub(sweepsFolder)); len(names) > 0 && !anew {
		f, err := sweep.Open(p.Sub(sweepsFolder, names[0]))
		if err == nil && f.Plan.Same(pool, runs) && len(f.Todo()) > 0 {
			line.Say(fmt.Sprintf("goes on with sweep %s, on the labels of %s (%s); --new begins with those of now", common.Clean(f.Name), f.Plan.Made.Local().Format("Mon 15:04"), trainedOn(f.Plan)))
			return f, nil
		}
	}
	labels, err := projectLabels(p)
	if err != nil {
		return nil, err
	}
	plan, err := sweep.New(pool, p.Limits(), labels, runs)
	if err != nil {
		return nil, err
	}
	f, err := sweep.Create(p.Sub(sweepsFolder), plan)
	if err == nil {
		line.Say(fmt.Sprintf("sweep %s: %s on %s", f.Name, common.Plural(len(runs), "run"), trainedOn(plan)))
	}
	return f, err
}

func trainedOn(p sweep.Plan) string {
	anomalies := fmt.Sprintf("%d anomalies", len(p.Anomalies))
	if len(p.Anomalies) == 1 {
		anomalies = "1 anomaly"
	}
	return anomalies + " and " + common.Plural(len(p.Normals), "normal image")
}

// runsMaker makes what is to do of the runs of a sweep; it tells how far that is.
type runsMaker func(ctx context.Context, p *session.Project, f *sweep.Folder, pool *dataset.Pool, line *progress.Line) error

func runsWorker(p *session.Project, f *sweep.Folder, pool *dataset.Pool, say func(string)) *sweep.Worker {
	host, _ := os.Hostname()
	keep := make(chan os.Signal, 1)
	notifyCheckpoint(keep)
	return &sweep.Worker{Folder: f, Pool: pool, Config: p.Config, Host: host, Threads: cmp.Or(p.Config.Images.DecodeWorkers, goruntime.GOMAXPROCS(0)), Keep: keep, Say: say}
}

// runsHere makes the runs in this process, one after the other.
func runsHere(ctx context.Context, p *session.Project, f *sweep.Folder, pool *dataset.Pool, line *progress.Line) error {
	w := runsWorker(p, f, pool, line.Say)
	defer w.Close()
	w.Report = func(run int, s sweep.State) {
		line.Set(fmt.Sprintf("%d of %s · run %d (%s) · %s", f.There(), common.Plural(len(f.Plan.Runs), "run"), run, f.Plan.Runs[run], runText(s)))
	}
	return w.Run(ctx, f.Todo())
}

// runText tells how a run goes.
func runText(s sweep.State) string {
	parts := []string{string(s.Phase)}
	switch {
	case s.Phase == sweep.Training && s.Done == 0:
		parts = append(parts, "starting")
	case s.Phase == sweep.Training || s.Phase == sweep.Waiting && s.Done > 0:
		parts = append(parts, fmt.Sprintf("step %d of %d", s.Done, s.Total))
	case s.Phase == sweep.Scoring:
		parts = append(parts, common.Count(s.Done)+" of "+common.Count(s.Total))
	}
	if s.Last != nil && s.Phase == sweep.Training {
		parts = append(parts, fmt.Sprintf("loss %.3f", s.Last.GetLoss()))
	}
	if s.Phase == sweep.Training || s.Phase == sweep.Scoring {
		for _, text := range []string{common.Rate(s.Speed), common.Left(s.Left)} {
			if text != "" && s.Left >= 0 {
				parts = append(parts, text)
			}
		}
	}
	return strings.Join(parts, " · ")
}

// runsOn has the batch system of a profile make the runs.
func runsOn(p *session.Project, name string) (runsMaker, error) {
	profile, err := p.Config.Profile(name)
	if err != nil {
		return nil, usage("%w", err)
	}
	scheduler, err := cluster.New(profile, cluster.Exec)
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, p *session.Project, f *sweep.Folder, _ *dataset.Pool, line *progress.Line) error {
		r := array.Run{Project: p.Dir, Profile: name, Scheduler: scheduler, Say: line.Say, Warn: cluster.EngineWarning, Work: array.Work{Dir: f.Dir, Kind: "train", Part: "run",
			Parts: len(f.Plan.Runs), Todo: f.Todo, Brought: f.Progress,
			// As for an engine: training on a CPU gains a quarter.
			Argv: []string{"env", "GLIBC_TUNABLES=glibc.malloc.hugetlb=1", exe, "run", f.Dir, p.Dir},
			Look: func(jobs []cluster.Job) (int, error) {
				line.Set(runsOnCluster(f, jobs))
				return f.There(), nil
			}}}
		return r.All(ctx)
	}, nil
}

// runsOnCluster tells how far runs are, and who is at work on them.
func runsOnCluster(f *sweep.Folder, jobs []cluster.Job) string {
	parts := []string{fmt.Sprintf("%d of %s", f.There(), common.Plural(len(f.Plan.Runs), "run"))}
	for run := range f.Plan.Runs {
		if s := f.State(run); s.Phase == sweep.Training || s.Phase == sweep.Scoring {
			text := fmt.Sprintf("run %d on %s: %s", run, s.Host, strings.Join(strings.Split(runText(s), " · ")[1:], ", "))
			if s.Phase == sweep.Scoring {
				text = fmt.Sprintf("run %d on %s: scoring %s", run, s.Host, common.Percent(float64(s.Done)/float64(max(1, s.Total))))
			}
			parts = append(parts, text)
		}
	}
	return strings.Join(append(parts, jobStates(jobs)...), " · ")
}

// runCommand is what a task of an array of jobs runs. It is for `train --cluster`, not for people.
func runCommand() *cobra.Command {
	var of taskFlags
	cmd := &cobra.Command{
		Use:    "run SWEEP PROJECT",
		Short:  "Train the runs of one task of an array of jobs",
		Long:   "Train the runs of a sweep, a folder below the project's sweeps, that fall to one of several tasks. Ends with 0 when all of them are there. On TERM what is trained so far is kept first, on USR1 it is kept and the training goes on.",
		Args:   exactly("SWEEP", "PROJECT"),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			// Kept until the end of the process: a second signal must not break off the checkpoint that the first one asked for.
			signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
			if err := of.read(cmd); err != nil {
				return err
			}
			p, err := session.Open(args[1])
			if err != nil {
				return err
			}
			f, err := sweep.Open(args[0])
			if err != nil {
				return err
			}
			mine, err := of.share(len(f.Plan.Runs))
			if err != nil {
				return err
			}
			pool, err := dataset.OpenPool(cmd.Context(), p.Sub("index"), p.NamedSources(), f.Plan.Limits(), nil)
			if err != nil {
				return err
			}
			defer pool.Close()
			pool.Prepare(p.Sub("prepared"), p.Config.Images.Prepare)
			pool.Share() // who submitted brings what is bad to the project
			w := runsWorker(p, f, pool, func(text string) { fmt.Fprintln(os.Stderr, common.Clean(text)) })
			defer w.Close()
			told := map[string]bool{}
			w.Report = func(run int, s sweep.State) { // once a phase
				if text := fmt.Sprintf("run %d (%s): %s", run, f.Plan.Runs[run], s.Phase); !told[text] {
					told[text] = true
					w.Say(text)
				}
			}
			return w.Run(cmd.Context(), mine)
		},
	}
	of.flags(cmd, "runs")
	return cmd
}
