package train

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"

	"github.com/gomlx/compute"
)

// cubes are images of five channels, which nobody comes to look at here.
type cubes struct{}

func (cubes) Channels() int                                   { return 5 }
func (cubes) Sized(context.Context, int, int, []uint8) error  { return errors.New("looked at") }
func (cubes) Image(context.Context, int) (dataset.RGB, error) { return dataset.RGB{}, nil }

// TestOtherChannels: a round does not go on from a network for another number of channels.
func TestOtherChannels(t *testing.T) {
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	r := Round{Dir: t.TempDir(), Config: anomalymatch.Default(), Images: Images{Pool: cubes{}, Anomalies: []int{0}, Normals: []int{1}, Unlabelled: []int{2}},
		Open: func() (compute.Backend, error) { return nil, errors.New("opened") }}
	if err := new(Trainer).Round(t.Context(), r); err == nil || err.Error() != "opened" {
		t.Errorf("without a checkpoint: %v", err)
	}
	if err := fixmatch.WriteCheckpoint(Checkpoints(r.Dir), fixmatch.NewState(w), fixmatch.Info{Cycle: 1, RunStep: 1, RunSteps: 1}); err != nil {
		t.Fatal(err)
	}
	if err := new(Trainer).Round(t.Context(), r); err == nil || !strings.Contains(err.Error(), "trained on images of 3 channels, and these have 5") {
		t.Errorf("on top of a network for three: %v", err)
	}
}

// TestOtherReadingHalfway: a round that was cut off goes on with the pixels that it began with; where the images are read in another way since, one begins anew.
func TestOtherReadingHalfway(t *testing.T) {
	w, err := nn.Pretrained(5)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	on, err := runtime.Open(runtime.Train, "go")
	if err != nil {
		t.Fatal(err)
	}
	asinh, log := &fingerprint.Print{Readings: []string{"asinh"}}, &fingerprint.Print{Readings: []string{"log"}}
	for _, k := range []struct {
		now               *fingerprint.Print
		cycle, step, want int
	}{{asinh, 2, 4, 9}, {log, 3, 0, 7}, {nil, 2, 4, 9}} {
		dir := t.TempDir()
		half := fixmatch.Info{Cycle: 2, RunStep: 4, RunSteps: 9, Print: asinh}
		if err := fixmatch.WriteCheckpoint(Checkpoints(dir), fixmatch.NewState(w), half); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var got fixmatch.Info
		err := new(Trainer).Round(ctx, Round{Dir: dir, Config: anomalymatch.Default(), Steps: 7,
			Images: Images{Pool: cubes{}, Anomalies: []int{0}, Normals: []int{1}, Unlabelled: []int{2}},
			Print:  func(context.Context, int) (*fingerprint.Print, error) { return k.now, nil },
			Open:   func() (compute.Backend, error) { return on.Backend, nil },
			Begin:  func(info fixmatch.Info, _ []*rpc.TrainStep) { got = info; cancel() },
		})
		if !errors.Is(err, context.Canceled) || got.Cycle != k.cycle || got.RunStep != k.step || got.RunSteps != k.want {
			t.Errorf("%v: round %d, step %d of %d, %v", k.now, got.Cycle, got.RunStep, got.RunSteps, err)
		}
		if k.now != nil && got.Print.Check(k.now) != nil {
			t.Errorf("%v: the fingerprint stays %v", k.now, got.Print)
		}
	}
}
