package train

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"

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
