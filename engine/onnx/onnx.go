// Package onnx writes ONNX model files (github.com/onnx/onnx: IR version 8, operator set 13), as far as a network of convolutions
// needs: one graph with float32 constants. The numbers of the fields are those of its onnx.proto.
package onnx

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	irVersion = 8
	opset     = 13
)

// Type is that of a tensor's elements.
type Type int

const (
	Float32 Type = 1
	Uint8   Type = 2
	int64s  Type = 7
)

// Dim is a dimension: a number, or a name where any number will do.
type Dim struct {
	Size int
	Name string
}

// Attr is an attribute of a node.
type Attr []byte

// Int is an attribute that is one integer.
func Int(name string, v int) Attr {
	a := text(nil, 1, name)
	a = number(a, 3, int64(v))
	return number(a, 20, 2)
}

// Ints is an attribute that is a list of integers.
func Ints(name string, vs ...int) Attr {
	a := text(nil, 1, name)
	for _, v := range vs {
		a = number(a, 8, int64(v))
	}
	return number(a, 20, 7)
}

// Graph is a model that is being made. Values have names, each of which is given once; nodes stand in the order in which they compute.
type Graph struct {
	name                              string
	nodes, constants, inputs, outputs []byte
}

// New begins a graph.
func New(name string) *Graph { return &Graph{name: name} }

// Input is a value that is given at each run.
func (g *Graph) Input(name string, t Type, dims ...Dim) string {
	g.inputs = message(g.inputs, 11, value(name, t, dims))
	return name
}

// Output tells that the named float32 value is wanted.
func (g *Graph) Output(name string, dims ...Dim) {
	g.outputs = message(g.outputs, 12, value(name, Float32, dims))
}

// Floats is a constant; without dims it is a scalar.
func (g *Graph) Floats(name string, data []float32, dims ...int) string {
	raw := make([]byte, 0, 4*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return g.constant(name, Float32, raw, dims)
}

// Shape is a constant list of integers, as operators take shapes.
func (g *Graph) Shape(name string, vs ...int) string {
	var raw []byte
	for _, v := range vs {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return g.constant(name, int64s, raw, []int{len(vs)})
}

// Index is a constant integer.
func (g *Graph) Index(name string, v int) string {
	return g.constant(name, int64s, binary.LittleEndian.AppendUint64(nil, uint64(v)), nil)
}

func (g *Graph) constant(name string, t Type, raw []byte, dims []int) string {
	var m []byte
	for _, d := range dims {
		m = number(m, 1, int64(d))
	}
	m = number(m, 2, int64(t))
	m = text(m, 8, name)
	g.constants = message(g.constants, 5, message(m, 9, raw))
	return name
}

// Node computes a value by an operator from others, and returns its name.
func (g *Graph) Node(op, output string, inputs []string, attrs ...Attr) string {
	var m []byte
	for _, in := range inputs {
		m = text(m, 1, in)
	}
	m = text(m, 2, output)
	m = text(m, 3, output)
	m = text(m, 4, op)
	for _, a := range attrs {
		m = message(m, 5, a)
	}
	g.nodes = message(g.nodes, 1, m)
	return output
}

// Bytes is the file: the same graph and meta give the same bytes. about is for people, meta for programs.
func (g *Graph) Bytes(producer, about string, meta map[string]string) []byte {
	graph := text(slices.Clone(g.nodes), 2, g.name)
	graph = append(append(append(graph, g.constants...), g.inputs...), g.outputs...)
	m := number(nil, 1, irVersion)
	m = text(m, 2, producer)
	m = text(m, 6, about)
	m = message(m, 7, graph)
	m = message(m, 8, number(nil, 2, opset))
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		m = message(m, 14, text(text(nil, 1, k), 2, meta[k]))
	}
	return m
}

func value(name string, t Type, dims []Dim) []byte {
	var shape []byte
	for _, d := range dims {
		var dim []byte
		if d.Name != "" {
			dim = text(nil, 2, d.Name)
		} else {
			dim = number(nil, 1, int64(d.Size))
		}
		shape = message(shape, 1, dim)
	}
	tensor := message(number(nil, 1, int64(t)), 2, shape)
	return message(text(nil, 1, name), 2, message(nil, 1, tensor))
}

func tag(m []byte, field protowire.Number, t protowire.Type) []byte {
	return protowire.AppendTag(m, field, t)
}

func number(m []byte, field protowire.Number, v int64) []byte {
	return protowire.AppendVarint(tag(m, field, protowire.VarintType), uint64(v))
}

func message(m []byte, field protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(tag(m, field, protowire.BytesType), b)
}

func text(m []byte, field protowire.Number, s string) []byte { return message(m, field, []byte(s)) }
