package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/score"
	"anomalymatch/engine/score/shards"
	"anomalymatch/session"
	"anomalymatch/session/array"
	"anomalymatch/session/cluster"
	"anomalymatch/session/journal"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

// shardCommand is what a task of an array of jobs runs. It is for `score --cluster`, not for people.
func shardCommand() *cobra.Command {
	var of taskFlags
	cmd := &cobra.Command{
		Use:    "shard PLAN PROJECT",
		Short:  "Score the shards of one task of an array of jobs",
		Long:   "Score the shards of a plan, a folder below the project's scores, that fall to one of several tasks. Ends with 0 when all of them are there.",
		Args:   exactly("PLAN", "PROJECT"),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := of.read(cmd); err != nil {
				return err
			}
			p, err := session.Open(args[1])
			if err != nil {
				return err
			}
			f, err := shards.Open(args[0])
			if err != nil {
				return err
			}
			mine, err := of.share(len(f.Plan.Shards))
			if err != nil {
				return err
			}
			pool, err := dataset.OpenPool(cmd.Context(), p.Sub("index"), p.NamedSources(), f.Plan.Limits(), nil)
			if err != nil {
				return err
			}
			defer pool.Close()
			pool.Prepare(p.Sub("prepared"), p.Config.Images.Prepare)
			pool.Share() // the merge brings what is bad to the project
			w := worker(p, f, pool)
			w.Say = func(text string) { fmt.Fprintln(os.Stderr, common.Clean(text)) }
			w.Report = func(shard, done int) {
				if n := f.Plan.Shards[shard].Len(); done == n {
					w.Say(fmt.Sprintf("shard %d: %s", shard, common.Plural(n, "image")))
				}
			}
			return w.Run(cmd.Context(), mine)
		},
	}
	of.flags(cmd, "shards")
	return cmd
}

// taskFlags say what falls to one task of an array of jobs.
type taskFlags struct {
	task, tasks int
	only        string
}

func (f *taskFlags) flags(cmd *cobra.Command, parts string) {
	cmd.Flags().IntVar(&f.task, "task", 0, "number of this task, from 0 (default: that of the job)")
	cmd.Flags().IntVar(&f.tasks, "tasks", 1, "number of tasks")
	cmd.Flags().StringVar(&f.only, "only", "", parts+" that are to be done, such as 3,7-9 (default: all)")
}

// read takes the number of the task from the job, where no flag says it.
func (f *taskFlags) read(cmd *cobra.Command) error {
	if number := os.Getenv(cluster.TaskVariable); number != "" && !cmd.Flags().Changed("task") {
		n, err := strconv.Atoi(number)
		if err != nil {
			return usage("%s is a number, not %q", cluster.TaskVariable, number)
		}
		f.task = n
	}
	if f.tasks < 1 || f.task < 0 || f.task >= f.tasks {
		return usage("task %d of %d: --tasks is 1 or more, and --task 0 to one less", f.task, f.tasks)
	}
	return nil
}

// share are the parts, of so many, that fall to the task.
func (f *taskFlags) share(parts int) ([]int, error) {
	mine, err := shards.Select(f.only, parts)
	if err != nil {
		return nil, usage("--only: %w", err)
	}
	return shards.Share(mine, f.task, f.tasks), nil
}

// worker runs shards in this process.
func worker(p *session.Project, f *shards.Folder, pool *dataset.Pool) *shards.Worker {
	host, _ := os.Hostname()
	return &shards.Worker{Folder: f, Pool: pool, Checkpoints: p.Sub("checkpoints"), Runtime: p.Config.Engine.Runtime, Host: host,
		Threads: cmp.Or(p.Config.Images.DecodeWorkers, goruntime.GOMAXPROCS(0))}
}

// runner makes what is to do of the shards of a plan; it tells how far that is.
type runner func(ctx context.Context, p *session.Project, f *shards.Folder, pool *dataset.Pool, line *progress.Line) error

// scoreShards scores the pool with what was trained last, in n shards that run makes, and takes the best of the merged scores; all where
// top is negative.
func scoreShards(ctx context.Context, p *session.Project, n, top int, anyway bool, run runner, line *progress.Line) (rankedList, error) {
	if p.ReadOnly {
		return rankedList{}, errors.New("the shards are kept in the project folder, which cannot be written: copy it, or ask its owner")
	}
	_, info, damaged, found, err := fixmatch.Latest(p.Sub("checkpoints"))
	if err != nil {
		return rankedList{}, err
	}
	for _, d := range damaged {
		line.Say("warning: " + d)
	}
	if !found {
		return rankedList{}, fmt.Errorf("nothing was trained yet: `anomalymatch train %s` first", asWord(p.Dir))
	}
	pool, err := p.OpenPool(ctx, func(n int64) { line.Set(progress.Listing(n)) })
	if err != nil {
		return rankedList{}, err
	}
	defer pool.Close()
	if err := alike(ctx, p, info, pool, anyway, line); err != nil {
		return rankedList{}, err
	}
	line.Set("planning the shards")
	plan, err := shards.New(pool, p.Limits(), p.Sub("checkpoints"), info, p.Config.Model.ScoreBatch, n)
	if err != nil {
		return rankedList{}, err
	}
	f, err := shards.Create(p.Sub("scores"), plan)
	if err != nil {
		return rankedList{}, err
	}
	if got := len(plan.Shards); got < n {
		line.Say(fmt.Sprintf("%s of %s make no more than %s", common.Plural(plan.Images, "image"), common.Plural(plan.Batch, "image")+" a batch", common.Plural(got, "shard")))
	}
	if err := run(ctx, p, f, pool, line); err != nil {
		if s, e := f.Status(); e == nil && ctx.Err() != nil {
			return rankedList{}, cancelled("cancelled: %d of %s are there and kept; the same command goes on", s.Done, common.Plural(s.Shards, "shard"))
		}
		return rankedList{}, err
	}
	line.Set("merging the shards")
	m, err := f.Merge(ctx)
	if err != nil {
		return rankedList{}, err
	}
	pool.TakeBad(m.Bad)
	if len(m.Backends) > 1 {
		line.Say("warning: the shards were scored by different backends (" + strings.Join(m.Backends, ", ") + "): their scores differ in the last digits")
	}
	list := rankedList{Project: p.Dir, RankedBy: "deep", Backend: strings.Join(m.Backends, ", "), Images: m.Scored}
	list.takeBad(pool)
	if top < 0 {
		top = m.Scored
	}
	best := m.Top
	if top > len(best) && len(best) < m.Scored {
		if _, best, err = score.Top(m.Path, top); err != nil {
			return rankedList{}, err
		}
	}
	labels, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return rankedList{}, err
	}
	defer labels.Close()
	current := labels.Current()
	for place, b := range best[:min(top, len(best))] {
		id := pool.ID(b.Image)
		list.rows = append(list.rows, score.Row{ID: id, Score: b.Score, Label: string(current[id]), Rank: int64(place + 1)})
	}
	return list, nil
}

// runHere makes the shards in this process, one after the other.
func runHere(ctx context.Context, p *session.Project, f *shards.Folder, pool *dataset.Pool, line *progress.Line) error {
	line.Set("looking at what is there")
	todo := f.Todo()
	if len(todo) == 0 {
		return nil
	}
	done := f.Plan.Images // by the shards that are there and those that were made
	for _, shard := range todo {
		done -= f.Plan.Shards[shard].Len()
	}
	line.Set("compiling the network")
	meter := progress.Meter{}
	w := worker(p, f, pool)
	w.Say = line.Say
	w.Report = func(shard, n int) {
		line.Set(meter.Job(fmt.Sprintf("scoring shard %d of %d", shard+1, len(f.Plan.Shards)), done+n, f.Plan.Images))
		if n == f.Plan.Shards[shard].Len() {
			done += n
		}
	}
	return w.Run(ctx, todo)
}

// runOn has the batch system of a profile make the shards.
func runOn(p *session.Project, name string) (runner, error) {
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
	return func(ctx context.Context, p *session.Project, f *shards.Folder, _ *dataset.Pool, line *progress.Line) error {
		var last shards.Status
		r := array.Run{Project: p.Dir, Profile: name, Scheduler: scheduler, Say: line.Say, Work: array.Work{Dir: f.Dir, Kind: "score", Part: "shard", Parts: len(f.Plan.Shards),
			Argv: []string{exe, "shard", f.Dir, p.Dir}, Todo: f.Todo, Look: func(jobs []cluster.Job) (int, error) {
				var err error
				if last, err = f.Status(); err == nil {
					line.Set(onCluster(last, jobs))
				}
				return last.Done, err
			}}}
		line.Set("looking at what is there")
		if err := r.All(ctx); err != nil {
			return err
		}
		for _, h := range last.Hosts[:min(len(last.Hosts), listed)] {
			line.Say(fmt.Sprintf("%s: %s, %s%s", h.Name, common.Plural(h.Done, "shard"), common.Plural(h.Images, "image"), dotted(common.Rate(h.Speed))))
		}
		return nil
	}, nil
}

// onCluster tells how far shards are, and who is at work on them.
func onCluster(s shards.Status, jobs []cluster.Job) string {
	parts := []string{fmt.Sprintf("scoring · %s of %s", common.Count(int64(s.Scored)), common.Count(int64(s.Images))), fmt.Sprintf("%d of %s", s.Done, common.Plural(s.Shards, "shard"))}
	if s.Speed > 0 {
		parts = append(parts, common.Rate(s.Speed), common.Left(float64(s.Images-s.Scored)/s.Speed))
	}
	parts = append(parts, jobStates(jobs)...)
	for _, h := range s.Hosts {
		if h.Running > 0 {
			parts = append(parts, strings.TrimSpace(h.Name+" "+common.Rate(h.Speed)))
		}
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

// jobStates counts the jobs in each state, and says why all of them wait.
func jobStates(jobs []cluster.Job) (parts []string) {
	states, waits := map[cluster.State]int{}, ""
	for _, j := range jobs {
		if states[j.State]++; j.State == cluster.Pending && waits == "" {
			waits = j.Reason
		}
	}
	for _, state := range []cluster.State{cluster.Running, cluster.Pending, cluster.Suspended, cluster.Failed, cluster.Timeout, cluster.Preempted} {
		if n := states[state]; n > 0 {
			text := fmt.Sprintf("%d %s", n, state)
			if state == cluster.Pending && waits != "" && states[cluster.Running] == 0 {
				text += " (" + waits + ")"
			}
			parts = append(parts, text)
		}
	}
	return parts
}

func dotted(s string) string {
	if s == "" {
		return ""
	}
	return " · " + s
}
