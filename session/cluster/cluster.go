// Package cluster runs this program's jobs by batch systems: what a job is, its script, and how to submit, list and cancel it. The batch system's commands are
// run on this machine. Slurm is the one that is used and tested as it is; the others are tables of words in a file each, checked with stand-ins only.
package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/session/quote"
)

// Spec is one job, or an array of jobs that differ in a number.
type Spec struct {
	Name    string        // any text; what is no letter, digit, dot, - or _ becomes -
	Argv    []string      // what is run, without a shell; a path in it is one on the nodes
	Dir     string        // absolute; where it is run
	Log     string        // absolute; what is said is appended here; task n of an array says it in Log.n
	Tasks   int           // 0: one job; else an array whose tasks find their number, 0 to Tasks-1, in [TaskVariable]
	AtOnce  int           // tasks that may run at the same time; 0: as the batch system likes
	Time    time.Duration // the longest it may run; 0: the profile's
	Warn    time.Duration // that long before its time is up it gets USR1, where the batch system can; 0: it does not
	Requeue bool          // it may be ended and begun again, as for preemption
	After   string        // id of a job that must have ended before; empty: none
}

// TaskVariable is the environment variable that holds the number of a task, whatever the batch system calls it.
const TaskVariable = "ANOMALYMATCH_TASK"

// Job is what a batch system says of one job or one task of an array.
type Job struct {
	ID     string // as Submit returned it; of a task, the whole array's
	Task   int    // its number; -1 where there is none
	Name   string // safe to print
	State  State
	Reason string    // of the state, for people, safe to print; empty where nothing is to be said
	Node   string    // where it runs or ran; empty where that is not known
	Start  time.Time // when it began; of a pending job when it is thought to; zero where that is not known
	End    time.Time // when it ended; of a running job when its time is up; zero where that is not known
}

// TaskID is what a task is cancelled by: the id, with the number if it has one.
func (j Job) TaskID() string {
	if j.Task < 0 {
		return j.ID
	}
	return fmt.Sprintf("%s_%d", j.ID, j.Task)
}

// State of a job. A job that was preempted and waits to run again is pending.
type State string

const (
	Pending   State = "pending"
	Running   State = "running"
	Suspended State = "suspended"
	Ending    State = "ending" // it has ended and its node is being tidied, or it was told to end
	Done      State = "done"   // ended with 0
	Failed    State = "failed"
	Cancelled State = "cancelled"
	Timeout   State = "timeout"
	Preempted State = "preempted" // and does not come back by itself
	Unknown   State = "unknown"   // the batch system has forgotten it, or says what we do not know
)

// Ended says whether the job is over for good; an unknown one is not thought to run.
func (s State) Ended() bool {
	return s != Pending && s != Running && s != Suspended && s != Ending
}

// Scheduler is a batch system. All but Script talk to it; their errors are sentences for people.
type Scheduler interface {
	// Script is what is submitted. The error is that of a spec that cannot be a job here.
	Script(Spec) (string, error)
	Submit(context.Context, Spec) (id string, err error)
	// Jobs tells of the jobs with these ids, each task of an array by itself. Each id is told of at least once, in the order given.
	Jobs(ctx context.Context, ids ...string) ([]Job, error)
	// Cancel ends a job, an array, or one task of it ([Job.TaskID]). That it has ended before is no error.
	Cancel(ctx context.Context, id string) error
	// MaxTasks is the largest array; 0 where nobody knows.
	MaxTasks(context.Context) (int, error)
	// Attach is the command that runs argv beside a running job, with standard input and output.
	Attach(j Job, argv ...string) []string
}

// New returns the batch system of a profile; commands go through run.
func New(p anomalymatch.Cluster, run Runner) (Scheduler, error) {
	switch p.Scheduler {
	case "slurm":
		return slurm{p, run}, nil
	case "pbs":
		return pbs{p, run}, nil
	case "lsf":
		return lsf{p, run}, nil
	case "sge":
		return sge{p, run}, nil
	case "kubernetes":
		return kubernetes{p, run}, nil
	case "ssh":
		return hosts{p, run}, nil
	}
	return nil, fmt.Errorf("there is no scheduler %q", p.Scheduler)
}

// EngineWarning is how long before the end of its time an engine in a job gets USR1.
const EngineWarning = 2 * time.Minute

// EngineSpec is a project's engine as a job: `exe engine PROJECT args…`. It is warned before its time is up, and may be begun again after preemption.
func EngineSpec(project, exe string, args ...string) Spec {
	return Spec{
		Name: "anomalymatch-" + filepath.Base(project),
		// As for an engine that is started here: training on a CPU gains a quarter.
		Argv:    append([]string{"env", "GLIBC_TUNABLES=glibc.malloc.hugetlb=1", exe, "engine", project}, args...),
		Dir:     project,
		Log:     filepath.Join(project, "engine.log"),
		Warn:    EngineWarning,
		Requeue: true,
	}
}

// sshTo is the command that runs argv on a node.
func sshTo(node string, argv []string) []string {
	return []string{"ssh", "-T", "--", node, quote.Line(argv...)}
}

// name makes a job's name: short, of letters that every batch system takes, beginning with one.
func name(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 128 && (r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r|32 && r|32 <= 'z') {
			return r
		}
		return '-'
	}, s)
	if s == "" || 'a' > s[0]|32 || s[0]|32 > 'z' {
		s = "job" + s
	}
	return s[:min(len(s), 60)]
}
