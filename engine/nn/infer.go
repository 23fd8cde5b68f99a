package nn

import (
	"fmt"
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Model runs a fixed set of weights forward, in evaluation mode.
type Model struct {
	exec  *model.Exec
	store *model.Store
}

// NewModel puts w on the backend. Weights without a head (Pretrained) get a zero one: scores are then 0.5 and only the embedding
// means something.
func NewModel(b compute.Backend, w Weights) (*Model, error) {
	if _, ok := w["_fc.weight"]; !ok {
		with := Weights{"_fc.weight": {[]int{Classes, Features}, make([]float32, Classes*Features)}, "_fc.bias": {[]int{Classes}, make([]float32, Classes)}}
		for n, t := range w {
			with[n] = t
		}
		w = with
	}
	if err := w.Check(); err != nil {
		return nil, err
	}
	m := &Model{store: model.NewStore()}
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

// Result of a batch: Logits [n,2], Embedding [n,EmbeddingSize], row by row.
type Result struct {
	Logits, Embedding []float32
}

// Run scores n images of size×size pixels, pix [n,size,size,3]. A new n or size compiles anew (seconds): keep them fixed.
func (m *Model) Run(pix []uint8, n, size int) (Result, error) {
	if len(pix) != n*size*size*3 {
		return Result{}, fmt.Errorf("%d bytes are not %d RGB images of %d px", len(pix), n, size)
	}
	out, err := m.exec.Call(tensors.FromFlatDataAndDimensions(pix, n, size, size, 3))
	if err != nil {
		return Result{}, fmt.Errorf("running the network: %w", err)
	}
	var r Result
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

// Close frees the weights and compiled programs on the backend.
func (m *Model) Close() {
	m.exec.Finalize()
	m.store.Finalize()
}

// Score is the probability of anomaly from an image's two logits.
func Score(normal, anomaly float32) float32 {
	return float32(1 / (1 + math.Exp(float64(normal)-float64(anomaly))))
}

// Embed returns the embeddings [n,EmbeddingSize] of n images, batch ≥ n: a short last batch is padded so that nothing compiles anew.
func (m *Model) Embed(pix []uint8, n, batch, size int) ([]float32, error) {
	r, err := m.padded(pix, n, batch, size)
	return r.Embedding[:min(len(r.Embedding), n*EmbeddingSize)], err
}

// Scores returns the probability of anomaly of n images, padded like Embed.
func (m *Model) Scores(pix []uint8, n, batch, size int) ([]float32, error) {
	r, err := m.padded(pix, n, batch, size)
	if err != nil {
		return nil, err
	}
	s := make([]float32, n)
	for i := range s {
		s[i] = Score(r.Logits[2*i], r.Logits[2*i+1])
	}
	return s, nil
}

func (m *Model) padded(pix []uint8, n, batch, size int) (Result, error) {
	if n < batch {
		pix = append(pix[:len(pix):len(pix)], make([]uint8, (batch-n)*size*size*3)...)
	}
	return m.Run(pix, batch, size)
}
