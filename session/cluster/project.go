package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"anomalymatch"
)

// Told is a job that was submitted for a project, and what its batch system says of it.
type Told struct {
	Entry
	Jobs []Job // one, or each task of an array; none where the batch system could not be asked
}

// Live says whether any of it waits or runs.
func (t Told) Live() bool {
	for _, j := range t.Jobs {
		if !j.State.Ended() {
			return true
		}
	}
	return false
}

// In says whether any of it is in a state.
func (t Told) In(s State) bool {
	return slices.ContainsFunc(t.Jobs, func(j Job) bool { return j.State == s })
}

// recently is how many of a project's jobs are asked for.
const recently = 50

// Of tells of the newest jobs of a project that keep wants, newest first. Where a batch system cannot be asked, its jobs have no Jobs and the error says so.
func Of(ctx context.Context, project string, config anomalymatch.Config, run Runner, keep func(Entry) bool) ([]Told, error) {
	entries, err := Remembered(project)
	if err != nil {
		return nil, err
	}
	var all []Told
	ids := map[string][]string{} // by profile
	for _, e := range entries {
		if keep(e) && len(all) < recently {
			all = append(all, Told{Entry: e})
			ids[e.Profile] = append(ids[e.Profile], e.ID)
		}
	}
	var failed []error
	for name, ids := range ids {
		jobs, err := ask(ctx, name, config, run, ids)
		if err != nil {
			failed = append(failed, fmt.Errorf("the jobs on %s: %w", name, err))
			continue
		}
		for i := range all {
			for _, j := range jobs {
				if all[i].Profile == name && all[i].ID == j.ID {
					all[i].Jobs = append(all[i].Jobs, j)
				}
			}
		}
	}
	return all, errors.Join(failed...)
}

func ask(ctx context.Context, name string, config anomalymatch.Config, run Runner, ids []string) ([]Job, error) {
	p, err := config.Profile(name)
	if err != nil {
		return nil, err
	}
	q, err := New(p, run)
	if err != nil {
		return nil, err
	}
	return q.Jobs(ctx, ids...)
}

// KindEngine is the kind of jobs that are a project's engine.
const KindEngine = "engine"

// EngineJob is the job that is a project's engine, waiting or running; nil if there is none.
func EngineJob(ctx context.Context, project string, config anomalymatch.Config, run Runner) (*Told, error) {
	all, err := Of(ctx, project, config, run, func(e Entry) bool { return e.Kind == KindEngine })
	for _, t := range all {
		if t.Live() {
			return &t, nil
		}
	}
	return nil, err
}
