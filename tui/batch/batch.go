// Package batch keeps what batch systems tell of a project: where its engine is, the profiles it could be submitted by, the jobs that were. The screen does
// not know them itself: they are asked on the engine's machine, by whoever opened the screen.
package batch

import (
	"context"
	"time"
)

// Systems are the batch systems of the machine where the project is. Its methods take as long as those do; their errors are sentences.
type Systems interface {
	// Look tells how everything stands. What could be found out stands in the report also beside an error.
	Look(context.Context) (Report, error)
	// Start ends the engine where it runs, a training is kept, and submits it as a job; what it returns says how the job stands.
	Start(ctx context.Context, profile string) (string, error)
	// Cancel ends a job.
	Cancel(ctx context.Context, cluster, id string) (string, error)
}

// Report is `jobs --json`.
type Report struct {
	Engine   *Engine   `json:"engine,omitempty"` // of the one project that was asked for; nil: none runs
	Profiles []Profile `json:"profiles"`
	Jobs     []Job     `json:"jobs"` // newest first
}

// Engine is where an engine runs.
type Engine struct {
	Host  string    `json:"host"`
	Here  bool      `json:"here"` // on the machine that was asked
	PID   int       `json:"pid"`
	Job   string    `json:"job"` // "slurm 12"; empty: in none, or in one that it does not know of
	Since time.Time `json:"since"`
}

// Profile is a [cluster.NAME] of the settings.
type Profile struct {
	Name      string `json:"name"`
	Scheduler string `json:"scheduler"`
	Host      string `json:"host"` // whose batch system it is; empty: that of the machine that was asked
	Partition string `json:"partition"`
	Time      string `json:"time"`
	GPUs      int    `json:"gpus"`
}

// Job is a job, a task of an array, or a whole array.
type Job struct {
	ID        string     `json:"id"`
	Task      *int       `json:"task,omitempty"` // number in the array
	Project   string     `json:"project"`
	Cluster   string     `json:"cluster"`
	Kind      string     `json:"kind"`
	Submitted time.Time  `json:"submitted"`
	State     string     `json:"state"`  // pending, running, suspended, ending, done, failed, cancelled, timeout, preempted, unknown
	Reason    string     `json:"reason"` // of the state
	Node      string     `json:"node"`
	Start     *time.Time `json:"start"` // when it began; of a pending job: when it is thought to
	End       *time.Time `json:"end"`   // when it ended; of a running job: when its time is up
	// Of an array that is told as one job, whose state is that of the first of these.
	Tasks  []Tasks `json:"tasks,omitempty"`
	Shards *Shards `json:"shards,omitempty"` // what a scoring in parts has made; nil: nothing is known
}

// Live says whether a job waits or runs.
func (j Job) Live() bool {
	switch j.State {
	case "pending", "running", "suspended", "ending":
		return true
	}
	return false
}

// Tasks is how many tasks of an array are in a state.
type Tasks struct {
	State  string `json:"state"`
	N      int    `json:"tasks"`
	Reason string `json:"reason"` // of one of them
}

// Shards is how far a scoring in parts is.
type Shards struct {
	Shards int     `json:"shards"`
	Done   int     `json:"done"`
	Images int     `json:"images"`
	Scored int     `json:"scored"`
	Speed  float64 `json:"images_per_second"`
	Nodes  []Node  `json:"nodes"` // at work
}

// Node is a machine that works on shards.
type Node struct {
	Name  string  `json:"node"`
	Speed float64 `json:"images_per_second"`
}
