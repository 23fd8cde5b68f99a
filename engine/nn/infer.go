package nn

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"

	"anomalymatch/engine/runtime"
	"anomalymatch/internal/parallel"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Model runs a fixed set of weights forward, in evaluation mode. Not for concurrent use.
type Model struct {
	// Warn is told in a sentence when another backend had to take over; nil: it is logged.
	Warn func(string)

	on  runtime.Opened
	w   Weights
	net net
}

// net is the network on one kind of backend. run computes at least what is wanted.
type net interface {
	run(pix []uint8, n, size int, want part) (Result, error)
	close()
}

// part of a result.
type part struct{ logits, embedding bool }

// NewModel puts w on what was opened. Weights without a head (Pretrained) get a zero one: scores are then 0.5 and only the embedding
// means something.
func NewModel(on runtime.Opened, w Weights) (*Model, error) {
	m := &Model{w: w.withHead()}
	if err := m.w.Check(); err != nil {
		return nil, err
	}
	return m, m.move(on)
}

// move puts the weights on what was opened.
func (m *Model) move(on runtime.Opened) (err error) {
	m.on = on
	if on.ONNX {
		m.net = &onnxNet{w: m.w, sessions: map[onnxKey]*runtime.Session{}}
		return nil
	}
	m.net, err = newGoMLX(on.Backend, m.w)
	return err
}

// Backend is the name of what runs the network now.
func (m *Model) Backend() string { return m.on.Name }

// Result of a batch: Logits [n,2], Embedding [n,EmbeddingSize], row by row.
type Result struct {
	Logits, Embedding []float32
}

// Run scores and embeds n images of size×size pixels, pix [n,size,size,3]. A new n or size may compile anew (seconds): keep them fixed.
func (m *Model) Run(pix []uint8, n, size int) (Result, error) {
	return m.run(pix, n, size, part{true, true})
}

func (m *Model) run(pix []uint8, n, size int, want part) (Result, error) {
	if n < 1 || len(pix) != n*size*size*3 {
		return Result{}, fmt.Errorf("%d bytes are not %d RGB images of %d px", len(pix), n, size)
	}
	r, err := m.net.run(pix, n, size, want)
	if err != nil && m.on.Other != nil {
		was := m.on.Name
		other, no := m.on.Other()
		if no == nil {
			m.net.close()
			no = m.move(other)
		}
		if no != nil {
			return Result{}, fmt.Errorf("running the network: %w", err)
		}
		m.warn(fmt.Sprintf("%s could not run the network (%s); %s does it instead, slower.", was, strings.TrimRight(err.Error(), ". "), m.on.Name))
		r, err = m.net.run(pix, n, size, want)
	}
	if err != nil {
		return Result{}, fmt.Errorf("running the network: %w", err)
	}
	return r, nil
}

func (m *Model) warn(text string) {
	if m.Warn != nil {
		m.Warn(text)
		return
	}
	slog.Warn(text)
}

// Close frees the weights and compiled programs on the backend.
func (m *Model) Close() { m.net.close() }

// goMLX is the network as Pass.Forward defines it.
type goMLX struct {
	exec  *model.Exec
	store *model.Store
}

func newGoMLX(b compute.Backend, w Weights) (*goMLX, error) {
	m := &goMLX{store: model.NewStore()}
	for name, t := range w {
		if _, err := m.store.CreateVariable("/"+name, tensors.FromFlatDataAndDimensions(t.Data, t.Dims...)); err != nil {
			return nil, fmt.Errorf("loading tensor %s: %w", name, err)
		}
	}
	var err error
	m.exec, err = model.NewExec(b, m.store, func(s *model.Scope, x *graph.Node) []*graph.Node {
		p := Pass{XLA: b.Name() == "xla", Param: func(name string) *graph.Node { return m.store.GetVariable("/" + name).NodeValue(x.Graph()) }}
		o := p.Forward(Pixels(x))
		return []*graph.Node{o.Logits, o.Embedding}
	})
	if err != nil {
		return nil, fmt.Errorf("building the network: %w", err)
	}
	return m, nil
}

func (m *goMLX) run(pix []uint8, n, size int, _ part) (r Result, err error) {
	out, err := m.exec.Call(tensors.FromFlatDataAndDimensions(pix, n, size, size, 3))
	if err != nil {
		return Result{}, err
	}
	if r.Logits, err = tensors.CopyFlatData[float32](out[0]); err != nil {
		return Result{}, err
	}
	if r.Embedding, err = tensors.CopyFlatData[float32](out[1]); err != nil {
		return Result{}, err
	}
	for _, t := range out {
		t.FinalizeAll()
	}
	return r, nil
}

func (m *goMLX) close() {
	m.exec.Finalize()
	m.store.Finalize()
}

// onnxNet is the network as Weights.ONNX writes it: one session for each size of images and what is wanted of them, since a session
// computes all that it can.
type onnxNet struct {
	w        Weights
	sessions map[onnxKey]*runtime.Session
}

type onnxKey struct {
	size int
	part
}

func (m *onnxNet) run(pix []uint8, n, size int, want part) (r Result, err error) {
	var names []string
	var values [][]float32
	if want.logits {
		r.Logits = make([]float32, n*Classes)
		names, values = append(names, OutputLogits), append(values, r.Logits)
	}
	if want.embedding {
		r.Embedding = make([]float32, n*EmbeddingSize)
		names, values = append(names, OutputEmbedding), append(values, r.Embedding)
	}
	key := onnxKey{size, want}
	s := m.sessions[key]
	if s == nil {
		file, err := m.w.ONNX(size, "", nil, names...)
		if err != nil {
			return Result{}, err
		}
		if s, err = runtime.NewSession(file, InputPixels, names...); err != nil {
			return Result{}, err
		}
		m.sessions[key] = s
	}
	// Side by side on all cores, in parts that follow from the images' number and size alone: so the cores do not show in the last digits.
	each := max(1, partPixels/(size*size))
	parts := (n + each - 1) / each
	errs := make([]error, parts)
	parallel.Parts(n, parts, func(k, from, to int) {
		of := make([][]float32, len(values))
		for i, v := range values {
			width := len(v) / n
			of[i] = v[from*width : to*width]
		}
		errs[k] = s.Run(pix[from*size*size*3:to*size*size*3], []int{to - from, size, size, 3}, of...)
	})
	return r, errors.Join(errs...)
}

// partPixels are those of the images that one core takes through the network at once. Fewer are slower (64 px, images a second of processor time:
// 440 in parts of 1, 500 of 2, 670 of 4, 780 of 8, 810 of 16 and of 32; at 224 px one is as fast as many), more leave cores without a part.
const partPixels = 8 * 64 * 64

func (m *onnxNet) close() {
	for _, s := range m.sessions {
		s.Close()
	}
	clear(m.sessions)
}

// Score is the probability of anomaly from an image's two logits.
func Score(normal, anomaly float32) float32 {
	return float32(1 / (1 + math.Exp(float64(normal)-float64(anomaly))))
}

// Embed returns the embeddings [n,EmbeddingSize] of n images, batch ≥ n: a short last batch is padded so that nothing compiles anew.
func (m *Model) Embed(pix []uint8, n, batch, size int) ([]float32, error) {
	r, err := m.padded(pix, n, batch, size, part{embedding: true})
	return r.Embedding[:min(len(r.Embedding), n*EmbeddingSize)], err
}

// Scores returns the probability of anomaly of n images, padded like Embed.
func (m *Model) Scores(pix []uint8, n, batch, size int) ([]float32, error) {
	r, err := m.padded(pix, n, batch, size, part{logits: true})
	if err != nil {
		return nil, err
	}
	s := make([]float32, n)
	for i := range s {
		s[i] = Score(r.Logits[2*i], r.Logits[2*i+1])
	}
	return s, nil
}

func (m *Model) padded(pix []uint8, n, batch, size int, want part) (Result, error) {
	if n < batch {
		pix = append(pix[:len(pix):len(pix)], make([]uint8, (batch-n)*size*size*3)...)
	}
	return m.run(pix, batch, size, want)
}
