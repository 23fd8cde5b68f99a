package nn

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFromPyTorch: the network under timm's names, beside other tensors, is the network; and under its own.
func TestFromPyTorch(t *testing.T) {
	w, err := Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	ours := map[string]string{}
	for theirs, name := range timmNames() {
		ours[name] = theirs
	}
	theirs, same := Weights{"optimizer.state.0.momentum_buffer": w["_fc.bias"]}, Weights{}
	for name, x := range w {
		at := len(name) - 1
		for name[at] != '.' {
			at--
		}
		layer, ok := ours[name[:at]]
		if !ok {
			t.Fatalf("%s has no name of timm", name)
		}
		theirs["eval_model."+layer+name[at:]], theirs["train_model."+layer+name[at:]] = x, Tensor{x.Dims, make([]float32, len(x.Data))}
		same["eval_model."+name] = x
	}
	for _, c := range []struct {
		all  Weights
		timm bool
	}{{theirs, true}, {same, false}} {
		got, timm := FromPyTorch(c.all, "eval_model.")
		if err := got.Check(); err != nil || timm != c.timm || len(got) != len(w) {
			t.Fatalf("%d tensors, timm %v, %v", len(got), timm, err)
		}
		for name, x := range w {
			if !slices.Equal(got[name].Data, x.Data) {
				t.Errorf("%s is another one", name)
			}
		}
	}
	delete(theirs, "eval_model.blocks.6.0.bn3.bias")
	if got, _ := FromPyTorch(theirs, "eval_model."); got.Check() == nil {
		t.Error("a tensor is missing, and nobody says so")
	}
}
