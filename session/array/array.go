// Package array has a batch system make something in parts, such as the shards of a plan: it submits what is missing as an array of jobs, looks on, and
// submits again what jobs ended without, until all is there.
package array

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"anomalymatch/engine/score/shards"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/glob"
	"anomalymatch/internal/say"
	"anomalymatch/session/cluster"
)

// Work is what arrays make: numbered parts, which are there or not, whoever makes them.
type Work struct {
	Dir   string   // where the array is remembered and its logs are kept
	Kind  string   // "score", in the project's list of jobs
	Part  string   // "shard", for people
	Parts int      // numbered from 0
	Argv  []string // command of a task; `--tasks N`, and where not all parts are to be made `--only LIST`, are put behind it
	Todo  func() []int
	// Look counts at a glance the parts that are there, and tells who looks on what the jobs do.
	Look func([]cluster.Job) (there int, err error)
	// Brought, where parts take longer than a job may, is a number that grows with what was done of them; nil: only whole parts count.
	Brought func() int
}

// Run is work on a batch system.
type Run struct {
	Work
	Project   string // absolute
	Profile   string // name
	Scheduler cluster.Scheduler
	Warn      time.Duration // before the time of a job is up; 0: jobs are not warned

	// Pause is the time between two looks at the parts, Ask between two questions to the batch system; 0: as is good for both.
	Pause, Ask time.Duration
	Say        func(text string) // what a person should know
}

const (
	look, ask = time.Second, 10 * time.Second
	// fruitless is how many arrays in a row may end without bringing anything before we give up.
	fruitless = 2
	// farewell is how long cancelling may take.
	farewell = 30 * time.Second
	// late is how long after the end of the jobs their files may come into sight, on file systems that remember what a folder held.
	late = 5 * time.Second
	// maxOnly bounds the list of parts in a command, in bytes; more than that is looked for by the tasks themselves.
	maxOnly = 50_000
)

// All makes all parts, in as many arrays as that takes. An array that an earlier run submitted and that is not over is followed instead of
// submitting the same again. When ctx ends the jobs are cancelled.
func (r *Run) All(ctx context.Context) error {
	id := r.submitted()
	if id != "" {
		if jobs, err := r.Scheduler.Jobs(ctx, id); err != nil || over(jobs) {
			id = ""
		} else {
			r.Say("job " + id + " is at work on these " + r.Part + "s already: following it")
		}
	}
	first, before, failures := true, 0, 0
	for {
		todo := r.Todo()
		brought := r.Parts - len(todo)
		if r.Brought != nil {
			brought = r.Brought()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case len(todo) == 0:
			os.Remove(r.note())
			return nil
		case first || brought > before:
			failures = 0
		default:
			failures++
		}
		if failures == fruitless {
			return fmt.Errorf("%d of %s are not there after %d arrays that brought none of them (%s): %s", len(todo), r.count(r.Parts), fruitless, say.Text(shards.List(todo)), r.why())
		}
		if id == "" {
			var err error
			if id, err = r.submit(ctx, todo); err != nil {
				return err
			}
			if first {
				r.Say(fmt.Sprintf("job %s makes %s", id, r.count(len(todo))))
			} else {
				r.Say(fmt.Sprintf("jobs ended without %s: job %s makes them again", r.count(len(todo)), id))
			}
		}
		first, before = false, brought
		if err := r.follow(ctx, id); err != nil {
			return err
		}
		id = ""
	}
}

// follow looks on until all parts are there or the array is over. When ctx ends it is cancelled.
func (r *Run) follow(ctx context.Context, id string) error {
	var jobs []cluster.Job
	var asked, ended time.Time
	var complaint string
	for {
		if ctx.Err() != nil {
			ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			defer stop()
			if err := r.Scheduler.Cancel(ctx, id); err != nil {
				return fmt.Errorf("job %s could not be cancelled: %w", id, err)
			}
			os.Remove(r.note())
			return context.Canceled
		}
		if time.Since(asked) >= or(r.Ask, ask) {
			now, err := r.Scheduler.Jobs(ctx, id)
			if asked = time.Now(); err == nil {
				jobs = now
			} else if complaint != err.Error() && ctx.Err() == nil { // a batch system that is busy just now
				complaint = err.Error()
				r.Say("warning: " + complaint)
			}
		}
		there, err := r.Look(jobs)
		if err != nil {
			return fmt.Errorf("the %ss cannot be looked for: %w", r.Part, say.Cause(err))
		}
		if there == r.Parts {
			if !over(jobs) { // tasks that wait, to find that nothing is to do
				_ = r.Scheduler.Cancel(ctx, id)
			}
			return nil
		}
		if over(jobs) {
			if ended.IsZero() {
				ended = time.Now()
			}
			if time.Since(ended) >= min(late, or(r.Ask, ask)) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(or(r.Pause, look)):
		}
	}
}

func over(jobs []cluster.Job) bool {
	return len(jobs) > 0 && !slices.ContainsFunc(jobs, func(j cluster.Job) bool { return !j.State.Ended() })
}

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// submit has an array make parts.
func (r *Run) submit(ctx context.Context, todo []int) (id string, err error) {
	tasks := len(todo)
	most, err := r.Scheduler.MaxTasks(ctx)
	if err != nil {
		return "", err
	}
	if most > 0 {
		tasks = min(tasks, most)
	}
	argv := append(slices.Clone(r.Argv), "--tasks", strconv.Itoa(tasks))
	if only := shards.List(todo); len(todo) < r.Parts && len(only) <= maxOnly {
		argv = append(argv, "--only", only)
	}
	id, err = r.Scheduler.Submit(ctx, cluster.Spec{Name: "anomalymatch-" + r.Kind + "-" + filepath.Base(r.Project), Argv: argv, Dir: r.Project, Log: r.log(), Tasks: tasks, Warn: r.Warn, Requeue: true})
	if err != nil {
		return "", err
	}
	// What cannot be remembered on a full disk, say, is at work all the same.
	text, err := json.Marshal(note{r.Profile, id})
	if err == nil {
		err = atomicfile.Write(r.note(), func(w io.Writer) error { _, err := w.Write(text); return err })
	}
	if err != nil {
		r.Say(fmt.Sprintf("warning: job %s cannot be remembered (%v): keep this running", id, say.Cause(err)))
	}
	if err := cluster.Remember(r.Project, cluster.Entry{ID: id, Profile: r.Profile, Kind: r.Kind, Tasks: tasks, At: time.Now()}); err != nil {
		r.Say("warning: " + err.Error())
	}
	return id, nil
}

// note is what is remembered of the newest array, beside the parts.
type note struct {
	Profile string `json:"profile"`
	ID      string `json:"id"`
}

const noteFile = "array.json"

func (r *Run) note() string { return filepath.Join(r.Dir, noteFile) }
func (r *Run) log() string  { return filepath.Join(r.Dir, "log") }

// Find returns the shards that a job of the profile was submitted for, of the plans below a project's scores; nil where it was for none of them, or
// they are all there.
func Find(scores, profile, id string) *shards.Folder {
	entries, err := os.ReadDir(scores)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		dir := filepath.Join(scores, e.Name())
		if n, ok := readNote(dir); !ok || n.Profile != profile || n.ID != id {
			continue
		}
		if f, err := shards.Open(dir); err == nil {
			return f
		}
	}
	return nil
}

// submitted is the array of an earlier run on the same batch system; "" where there is none.
func (r *Run) submitted() string {
	if n, ok := readNote(r.Dir); ok && n.Profile == r.Profile {
		return n.ID
	}
	return ""
}

func readNote(dir string) (n note, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, noteFile))
	return n, err == nil && json.Unmarshal(text, &n) == nil
}

// why is the last that the newest log says, and where the others are.
func (r *Run) why() string {
	logs := glob.In(r.Dir, filepath.Base(r.log())+".*")
	var newest string
	var at time.Time
	for _, path := range logs {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 && info.ModTime().After(at) {
			newest, at = path, info.ModTime()
		}
	}
	text, err := os.ReadFile(newest)
	if err != nil {
		return "the logs in " + say.Path(r.Dir) + " may say why"
	}
	return fmt.Sprintf("%s says: %s", say.Path(newest), say.Lines(text))
}

func (r *Run) count(n int) string {
	if n == 1 {
		return "1 " + r.Part
	}
	return fmt.Sprintf("%d %ss", n, r.Part)
}
