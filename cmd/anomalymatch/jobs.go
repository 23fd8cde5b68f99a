package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/array"
	"anomalymatch/session/cluster"
	"anomalymatch/tui/batch"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func jobsCommand() *cobra.Command {
	var profile string
	var all, fold, asJSON bool
	cmd := &cobra.Command{
		Use:     "jobs [PROJECT]",
		GroupID: groupEngine,
		Short:   "The jobs that were submitted to batch systems, of a project or of all that were opened of late",
		Example: `anomalymatch jobs
anomalymatch jobs rings --cluster leo
anomalymatch jobs cancel 4711`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("%q is one too many: `%s`", args[1], cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if profile != "" && len(args) == 0 {
				if _, err := userProfile(profile); err != nil {
					return err
				}
			}
			told, err := submittedJobs(cmd.Context(), args, func(e cluster.Entry) bool { return profile == "" || e.Profile == profile })
			if asJSON {
				r := batch.Report{Jobs: reports(told, all, fold)}
				if len(args) == 1 {
					if p, err := session.Open(args[0]); err == nil {
						r.Engine, r.Profiles = engineOf(p), profilesOf(p.Config)
					}
				} else if config, err := anomalymatch.Load(anomalymatch.UserFile()); err == nil {
					r.Profiles = profilesOf(config)
				}
				return errors.Join(printJSON(cmd, r), err)
			}
			return errors.Join(printJobs(cmd, told, all), err)
		},
	}
	cmd.Flags().StringVar(&profile, "cluster", "", "only those on this one, by the name of its profile")
	cmd.Flags().BoolVar(&fold, "fold", false, "with --json: arrays as one entry each, a scoring with how far it is")
	cmd.Flags().BoolVar(&all, "all", false, "also those that the batch system has forgotten")
	jsonFlag(cmd, &asJSON)
	cmd.AddCommand(jobsCancelCommand())
	return cmd
}

func jobsCancelCommand() *cobra.Command {
	var profile, project string
	cmd := &cobra.Command{
		Use:   "cancel ID",
		Short: "End a job, or one task of an array (ID_TASK)",
		Args:  exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := cancelJob(cmd.Context(), args[0], profile, project)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "the project that it is of, whose settings name its cluster")
	_ = cmd.MarkFlagDirname("project")
	cmd.Flags().StringVar(&profile, "cluster", "", "where it is, by the name of the profile (default: where it was submitted from a project opened of late)")
	return cmd
}

// cancelJob ends a job and says so.
func cancelJob(ctx context.Context, id, profile, project string) (string, error) {
	q, name, err := schedulerOf(id, profile, project)
	if err != nil {
		return "", err
	}
	if err := q.Cancel(ctx, id); err != nil {
		return "", err
	}
	return fmt.Sprintf("job %s on %s is cancelled", common.Clean(id), common.Clean(name)), nil
}

// userProfile is a profile of the person's own settings.
func userProfile(name string) (anomalymatch.Cluster, error) {
	config, err := anomalymatch.Load(anomalymatch.UserFile())
	if err != nil {
		return anomalymatch.Cluster{}, err
	}
	return config.Profile(name)
}

// schedulerOf is the batch system of a job: that of the named profile, else of the one that it was submitted by, for the named project or one opened of
// late.
func schedulerOf(id, profile, project string) (cluster.Scheduler, string, error) {
	if profile != "" && project == "" {
		p, err := userProfile(profile)
		if err != nil {
			return nil, "", err
		}
		q, err := cluster.New(p, cluster.Exec)
		return q, profile, err
	}
	dirs := session.Recent()
	if project != "" {
		dirs = []string{project}
	}
	whole, _, _ := strings.Cut(id, "_")
	for _, dir := range dirs {
		entries, err := cluster.Remembered(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.ID != id && e.ID != whole || profile != "" && e.Profile != profile {
				continue
			}
			p, err := session.Open(dir)
			if err != nil {
				return nil, "", err
			}
			profile, err := p.Config.Profile(e.Profile)
			if err != nil {
				return nil, "", err
			}
			q, err := cluster.New(profile, cluster.Exec)
			return q, e.Profile, err
		}
	}
	if project != "" {
		return nil, "", fmt.Errorf("the project %s has no such job %q", common.Clean(project), id)
	}
	return nil, "", usage("no project that was opened of late has a job %q: name its cluster with --cluster NAME", id)
}

// toldJob is a job with its project.
type toldJob struct {
	cluster.Told
	project string
}

// submittedJobs asks for the jobs of the named project, or of those opened of late.
func submittedJobs(ctx context.Context, args []string, keep func(cluster.Entry) bool) ([]toldJob, error) {
	dirs := args
	if len(args) == 0 {
		dirs = session.Recent()
	}
	var all []toldJob
	var failed []error
	for _, dir := range dirs {
		p, err := session.Open(dir)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		told, err := cluster.Of(ctx, p.Dir, p.Config, cluster.Exec, keep)
		if err != nil {
			failed = append(failed, err)
		}
		for _, t := range told {
			all = append(all, toldJob{t, p.Dir})
		}
	}
	return all, errors.Join(failed...)
}

// forgotten says that nothing is known of a job any more.
func (t toldJob) forgotten() bool {
	for _, j := range t.Jobs {
		if j.State != cluster.Unknown {
			return false
		}
	}
	return len(t.Jobs) > 0
}

// reports are the jobs for `jobs --json`; with all also those that nothing is known of any more. With fold an array is one job.
func reports(told []toldJob, all, fold bool) []batch.Job {
	list := []batch.Job{}
	for _, t := range told {
		if t.forgotten() && !all {
			continue
		}
		jobs := t.Jobs
		if len(jobs) == 0 {
			jobs = []cluster.Job{{ID: t.ID, Task: -1, State: cluster.Unknown, Reason: "its batch system could not be asked"}}
		}
		if fold && (len(jobs) > 1 || t.Tasks > 0) {
			list = append(list, t.folded(jobs))
			continue
		}
		for _, j := range jobs {
			r := batch.Job{ID: t.ID, Project: t.project, Cluster: t.Profile, Kind: t.Kind, Submitted: t.At, State: string(j.State), Reason: j.Reason, Node: j.Node}
			if j.Task >= 0 {
				r.Task = &j.Task
			}
			if !j.Start.IsZero() {
				r.Start = &j.Start
			}
			if !j.End.IsZero() {
				r.End = &j.End
			}
			list = append(list, r)
		}
	}
	return list
}

// folded is an array as one job.
func (t toldJob) folded(jobs []cluster.Job) batch.Job {
	r := batch.Job{ID: t.ID, Project: t.project, Cluster: t.Profile, Kind: t.Kind, Submitted: t.At, Tasks: tasksBy(jobs)}
	r.State, r.Reason = r.Tasks[0].State, r.Tasks[0].Reason
	if len(jobs) == 1 && jobs[0].Task < 0 { // of which no task is known
		r.Tasks = nil
	}
	if r.Live() {
		r.Shards = shardsOf(filepath.Join(t.project, "scores"), t.Profile, t.ID)
	}
	return r
}

// shardsOf is how far the shards are that an array makes; nil where nothing is known of them.
func shardsOf(scores, profile, id string) *batch.Shards {
	f := array.Find(scores, profile, id)
	if f == nil {
		return nil
	}
	s, err := f.Status()
	if err != nil {
		return nil
	}
	r := &batch.Shards{Shards: s.Shards, Done: s.Done, Images: s.Images, Scored: s.Scored, Speed: s.Speed, Nodes: []batch.Node{}}
	for _, h := range s.Hosts {
		if h.Running > 0 {
			r.Nodes = append(r.Nodes, batch.Node{Name: h.Name, Speed: h.Speed})
		}
	}
	return r
}

// engineOf is where a project's engine runs; nil: nowhere.
func engineOf(p *session.Project) *batch.Engine {
	h, runs := rpc.Where(p.Dir)
	if !runs {
		return nil
	}
	here, _ := os.Hostname()
	return &batch.Engine{Host: h.Host, Here: h.Host == here, PID: h.PID, Job: h.Job, Since: h.Started}
}

// profilesOf are the profiles of the settings.
func profilesOf(config anomalymatch.Config) []batch.Profile {
	list := []batch.Profile{}
	for _, name := range config.Profiles() {
		c := config.Cluster[name]
		list = append(list, batch.Profile{Name: name, Scheduler: c.Scheduler, Host: c.Host, Partition: c.Partition, Time: c.Time, GPUs: c.GPUs})
	}
	return list
}

func printJobs(cmd *cobra.Command, told []toldJob, all bool) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	hidden := 0
	for _, t := range told {
		if t.forgotten() && !all {
			hidden++
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", common.Clean(t.ID), common.Clean(t.Profile), common.Clean(filepath.Base(t.project)), common.Clean(t.Kind), jobsText(t.Jobs, time.Now()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(told) == hidden {
		text := "no jobs"
		if hidden > 0 {
			text += " but " + common.Plural(hidden, "old one") + " that nothing is known of any more (--all)"
		}
		fmt.Fprintln(cmd.OutOrStdout(), text)
	}
	return nil
}

// jobsText says how a job stands, or how many tasks of an array stand how.
func jobsText(jobs []cluster.Job, now time.Time) string {
	switch {
	case len(jobs) == 0:
		return "its batch system could not be asked"
	case len(jobs) == 1:
		return jobText(jobs[0], now)
	}
	var parts []string
	for _, t := range tasksBy(jobs) {
		part := fmt.Sprintf("%s %s", common.Count(t.N), t.State)
		if t.Reason != "" && t.State != string(cluster.Done) {
			part += " (" + t.Reason + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " · ")
}

// tasksBy counts jobs by state, what is alive first.
func tasksBy(jobs []cluster.Job) (all []batch.Tasks) {
	for _, state := range []cluster.State{cluster.Running, cluster.Ending, cluster.Suspended, cluster.Pending, cluster.Done, cluster.Failed, cluster.Timeout, cluster.Cancelled,
		cluster.Preempted, cluster.Unknown} {
		t := batch.Tasks{State: string(state)}
		for _, j := range jobs {
			if j.State == state {
				t.N++
				t.Reason = cmp.Or(t.Reason, j.Reason)
			}
		}
		if t.N > 0 {
			all = append(all, t)
		}
	}
	return all
}

func jobText(j cluster.Job, now time.Time) string {
	text := string(j.State)
	if j.Node != "" && !j.State.Ended() {
		text += " on " + j.Node
	}
	if j.Reason != "" {
		text += ": " + j.Reason
	}
	switch {
	case j.State == cluster.Pending && j.Start.After(now):
		text += fmt.Sprintf("; thought to start in %s (%s)", common.Seconds(j.Start.Sub(now).Seconds()), j.Start.Local().Format("Mon 15:04"))
	case j.State == cluster.Running && j.End.After(now):
		text += ", " + common.Left(j.End.Sub(now).Seconds())
	}
	return text
}

// engineOnCluster submits a project's engine as a job and says how it stands; with wait it returns when the job runs. With replace an engine that is
// elsewhere is ended first.
func engineOnCluster(cmd *cobra.Command, dir, name string, wait, replace bool) error {
	p, err := session.Open(dir)
	if err != nil {
		return err
	}
	line := progress.New(os.Stderr)
	defer line.Clear()
	said, err := submitEngine(cmd.Context(), p, name, wait, replace, line.Set)
	line.Clear()
	out := cmd.OutOrStdout()
	if err != nil {
		out = os.Stderr
	}
	for _, s := range said {
		fmt.Fprintln(out, s)
	}
	return err
}

// submitEngine is engineOnCluster without a terminal: what there is to say when it is done, the last how the job stands, also after an error.
func submitEngine(ctx context.Context, p *session.Project, name string, wait, replace bool, show func(string)) (said []string, err error) {
	profile, err := p.Config.Profile(name)
	if err != nil {
		return nil, err
	}
	if p.ReadOnly {
		return nil, errors.New(p.Notice)
	}
	q, err := cluster.New(profile, cluster.Exec)
	if err != nil {
		return nil, err
	}
	// Nobody is to start an engine here after the present one has ended.
	release, err := rpc.HoldStart(ctx, p.Dir)
	if err != nil {
		return nil, err
	}
	defer release()
	there, err := cluster.EngineJob(ctx, p.Dir, p.Config, cluster.Exec)
	if err != nil {
		return nil, err
	}
	if there != nil && there.Profile == name && !there.In(cluster.Ending) {
		return followJob(ctx, q, there.ID, name, wait, show)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec := engineSpec(p, profile, exe)
	if replace {
		if _, err := q.Script(spec); err != nil {
			return nil, err
		}
		if _, err := q.MaxTasks(ctx); err != nil { // it answers: an engine is not ended for nothing
			return nil, err
		}
	}
	var queued *rpc.QueuedError
	c, err := finder(p).Dial(ctx, p.Dir)
	switch {
	case err == nil && replace:
		c.Close()
		show("the engine that runs is ended, a training is kept")
		was, err := stopEngine(ctx, p)
		if err != nil && !errors.Is(err, rpc.ErrNotRunning) {
			return nil, err
		}
		if err == nil {
			said = append(said, stopped(was))
		}
	case err == nil:
		c.Close()
		return nil, fmt.Errorf("an engine of this project runs: end it first with `anomalymatch stop %s`, or have that done with --replace", asWord(p.Dir))
	case !errors.Is(err, rpc.ErrNotRunning) && !errors.As(err, &queued):
		return nil, err
	case there != nil && !there.In(cluster.Ending):
		if !replace {
			return nil, fmt.Errorf("the engine of this project is a job already: %s on %s, %s; `anomalymatch jobs cancel %s` ends it, or have that done with --replace",
				common.Clean(there.ID), common.Clean(there.Profile), jobsText(there.Jobs, time.Now()), common.Clean(there.ID))
		}
		text, err := cancelEngineJob(ctx, p)
		if err != nil {
			return nil, err
		}
		said = append(said, text)
	}
	session.Remember(p.Dir)
	id, err := q.Submit(ctx, spec)
	if err != nil {
		return said, err
	}
	// The engine may run before we get there: then its own word stands.
	if err := rpc.Announce(p.Dir, jobName(profile, id)); err != nil && !errors.Is(err, rpc.ErrRunning) {
		return said, err
	}
	if err := cluster.Remember(p.Dir, cluster.Entry{ID: id, Profile: name, Kind: cluster.KindEngine, At: time.Now().UTC()}); err != nil {
		return said, err
	}
	release()
	text, err := followJob(ctx, q, id, name, wait, show)
	return append(said, text...), err
}

// jobName is how engine.lock names a job: "slurm 12".
func jobName(profile anomalymatch.Cluster, id string) string { return profile.Scheduler + " " + id }

// engineSpec is the engine as a job; in Slurm it queues itself again.
func engineSpec(p *session.Project, profile anomalymatch.Cluster, exe string) cluster.Spec {
	if profile.Scheduler == "slurm" {
		return cluster.EngineSpec(p.Dir, exe, "--requeue")
	}
	return cluster.EngineSpec(p.Dir, exe)
}

const (
	// askEvery is how often a job is asked for while somebody waits for it; batch systems ask people not to do so too often.
	askEvery = 2 * time.Second
	// settles is how long the batch system is given to say why a new job waits, and until when.
	settles = 5 * time.Second
)

// followJob says how a job stands: soon, or with wait when it runs.
func followJob(ctx context.Context, q cluster.Scheduler, id, name string, wait bool, show func(string)) (said []string, err error) {
	since := time.Now()
	for {
		jobs, err := q.Jobs(ctx, id)
		if err != nil {
			return nil, err
		}
		j := jobs[0]
		text := fmt.Sprintf("job %s on %s is %s", common.Clean(id), common.Clean(name), jobText(j, time.Now()))
		switch {
		case j.State != cluster.Pending && j.State != cluster.Running && j.State.Ended() && j.State != cluster.Unknown && j.State != cluster.Done:
			return nil, errors.New(text + "; engine.log in the project may say more")
		case j.State != cluster.Pending, !wait && (j.Reason != "" && !j.Start.IsZero() || time.Since(since) > settles):
			return []string{text}, nil
		}
		show(text)
		select {
		case <-ctx.Done():
			return []string{fmt.Sprintf("job %s goes on: `anomalymatch jobs cancel %s` ends it", common.Clean(id), common.Clean(id))}, context.Cause(ctx)
		case <-time.After(min(askEvery, max(askEvery/4, time.Since(since)))):
		}
	}
}

// cancelEngineJob ends the job that is a project's engine. text says which it was; it is empty if there is none.
func cancelEngineJob(ctx context.Context, p *session.Project) (text string, err error) {
	there, err := cluster.EngineJob(ctx, p.Dir, p.Config, cluster.Exec)
	if err != nil || there == nil {
		return "", err
	}
	profile, err := p.Config.Profile(there.Profile)
	if err != nil {
		return "", err
	}
	q, err := cluster.New(profile, cluster.Exec)
	if err != nil {
		return "", err
	}
	if err := q.Cancel(ctx, there.ID); err != nil {
		return "", err
	}
	return fmt.Sprintf("the engine's job %s on %s is cancelled; it was %s", common.Clean(there.ID), common.Clean(there.Profile), jobsText(there.Jobs, time.Now())), nil
}
