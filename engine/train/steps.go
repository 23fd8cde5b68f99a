package train

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"anomalymatch/engine/rpc"
	"anomalymatch/internal/glob"
)

// stepsFile is runs/cycle-NNN.jsonl: one line a training step.
type stepsFile struct {
	*os.File
	before []*rpc.TrainStep
}

func stepsFolder(dir string) string { return filepath.Join(dir, "runs") }

// StepsPath is the file of the steps of a round in dir.
func StepsPath(dir string, cycle int) string {
	return filepath.Join(stepsFolder(dir), fmt.Sprintf("cycle-%03d.jsonl", cycle))
}

// Rounds lists the rounds in dir that kept steps, the newest first.
func Rounds(dir string) (cycles []int) {
	for _, f := range glob.In(stepsFolder(dir), "cycle-*.jsonl") {
		var cycle int
		if _, err := fmt.Sscanf(filepath.Base(f), "cycle-%d.jsonl", &cycle); err == nil && StepsPath(dir, cycle) == f {
			cycles = append(cycles, cycle)
		}
	}
	slices.Sort(cycles)
	slices.Reverse(cycles)
	return cycles
}

// ReadSteps returns the steps of a round, as far as the file is whole.
func ReadSteps(dir string, cycle int) ([]*rpc.TrainStep, error) {
	f, err := os.Open(StepsPath(dir, cycle))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var steps []*rpc.TrainStep
	for in := json.NewDecoder(f); ; {
		var s rpc.TrainStep
		if in.Decode(&s) != nil {
			return steps, nil
		}
		steps = append(steps, &s)
	}
}

// openSteps goes on after the step'th step; lines of steps after the checkpoint are dropped.
func openSteps(dir string, cycle, step int) (*stepsFile, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("training steps could not be kept: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("cycle-%03d.jsonl", cycle)), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("training steps could not be kept: %w", err)
	}
	r := &stepsFile{File: f}
	in := json.NewDecoder(f)
	var good int64
	for len(r.before) < step {
		var s rpc.TrainStep
		if in.Decode(&s) != nil {
			break
		}
		good = in.InputOffset()
		r.before = append(r.before, &s)
	}
	if good > 0 {
		good++ // the line's end
	}
	if err := f.Truncate(good); err != nil {
		f.Close()
		return nil, err
	}
	_, err = f.Seek(good, 0)
	return r, err
}

func (r *stepsFile) write(s *rpc.TrainStep) error {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := r.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("training steps could not be kept: %w", err)
	}
	return nil
}
