package nn

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/nlpodyssey/safetensors"
)

//go:embed weights/efficientnet_lite0.safetensors
var pretrained []byte

// Tensor is a float32 array in host memory, C order.
type Tensor struct {
	Dims []int
	Data []float32
}

// Weights are tensors by name. The names are those of the pretrained file ("_blocks.3._bn0.running_mean"); convolutions are
// [out, in/groups, kh, kw]; the head is "_fc.weight" [2,1280] and "_fc.bias" [2].
type Weights map[string]Tensor

// Pretrained returns the embedded ImageNet-1k weights of EfficientNet-lite0, without a head, for images of so many channels. Source and licence: NOTICE.
func Pretrained(channels int) (Weights, error) {
	w, _, err := ReadSafetensors(pretrained)
	if err != nil {
		return nil, fmt.Errorf("the embedded network weights: %w", err)
	}
	w[stemName] = adapted(w[stemName], channels)
	return w, nil
}

// stemName is the one tensor that depends on the number of channels.
const stemName = "_conv_stem.weight"

// adapted makes the kernels [out,3,kh,kw] of the stem, trained on RGB, kernels of another number of channels, as timm does (adapt_input_conv in
// timm/models/_manipulate.py): one channel gets their sum, so that it gives what grey in three gives; of others channel c gets the kernel of c mod 3, all scaled by
// 3/channels, so that what comes out is as large. Mean and deviation need none of that: the network has none.
func adapted(rgb Tensor, channels int) Tensor {
	if channels == 3 {
		return rgb
	}
	out, area := rgb.Dims[0], rgb.Dims[2]*rgb.Dims[3]
	t := Tensor{Dims: []int{out, channels, rgb.Dims[2], rgb.Dims[3]}, Data: make([]float32, out*channels*area)}
	for o := range out {
		for i := range area {
			at := func(c int) float32 { return rgb.Data[(o*3+c)*area+i] }
			for c := range channels {
				v := at(c%3) * 3 / float32(channels)
				if channels == 1 {
					v = at(0) + at(1) + at(2)
				}
				t.Data[(o*channels+c)*area+i] = v
			}
		}
	}
	return t
}

// Channels is the number of channels of the images that w is for.
func (w Weights) Channels() int {
	if d := w[stemName].Dims; len(d) == 4 {
		return d[1]
	}
	return 3
}

// FitChannels says why a network for so many channels cannot take images of so many, or nil.
func FitChannels(network, images int) error {
	if network == images {
		return nil
	}
	return fmt.Errorf("the network was trained on images of %d channels, and these have %d: read them as they were read in the training (the setting channels of the sources), or train in a new project", network, images)
}

// NewHead adds a head drawn from U(±1/√1280), PyTorch's default for a linear layer. A larger head makes every unlabelled image
// confident at the first step.
func (w Weights) NewHead(r *rand.Rand) {
	limit := 1 / math.Sqrt(Features)
	draw := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32((2*r.Float64() - 1) * limit)
		}
		return v
	}
	w["_fc.weight"] = Tensor{[]int{Classes, Features}, draw(Classes * Features)}
	w["_fc.bias"] = Tensor{[]int{Classes}, draw(Classes)}
}

// Check reports the first tensor that this architecture needs and w lacks, has in another shape, or fills with NaN or infinity.
func (w Weights) Check() error {
	return w.check(func(string) bool { return true })
}

// CheckTrained is Check of the tensors that are Trained; w may lack the others.
func (w Weights) CheckTrained() error { return w.check(Trained) }

func (w Weights) check(needed func(name string) bool) error {
	shapes := Shapes(w.Channels())
	for _, name := range slices.Sorted(maps.Keys(shapes)) { // the same sentence every time
		if !needed(name) {
			continue
		}
		t, ok := w[name]
		if !ok {
			return fmt.Errorf("tensor %s is missing: these are not weights of %s", name, Architecture)
		}
		if !slices.Equal(t.Dims, shapes[name]) {
			return fmt.Errorf("tensor %s has shape %v, %s needs %v", name, t.Dims, Architecture, shapes[name])
		}
		for _, v := range t.Data {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("tensor %s holds NaN or infinity: the weights are damaged", name)
			}
		}
	}
	return nil
}

// Trained reports whether the named tensor is learned by gradient. Running means and variances are not.
func Trained(name string) bool { return !strings.Contains(name, "running_") }

// Decayed reports whether weight decay applies: not to BatchNorm's parameters, as in the reference.
func Decayed(name string) bool { return !strings.Contains(name, "bn") }

// ReadSafetensors reads the float32 tensors and the metadata of a safetensors file held in b. Tensors of other types are left out. A file that
// WriteSafetensors wrote and whose contents are not what they were is an error.
func ReadSafetensors(b []byte) (w Weights, meta map[string]string, err error) {
	defer func() { // the parser trusts offsets of a damaged header
		if r := recover(); r != nil {
			w, meta, err = nil, nil, fmt.Errorf("damaged safetensors file: %v", r)
		}
	}()
	st, err := safetensors.Deserialize(b)
	if err != nil {
		return nil, nil, fmt.Errorf("damaged safetensors file: %w", err)
	}
	_, md, err := safetensors.ReadMetadata(b)
	if err != nil {
		return nil, nil, fmt.Errorf("damaged safetensors header: %w", err)
	}
	w = Weights{}
	for _, t := range st.Tensors() {
		if t.TensorView.DType() != safetensors.F32 {
			continue
		}
		raw := t.TensorView.Data()
		v := Tensor{Data: make([]float32, len(raw)/4)}
		for _, d := range t.TensorView.Shape() {
			v.Dims = append(v.Dims, int(d))
		}
		for i := range v.Data {
			v.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		w[t.Name] = v
	}
	meta = maps.Clone(md.Metadata())
	if sum, summed := meta[sumKey]; summed {
		delete(meta, sumKey)
		if sum != w.sum(meta) {
			return nil, nil, errors.New("the checksum is wrong: the file is damaged")
		}
	}
	return w, meta, nil
}

// sumKey is the metadata key of the checksum that WriteSafetensors adds. Files of other programs have none.
const sumKey = "crc32c"

// sum is the CRC-32C of all tensors and of meta, by name.
func (w Weights) sum(meta map[string]string) string {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		fmt.Fprintf(sum, "%q=%q\n", name, meta[name])
	}
	for _, name := range slices.Sorted(maps.Keys(w)) {
		fmt.Fprintf(sum, "%q %v\n", name, w[name].Dims)
		sum.Write(view{w[name]}.Data())
	}
	return fmt.Sprintf("%08x", sum.Sum32())
}

// view lends a Tensor to the safetensors writer.
type view struct{ t Tensor }

func (v view) DType() safetensors.DType { return safetensors.F32 }
func (v view) Shape() []uint64 {
	s := make([]uint64, len(v.t.Dims))
	for i, d := range v.t.Dims {
		s[i] = uint64(d)
	}
	return s
}
func (v view) DataLen() uint64 { return uint64(4 * len(v.t.Data)) }
func (v view) Data() []byte {
	b := make([]byte, 0, 4*len(v.t.Data))
	for _, x := range v.t.Data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// WriteSafetensors writes w and meta in the safetensors format (github.com/huggingface/safetensors), and in the metadata a checksum of both.
func WriteSafetensors(out io.Writer, w Weights, meta map[string]string) error {
	views := make(map[string]view, len(w))
	for n, t := range w {
		views[n] = view{t}
	}
	meta = maps.Clone(meta)
	if meta == nil {
		meta = map[string]string{}
	}
	meta[sumKey] = w.sum(meta)
	return safetensors.SerializeToWriter(views, meta, out)
}

// ReadFile reads weights from a safetensors file.
func ReadFile(path string) (Weights, map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	return ReadSafetensors(b)
}

// ReadMetadata reads the metadata of a safetensors file, and not the tensors.
func ReadMetadata(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const most = 16 << 20 // of a header; ours take 100 kB
	var n uint64
	if err := binary.Read(f, binary.LittleEndian, &n); err != nil || n > most {
		return nil, errors.New("damaged safetensors header")
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, errors.New("damaged safetensors header")
	}
	var h struct {
		Metadata map[string]string `json:"__metadata__"`
	}
	if err := json.Unmarshal(head, &h); err != nil {
		return nil, fmt.Errorf("damaged safetensors header: %w", err)
	}
	return h.Metadata, nil
}
