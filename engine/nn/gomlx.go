package nn

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"anomalymatch/engine/runtime"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// goMLX is the network as Pass.Forward defines it, on one device.
type goMLX struct {
	on     runtime.Opened
	device compute.DeviceNum
	form   Form
	names  []string // of the weights, in the order in which programs take them
	args   []any    // nil for the pixels, then the weights
	alone  sync.Mutex
}

func newGoMLX(on runtime.Opened, w Weights, device compute.DeviceNum, f Form) (*goMLX, error) {
	if f == (Form{}) {
		f = formFor(on.Name)
	}
	w = w.Folded()
	m := &goMLX{on: on, device: device, form: f, names: slices.Sorted(maps.Keys(w)), args: []any{nil}}
	for _, name := range m.names {
		m.args = append(m.args, tensors.FromFlatDataAndDimensions(w[name].Data, w[name].Dims...))
	}
	return m, nil
}

// program is what a graph of the network depends on beside the shape of its input. The weights are arguments, so that it is compiled once for all of them and for
// all devices of a backend, and is there for the next cycle.
type program struct {
	backend  compute.Backend
	form     Form
	bfloat16 bool
	want     part
}

var (
	programsMu sync.Mutex
	programs   = map[program]*graph.Exec{}
)

func (m *goMLX) program(want part) (*graph.Exec, error) {
	key := program{m.on.Backend, m.form, m.on.BFloat16, want}
	programsMu.Lock()
	defer programsMu.Unlock()
	if e := programs[key]; e != nil {
		return e, nil
	}
	names := m.names
	e, err := graph.NewExec(key.backend, func(in []*graph.Node) []*graph.Node {
		params := make(map[string]*graph.Node, len(names))
		for i, name := range names {
			params[name] = in[1+i]
		}
		p := Pass{Folded: true, Form: key.form, BFloat16: key.bfloat16, Param: func(name string) *graph.Node { return params[name] }}
		o := p.Forward(in[0])
		var out []*graph.Node
		if want.logits {
			out = append(out, o.Logits)
		}
		if want.embedding {
			out = append(out, o.Embedding)
		}
		return out
	})
	if err != nil {
		return nil, fmt.Errorf("building the network: %w", err)
	}
	e.SetMaxCache(-1)
	programs[key] = e
	return e, nil
}

func (m *goMLX) run(pix []uint8, n, size int, want part) (r Result, err error) {
	e, err := m.program(want)
	if err != nil {
		return Result{}, err
	}
	if m.on.Name == "go" { // whose batches take all cores
		m.alone.Lock()
		defer m.alone.Unlock()
	}
	x := tensors.FromFlatDataAndDimensions(pix, n, size, size, len(pix)/(n*size*size))
	defer x.FinalizeAll()
	args := slices.Clone(m.args)
	args[0] = x
	out, err := e.CallOnDevice(m.device, args...)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		for _, t := range out {
			t.FinalizeAll()
		}
	}()
	take := func(wanted bool, to *[]float32) {
		if wanted && err == nil {
			*to, err = tensors.CopyFlatData[float32](out[0])
			out[0].FinalizeAll()
			out = out[1:]
		}
	}
	take(want.logits, &r.Logits)
	take(want.embedding, &r.Embedding)
	return r, err
}

func (m *goMLX) close() {
	for _, a := range m.args[1:] {
		a.(*tensors.Tensor).FinalizeAll()
	}
}
