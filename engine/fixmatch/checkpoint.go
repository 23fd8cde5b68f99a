package fixmatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/newer"
)

// Info is what a checkpoint says about itself.
type Info struct {
	Format       int      `json:"format,omitempty"` // 0; what a newer program writes in another way says another number, and is refused
	Architecture string   `json:"architecture"`
	Size         int      `json:"size"`      // pixels a side the network was trained at
	Channels     int      `json:"channels"`  // of the images; what older programs trained has 3
	Cycle        int      `json:"cycle"`     // the round it belongs to, from 1
	RunStep      int      `json:"run_step"`  // steps done of this round
	RunSteps     int      `json:"run_steps"` // steps this round has
	Steps        int64    `json:"steps"`     // over all rounds
	Seed         int64    `json:"seed"`
	Labels       string   `json:"labels"`              // hash of the label set trained on
	Anomalies    int      `json:"anomalies,omitempty"` // of that set
	Normals      int      `json:"normals,omitempty"`
	Settings     Settings `json:"settings"`

	Print *fingerprint.Print `json:"fingerprint,omitempty"` // of the images trained on; nil where an older program trained
}

// Done reports whether the round was trained to its end.
func (i Info) Done() bool { return i.RunStep >= i.RunSteps }

// File is the name that WriteCheckpoint gives the file.
func (i Info) File() string {
	return fmt.Sprintf("%sstep-%05d%s", i.Prefix(), i.RunStep, extension)
}

// Prefix is what the names of all checkpoints of the cycle begin with.
func (i Info) Prefix() string { return fmt.Sprintf("cycle-%03d-", i.Cycle) }

// ParseFile tells cycle and step of a checkpoint by its name; ok is false for what is no such name.
func ParseFile(name string) (i Info, ok bool) {
	n, err := fmt.Sscanf(name, "cycle-%d-step-%d", &i.Cycle, &i.RunStep)
	return i, n == 2 && err == nil && i.Cycle > 0 && i.RunStep >= 0 && i.File() == name
}

const extension = ".safetensors"

// WriteCheckpoint keeps state in dir as a safetensors file: tensors "train/…", "ema/…" and "momentum/…", and info as JSON under
// the metadata key "anomalymatch".
func WriteCheckpoint(dir string, s State, info Info) error {
	info.Architecture, info.Channels, info.Steps = nn.Architecture, s.Train.Channels(), s.Steps
	meta, err := json.Marshal(info)
	if err != nil {
		return err
	}
	all := nn.Weights{}
	for scope, w := range s.scopes() {
		for name, t := range w {
			all[scope+"/"+name] = t
		}
	}
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	err = atomicfile.Write(filepath.Join(dir, info.File()), func(w io.Writer) error {
		return nn.WriteSafetensors(w, all, map[string]string{"anomalymatch": string(meta)})
	})
	if err != nil {
		return fmt.Errorf("the checkpoint could not be kept: %w", err)
	}
	return nil
}

func (s State) scopes() map[string]nn.Weights {
	return map[string]nn.Weights{"train": s.Train, "ema": s.EMA, "momentum": s.Momentum}
}

// ReadCheckpoint reads and checks one file. A damaged file, NaN, or another architecture is an error.
func ReadCheckpoint(path string) (State, Info, error) {
	w, meta, err := nn.ReadFile(path)
	if err != nil {
		return State{}, Info{}, err
	}
	info := Info{Channels: 3}
	if err := json.Unmarshal([]byte(meta["anomalymatch"]), &info); err != nil {
		return State{}, Info{}, errors.New("it is not a checkpoint of this program")
	}
	if len(meta) > 1 { // besides it only the checksum is written, which reading takes out: here it is called something else
		return State{}, Info{}, errors.New("it is damaged")
	}
	if info.Format > 0 {
		return State{}, Info{}, newer.Err
	}
	if info.Architecture != nn.Architecture {
		return State{}, Info{}, fmt.Errorf("it holds the architecture %q, this program trains %s", info.Architecture, nn.Architecture)
	}
	s := State{Train: nn.Weights{}, EMA: nn.Weights{}, Momentum: nn.Weights{}, Steps: info.Steps}
	for key, t := range w {
		scope, name, _ := strings.Cut(key, "/")
		into, ok := s.scopes()[scope]
		if !ok {
			return State{}, Info{}, newer.Err
		}
		into[name] = t
	}
	if err := s.Train.Check(); err != nil {
		return State{}, Info{}, err
	}
	if n := s.Train.Channels(); n != info.Channels || n != s.EMA.Channels() || n != s.Momentum.Channels() {
		return State{}, Info{}, errors.New("its parts disagree about the number of channels: it is damaged")
	}
	if err := s.EMA.CheckTrained(); err != nil {
		return State{}, Info{}, fmt.Errorf("averages: %w", err)
	}
	if err := s.Momentum.CheckTrained(); err != nil {
		return State{}, Info{}, fmt.Errorf("momentum: %w", err)
	}
	return s, info, nil
}

// readInfo is what a checkpoint says about itself, without its weights.
func readInfo(path string) (info Info, err error) {
	meta, err := nn.ReadMetadata(path)
	if err != nil {
		return Info{}, err
	}
	info.Channels = 3
	if json.Unmarshal([]byte(meta["anomalymatch"]), &info) != nil {
		return Info{}, errors.New("it is not a checkpoint of this program")
	}
	return info, nil
}

// InfoOf is what the newest of files (those of Checkpoints) that is of a cycle and can be read says about itself; zero where there is none.
func InfoOf(files []string, cycle int) Info {
	for _, f := range files {
		if strings.HasPrefix(filepath.Base(f), Info{Cycle: cycle}.Prefix()) {
			if info, err := readInfo(f); err == nil {
				return info
			}
		}
	}
	return Info{}
}

// Checkpoints lists the files of dir, newest first.
func Checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "cycle-") && strings.HasSuffix(e.Name(), extension) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(names))) // zero-padded: the order of names is that of time
	return names, nil
}

// Latest returns the newest checkpoint that can be read, and a sentence for each newer one that cannot. found is false where
// there is none.
func Latest(dir string) (s State, info Info, damaged []string, found bool, err error) {
	files, err := Checkpoints(dir)
	if err != nil {
		return State{}, Info{}, nil, false, err
	}
	for _, f := range files {
		s, info, err := ReadCheckpoint(f)
		if err == nil {
			return s, info, damaged, true, nil
		}
		damaged = append(damaged, fmt.Sprintf("checkpoint %s is left out: %v", filepath.Base(f), err))
	}
	return State{}, Info{}, damaged, false, nil
}

// Prune removes all but the newest keep checkpoints and the last one of each cycle.
func Prune(dir string, keep int) error {
	files, err := Checkpoints(dir)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, f := range files {
		cycle := filepath.Base(f)[:len("cycle-000")]
		last := !seen[cycle]
		seen[cycle] = true
		if i >= keep && !last {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	return nil
}
