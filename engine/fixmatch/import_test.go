package fixmatch

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/engine/nn"
)

func TestReadAnomalyMatch(t *testing.T) {
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	all := nn.Weights{"optimizer.state.0.momentum_buffer": w["_fc.bias"]}
	for name, x := range w {
		all["train_model."+name] = x
		y := nn.Tensor{Dims: x.Dims, Data: make([]float32, len(x.Data))}
		for i, v := range x.Data {
			y.Data[i] = v / 2
		}
		all["eval_model."+name] = y
	}
	path := filepath.Join(t.TempDir(), "model_iteration_1.safetensors")
	write := func(all nn.Weights) {
		t.Helper()
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		meta := map[string]string{"last_normalisation_method": `{"__enum__": "NormalisationMethod", "name": "ASINH"}`, "net": "null", "optimizer": `{"state":{}}`}
		if err := nn.WriteSafetensors(f, all, meta); err != nil {
			t.Fatal(err)
		}
	}
	write(all)
	got, err := ReadAnomalyMatch(path)
	if err != nil || got.Timm || got.How != "ASINH" {
		t.Fatalf("%+v, %v", got.How, err)
	}
	scoring := got.State.Scoring()
	for name, x := range w {
		if s := scoring[name].Data[0]; s != x.Data[0]/2 {
			t.Errorf("%s scores with %v, want the average's %v", name, s, x.Data[0]/2)
		}
	}
	if x := got.State.Train["_fc.weight"].Data[0]; x != w["_fc.weight"].Data[0] {
		t.Errorf("training goes on from %v", x)
	}
	delete(all, "eval_model._conv_stem.weight")
	write(all)
	if _, err := ReadAnomalyMatch(path); err == nil || !strings.Contains(err.Error(), "_conv_stem.weight is missing") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("no"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAnomalyMatch(path); err == nil || !strings.Contains(err.Error(), "damaged safetensors") {
		t.Error(err)
	}
	if _, err := ReadAnomalyMatch("model.pth"); err == nil || !strings.Contains(err.Error(), "never opened") {
		t.Error(err)
	}
}
