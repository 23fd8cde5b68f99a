// Package nn is EfficientNet-lite0 (Tan & Le 2019; the lite variant has no squeeze-excite and ReLU6 throughout) with two outputs,
// written in GoMLX, and the ImageNet weights it starts from.
//
// Inputs are in [0,1] without mean or deviation, NHWC: RGB, or any number of channels that the stem's weights have (Pretrained). Padding is that of the reference package: TF "SAME" worked out for
// 224 px and used unchanged at every size. Layers are written so that each backend can differentiate and run them fast: pointwise
// convolutions as matrix products, depthwise ones as k×k shifted multiply-adds, the stem as im2col and a matrix product. To infer, BatchNorm is folded
// into the convolutions (Weights.Folded), and the form of the layers is the backend's (Form).
package nn

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck // graph code reads as formulas
	timage "github.com/gomlx/gomlx/core/tensors/images"
)

const (
	Architecture = "efficientnet-lite0"
	Features     = 1280 // values after the global average pool
	Classes      = 2    // normal, anomaly
	bnEps        = 1e-3
)

type block struct {
	kernel, stride, expand, in, out int
	padLow, padHigh                 int
}

func (b block) residual() bool { return b.stride == 1 && b.in == b.out }

var blocks = func() []block {
	var bs []block
	in := 32
	for _, g := range []struct{ repeat, kernel, stride, expand, out int }{
		{1, 3, 1, 1, 16}, {2, 3, 2, 6, 24}, {2, 5, 2, 6, 40}, {3, 3, 2, 6, 80}, {3, 5, 1, 6, 112}, {4, 5, 2, 6, 192}, {1, 3, 1, 6, 320},
	} {
		for r := range g.repeat {
			b := block{kernel: g.kernel, stride: 1, expand: g.expand, in: in, out: g.out}
			b.padLow, b.padHigh = (g.kernel-1)/2, (g.kernel-1)/2
			if r == 0 && g.stride == 2 { // an even input padded to halve exactly: one less in front
				b.stride = 2
				b.padLow--
			}
			bs = append(bs, b)
			in = g.out
		}
	}
	return bs
}()

// Blocks is the number of inverted-residual blocks, the first dimension of drop-connect noise.
func Blocks() int { return len(blocks) }

// TapBlocks are the blocks whose outputs, with that of the head convolution, make the embedding.
var TapBlocks = []int{0, 2, 4, 7, 10, 14, 15}

// TapChannels are the channels of each of TapBlocks and, last, of the head convolution.
func TapChannels() []int {
	var out []int
	for _, i := range TapBlocks {
		out = append(out, blocks[i].out)
	}
	return append(out, Features)
}

// TapSize is the number of channels of TapBlocks and the head convolution together. An embedding has two values of each channel:
// first all means around the centre, then all means over the whole image, so that the last Features values are the features.
var TapSize = func() int {
	n := Features
	for _, b := range TapBlocks {
		n += blocks[b].out
	}
	return n
}()

// EmbeddingSize is the number of values of an image's embedding.
var EmbeddingSize = 2 * TapSize

// centreSigma is the width of the Gaussian around the centre, in sides of the image: two thirds of its weight lie in the middle
// third of each side.
const centreSigma = 0.18

// Shapes lists every tensor of the network for images of so many channels, head included.
func Shapes(channels int) map[string][]int {
	s := map[string][]int{stemName: {32, channels, 3, 3}, "_conv_head.weight": {Features, 320, 1, 1}, "_fc.weight": {Classes, Features}, "_fc.bias": {Classes}}
	bn := func(name string, c int) {
		for _, p := range []string{"weight", "bias", "running_mean", "running_var"} {
			s[name+"."+p] = []int{c}
		}
	}
	bn("_bn0", 32)
	bn("_bn1", Features)
	for i, b := range blocks {
		p := fmt.Sprintf("_blocks.%d.", i)
		mid := b.in * b.expand
		if b.expand > 1 {
			s[p+"_expand_conv.weight"] = []int{mid, b.in, 1, 1}
			bn(p+"_bn0", mid)
		}
		s[p+"_depthwise_conv.weight"] = []int{mid, 1, b.kernel, b.kernel}
		bn(p+"_bn1", mid)
		s[p+"_project_conv.weight"] = []int{b.out, mid, 1, 1}
		bn(p+"_bn2", b.out)
	}
	return s
}

// Pass is one forward pass being built.
type Pass struct {
	Param func(name string) *Node // the node of a named tensor
	Train bool                    // batch statistics instead of running ones
	XLA   bool                    // in training, the gradients that XLA's CPU code is fast at: see filterGradient
	// Folded says that the parameters are those of Weights.Folded, for pixels from 0 to 255. Not in training.
	Folded bool
	Form   Form // not in training
	// BFloat16 rounds what goes into the matrix products of pointwise convolutions; their sums and all else stay in float32. (With the depthwise ones too the
	// features' mean square error is ten times as large, and the ranking's correlation 0.992 instead of 0.999.) Not in training.
	BFloat16 bool
	// DropKeep [blocks, batch] and FeatureKeep [batch, 1280] multiply the residual branches and the features: 0 where dropped,
	// 1/keep elsewhere. nil: nothing is dropped.
	DropKeep, FeatureKeep *Node
	Momentum              float64          // of BatchNorm's running statistics
	Updates               map[string]*Node // new running statistics, filled in training
	derived               []derived        // filled in training
}

// derived is a part of a pass whose parameters' gradients are not the library's: they follow from the gradient of its output.
type derived struct {
	out       *Node
	names     []string              // of the parameters
	gradients func(v *Node) []*Node // of the parameters, from the gradient of out
}

// Gradients returns the gradient of loss, which is made of the outputs of a pass in training, for each of the named parameters.
func (p *Pass) Gradients(loss *Node, names []string) map[string]*Node {
	var of []*Node
	grads := map[string]*Node{}
	for _, d := range p.derived {
		of = append(of, d.out)
		for _, name := range d.names {
			grads[name] = nil
		}
	}
	var direct []string
	for _, name := range names {
		if _, ok := grads[name]; !ok {
			direct = append(direct, name)
			of = append(of, p.Param(name))
		}
	}
	all := Gradient(loss, of...)
	for i, d := range p.derived {
		for j, g := range d.gradients(all[i]) {
			grads[d.names[j]] = g
		}
	}
	for i, name := range direct {
		grads[name] = all[len(p.derived)+i]
	}
	return grads
}

// Output of a forward pass.
type Output struct {
	Logits    *Node // [B,2]
	Features  *Node // [B,1280] after the global average pool
	Embedding *Node // [B,EmbeddingSize] centre means of TapBlocks and head, then their means; the last are the features
}

// Forward builds the network on x [B,H,W,channels] float32 in [0,1], or where the parameters are folded uint8.
func (p *Pass) Forward(x *Node) Output {
	if p.Updates == nil {
		p.Updates = map[string]*Node{}
	}
	var centres, means []*Node
	if p.Folded {
		x = ConvertDType(x, dtypes.Float32)
	}
	x = relu6(p.norm(p.stem(x), "_bn0"))
	for i, b := range blocks {
		x = p.block(x, i, b)
		for _, t := range TapBlocks {
			if t == i {
				centres, means = append(centres, centreMean(x)), append(means, ReduceMean(x, 1, 2))
			}
		}
	}
	x = relu6(p.norm(p.pointwise(x, "_conv_head.weight"), "_bn1"))
	features := ReduceMean(x, 1, 2)
	dropped := features
	if p.FeatureKeep != nil {
		dropped = Mul(features, p.FeatureKeep)
	}
	logits := Add(DotGeneral(dropped, []int{1}, nil, p.Param("_fc.weight"), []int{1}, nil), ExpandDims(p.Param("_fc.bias"), 0))
	return Output{Logits: logits, Features: features, Embedding: Concatenate(append(append(centres, centreMean(x)), append(means, features)...), 1)}
}

// centreMean: [B,H,W,C] → [B,C], the mean weighted by a Gaussian around the centre. Cut-outs have what they were cut out for in the
// middle.
func centreMean(x *Node) *Node {
	d := x.Shape().Dimensions
	rows := Reshape(Const(x.Graph(), centreWeights(d[1])), 1, d[1], 1, 1)
	columns := Reshape(Const(x.Graph(), centreWeights(d[2])), 1, 1, d[2], 1)
	return ReduceSum(Mul(Mul(x, rows), columns), 1, 2)
}

// centreWeights is the Gaussian along one side of n pixels; its sum is 1.
func centreWeights(n int) []float32 {
	w, sum := make([]float32, n), float32(0)
	for i := range w {
		c := (float64(i)+0.5)/float64(n) - 0.5
		w[i] = float32(math.Exp(-c * c / (2 * centreSigma * centreSigma)))
		sum += w[i]
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

// block: [B,H,W,in] → [B,H/stride,W/stride,out].
func (p *Pass) block(x *Node, i int, b block) *Node {
	name := fmt.Sprintf("_blocks.%d.", i)
	in := x
	if b.expand > 1 {
		x = relu6(p.norm(p.pointwise(x, name+"_expand_conv.weight"), name+"_bn0"))
	}
	x = relu6(p.norm(p.depthwise(x, b, name+"_depthwise_conv.weight"), name+"_bn1"))
	x = p.norm(p.pointwise(x, name+"_project_conv.weight"), name+"_bn2")
	if !b.residual() {
		return x
	}
	if p.DropKeep != nil && i > 0 {
		keep := Slice(p.DropKeep, AxisElem(i), AxisRange())
		x = Mul(x, Reshape(keep, -1, 1, 1, 1))
	}
	return Add(x, in)
}

// stem: [B,H,W,channels] → [B,H/2,W/2,32], 3×3 stride 2.
func (p *Pass) stem(x *Node) *Node {
	d := x.Shape().Dimensions
	if p.Form.Stem == Convolution {
		f := TransposeAllDims(p.Param(stemName), 2, 3, 1, 0)
		return Convolve(x, f).Strides(2).PaddingPerDim([][2]int{{0, 1}, {0, 1}}).Done()
	}
	h, w := (d[1]+1-3)/2+1, (d[2]+1-3)/2+1
	x = pad(x, 0, 1)
	var cols []*Node
	for i := range 3 {
		for j := range 3 {
			cols = append(cols, shifted(x, i, j, h, w, 2))
		}
	}
	k := Reshape(TransposeAllDims(p.Param(stemName), 2, 3, 1, 0), 9*d[3], 32)
	return Reshape(Dot(Reshape(Concatenate(cols, 3), -1, 9*d[3]), k).Product(), d[0], h, w, 32)
}

// pointwise: [B,H,W,in] → [B,H,W,out], a 1×1 convolution.
func (p *Pass) pointwise(x *Node, name string) *Node {
	w := p.Param(name) // [out,in,1,1]
	out, in := w.Shape().Dimensions[0], w.Shape().Dimensions[1]
	d := x.Shape().Dimensions
	k := Transpose(Reshape(w, out, in), 0, 1)
	x = Reshape(x, -1, in)
	if !p.BFloat16 {
		return Reshape(Dot(x, k).Product(), d[0], d[1], d[2], out)
	}
	low := func(x *Node) *Node { return ConvertDType(x, dtypes.BFloat16) }
	return Reshape(Dot(low(x), low(k)).WithOutputDType(dtypes.Float32).Product(), d[0], d[1], d[2], out)
}

// depthwise: [B,H,W,C] → [B,H',W',C], one k×k filter a channel.
func (p *Pass) depthwise(x *Node, b block, name string) *Node {
	d := x.Shape().Dimensions
	c, k := d[3], b.kernel
	h, w := (d[1]+b.padLow+b.padHigh-k)/b.stride+1, (d[2]+b.padLow+b.padHigh-k)/b.stride+1
	f := TransposeAllDims(p.Param(name), 2, 3, 1, 0) // [k,k,1,C]
	tap := func(i, j int) *Node {
		return Reshape(Slice(f, AxisElem(i), AxisElem(j), AxisRange(), AxisRange()), 1, 1, 1, c)
	}
	grouped := func(c *ConvolutionBuilder) *Node {
		c = c.Strides(b.stride).PaddingPerDim([][2]int{{b.padLow, b.padHigh}, {b.padLow, b.padHigh}}).ChannelGroupCount(d[3])
		return c.Done()
	}
	switch {
	case p.Train:
	case p.Form.Depthwise == Convolution:
		return grouped(Convolve(x, f))
	case p.Form.Depthwise == Planes:
		return TransposeAllDims(grouped(Convolve(TransposeAllDims(x, 0, 3, 1, 2), p.Param(name)).ChannelsAxis(timage.ChannelsFirst)), 0, 2, 3, 1)
	}
	var terms []*Node
	if p.Train || p.Form.Depthwise == Slices {
		x = pad(x, b.padLow, b.padHigh)
		for i := range k {
			for j := range k {
				if b.reaches(i, d[1], h) && b.reaches(j, d[2], w) { // other terms are zero
					terms = append(terms, Mul(shifted(x, i, j, h, w, b.stride), tap(i, j)))
				}
			}
		}
		out := sum(terms)
		if p.Train && p.XLA {
			p.derived = append(p.derived, derived{out, []string{name}, func(v *Node) []*Node { return []*Node{b.filterGradient(x, v)} }})
		}
		return out
	}
	// Pad instead of Slice: nine times as fast in XLA's CPU code (64 px, 2 cores), half as fast on the Go backend, and without a
	// gradient. Crop and stride come at the end.
	zero := ScalarZero(x.Graph(), x.DType())
	for i := range k {
		for j := range k {
			terms = append(terms, Pad(Mul(x, tap(i, j)), zero, PadAxis{}, PadAxis{Start: k - 1 - i, End: i}, PadAxis{Start: k - 1 - j, End: j}))
		}
	}
	first := k - 1 - b.padLow
	return shifted(sum(terms), first, first, h, w, b.stride)
}

// reaches reports whether tap i sees any of n pixels of an axis with h outputs, not padding alone: on small images the outer taps of a 5×5 filter do not.
func (b block) reaches(i, n, h int) bool {
	for k := range h {
		if at := i + k*b.stride - b.padLow; at >= 0 && at < n {
			return true
		}
	}
	return false
}

// filterGradient returns the gradient of the filters [C,1,k,k] from the padded input [B,H,W,C] and the gradient of the output
// [B,H',W',C]: for each of the k×k places the sum over (B,H',W') of a product. XLA's CPU code is slow to sum over leading axes, and
// slower when it draws the making of the products into that loop. So up to sixteen products are added up first, and the stack of all
// partial sums keeps the loops apart: 4 to 15 times as fast.
func (b block) filterGradient(padded, out *Node) *Node {
	d, in := out.Shape().Dimensions, padded.Shape().Dimensions
	rows, columns := divisor(d[1], 4), divisor(d[2], 4)
	h, w := d[1]/rows, d[2]/columns
	// every takes h×w pixels from (i,j) on.
	every := func(x *Node, i, j, stride int) *Node {
		down, right := rows*stride, columns*stride
		return Slice(x, AxisRange(), AxisRange(i, i+(h-1)*down+1).Stride(down), AxisRange(j, j+(w-1)*right+1).Stride(right), AxisRange())
	}
	var partial []*Node
	sees := func(i, j int) bool {
		pads := b.padLow + b.padHigh
		return b.reaches(i, in[1]-pads, d[1]) && b.reaches(j, in[2]-pads, d[2])
	}
	for i := range b.kernel {
		for j := range b.kernel {
			if !sees(i, j) {
				continue
			}
			var products []*Node
			for r := range rows {
				for q := range columns {
					products = append(products, Mul(every(out, r, q, 1), every(padded, r*b.stride+i, q*b.stride+j, b.stride)))
				}
			}
			partial = append(partial, Reshape(sum(products), d[0]*h*w, d[3]))
		}
	}
	sums := ReduceSum(Stack(partial, 0), 1)
	if len(partial) < b.kernel*b.kernel {
		var all []*Node
		n := 0
		for i := range b.kernel {
			for j := range b.kernel {
				if !sees(i, j) {
					all = append(all, Zeros(out.Graph(), shapes.Make(dtypes.Float32, 1, d[3])))
					continue
				}
				all = append(all, Slice(sums, AxisRange(n, n+1)))
				n++
			}
		}
		sums = Concatenate(all, 0)
	}
	return Reshape(Transpose(sums, 0, 1), d[3], 1, b.kernel, b.kernel)
}

// sum adds up.
func sum(xs []*Node) *Node {
	s := xs[0]
	for _, x := range xs[1:] {
		s = Add(s, x)
	}
	return s
}

// divisor returns the largest divisor of n up to most.
func divisor(n, most int) int {
	d := min(n, most)
	for n%d > 0 {
		d--
	}
	return d
}

// norm is BatchNorm over all but the last axis. In training the gradient flows through the batch statistics, which the library's
// own layer stops; running variance takes the unbiased estimate, normalisation the biased one, as PyTorch does.
func (p *Pass) norm(x *Node, name string) *Node {
	c := x.Shape().Dimensions[3]
	row := func(n *Node) *Node { return Reshape(n, 1, 1, 1, c) }
	if p.Folded {
		return Add(x, row(p.Param(name+".bias")))
	}
	gain, bias := p.Param(name+".weight"), p.Param(name+".bias")
	mean, variance := p.Param(name+".running_mean"), p.Param(name+".running_var")
	if !p.Train {
		scale := Mul(gain, Reciprocal(Sqrt(AddScalar(variance, bnEps))))
		return Add(Mul(x, row(scale)), row(Sub(bias, Mul(mean, scale))))
	}
	n := float64(x.Shape().Size() / c)
	// Image by image first: one float32 sum over all pixels of a batch loses digits (median error of the gradients tenfold).
	channelMean := func(x *Node) *Node { return ReduceMean(ReduceMean(x, 1, 2), 0) }
	batchMean := StopGradient(channelMean(x))
	centred := Sub(x, row(batchMean))
	batchVar := StopGradient(channelMean(Square(centred)))
	keep := 1 - p.Momentum
	p.Updates[name+".running_mean"] = Add(MulScalar(mean, keep), MulScalar(batchMean, p.Momentum))
	p.Updates[name+".running_var"] = Add(MulScalar(variance, keep), MulScalar(batchVar, p.Momentum*n/(n-1)))
	// A true division: XLA's CPU code works out a product again for each of the k×k places of the convolution before or behind it.
	unit := Div(centred, row(Sqrt(AddScalar(batchVar, bnEps))))
	// The way through the statistics (Ioffe & Szegedy 2015) needs the means that the parameters' gradients are made of.
	out := IdentityWithCustomGradient(Add(Mul(unit, row(StopGradient(gain))), row(StopGradient(bias))), func(_, v *Node) *Node {
		return Sub(v, Add(row(channelMean(v)), Mul(unit, row(channelMean(Mul(v, unit))))))
	})
	p.derived = append(p.derived, derived{out, []string{name + ".weight", name + ".bias"}, func(v *Node) []*Node {
		return []*Node{MulScalar(channelMean(Mul(v, unit)), n), MulScalar(channelMean(v), n)}
	}})
	return out
}

// relu6 is written with min and max because Clamp has no gradient.
func relu6(x *Node) *Node { return MinScalar(MaxScalar(x, 0), 6) }

// shifted takes every stride-th pixel of x from (i,j) on: [B,h,w,C].
func shifted(x *Node, i, j, h, w, stride int) *Node {
	return Slice(x, AxisRange(), AxisRange(i, i+(h-1)*stride+1).Stride(stride), AxisRange(j, j+(w-1)*stride+1).Stride(stride), AxisRange())
}

// pad puts zeros around the two spatial axes by concatenation, because Pad has no gradient.
func pad(x *Node, low, high int) *Node {
	for _, axis := range []int{1, 2} {
		zeros := func(n int) *Node {
			d := append([]int{}, x.Shape().Dimensions...)
			d[axis] = n
			return Zeros(x.Graph(), shapes.Make(x.DType(), d...))
		}
		parts := []*Node{x}
		if low > 0 {
			parts = append([]*Node{zeros(low)}, parts...)
		}
		if high > 0 {
			parts = append(parts, zeros(high))
		}
		if len(parts) > 1 {
			x = Concatenate(parts, axis)
		}
	}
	return x
}

// Pixels turns uint8 pixels [B,H,W,channels] into the network's input.
func Pixels(x *Node) *Node { return DivScalar(ConvertDType(x, dtypes.Float32), 255) }
