package nn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/runtime"
)

// channelled are pretrained weights for so many channels, with the head of withRandomHead.
func channelled(t testing.TB, channels int) Weights {
	t.Helper()
	w, err := Pretrained(channels)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	if err := w.Check(); err != nil || w.Channels() != channels {
		t.Fatalf("weights for %d channels have %d: %v", channels, w.Channels(), err)
	}
	return w
}

// TestStem works the kernels of a stem out by hand, and what timm's adapt_input_conv gives for these.
func TestStem(t *testing.T) {
	rgb := Tensor{Dims: []int{2, 3, 1, 2}, Data: []float32{1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60}}
	for channels, want := range map[int][]float32{
		1: {9, 12, 90, 120},
		2: {1.5, 3, 4.5, 6, 15, 30, 45, 60},
		3: rgb.Data,
		4: {.75, 1.5, 2.25, 3, 3.75, 4.5, .75, 1.5, 7.5, 15, 22.5, 30, 37.5, 45, 7.5, 15},
		6: {.5, 1, 1.5, 2, 2.5, 3, .5, 1, 1.5, 2, 2.5, 3, 5, 10, 15, 20, 25, 30, 5, 10, 15, 20, 25, 30},
	} {
		got := adapted(rgb, channels)
		if !slices.Equal(got.Dims, []int{2, channels, 1, 2}) || !slices.Equal(got.Data, want) {
			t.Errorf("%d channels: %v %v, want %v", channels, got.Dims, got.Data, want)
		}
	}
}

// TestChannels: one channel gives what grey in three gives, and so do six that are RGB twice; each backend takes any number, and what ONNX Runtime and the
// folded network say is what the network as defined says.
func TestChannels(t *testing.T) {
	const n, size = 3, 40
	grey := pixels(n, size)[:n*size*size]
	repeated := func(of []uint8, channels, copies int) (out []uint8) {
		for p := range slices.Chunk(of, channels) {
			for range copies {
				out = append(out, p...)
			}
		}
		return out
	}
	plain, err := runtime.Open(runtime.Train, "go")
	if err != nil {
		t.Fatal(err)
	}
	five := make([]uint8, n*size*size*5)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range five {
		five[i] = uint8(r.Uint32())
	}
	backends(t, func(t *testing.T, o runtime.Opened) {
		run := func(channels int, pix []uint8) Result {
			m, err := NewModel(o, channelled(t, channels))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			r, err := m.Run(pix, n, size)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Run(pix[1:], n, size); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in %d channels", channels)) {
				t.Errorf("another number of pixels: %v", err)
			}
			if s, err := m.Scores(pix, n, 4, size); err != nil || len(s) != n {
				t.Errorf("a short batch of %d channels: %v, %v", channels, s, err)
			}
			return r
		}
		three := run(3, repeated(grey, 1, 3))
		one := run(1, grey)
		near(t, "grey in one channel, logits", one.Logits, three.Logits, 2e-5)
		near(t, "grey in one channel, embedding", one.Embedding, three.Embedding, 1e-4)
		colours := pixels(n, size)
		six := run(6, repeated(colours, 3, 2))
		near(t, "RGB twice, logits", six.Logits, run(3, colours).Logits, 2e-5)
		got, want := run(5, five), defined(t, plain, channelled(t, 5), five, n, size)
		near(t, "five channels, logits", got.Logits, want.Logits, 2e-5)
		near(t, "five channels, embedding", got.Embedding, want.Embedding, 1e-4)
	})
	if err := FitChannels(3, 5); err == nil || !strings.Contains(err.Error(), "was trained on images of 3 channels, and these have 5") {
		t.Error(err)
	}
	if err := FitChannels(5, 5); err != nil {
		t.Error(err)
	}
}
