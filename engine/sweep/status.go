package sweep

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
	"anomalymatch/engine/train"
	"anomalymatch/internal/say"
)

// Phase of a run.
type Phase string

const (
	Waiting  Phase = "waiting" // nobody is at work on it; some of it may be there
	Training Phase = "training"
	Scoring  Phase = "scoring"
	Ended    Phase = "done"
)

// State is how a run stands.
type State struct {
	Phase       Phase
	Host        string // safe to print; empty where that is not known
	Done, Total int    // steps while it trains, images while it scores
	Speed       float64
	Left        float64        // seconds; < 0: not known
	Last        *rpc.TrainStep // newest step; nil before the first
	Steps       []*rpc.TrainStep
}

type seen struct {
	stamp string
	steps []*rpc.TrainStep
}

// State looks at a run. Asked again it reads only what changed.
func (f *Folder) State(run int) State {
	s := State{Phase: Waiting, Left: -1, Total: f.Plan.Runs[run].Train.Iterations, Steps: f.steps(run)}
	if n, busy := f.note(run); busy {
		steps := s.Steps
		s = n.state()
		s.Steps = steps
	} else if d, over := f.Done(run); over {
		s.Phase, s.Host, s.Done = Ended, say.Text(d.Host), s.Total
	}
	if len(s.Steps) > 0 {
		s.Last = s.Steps[len(s.Steps)-1]
		if s.Phase == Waiting {
			s.Done = int(s.Last.Step)
		}
	}
	return s
}

func (f *Folder) steps(run int) []*rpc.TrainStep {
	info, err := os.Stat(train.StepsPath(f.RunDir(run), cycle))
	if err != nil {
		return nil
	}
	stamp := info.ModTime().Format(time.RFC3339Nano) + " " + fmt.Sprint(info.Size())
	if old, ok := f.seen[run]; ok && old.stamp == stamp {
		return old.steps
	}
	steps, err := train.ReadSteps(f.RunDir(run), cycle)
	if err != nil {
		return nil
	}
	if f.seen == nil {
		f.seen = map[int]seen{}
	}
	f.seen[run] = seen{stamp, steps}
	return steps
}

// Progress is a number that grows with every step that is kept of any run, and every run that is there: who drives jobs sees by it whether they bring
// anything.
func (f *Folder) Progress() (n int) {
	for run := range f.Plan.Runs {
		if _, over := f.Done(run); over {
			n += f.Plan.Runs[run].Train.Iterations + 1
			continue
		}
		n += kept(f.RunDir(run))
	}
	return n
}

// There counts the runs that are over.
func (f *Folder) There() (n int) {
	for run := range f.Plan.Runs {
		if _, over := f.Done(run); over {
			n++
		}
	}
	return n
}

// stamp names what a run left, so that other scores are noticed without reading them.
func (f *Folder) stamp(run int) string {
	return score.Stamp(filepath.Join(f.RunDir(run), scoresFolder))
}

// kept is the step of the newest checkpoint of a run, by the file's name.
func kept(dir string) (step int) {
	files, _ := fixmatch.Checkpoints(train.Checkpoints(dir))
	if len(files) > 0 {
		var round int
		_, _ = fmt.Sscanf(filepath.Base(files[0]), "cycle-%d-step-%d.safetensors", &round, &step)
	}
	return step
}
