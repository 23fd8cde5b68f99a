package nn

import (
	"fmt"
	"log/slog"
	"math"
	goruntime "runtime"
	"strings"
	"sync"

	"anomalymatch/engine/runtime"

	"github.com/gomlx/compute"
)

// Model runs a fixed set of weights forward, in evaluation mode, on one or more devices. Goroutines may share it.
type Model struct {
	// Warn is told in a sentence when something else had to take over, or batches became smaller; nil: it is logged. It is not to call the model.
	Warn func(string)

	w       Weights
	form    Form // zero: the fastest of each backend
	devices []*Device

	mu   sync.Mutex // of what follows
	on   runtime.Opened
	left int // devices that did not fail
}

// Device is one of the devices of a model: a GPU, or all cores. Goroutines may share it.
type Device struct {
	of *Model

	mu   sync.RWMutex // written to when something else takes over, read while it works
	name string
	net  net
	gone bool

	sizes sync.Mutex
	most  map[int]int // images at once by their size, where there was no memory for all
}

// net is the network on one device. run computes at least what is wanted; goroutines may share it.
type net interface {
	run(pix []uint8, n, size int, want part) (Result, error)
	close()
}

// part of a result.
type part struct{ logits, embedding bool }

// NewModel puts w on what was opened, on each of its devices. Weights without a head (Pretrained) get a zero one: scores are then 0.5 and only the
// embedding means something.
func NewModel(on runtime.Opened, w Weights) (*Model, error) { return NewFormed(on, w, Form{}) }

// NewFormed is NewModel with layers of a form, for measuring: the zero one is the backend's fastest. ONNX Runtime has one of its own.
func NewFormed(on runtime.Opened, w Weights, f Form) (*Model, error) {
	m := &Model{w: w.withHead(), form: f}
	if err := m.w.Check(); err != nil {
		return nil, err
	}
	nets, err := m.nets(on)
	if err != nil {
		return nil, err
	}
	m.place(on, nets)
	return m, nil
}

// nets are the weights on each device of what was opened.
func (m *Model) nets(on runtime.Opened) (nets []net, err error) {
	if on.ONNX {
		return []net{newONNX(m.w)}, nil
	}
	for d := range max(1, on.Devices) {
		n, err := newGoMLX(on, m.w, compute.DeviceNum(d), m.form)
		if err != nil {
			return nil, err
		}
		nets = append(nets, n)
	}
	return nets, nil
}

func (m *Model) place(on runtime.Opened, nets []net) {
	m.on, m.left = on, len(nets)
	for i, n := range nets {
		name := on.Name
		if len(nets) > 1 {
			name = fmt.Sprintf("%s, device %d of %d,", on.Name, i+1, len(nets))
		}
		m.devices = append(m.devices, &Device{of: m, name: name, net: n, most: map[int]int{}})
	}
}

// Devices are those that the model runs on, to be used side by side. One that returned an error does so from then on; the last one returns none before
// what else there is (runtime.Opened.Other) has failed too.
func (m *Model) Devices() []*Device { return m.devices }

// Lanes are the devices, each as often as it is best given batches at the same time: while a GPU computes, the next batch is copied to it; and when the last
// parts of a batch are done by ONNX Runtime, the cores that are free begin with the next one.
func (m *Model) Lanes() (all []*Device) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 1
	if m.on.ONNX {
		n = max(2, goruntime.GOMAXPROCS(0)/8) // a batch of 256 has 16 parts: two for each core
	} else if strings.HasPrefix(m.on.Name, "xla:cuda") {
		n = 2
	}
	for range n {
		all = append(all, m.devices...)
	}
	return all
}

// Backend is the name of what runs the network now.
func (m *Model) Backend() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on.Name
}

// Result of a batch: Logits [n,2], Embedding [n,EmbeddingSize], row by row.
type Result struct {
	Logits, Embedding []float32
}

// Channels is the number of channels of the images that the model takes.
func (m *Model) Channels() int { return m.w.Channels() }

// Run scores and embeds n images of size×size pixels, pix [n,size,size,Channels]. A new n or size may compile anew (seconds): keep them fixed.
func (m *Model) Run(pix []uint8, n, size int) (Result, error) {
	return m.run(pix, n, size, part{true, true})
}

// run is that of the first device that works.
func (m *Model) run(pix []uint8, n, size int, want part) (r Result, err error) {
	for _, d := range m.devices {
		if r, err = d.run(pix, n, size, want); err == nil {
			return r, nil
		}
	}
	return r, err
}

func (d *Device) run(pix []uint8, n, size int, want part) (Result, error) {
	if channels := d.of.Channels(); n < 1 || len(pix) != n*size*size*channels {
		return Result{}, fmt.Errorf("%d bytes are not %d images of %d px in %d channels", len(pix), n, size, channels)
	}
	for {
		r, on, err := d.now(pix, n, size, want)
		if err == nil {
			return r, nil
		}
		if on == nil || !d.replaced(on, err) {
			return Result{}, fmt.Errorf("running the network: %w", err)
		}
	}
}

// now runs on the network that is there now, and says which that was; nil where the device failed before.
func (d *Device) now(pix []uint8, n, size int, want part) (Result, net, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.gone {
		return Result{}, nil, fmt.Errorf("%s failed before", strings.TrimRight(d.name, ","))
	}
	r, err := d.pieces(pix, n, size, want)
	return r, d.net, err
}

// pieces runs as many images at a time as there is memory for: all at first, half as many whenever the device says that it has too little, down to one,
// and what it can do from then on. A short last piece is padded, so that there is one shape.
func (d *Device) pieces(pix []uint8, n, size int, want part) (all Result, err error) {
	bytes := len(pix) / n
	for at := 0; at < n; {
		each := n
		d.sizes.Lock()
		if most := d.most[size]; most > 0 {
			each = min(n, most)
		}
		d.sizes.Unlock()
		count := min(each, n-at)
		r, err := d.net.run(padded(pix[at*bytes:(at+count)*bytes], count, each), each, size, want)
		if err != nil {
			if !runtime.OutOfMemory(err) || each == 1 {
				return Result{}, err
			}
			d.sizes.Lock()
			if most := d.most[size]; most == 0 || most > each/2 {
				d.most[size] = each / 2
				d.of.warn(fmt.Sprintf("%s has no memory for %d images of %d px at once: it gets %d.", d.name, each, size, each/2))
			}
			d.sizes.Unlock()
			continue
		}
		if count == n {
			return r, nil
		}
		all.Logits = append(all.Logits, r.Logits[:min(count*Classes, len(r.Logits))]...)
		all.Embedding = append(all.Embedding, r.Embedding[:min(count*EmbeddingSize, len(r.Embedding))]...)
		at += count
	}
	return all, nil
}

// replaced notes that a network failed on the device. True: another is in its place now, since it was the last device.
func (d *Device) replaced(was net, failed error) bool {
	m := d.of
	m.mu.Lock()
	defer m.mu.Unlock()
	d.mu.Lock() // when all that runs on it has ended
	defer d.mu.Unlock()
	if d.gone || d.net != was { // another goroutine was here
		return !d.gone
	}
	why := strings.TrimRight(failed.Error(), ". ")
	if m.left > 1 {
		m.left--
		d.gone = true
		m.warn(fmt.Sprintf("%s failed (%s): the other devices do its work.", d.name, why))
		return false
	}
	if m.on.Other == nil {
		return false
	}
	other, err := m.on.Other()
	if err != nil {
		return false
	}
	nets, err := m.nets(other)
	if err != nil {
		return false
	}
	for _, n := range nets[1:] {
		n.close()
	}
	d.net.close()
	d.net, m.on = nets[0], other
	clear(d.most)
	m.warn(fmt.Sprintf("%s could not run the network (%s); %s does it instead, slower.", strings.TrimRight(d.name, ","), why, other.Name))
	d.name = other.Name
	return true
}

func (m *Model) warn(text string) {
	if m.Warn != nil {
		m.Warn(text)
		return
	}
	slog.Warn(text)
}

// Close frees the weights on the devices.
func (m *Model) Close() {
	for _, d := range m.devices {
		d.net.close()
	}
}

// Score is the probability of anomaly from an image's two logits.
func Score(normal, anomaly float32) float32 {
	return float32(1 / (1 + math.Exp(float64(normal)-float64(anomaly))))
}

// Embed returns the embeddings [n,EmbeddingSize] of n images, batch ≥ n: a short last batch is padded so that nothing compiles anew.
func (m *Model) Embed(pix []uint8, n, batch, size int) ([]float32, error) {
	return embeddings(n, size, batch, pix, m.run)
}

// Embed is Model.Embed on this device.
func (d *Device) Embed(pix []uint8, n, batch, size int) ([]float32, error) {
	return embeddings(n, size, batch, pix, d.run)
}

// Scores returns the probability of anomaly of n images, padded like Embed.
func (m *Model) Scores(pix []uint8, n, batch, size int) ([]float32, error) {
	return scores(n, size, batch, pix, m.run)
}

// Scores is Model.Scores on this device.
func (d *Device) Scores(pix []uint8, n, batch, size int) ([]float32, error) {
	return scores(n, size, batch, pix, d.run)
}

type runner func(pix []uint8, n, size int, want part) (Result, error)

func embeddings(n, size, batch int, pix []uint8, run runner) ([]float32, error) {
	r, err := run(padded(pix, n, batch), max(n, batch), size, part{embedding: true})
	return r.Embedding[:min(len(r.Embedding), n*EmbeddingSize)], err
}

func scores(n, size, batch int, pix []uint8, run runner) ([]float32, error) {
	r, err := run(padded(pix, n, batch), max(n, batch), size, part{logits: true})
	if err != nil {
		return nil, err
	}
	s := make([]float32, n)
	for i := range s {
		s[i] = Score(r.Logits[2*i], r.Logits[2*i+1])
	}
	return s, nil
}

// padded is pix of n images with black ones behind them up to batch.
func padded(pix []uint8, n, batch int) []uint8 {
	if n > 0 && n < batch {
		return append(pix[:len(pix):len(pix)], make([]uint8, (batch-n)*(len(pix)/n))...)
	}
	return pix
}
