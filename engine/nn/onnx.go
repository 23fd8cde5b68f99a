package nn

import (
	"fmt"
	"math"
	"slices"

	"anomalymatch/engine/onnx"
)

// Names of values in the files that ONNX writes.
const (
	InputPixels     = "pixels"    // uint8 [images,size,size,channels]; three are RGB
	OutputScore     = "score"     // [images], the probability of anomaly
	OutputLogits    = "logits"    // [images,Classes]
	OutputFeatures  = "features"  // [images,Features]
	OutputEmbedding = "embedding" // [images,EmbeddingSize]
)

// ONNX returns the network with these weights in evaluation mode as an ONNX file for images of size×size pixels, any number at once, with
// the outputs that are wanted; a runtime computes all that a file has. It says what Pass.Forward says, in the form that ONNX Runtime is
// fast at on CPUs: NCHW, BatchNorm and the division by 255 folded into the 49 convolutions, ReLU6 as Clip, which becomes a part of the
// convolution before it (as Max and Min it does not, and layers are reordered in between: 1.6 times as slow). A test holds both together.
func (w Weights) ONNX(size int, about string, meta map[string]string, outputs ...string) ([]byte, error) {
	w = w.withHead()
	if err := w.Check(); err != nil {
		return nil, err
	}
	if size < 1 {
		return nil, fmt.Errorf("images of %d pixels do not exist", size)
	}
	g := &exported{Graph: onnx.New(Architecture), w: w}
	images := onnx.Dim{Name: "images"}
	side := onnx.Dim{Size: size}
	g.zero, g.six = g.Floats("zero", []float32{0}), g.Floats("six", []float32{6})
	x := g.Input(InputPixels, onnx.Uint8, images, side, side, onnx.Dim{Size: w.Channels()})
	x = g.Node("Transpose", "planes", []string{x}, onnx.Ints("perm", 0, 3, 1, 2)) // as bytes: a quarter of the memory
	x = g.Node("Cast", "values", []string{x}, onnx.Int("to", int(onnx.Float32)))

	var taps []string
	embed := slices.Contains(outputs, OutputEmbedding)
	tap := func(x string, channels, side int) {
		if embed {
			taps = append(taps, g.spatialMeans(x, channels, side))
		}
	}
	x, side2 := g.conv(x, "_conv_stem", "_bn0", size, layer{kernel: 3, stride: 2, high: 1, groups: 1, scale: 1. / 255, clip: true})
	for i, b := range blocks {
		x, side2 = g.block(x, i, b, side2)
		if slices.Contains(TapBlocks, i) {
			tap(x, b.out, side2)
		}
	}
	x, side2 = g.conv(x, "_conv_head", "_bn1", side2, pointwise(true))
	tap(x, Features, side2)

	if slices.ContainsFunc(outputs, func(o string) bool { return o != OutputEmbedding }) {
		f := g.Node("Flatten", OutputFeatures, []string{g.Node("GlobalAveragePool", "pooled", []string{x})}, onnx.Int("axis", 1))
		weight, bias := w["_fc.weight"], w["_fc.bias"]
		l := g.Node("Gemm", OutputLogits, []string{f, g.Floats("_fc.weight", weight.Data, weight.Dims...), g.Floats("_fc.bias", bias.Data, bias.Dims...)}, onnx.Int("transB", 1))
		if slices.Contains(outputs, OutputScore) {
			p := g.Node("Softmax", "probabilities", []string{l}, onnx.Int("axis", 1))
			g.Node("Gather", OutputScore, []string{p, g.Index("anomaly", 1)}, onnx.Int("axis", 1))
		}
	}
	if embed { // [images,TapSize,2]: the centre's mean and the mean lie side by side
		all := g.Node("Transpose", "means", []string{g.Node("Concat", "taps", taps, onnx.Int("axis", 1))}, onnx.Ints("perm", 0, 2, 1))
		g.Node("Reshape", OutputEmbedding, []string{all, g.Shape("embedding_shape", 0, EmbeddingSize)})
	}
	for _, o := range outputs {
		switch width := map[string]int{OutputLogits: Classes, OutputFeatures: Features, OutputEmbedding: EmbeddingSize}[o]; {
		case o == OutputScore:
			g.Output(o, images)
		case width > 0:
			g.Output(o, images, onnx.Dim{Size: width})
		default:
			return nil, fmt.Errorf("the network has no output %q", o)
		}
	}
	return g.Bytes("anomalymatch", about, meta), nil
}

// withHead returns w, with a head of zeros where it has none.
func (w Weights) withHead() Weights {
	if _, ok := w["_fc.weight"]; ok {
		return w
	}
	with := Weights{"_fc.weight": {[]int{Classes, Features}, make([]float32, Classes*Features)}, "_fc.bias": {[]int{Classes}, make([]float32, Classes)}}
	for n, t := range w {
		with[n] = t
	}
	return with
}

// exported is the network being written.
type exported struct {
	*onnx.Graph
	w         Weights
	zero, six string
}

// layer is a convolution with its BatchNorm.
type layer struct {
	kernel, stride, low, high, groups int
	scale                             float64 // of the input
	clip                              bool    // ReLU6 behind it
}

func pointwise(clip bool) layer { return layer{kernel: 1, stride: 1, groups: 1, scale: 1, clip: clip} }

// conv: [B,in,side,side] → [B,out,side',side']; side' is returned too.
func (g *exported) conv(x, name, norm string, side int, l layer) (string, int) {
	kernel, bias := g.w.folded(name+".weight", norm, l.scale)
	out := g.Node("Conv", name, []string{x, g.Floats(name+".weight", kernel.Data, kernel.Dims...), g.Floats(name+".bias", bias, len(bias))},
		onnx.Ints("kernel_shape", l.kernel, l.kernel), onnx.Ints("strides", l.stride, l.stride), onnx.Ints("pads", l.low, l.low, l.high, l.high), onnx.Int("group", l.groups))
	if l.clip {
		out = g.Node("Clip", name+".relu6", []string{out, g.zero, g.six})
	}
	return out, (side+l.low+l.high-l.kernel)/l.stride + 1
}

// block: [B,in,side,side] → [B,out,side',side'].
func (g *exported) block(in string, i int, b block, side int) (string, int) {
	name := fmt.Sprintf("_blocks.%d.", i)
	x := in
	if b.expand > 1 {
		x, side = g.conv(x, name+"_expand_conv", name+"_bn0", side, pointwise(true))
	}
	x, side = g.conv(x, name+"_depthwise_conv", name+"_bn1", side, layer{b.kernel, b.stride, b.padLow, b.padHigh, b.in * b.expand, 1, true})
	x, side = g.conv(x, name+"_project_conv", name+"_bn2", side, pointwise(false))
	if b.residual() {
		x = g.Node("Add", name+"sum", []string{x, in})
	}
	return x, side
}

// spatialMeans: [B,C,side,side] → [B,C,2], the mean around the centre and the mean.
func (g *exported) spatialMeans(x string, channels, side int) string {
	rows := centreWeights(side)
	weights := make([]float32, 0, 2*side*side)
	for _, a := range rows {
		for _, b := range rows {
			weights = append(weights, a*b, 1/float32(side*side))
		}
	}
	flat := g.Node("Reshape", x+".flat", []string{x, g.Shape(x+".shape", 0, channels, side*side)})
	return g.Node("MatMul", x+".means", []string{flat, g.Floats(x+".places", weights, side*side, 2)})
}

// folded returns the kernel and bias of a convolution and the BatchNorm behind it, for an input that is scaled.
func (w Weights) folded(conv, norm string, scale float64) (Tensor, []float32) {
	kernel := w[conv]
	gain, shift := w[norm+".weight"].Data, w[norm+".bias"].Data
	mean, variance := w[norm+".running_mean"].Data, w[norm+".running_var"].Data
	out := Tensor{Dims: kernel.Dims, Data: make([]float32, len(kernel.Data))}
	bias := make([]float32, len(gain))
	each := len(kernel.Data) / len(gain)
	for c := range gain {
		f := float64(gain[c]) / math.Sqrt(float64(variance[c])+bnEps)
		bias[c] = float32(float64(shift[c]) - float64(mean[c])*f)
		for i := c * each; i < (c+1)*each; i++ {
			out.Data[i] = float32(float64(kernel.Data[i]) * f * scale)
		}
	}
	return out, bias
}

// Folded are the weights with BatchNorm folded into the convolutions before it, and the division of pixels by 255 into the first one: what is left of
// BatchNorm is the bias, under its name. The head stays.
func (w Weights) Folded() Weights {
	out := Weights{"_fc.weight": w["_fc.weight"], "_fc.bias": w["_fc.bias"]}
	fold := func(conv, norm string, scale float64) {
		kernel, bias := w.folded(conv+".weight", norm, scale)
		out[conv+".weight"], out[norm+".bias"] = kernel, Tensor{[]int{len(bias)}, bias}
	}
	fold("_conv_stem", "_bn0", 1./255)
	for i, b := range blocks {
		name := fmt.Sprintf("_blocks.%d.", i)
		if b.expand > 1 {
			fold(name+"_expand_conv", name+"_bn0", 1)
		}
		fold(name+"_depthwise_conv", name+"_bn1", 1)
		fold(name+"_project_conv", name+"_bn2", 1)
	}
	fold("_conv_head", "_bn1", 1)
	return out
}
