package fixmatch

import (
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
	w, err := nn.Pretrained()
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

func TestForeignCheckpoints(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"cycle-001-step-00001.safetensors": "no checkpoint", "cycle-002-step-00001.safetensors": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, _, damaged, found, err := Latest(dir)
	if found || err != nil || len(damaged) != 2 {
		t.Errorf("found %v, %v, %v", found, damaged, err)
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
