package fixmatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"anomalymatch/engine/augment"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
)

// cubes are images of so many channels: channel c of image i is noise around 20 c + i.
type cubes int

func (c cubes) Channels() int { return int(c) }

func (c cubes) Sized(_ context.Context, i, size int, dst []uint8) error {
	if len(dst) != size*size*int(c) {
		return fmt.Errorf("%d bytes for an image of %d channels", len(dst), c)
	}
	r := rand.New(rand.NewPCG(uint64(i), 1))
	for k := range dst {
		dst[k] = uint8(20*(k%int(c)) + i + r.IntN(30))
	}
	return nil
}

func (c cubes) Image(context.Context, int) (dataset.RGB, error) {
	return dataset.RGB{}, errors.New("training wants the channels, not colours")
}

// TestChannels trains on images of one and of five channels: every kernel of the stem learns, and what is kept says for how many channels it is.
func TestChannels(t *testing.T) {
	o, err := runtime.Open(runtime.Train, "go")
	if err != nil {
		t.Fatal(err)
	}
	set := Settings{Labelled: 4, Unlabelled: 2, LearningRate: 0.0075, Momentum: 0.9, Nesterov: true, EMA: 0.9, Cutoff: 0.5, UnlabelledWeight: 1, BNMomentum: 0.01}
	for _, channels := range []int{1, 5} {
		l := &Loader{Images: cubes(channels), Settings: set, Augment: augment.Defaults(), Size: 32, Seed: 3, Anomalies: []int{0, 1}, Normals: []int{2, 3}, Unlabelled: []int{4, 5, 6, 7}}
		w, err := nn.Pretrained(l.Channels())
		if err != nil {
			t.Fatal(err)
		}
		w.NewHead(rand.New(rand.NewPCG(1, 0)))
		before := slices.Clone(w["_conv_stem.weight"].Data)
		tr, err := NewTrainer(o.Backend, set, NewState(w))
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		for b, err := range l.Run(t.Context(), 0, 2) {
			if err != nil {
				t.Fatal(err)
			}
			if again, err := l.Batch(t.Context(), 0); err != nil || len(b.Strong) != 2*32*32*channels || len(b.Labelled) != len(again.Labelled) {
				t.Fatalf("a batch of %d and %d bytes: %v", len(b.Labelled), len(b.Strong), err)
			}
			if _, err := tr.Step(b); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tr.Step(Batch{Size: 32}); err == nil {
			t.Error("an empty batch is taken")
		}
		s, err := tr.State()
		if err != nil {
			t.Fatal(err)
		}
		moved := make([]int, channels)
		for i, v := range s.Train["_conv_stem.weight"].Data {
			if v != before[i] {
				moved[i/9%channels]++
			}
		}
		for c, n := range moved {
			if n < 100 { // of 288
				t.Errorf("%d weights of channel %d of %d learnt", n, c, channels)
			}
		}
		if !tr.Serves(o.Backend, set, channels) || tr.Serves(o.Backend, set, 3) {
			t.Error("the compiled step is taken for another number of channels")
		}
		dir := t.TempDir()
		if err := WriteCheckpoint(dir, s, Info{Cycle: 1, RunStep: 2, RunSteps: 2}); err != nil {
			t.Fatal(err)
		}
		got, info, damaged, found, err := Latest(dir)
		if err != nil || !found || damaged != nil || info.Channels != channels || !reflect.DeepEqual(got.Train["_conv_stem.weight"], s.Train["_conv_stem.weight"]) {
			t.Errorf("%d channels: %+v, %v, %v", channels, info, damaged, err)
		}
		if files, _ := Checkpoints(dir); InfoOf(files, 1).Channels != channels {
			t.Error("without its weights the checkpoint says another number of channels")
		}
	}
}

// TestOldCheckpoints: those of programs that knew no channels have three.
func TestOldCheckpoints(t *testing.T) {
	dir := t.TempDir()
	s := someState(t)
	all := nn.Weights{}
	for scope, w := range s.scopes() {
		for name, v := range w {
			all[scope+"/"+name] = v
		}
	}
	f, err := os.Create(filepath.Join(dir, Info{Cycle: 1}.File()))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := nn.WriteSafetensors(f, all, map[string]string{"anomalymatch": `{"architecture":"efficientnet-lite0","size":64,"cycle":1}`}); err != nil {
		t.Fatal(err)
	}
	_, info, damaged, found, err := Latest(dir)
	if err != nil || !found || damaged != nil || info.Channels != 3 {
		t.Errorf("%+v, %v, %v", info, damaged, err)
	}
	if files, _ := Checkpoints(dir); InfoOf(files, 1).Channels != 3 {
		t.Error("without its weights it says another number")
	}
}
