// Package train trains the network for one round on disk: from where the checkpoints of a folder end to the last step of the round, with
// checkpoints and one line a step kept on the way. A round that is cut off anywhere goes on from its newest checkpoint, and ends in the same weights.
package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"anomalymatch"
	"anomalymatch/engine/augment"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/internal/failpoint"

	"github.com/gomlx/compute"
)

// Images are what a round trains on, by number.
type Images struct {
	Pool                           fixmatch.Images
	Anomalies, Normals, Unlabelled []int  // each in a fixed order
	Labels                         string // hash of the label set, see Hash
}

// Round is one round of training. Its folder is laid out as a project's: checkpoints/ and runs/.
type Round struct {
	Dir     string
	Images  Images
	Config  anomalymatch.Config // what it takes from it: seed, model.size, fixmatch, augment, engine.checkpoint_every and keep_checkpoints
	Cycle   int                 // least number of a round that begins here
	Steps   int                 // of a round that begins here; 0: as the settings say
	Workers int                 // that decode; 0 = all cores

	Print func(ctx context.Context, size int) (*fingerprint.Print, error) // if not nil, the fingerprint of the images: a round that was cut off goes on only with those it began with
	Open  func() (compute.Backend, error)                                 // asked for when all is ready but the backend
	Begin func(fixmatch.Info, []*rpc.TrainStep)                           // if not nil, told before the first step, with the steps of earlier runs
	Step  func(s *rpc.TrainStep, left float64) (keep bool)                // if not nil, told each step and the seconds left, < 0: not known; true asks for a checkpoint
	Kept  func(fixmatch.Info)                                             // if not nil, told when a checkpoint that Step asked for is on disk
}

// Check says what is missing for training, in one sentence.
func (r Round) Check() error { return r.loader().Check() }

func (r Round) loader() *fixmatch.Loader {
	c := r.Config
	return &fixmatch.Loader{Images: r.Images.Pool, Settings: fixmatch.FromConfig(c.FixMatch), Augment: augment.Settings(c.Augment), Size: c.Model.Size, Seed: c.Seed,
		Anomalies: r.Images.Anomalies, Normals: r.Images.Normals, Unlabelled: r.Images.Unlabelled, Workers: r.Workers}
}

// Checkpoints is the folder of the checkpoints of a project, or of a round's folder.
func Checkpoints(dir string) string { return filepath.Join(dir, "checkpoints") }

// Paused says whether a person cancelled the training in dir: then it waits for that person instead of going on at the next start.
func Paused(dir string) bool {
	_, err := os.Stat(pausedFile(dir))
	return err == nil
}

// SetPaused remembers it, or forgets it.
func SetPaused(dir string, on bool) error {
	if on {
		return os.WriteFile(pausedFile(dir), nil, 0o666)
	}
	if err := os.Remove(pausedFile(dir)); !os.IsNotExist(err) {
		return err
	}
	return nil
}

func pausedFile(dir string) string { return filepath.Join(Checkpoints(dir), "paused") }

// Trainer trains rounds, one after the other. What was compiled for one serves the next, if its settings are the same. The zero value is ready; not
// for concurrent use.
type Trainer struct {
	last *fixmatch.Trainer // of the last round
}

// Close frees the backend's memory.
func (t *Trainer) Close() {
	if t.last != nil {
		t.last.Close()
		t.last = nil
	}
}

// Round trains to the end of the round. When ctx ends the state is kept, and the error is that of ctx.
func (t *Trainer) Round(ctx context.Context, r Round) error {
	loader := r.loader()
	if err := loader.Check(); err != nil {
		return err
	}
	dir := Checkpoints(r.Dir)
	state, info, _, found, err := fixmatch.Latest(dir)
	if err != nil {
		return err
	}
	if found {
		if err := nn.FitChannels(info.Channels, loader.Channels()); err != nil {
			return err
		}
	} else {
		w, err := nn.Pretrained(loader.Channels())
		if err != nil {
			return err
		}
		w.NewHead(rand.New(rand.NewPCG(uint64(r.Config.Seed), 0)))
		state = fixmatch.NewState(w)
	}
	from := ""
	if found {
		from = info.File()
	}
	begin := func(last fixmatch.Info) fixmatch.Info {
		steps := r.Steps
		if steps <= 0 {
			steps = r.Config.FixMatch.Iterations
		}
		return fixmatch.Info{Cycle: max(last.Cycle+1, r.Cycle), RunSteps: steps}
	}
	if !found || info.Done() {
		info = begin(info)
	}
	if r.Print != nil && (info.Print == nil || info.RunStep > 0) {
		print, err := r.Print(ctx, loader.Size)
		switch {
		case err != nil:
			return err
		case info.Print == nil:
			info.Print = print
		case print != nil && info.Print.Check(print) != nil:
			// Half a round with other pixels: what is left of it would be told, and compared at scoring, as if it had been one with the old ones.
			slog.Warn("a new round of training begins, since the images are read in another way than when this one began", "round", info.Cycle, "step", info.RunStep)
			info = begin(info)
			info.Print = print
		}
	}
	info.Size, info.Seed, info.Settings, info.Labels = loader.Size, loader.Seed, loader.Settings, r.Images.Labels
	info.Anomalies, info.Normals = len(r.Images.Anomalies), len(r.Images.Normals)

	backend, err := r.Open()
	if err != nil {
		return err
	}
	tr, err := t.take(backend, loader.Settings, state)
	if err != nil {
		return err
	}
	sound := true
	defer func() {
		if sound { // for the next round, which then compiles nothing
			t.last = tr
		} else {
			tr.Close()
		}
	}()
	keep := func() error {
		s, err := tr.State()
		if err != nil {
			return err
		}
		if err := fixmatch.WriteCheckpoint(dir, s, info); err != nil {
			return err
		}
		failpoint.Hit(failpoint.TrainKept)
		return fixmatch.Prune(dir, r.Config.Engine.KeepCheckpoints)
	}
	if pool, ok := r.Images.Pool.(*dataset.Pool); ok {
		if err := AddParts(r.Dir, r.part(info, pool, from, runtime.NameOf(backend))); err != nil {
			return err
		}
	}
	failpoint.Hit(failpoint.TrainRecorded)
	if info.RunStep == 0 { // a round that began is taken up again, however soon it is cut off
		if err := keep(); err != nil {
			return err
		}
	}
	file, err := openSteps(stepsFolder(r.Dir), info.Cycle, info.RunStep)
	if err != nil {
		return err
	}
	defer file.Close()
	if r.Begin != nil {
		r.Begin(info, file.before)
	}
	images := float64(loader.Settings.Labelled + 2*loader.Settings.Unlabelled)
	var began time.Time
	first := info.RunStep
	for b, err := range loader.Run(ctx, state.Steps, state.Steps+int64(info.RunSteps-info.RunStep)) {
		if err != nil {
			if ctx.Err() == nil {
				return err
			}
			break
		}
		res, err := tr.Step(b)
		if err != nil {
			sound = false
			return err
		}
		if math.IsNaN(float64(res.Loss)) || math.IsInf(float64(res.Loss), 0) {
			return fmt.Errorf("the loss is not a number at step %d: lower fixmatch.learning_rate; the last checkpoint is kept", info.RunStep+1)
		}
		info.RunStep++
		speed, left, spent := 0.0, -1.0, 0.0
		if began.IsZero() { // the first step compiles
			began, first = time.Now(), info.RunStep
		} else {
			spent = time.Since(began).Seconds()
			speed = images * float64(info.RunStep-first) / spent
			left = spent / float64(info.RunStep-first) * float64(info.RunSteps-info.RunStep)
		}
		step := &rpc.TrainStep{Cycle: int32(info.Cycle), Step: int32(info.RunStep), Steps: int32(info.RunSteps), Loss: res.Loss, SupLoss: res.Sup, UnsupLoss: res.Unsup,
			Kept: res.Kept, PseudoAnomaly: res.PseudoAnomaly, ImagesPerSecond: speed, Seconds: spent}
		if err := file.write(step); err != nil {
			return err
		}
		failpoint.Hit(failpoint.TrainStep)
		wanted := r.Step != nil && r.Step(step, left)
		if wanted || info.RunStep%r.Config.Engine.CheckpointEvery == 0 || info.Done() {
			if err := keep(); err != nil {
				return err
			}
		}
		if wanted && r.Kept != nil {
			r.Kept(info)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil && !info.Done() {
		return errors.Join(ctx.Err(), keep())
	}
	return nil
}

// take returns a trainer of state: the last one if it serves.
func (t *Trainer) take(b compute.Backend, set fixmatch.Settings, state fixmatch.State) (*fixmatch.Trainer, error) {
	tr := t.last
	t.last = nil
	if tr != nil && tr.Serves(b, set, state.Train.Channels()) {
		err := tr.Load(state)
		if err == nil {
			return tr, nil
		}
		tr.Close()
		return nil, err
	}
	if tr != nil {
		tr.Close()
	}
	return fixmatch.NewTrainer(b, set, state)
}

// Hash names a label set: the labels that train.
func Hash(labels map[string]label.Value) string {
	lines := make([]string, 0, len(labels))
	for id, v := range labels {
		if v.Trains() {
			lines = append(lines, id+"\t"+string(v)+"\n")
		}
	}
	slices.Sort(lines)
	sum := sha256.New()
	for _, l := range lines {
		sum.Write([]byte(l))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
