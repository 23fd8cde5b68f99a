//go:build linux

package disktest

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/score"
	"anomalymatch/engine/train"
	"anomalymatch/internal/faultfs"
	"anomalymatch/session"
	"anomalymatch/session/cluster"
	"anomalymatch/session/journal"
	"anomalymatch/session/outbox"
)

var (
	cuts   = flag.Int("cuts", 40, "power cuts of each kind")
	during = flag.Duration("during", 0, "how long power is cut, in place of -cuts; all kinds share it")
	from   = flag.Uint64("from", 1, "the first seed; 0: of the clock")
)

// kinds is how many share the time.
const kinds = 8

// each calls do with one seed after the other, until one fails.
func each(t *testing.T, do func(t *testing.T, seed uint64)) {
	t.Helper()
	began, n := time.Now(), 0
	first := *from
	if first == 0 {
		first = uint64(began.UnixNano())
	}
	for seed := first; !t.Failed(); seed++ {
		if *during > 0 && time.Since(began) > *during/kinds || *during == 0 && n >= *cuts {
			break
		}
		do(t, seed)
		n++
	}
	if t.Failed() {
		t.Logf("again: go test ./internal/faultfs/disktest -run '^%s$' -cuts 1 -from %d", t.Name(), first+uint64(n)-1)
		return
	}
	t.Logf("%d power cuts, seeds from %d on", n, first)
}

// pool is a folder with an image, by name.
func pool(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.png"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// step is one key press.
type step struct {
	uid     string
	changes []label.Change
}

// press makes a key press that labels or marks some images, as many as a rest of a page at times.
func press(r *rand.Rand, n int) step {
	s := step{uid: fmt.Sprintf("step-%d", n)}
	most := []int{1, 1, 3, 40}[r.IntN(4)]
	for i := range 1 + r.IntN(most) {
		c := label.Change{ID: fmt.Sprintf("pool/%d-%d.png", n, i), To: label.Anomaly}
		if r.IntN(5) == 0 {
			c.Mark, c.To = "bookmark", label.On
		}
		s.changes = append(s.changes, c)
	}
	return s
}

// keeper is a journal or an outbox.
type keeper interface {
	Append(by, uid string, changes []label.Change) error
	History(by string, limit int) []label.Event
	Close() error
}

// box is an outbox as a journal; where it is asked what it holds it says what waits.
type box struct{ *outbox.Outbox }

func (b box) Append(by, uid string, changes []label.Change) error {
	return b.Keep(outbox.Step{UID: uid, By: by, Changes: changes})
}

func (b box) History(string, int) (all []label.Event) {
	for _, s := range b.Waiting() {
		for _, c := range s.Changes {
			all = append(all, label.Event{UID: s.UID, Change: c})
		}
	}
	return all
}

func TestPowerCutWhileLabelling(t *testing.T) {
	f, images := faultfs.Mount(t), pool(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	at := filepath.Join(f.Dir(), "new", "project")
	kept := 0
	each(t, func(t *testing.T, seed uint64) {
		kept += labelling(t, f, seed, func() error {
			_, err := session.Create(at, session.Options{Images: []string{images}})
			return err
		}, func() (keeper, error) {
			if _, err := session.Open(at); err != nil {
				return nil, err
			}
			return journal.Open(filepath.Join(at, "labels"), "ada")
		})
	})
	if kept == 0 && !t.Failed() {
		t.Error("no label was acknowledged before a cut")
	}
	t.Logf("%d acknowledged key presses were all there", kept)
}

func TestPowerCutOfTheOutbox(t *testing.T) {
	f := faultfs.Mount(t)
	kept := 0
	each(t, func(t *testing.T, seed uint64) {
		kept += labelling(t, f, seed, func() error { return nil }, func() (keeper, error) {
			o, err := outbox.Open(filepath.Join(f.Dir(), "state"), "host", "project", "ada")
			return box{o}, err
		})
	})
	if kept == 0 && !t.Failed() {
		t.Error("no label was acknowledged before a cut")
	}
	t.Logf("%d acknowledged key presses were all there", kept)
}

// labelling labels in a new project, or one that is there, until the power goes, and looks what there is then. It returns how many key presses were
// acknowledged.
func labelling(t *testing.T, f *faultfs.FS, seed uint64, create func() error, open func() (keeper, error)) int {
	r := rand.New(rand.NewPCG(seed, 1))
	f.Clear()
	var acked []step
	var last step // given last
	n := 0
	created := false
	sitting := func() error {
		j, err := open()
		if err != nil {
			return err
		}
		defer j.Close()
		for range 1 + r.IntN(8) {
			last = press(r, n)
			n++
			if r.IntN(6) == 0 { // a disk that falters, and is asked again, as the screen does
				f.Fail([]faultfs.Op{faultfs.Sync, faultfs.Write}[r.IntN(2)], "*.jsonl", []syscall.Errno{syscall.EIO, syscall.ENOSPC}[r.IntN(2)])
				if j.Append("ada", last.uid, last.changes) == nil {
					t.Fatalf("seed %d: labels were kept on a disk that fails", seed)
				}
				f.Heal()
			}
			if err := j.Append("ada", last.uid, last.changes); err != nil {
				return err
			}
			acked = append(acked, last)
		}
		return nil
	}
	old := r.IntN(2) == 0
	if old { // this one was there for long
		created = true
		if err := errors.Join(create(), sitting()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	before := len(acked)
	f.CutAt(1+r.IntN(70), seed)
	if !created {
		created = create() == nil
	}
	var err error
	for created && err == nil {
		err = sitting()
	}
	if !f.On() {
		t.Fatalf("seed %d: labelling ended without a power cut: %v", seed, err)
	}
	if !created {
		return 0
	}
	j, err := open()
	if err != nil {
		t.Fatalf("seed %d: after the cut: %v", seed, err)
	}
	has := func() map[string][]label.Change {
		m := map[string][]label.Change{}
		for _, e := range j.History("", 0) {
			m[e.UID] = append(m[e.UID], e.Change)
		}
		return m
	}
	now := has()
	for _, s := range acked {
		if !slices.Equal(now[s.uid], s.changes) {
			t.Fatalf("seed %d: %s was acknowledged with %d labels and has %d after the cut", seed, s.uid, len(s.changes), len(now[s.uid]))
		}
		delete(now, s.uid)
	}
	for uid := range now {
		if uid != last.uid {
			t.Fatalf("seed %d: there is a step %s that was never acknowledged, and is not the last", seed, uid)
		}
	}
	// Labelling goes on, and what the screen was not sure of it gives again.
	if err := j.Append("ada", last.uid, last.changes); err != nil {
		t.Fatalf("seed %d: labelling does not go on: %v", seed, err)
	}
	j.Close()
	if j, err = open(); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	defer j.Close()
	if got := has()[last.uid]; !slices.Equal(got, last.changes) {
		t.Fatalf("seed %d: the last step was given again and has %d labels of %d", seed, len(got), len(last.changes))
	}
	return len(acked) - before
}

// kept is what is written whole or not at all: versions 1, 2, …; read tells which is there, 0: none.
type kept struct {
	name  string
	write func(dir string, version int) error
	read  func(dir string) (version int, err error)
}

// keeps are what a project and a person have of that kind. dir is the project.
func keeps(images string) []kept {
	weights := func(v int) nn.Weights {
		data := make([]float32, 1000)
		for i := range data {
			data[i] = float32(v)
		}
		return nn.Weights{"w": {Dims: []int{10, 100}, Data: data}}
	}
	return []kept{
		{"settings", func(dir string, v int) error {
			_, err := session.Settings{Dir: dir}.Set("fixmatch.iterations", fmt.Sprint(1000+v))
			return err
		}, func(dir string) (int, error) {
			p, err := session.Open(dir)
			if err != nil {
				return 0, err
			}
			return max(0, p.Config.FixMatch.Iterations-1000), nil
		}},
		{"own settings", func(_ string, v int) error { return session.SaveSetting("fixmatch.iterations", fmt.Sprint(1000+v)) }, func(dir string) (int, error) {
			p, err := session.Open(dir)
			if err != nil {
				return 0, err
			}
			return max(0, p.Config.FixMatch.Iterations-1000), nil
		}},
		{"scores", func(dir string, v int) error {
			return score.Write(filepath.Join(dir, "scores"), score.Header{Pool: strings.Repeat("00", 32), Cycle: 1, Step: v}, make([]float32, 3000))
		}, func(dir string) (int, error) {
			h, _, found := score.Latest(filepath.Join(dir, "scores"), [32]byte{})
			if !found && len(score.Files(filepath.Join(dir, "scores"))) > 0 {
				return 0, errors.New("the scores cannot be read")
			}
			return h.Step, nil
		}},
		{"checkpoints", func(dir string, v int) error {
			w := weights(v)
			return fixmatch.WriteCheckpoint(train.Checkpoints(dir), fixmatch.State{Train: w, EMA: w, Momentum: w}, fixmatch.Info{Cycle: 1, RunStep: v})
		}, func(dir string) (int, error) {
			files, err := fixmatch.Checkpoints(train.Checkpoints(dir))
			if err != nil || len(files) == 0 {
				return 0, err
			}
			w, _, err := nn.ReadFile(files[0])
			if err != nil {
				return 0, err
			}
			return int(w["ema/w"].Data[999]), nil
		}},
		{"jobs", func(dir string, v int) error {
			return cluster.Remember(dir, cluster.Entry{ID: fmt.Sprint(v), Profile: strings.Repeat("p", 300)})
		}, func(dir string) (int, error) {
			all, err := cluster.Remembered(dir)
			for i, e := range all {
				if e.ID != fmt.Sprint(len(all)-i) {
					return 0, fmt.Errorf("job %d is %s", len(all)-i, e.ID)
				}
			}
			return len(all), err
		}},
		{"record of trainings", func(dir string, v int) error {
			return train.AddParts(dir, train.Part{Cycle: v, Steps: 1, Program: strings.Repeat("p", 700)})
		}, func(dir string) (int, error) {
			text, err := os.Open(train.RecordPath(dir))
			if errors.Is(err, os.ErrNotExist) {
				return 0, nil
			} else if err != nil {
				return 0, err
			}
			defer text.Close()
			all, err := train.ReadParts(text)
			return len(all), err
		}},
	}
}

func TestPowerCutOfWhatIsReplaced(t *testing.T) {
	f, images := faultfs.Mount(t), pool(t)
	for _, k := range keeps(images) {
		t.Run(k.name, func(t *testing.T) {
			acknowledged := 0
			each(t, func(t *testing.T, seed uint64) {
				r := rand.New(rand.NewPCG(seed, 2))
				f.Clear()
				t.Setenv("XDG_CONFIG_HOME", filepath.Join(f.Dir(), "home", "config"))
				dir := filepath.Join(f.Dir(), "project")
				if _, err := session.Create(dir, session.Options{Images: []string{images}}); err != nil {
					t.Fatal(err)
				}
				f.CutAt(1+r.IntN(60), seed)
				acked := 0
				for k.write(dir, acked+1) == nil {
					acked++
				}
				if !f.On() {
					t.Fatalf("seed %d: version %d could not be written, and the power was there", seed, acked+1)
				}
				got, err := k.read(dir)
				if err != nil || got < acked || got > acked+1 {
					t.Fatalf("seed %d: version %d was acknowledged, and after the cut there is %d, %v", seed, acked, got, err)
				}
				if err := k.write(dir, acked+2); err != nil {
					t.Fatalf("seed %d: it does not go on: %v", seed, err)
				}
				acknowledged += acked
			})
			if acknowledged == 0 && !t.Failed() {
				t.Error("nothing was acknowledged before a cut")
			}
		})
	}
}
