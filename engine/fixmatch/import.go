package fixmatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"anomalymatch/engine/nn"
	"anomalymatch/internal/say"
)

// Theirs is a network that AnomalyMatch trained.
type Theirs struct {
	State State
	Timm  bool   // by the network of its versions from 1.3 on: see nn.FromPyTorch
	How   string // how the images were prepared that it was trained on, in AnomalyMatch's word; empty: it does not say
}

// maxTheirs is the largest file that is read, in bytes; theirs are 41 MB.
const maxTheirs = 1 << 30

// ReadAnomalyMatch reads a checkpoint of AnomalyMatch, a safetensors file with train_model.…, eval_model.… and the momentum of its optimiser, which is
// left behind. The averaged network scores, and its statistics are those of BatchNorm. Errors are sentences for people.
func ReadAnomalyMatch(path string) (Theirs, error) {
	wrong := func(err error) (Theirs, error) {
		return Theirs{}, fmt.Errorf("%s is no network of AnomalyMatch that can be used: %w", say.Path(path), err)
	}
	if !strings.EqualFold(filepath.Ext(path), ".safetensors") {
		return wrong(errors.New("it must be a .safetensors file, as AnomalyMatch writes them from 1.3.1 on, and other files (.pth) are never opened, since loading one runs what is in it"))
	}
	switch st, err := os.Stat(path); {
	case err != nil:
		return wrong(say.Cause(err))
	case !st.Mode().IsRegular() || st.Size() > maxTheirs:
		return wrong(errors.New("it is no file of this kind, or far too large"))
	}
	all, meta, err := nn.ReadFile(path)
	if err != nil {
		return wrong(say.Cause(err))
	}
	learning, timm := nn.FromPyTorch(all, "train_model.")
	average, _ := nn.FromPyTorch(all, "eval_model.")
	if len(learning) == 0 {
		learning = average
	}
	if err := errors.Join(average.Check(), learning.Check()); err != nil {
		err, _, _ := strings.Cut(err.Error(), "\n")
		return wrong(errors.New(err))
	}
	t := Theirs{State: NewState(learning), Timm: timm}
	for name, x := range average {
		if nn.Trained(name) {
			t.State.EMA[name] = x
		} else {
			t.State.Train[name] = x // scores are of these, see State.Scoring
		}
	}
	for _, key := range []string{"last_normalisation_method", "normalisation_method"} {
		var how struct{ Name string }
		if json.Unmarshal([]byte(meta[key]), &how) == nil && how.Name != "" {
			t.How = how.Name
			break
		}
	}
	return t, nil
}
