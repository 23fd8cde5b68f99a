//go:build !race

package score

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
)

// The Go backend is not clean under the race detector.

// TestPoolOfOddImages: images of one colour score in numbers, what cannot be read has no score, and a network that answers NaN
// is an error, never a rank.
func TestPoolOfOddImages(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	white := dataset.NewRGB(40, 40)
	for k := range white.Pix {
		white.Pix[k] = 255
	}
	galaxy, _ := synth.Galaxy(1, 1, 64)
	for name, m := range map[string]dataset.RGB{
		"black": dataset.NewRGB(40, 40), "black-again": dataset.NewRGB(8, 8), "white": white, "galaxy": galaxy,
	} {
		var b bytes.Buffer
		if err := png.Encode(&b, m.Image()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.png"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	pool, err := dataset.OpenPool(t.Context(), t.TempDir(), []dataset.NamedSource{{Name: "s", Path: dir}}, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	scores := func() ([]float32, error) {
		m, err := nn.NewModel(o, w)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		return Pool(t.Context(), pool, m, Options{Size: 32, Batch: 8, Workers: 2}) // more than there are
	}
	got, err := scores()
	if err != nil || len(got) != 5 {
		t.Fatalf("%v, %v", got, err)
	}
	byName := map[string]float32{}
	for i, s := range got {
		byName[filepath.Base(pool.ID(i))] = s
	}
	for _, name := range []string{"black.png", "white.png", "galaxy.png"} {
		if s := byName[name]; !(s > 0 && s < 1) {
			t.Errorf("%s scores %v", name, s)
		}
	}
	if b := byName["black.png"]; byName["black-again.png"] != b || byName["galaxy.png"] == b {
		t.Errorf("scores %v", byName)
	}
	if s := byName["broken.png"]; s == s || len(Order(got)) != 4 {
		t.Errorf("the broken file scores %v, ranking %v", s, Order(got))
	}

	head := w["_fc.weight"].Data // infinite for both classes
	for i := range head {
		head[i] = math.MaxFloat32
	}
	if got, err := scores(); err == nil || !strings.Contains(err.Error(), "answers NaN") {
		t.Errorf("a network without numbers: %v, %v", got, err)
	}
}

// TestPoolOnSeveralDevices: the devices that XLA's CPU code plays share a pool, and it scores as on one.
func TestPoolOnSeveralDevices(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "xla:cpu")
	if err != nil {
		t.Skipf("not tested here: %v", err)
	}
	p, _ := sky(t, 61)
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	var want []byte
	for _, o.Devices = range []int{1, int(o.Backend.NumDevices())} {
		m, err := nn.NewModel(o, w)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		m.Warn = func(text string) { t.Error(text) }
		scores, err := Pool(t.Context(), p, m, Options{Size: 32, Batch: 4, Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if got := file(t, scores); want == nil {
			want = got
		} else if !bytes.Equal(got, want) {
			t.Errorf("%d devices make another file", o.Devices)
		}
	}
}

// TestPoolOfChannels: cubes of five bands of 16 bits in an npy score by a network for five channels, prepared or not, and not by one for three.
func TestPoolOfChannels(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "go")
	if err != nil {
		t.Fatal(err)
	}
	const n, side, bands = 6, 20, 5
	header := fmt.Sprintf("{'descr': '<u2', 'fortran_order': False, 'shape': (%d, %d, %d, %d), }", n, side, side, bands)
	header += strings.Repeat(" ", 118-len(header)-1) + "\n"
	file := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), 0)
	file = append(file, header...)
	r := rand.New(rand.NewPCG(7, 8))
	for range n * side * side * bands {
		file = binary.LittleEndian.AppendUint16(file, uint16(r.Uint32()))
	}
	path := filepath.Join(t.TempDir(), "cubes.npy")
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
	pool, err := dataset.OpenPool(t.Context(), t.TempDir(), []dataset.NamedSource{{Name: "s", Path: path, Reading: dataset.Reading{Channels: "5"}}}, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.Prepare(t.TempDir(), true)
	var first []float32
	for _, channels := range []int{5, 5, 3} {
		w, err := nn.Pretrained(channels)
		if err != nil {
			t.Fatal(err)
		}
		w.NewHead(rand.New(rand.NewPCG(1, 2)))
		m, err := nn.NewModel(o, w)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		got, err := Pool(t.Context(), pool, m, Options{Size: 32, Batch: 4, Workers: 2})
		switch {
		case channels == 3:
			if err == nil || !strings.Contains(err.Error(), "trained on images of 3 channels, and these have 5") {
				t.Errorf("a network for three: %v, %v", got, err)
			}
		case err != nil || len(Order(got)) != n || got[0] == got[1]:
			t.Errorf("%v, %v", got, err)
		case first == nil:
			first = got
		case !slices.Equal(first, got):
			t.Errorf("prepared they score %v, before %v", got, first)
		}
	}
}
