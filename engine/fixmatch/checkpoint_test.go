package fixmatch

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"anomalymatch/engine/nn"
)

func someState(t *testing.T) State {
	t.Helper()
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	s := NewState(w)
	s.Steps = 30
	s.Momentum["_fc.bias"].Data[1] = 0.25
	return s
}

func TestCheckpointsSurviveDamage(t *testing.T) {
	dir := t.TempDir()
	s := someState(t)
	for _, info := range []Info{{Cycle: 1, RunStep: 100, RunSteps: 100}, {Cycle: 2, RunStep: 25, RunSteps: 100}, {Cycle: 2, RunStep: 50, RunSteps: 100}} {
		if err := WriteCheckpoint(dir, s, info); err != nil {
			t.Fatal(err)
		}
	}
	got, info, damaged, found, err := Latest(dir)
	if err != nil || !found || len(damaged) > 0 || info.Cycle != 2 || info.RunStep != 50 || info.Steps != 30 {
		t.Fatalf("newest: %+v, %v, %v, %v", info, damaged, found, err)
	}
	if !reflect.DeepEqual(got.Momentum, s.Momentum) || !reflect.DeepEqual(got.Scoring(), s.Scoring()) {
		t.Error("the state is not what was written")
	}

	// A cut file and one with NaN are named; the one before them is used.
	files, _ := Checkpoints(dir)
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], whole[:len(whole)/2], 0o666); err != nil {
		t.Fatal(err)
	}
	s.Train["_bn0.weight"].Data[3] = float32(math.NaN())
	if err := WriteCheckpoint(dir, s, Info{Cycle: 2, RunStep: 75, RunSteps: 100}); err != nil {
		t.Fatal(err)
	}
	_, info, damaged, found, err = Latest(dir)
	if err != nil || !found || info.RunStep != 25 || len(damaged) != 2 || !strings.Contains(damaged[0], "NaN") {
		t.Errorf("after damage: %+v, %v, %v, %v", info, damaged, found, err)
	}
}

// TestForeignCheckpoints: what is wrong with a file is said, and which file it is; the good one before it is used.
func TestForeignCheckpoints(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	put := func(w nn.Weights, name string, v float32) {
		w[name] = nn.Tensor{Dims: w[name].Dims, Data: append([]float32{v}, w[name].Data[1:]...)}
	}
	for want, change := range map[string]func(*State){
		"tensor _bn0.weight holds NaN":                                    func(s *State) { put(s.Train, "_bn0.weight", nan) },
		"tensor _bn1.running_var holds NaN":                               func(s *State) { put(s.Train, "_bn1.running_var", inf) },
		"averages: tensor _fc.weight holds NaN":                           func(s *State) { put(s.EMA, "_fc.weight", nan) },
		"momentum: tensor _conv_stem.weight holds NaN":                    func(s *State) { put(s.Momentum, "_conv_stem.weight", nan) },
		"tensor _blocks.3._expand_conv.weight is missing":                 func(s *State) { delete(s.Train, "_blocks.3._expand_conv.weight") },
		"averages: tensor _bn1.bias is missing":                           func(s *State) { delete(s.EMA, "_bn1.bias") },
		"momentum: tensor _bn1.bias is missing":                           func(s *State) { delete(s.Momentum, "_bn1.bias") },
		"tensor _fc.bias has shape [3], efficientnet-lite0 needs [2]":     func(s *State) { s.Train["_fc.bias"] = nn.Tensor{Dims: []int{3}, Data: make([]float32, 3)} },
		"momentum: tensor _fc.bias has shape [2 1], efficientnet-lite0 n": func(s *State) { s.Momentum["_fc.bias"] = nn.Tensor{Dims: []int{2, 1}, Data: make([]float32, 2)} },
	} {
		dir := t.TempDir()
		s := someState(t)
		if err := WriteCheckpoint(dir, s, Info{Cycle: 1, RunStep: 5, RunSteps: 10}); err != nil {
			t.Fatal(err)
		}
		change(&s)
		if err := WriteCheckpoint(dir, s, Info{Cycle: 2, RunStep: 5, RunSteps: 10}); err != nil {
			t.Fatal(err)
		}
		_, info, damaged, found, err := Latest(dir)
		if err != nil || !found || info.Cycle != 1 || len(damaged) != 1 || !strings.Contains(damaged[0], "cycle-002-step-00005.safetensors is left out: "+want) {
			t.Errorf("%s: cycle %d, %q, %v", want, info.Cycle, damaged, err)
		}
	}
}

// TestFilesThatAreNoCheckpoints: text, nothing, weights without our information, and a network of another architecture.
func TestFilesThatAreNoCheckpoints(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	safetensors := func(meta map[string]string) []byte {
		var b bytes.Buffer
		if err := nn.WriteSafetensors(&b, nn.Weights{"layer1.weight": {Dims: []int{2}, Data: []float32{1, 2}}}, meta); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	write("cycle-004-step-00001.safetensors", []byte("no checkpoint"))
	write("cycle-003-step-00001.safetensors", nil)
	write("cycle-002-step-00001.safetensors", safetensors(nil))
	write("cycle-001-step-00001.safetensors", safetensors(map[string]string{"anomalymatch": `{"architecture":"resnet\u001b[2J18"}`}))
	_, _, damaged, found, err := Latest(dir)
	if found || err != nil || len(damaged) != 4 {
		t.Fatalf("found %v, %v, %v", found, damaged, err)
	}
	for i, want := range []string{"damaged safetensors file", "damaged safetensors file", "it is not a checkpoint of this program", `the architecture "resnet\x1b[2J18", this program trains efficientnet-lite0`} {
		if name := fmt.Sprintf("cycle-%03d", 4-i); !strings.Contains(damaged[i], want) || !strings.Contains(damaged[i], name) {
			t.Errorf("%q, want %q", damaged[i], want)
		}
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	name := func(cycle, step string) string { return "cycle-" + cycle + "-step-" + step + extension }
	for _, n := range []string{name("001", "00025"), name("001", "00100"), name("002", "00050"), name("002", "00100"), name("003", "00000"), name("003", "00025"), name("003", "00050")} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := Prune(dir, 2); err != nil {
		t.Fatal(err)
	}
	var left []string
	files, _ := Checkpoints(dir)
	for _, f := range files {
		left = append(left, filepath.Base(f))
	}
	want := []string{name("003", "00050"), name("003", "00025"), name("002", "00100"), name("001", "00100")}
	if !reflect.DeepEqual(left, want) {
		t.Errorf("left %v, want the newest two and the last of each cycle", left)
	}
}
