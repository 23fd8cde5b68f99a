package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"anomalymatch/engine/rpc"
	"anomalymatch/engine/sweep"
)

// sweeps is what the engine remembers of the sweep that was asked for last. Runs are made by other processes, often on other machines: only the
// files tell of them.
type sweeps struct {
	mu     sync.Mutex // held while files are read
	folder *sweep.Folder
}

// mostSteps is the number of steps of a run that a terminal is told: more than a chart has dots.
const mostSteps = 400

// open returns the sweep of that name, or the newest for ""; nil where there is none. Called with mu held.
func (w *sweeps) open(dir, name string) (*sweep.Folder, error) {
	names := sweep.Names(dir)
	if name == "" && len(names) > 0 {
		name = names[0]
	}
	if name == "" {
		return nil, nil
	}
	for _, n := range names {
		if n != name {
			continue
		}
		f, err := sweep.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if w.folder == nil || f.Dir != w.folder.Dir || !f.Plan.Made.Equal(w.folder.Plan.Made) {
			w.folder = f
		}
		return w.folder, nil
	}
	return nil, fmt.Errorf("there is no sweep %q", name)
}

// Sweep tells of the runs of a sweep.
func (s *Service) Sweep(_ context.Context, in *rpc.SweepRequest) (*rpc.SweepReply, error) {
	e := s.e
	e.mu.Lock()
	pool, labels := e.pool, e.labels
	e.mu.Unlock()
	out := &rpc.SweepReply{Best: -1}
	if pool == nil {
		return out, nil
	}
	e.sweeps.mu.Lock()
	defer e.sweeps.mu.Unlock()
	f, err := e.sweeps.open(e.dir("sweeps"), in.Name)
	if err != nil || f == nil {
		return out, err
	}
	c, err := f.Compare(pool, labels)
	if err != nil {
		return nil, err
	}
	out.Name, out.PlannedUnixMs, out.Anomalies, out.Normals = f.Name, f.Plan.Made.UnixMilli(), int64(c.Anomalies), int64(c.Normals)
	out.Best, out.Verdict, out.Ensemble = int32(c.Best), c.Verdict, measured(c.Ensemble)
	for _, row := range c.Rows {
		st := f.State(row.Run)
		r := &rpc.SweepRun{Run: int32(row.Run), Name: row.Name, Phase: string(st.Phase), Host: st.Host, Done: int64(st.Done), Total: int64(st.Total), SecondsLeft: st.Left,
			Steps: thinned(st.Steps, mostSteps), Auroc: measured(row.Measure)}
		if row.Agreement != nil {
			r.Agreement = &rpc.Estimate{Known: true, Value: *row.Agreement, Low: *row.Agreement, High: *row.Agreement}
		}
		out.Runs = append(out.Runs, r)
	}
	return out, nil
}

func measured(m *sweep.Measure) *rpc.Estimate {
	if m == nil {
		return &rpc.Estimate{}
	}
	return &rpc.Estimate{Known: true, Value: m.AUROC, Low: m.Low, High: m.High}
}

// thinned leaves out steps evenly where there are many; the last one stays.
func thinned(steps []*rpc.TrainStep, most int) []*rpc.TrainStep {
	every := (len(steps) + most - 1) / most
	if every <= 1 {
		return steps
	}
	var out []*rpc.TrainStep
	for i := (len(steps) - 1) % every; i < len(steps); i += every {
		out = append(out, steps[i])
	}
	return out
}

// UseSweep takes a run, or the mean of all, for the project.
func (s *Service) UseSweep(_ context.Context, in *rpc.UseSweepRequest) (*rpc.JobReply, error) {
	e := s.e
	e.mu.Lock()
	pool, why := e.pool, e.inTheWay()
	e.mu.Unlock()
	if why != "" {
		return reply(why)
	}
	e.sweeps.mu.Lock()
	defer e.sweeps.mu.Unlock()
	f, err := e.sweeps.open(e.dir("sweeps"), in.Name)
	switch {
	case err != nil:
	case f == nil:
		return reply("there is no sweep yet: `anomalymatch train PROJECT --seeds 42,43,44` makes one")
	case in.Ensemble:
		_, _, err = f.Ensemble(e.opt.Dir)
	default:
		_, err = f.Use(e.opt.Dir, int(in.Run))
	}
	if err != nil {
		return reply(sentence(err))
	}
	for run := range f.Plan.Runs {
		if d, ok := f.Done(run); ok {
			pool.TakeBad(d.Bad)
		}
	}
	e.takeScores()
	return reply("")
}
