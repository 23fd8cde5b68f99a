// Package fixmatch trains the network semi-supervised: FixMatch (Sohn et al. 2020) as AnomalyMatch (Gómez, O'Ryan et al.) uses it.
//
// A step takes labelled images (weakly augmented), and unlabelled ones twice, weakly and strongly augmented, through one joint
// forward pass. Loss = cross-entropy of the labelled + weight × mean over all unlabelled of [cross-entropy of the strong view
// against the weak view's argmax, where the weak view's largest probability reaches the cut-off]. SGD with Nesterov momentum; the
// model that scores is an exponential moving average of the parameters with the newest BatchNorm statistics.
//
// Everything random is a function of (seed, step): a run that was cut off goes on as if it had not been.
package fixmatch

import (
	"fmt"
	"slices"

	"anomalymatch/engine/nn"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck // graph code reads as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// Settings of the algorithm; the defaults and their meaning are in config.toml.
type Settings struct {
	Labelled, Unlabelled int // images a step
	LearningRate         float64
	Momentum             float64
	Nesterov             bool
	WeightDecay          float64
	EMA                  float64
	Cutoff               float64 // a pseudo-label counts from this probability on
	UnlabelledWeight     float64
	Dropout              float64 // of the features before the head
	DropConnect          float64 // of the last residual branch; rises linearly with depth
	BNMomentum           float64
}

// Batch is the input of one step: L labelled, U unlabelled images of size×size pixels in C channels, already augmented.
type Batch struct {
	Size         int
	Labelled     []uint8   // [L,size,size,C]
	Anomaly      []int32   // [L]: 1 = anomaly
	Weak, Strong []uint8   // [U,size,size,C]
	DropKeep     []float32 // [nn.Blocks(), L+2U]
	FeatureKeep  []float32 // [L+2U, nn.Features]
}

// Result of one step, measured before its update.
type Result struct {
	Loss, Sup, Unsup float32
	Kept             float32 // share of the unlabelled whose pseudo-label reached the cut-off
	PseudoAnomaly    float32 // share of all unlabelled that were kept as anomaly
}

// State is all that training carries from step to step.
type State struct {
	Train    nn.Weights // parameters and running statistics
	EMA      nn.Weights // parameters only
	Momentum nn.Weights // parameters only
	Steps    int64      // done so far, over all runs
}

// NewState starts from the given weights (with a head): averages equal to them, no momentum.
func NewState(w nn.Weights) State {
	s := State{Train: w, EMA: nn.Weights{}, Momentum: nn.Weights{}}
	for n, t := range w {
		if nn.Trained(n) {
			s.EMA[n] = t
			s.Momentum[n] = nn.Tensor{Dims: t.Dims, Data: make([]float32, len(t.Data))}
		}
	}
	return s
}

// Scoring returns the weights that score: averaged parameters, newest statistics.
func (s State) Scoring() nn.Weights {
	w := nn.Weights{}
	for n, t := range s.Train {
		w[n] = t
	}
	for n, t := range s.EMA {
		w[n] = t
	}
	return w
}

// Trainer holds the state on a backend and one compiled step. Not for concurrent use.
type Trainer struct {
	set      Settings
	channels int
	on       compute.Backend
	exec     *model.Exec
	store    *model.Store
	steps    int64
}

// NewTrainer puts state on the backend. The step compiles at its first use (about ten seconds with XLA).
func NewTrainer(b compute.Backend, set Settings, state State) (*Trainer, error) {
	if err := state.Train.Check(); err != nil {
		return nil, err
	}
	t := &Trainer{set: set, channels: state.Train.Channels(), on: b, store: model.NewStore(), steps: state.Steps}
	for scope, w := range state.scopes() {
		for name, v := range w {
			if _, err := t.store.CreateVariable("/"+scope+"/"+name, tensors.FromFlatDataAndDimensions(v.Data, v.Dims...)); err != nil {
				return nil, fmt.Errorf("loading tensor %s: %w", name, err)
			}
		}
	}
	var err error
	t.exec, err = model.NewExec(b, t.store, func(_ *model.Scope, in []*Node) []*Node { return t.build(in) })
	if err != nil {
		return nil, fmt.Errorf("building the training step: %w", err)
	}
	return t, nil
}

// build is the whole step as one graph: loss, gradient, SGD, EMA, statistics. in: as inputs returns them. out: [loss, sup, unsup, kept,
// pseudoAnomaly], logits [L+2U,2].
func (t *Trainer) build(in []*Node) []*Node {
	x, y := Concatenate(in[:3], 0), in[3]
	g := x.Graph()
	l, u := t.set.Labelled, t.set.Unlabelled
	value := func(scope, name string) *model.Variable { return t.store.GetVariable("/" + scope + "/" + name) }
	pass := nn.Pass{
		Param: func(name string) *Node { return value("train", name).NodeValue(g) },
		Train: true, XLA: t.on.Name() == "xla", DropKeep: in[4], FeatureKeep: in[5], Momentum: t.set.BNMomentum,
	}
	logits := pass.Forward(nn.Pixels(x)).Logits
	part := func(from, to int) *Node { return Slice(logits, AxisRange(from, to), AxisRange()) }

	sup := ReduceAllMean(crossEntropy(part(0, l), OneHot(y, nn.Classes, dtypes.Float32)))
	weak := StopGradient(Softmax(part(l, l+u)))
	kept := ConvertDType(GreaterOrEqual(ReduceMax(weak, -1), Scalar(g, dtypes.Float32, t.set.Cutoff)), dtypes.Float32)
	pseudo := ArgMax(weak, -1)
	unsup := ReduceAllMean(Mul(kept, crossEntropy(part(l+u, l+2*u), OneHot(pseudo, nn.Classes, dtypes.Float32))))
	loss := Add(sup, MulScalar(unsup, t.set.UnlabelledWeight))
	pseudoAnomaly := ReduceAllMean(Mul(kept, ConvertDType(pseudo, dtypes.Float32)))

	var names []string
	for name := range nn.Shapes(t.channels) {
		if nn.Trained(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the same graph every time
	grads := pass.Gradients(loss, names)
	for _, name := range names {
		grad, p := grads[name], pass.Param(name)
		if nn.Decayed(name) {
			grad = Add(grad, MulScalar(p, t.set.WeightDecay))
		}
		mv, ev := value("momentum", name), value("ema", name)
		m := Add(MulScalar(mv.NodeValue(g), t.set.Momentum), grad)
		if t.set.Nesterov {
			grad = Add(grad, MulScalar(m, t.set.Momentum))
		} else {
			grad = m
		}
		p = Sub(p, MulScalar(grad, t.set.LearningRate))
		mv.SetNodeValue(m)
		value("train", name).SetNodeValue(p)
		ev.SetNodeValue(Add(MulScalar(ev.NodeValue(g), t.set.EMA), MulScalar(p, 1-t.set.EMA)))
	}
	for name, node := range pass.Updates {
		value("train", name).SetNodeValue(node)
	}
	return []*Node{Stack([]*Node{loss, sup, unsup, ReduceAllMean(kept), pseudoAnomaly}, 0), logits}
}

// crossEntropy: logits [n,2], target [n,2] → [n].
func crossEntropy(logits, target *Node) *Node {
	return Neg(ReduceSum(Mul(target, LogSoftmax(logits)), -1))
}

// Serves reports whether what is compiled is what b, set and images of so many channels ask for; then Load makes the trainer what NewTrainer would make.
func (t *Trainer) Serves(b compute.Backend, set Settings, channels int) bool {
	return t.on == b && t.set == set && t.channels == channels
}

// Load goes on from state.
func (t *Trainer) Load(state State) error {
	if err := state.Train.Check(); err != nil {
		return err
	}
	for scope, w := range state.scopes() {
		for name, v := range w {
			variable := t.store.GetVariable("/" + scope + "/" + name)
			if variable == nil {
				return fmt.Errorf("loading tensor %s: the network has none of that name", name)
			}
			if err := variable.SetValue(tensors.FromFlatDataAndDimensions(v.Data, v.Dims...)); err != nil {
				return fmt.Errorf("loading tensor %s: %w", name, err)
			}
		}
	}
	t.steps = state.Steps
	return nil
}

// Step trains on one batch.
func (t *Trainer) Step(b Batch) (Result, error) {
	r, _, err := t.step(b)
	return r, err
}

// step also returns the logits [L+2U,2] of the batch in training mode, before the update.
func (t *Trainer) step(b Batch) (Result, []float32, error) {
	l, u := t.set.Labelled, t.set.Unlabelled
	n, image := l+2*u, b.Size*b.Size*t.channels
	if len(b.Labelled) != l*image || len(b.Weak) != u*image || len(b.Strong) != u*image || len(b.Anomaly) != l ||
		len(b.DropKeep) != nn.Blocks()*n || len(b.FeatureKeep) != n*nn.Features {
		return Result{}, nil, fmt.Errorf("the batch is not %d labelled and %d unlabelled images of %d px in %d channels", l, u, b.Size, t.channels)
	}
	in, err := t.inputs(b)
	if err != nil {
		return Result{}, nil, fmt.Errorf("training step: %w", err)
	}
	out, err := t.exec.Call(in...)
	if err != nil {
		return Result{}, nil, fmt.Errorf("training step: %w", err)
	}
	v, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		return Result{}, nil, err
	}
	logits, err := tensors.CopyFlatData[float32](out[1])
	if err != nil {
		return Result{}, nil, err
	}
	for _, o := range out {
		o.FinalizeAll()
	}
	t.steps++
	return Result{v[0], v[1], v[2], v[3], v[4]}, logits, nil
}

// inputs copies a batch to the device, each part from where the loader made it, and gives it away: the step frees it. Labelled [L,S,S,C], Weak and Strong
// [U,S,S,C] uint8, Anomaly [L] int32, DropKeep [nn.Blocks(),L+2U] and FeatureKeep [L+2U,nn.Features] float32.
func (t *Trainer) inputs(b Batch) ([]any, error) {
	l, u := t.set.Labelled, t.set.Unlabelled
	n := l + 2*u
	var in []any
	for _, part := range []struct {
		flat  any
		shape shapes.Shape
	}{
		{b.Labelled, shapes.Make(dtypes.Uint8, l, b.Size, b.Size, t.channels)},
		{b.Weak, shapes.Make(dtypes.Uint8, u, b.Size, b.Size, t.channels)},
		{b.Strong, shapes.Make(dtypes.Uint8, u, b.Size, b.Size, t.channels)},
		{b.Anomaly, shapes.Make(dtypes.Int32, l)},
		{b.DropKeep, shapes.Make(dtypes.Float32, nn.Blocks(), n)},
		{b.FeatureKeep, shapes.Make(dtypes.Float32, n, nn.Features)},
	} {
		buffer, err := t.on.BufferFromFlatData(0, part.flat, part.shape)
		if err != nil {
			return nil, err
		}
		tensor, err := tensors.FromBuffer(buffer)
		if err != nil {
			return nil, err
		}
		given, err := DonateTensorBuffer(tensor, t.on, 0)
		if err != nil {
			return nil, err
		}
		in = append(in, given)
	}
	return in, nil
}

// State copies everything to host memory.
func (t *Trainer) State() (State, error) {
	s := State{Train: nn.Weights{}, EMA: nn.Weights{}, Momentum: nn.Weights{}, Steps: t.steps}
	for scope, w := range s.scopes() {
		for name, dims := range nn.Shapes(t.channels) {
			v := t.store.GetVariable("/" + scope + "/" + name)
			if v == nil {
				continue
			}
			value, err := v.Value()
			if err != nil {
				return State{}, err
			}
			data, err := tensors.CopyFlatData[float32](value)
			if err != nil {
				return State{}, fmt.Errorf("reading tensor %s: %w", name, err)
			}
			w[name] = nn.Tensor{Dims: dims, Data: data}
		}
	}
	return s, nil
}

// Close frees the backend's memory.
func (t *Trainer) Close() {
	t.exec.Finalize()
	t.store.Finalize()
}
