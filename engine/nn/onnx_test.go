package nn

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/runtime"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields are those of a protobuf message by number, in order: numbers, or bytes of what is text or a message.
func fields(t *testing.T, m []byte) (numbers map[int][]uint64, parts map[int][][]byte) {
	t.Helper()
	numbers, parts = map[int][]uint64{}, map[int][][]byte{}
	for len(m) > 0 {
		field, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		m = m[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(m)
			if n < 0 {
				t.Fatal(protowire.ParseError(n))
			}
			numbers[int(field)], m = append(numbers[int(field)], v), m[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(m)
			if n < 0 {
				t.Fatal(protowire.ParseError(n))
			}
			parts[int(field)], m = append(parts[int(field)], v), m[n:]
		default:
			t.Fatalf("field %d has the wire type %d, which the writer does not use", field, kind)
		}
	}
	return numbers, parts
}

// withRandomHead are the pretrained weights with a head.
func withRandomHead(t testing.TB) Weights {
	t.Helper()
	w, err := Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	return w
}

func pixels(n, size int) []uint8 {
	r := rand.New(rand.NewPCG(3, uint64(size)))
	pix := make([]uint8, n*size*size*3)
	for i := range pix {
		pix[i] = uint8(r.Uint32())
	}
	return pix
}

// TestONNXFile reads what was written by the rules of onnx.proto.
func TestONNXFile(t *testing.T) {
	w := withRandomHead(t)
	outputs := []string{OutputScore, OutputLogits, OutputFeatures, OutputEmbedding}
	meta := map[string]string{"size": "64", "cycle": "3"}
	file, err := w.ONNX(64, "about it", meta, outputs...)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.ONNX(64, "about it", maps.Clone(meta), outputs...)
	if err != nil || !bytes.Equal(file, again) {
		t.Errorf("the same network gives another file: %v", err)
	}
	version, model := fields(t, file)
	if version[1][0] != 8 || string(model[2][0]) != "anomalymatch" || string(model[6][0]) != "about it" || len(model[14]) != 2 {
		t.Errorf("IR version %d, producer %q, about %q, %d metadata", version[1][0], model[2][0], model[6][0], len(model[14]))
	}
	if set, _ := fields(t, model[8][0]); set[2][0] != 13 {
		t.Errorf("operator set %d", set[2][0])
	}
	_, graph := fields(t, model[7][0])

	known := map[string]bool{}
	for _, in := range graph[11] {
		_, v := fields(t, in)
		known[string(v[1][0])] = true
	}
	if !maps.Equal(known, map[string]bool{InputPixels: true}) {
		t.Errorf("inputs %v", known)
	}
	for _, c := range graph[5] {
		numbers, v := fields(t, c)
		size := map[uint64]int{1: 4, 7: 8}[numbers[2][0]]
		for _, d := range numbers[1] {
			size *= int(d)
		}
		if name := string(v[8][0]); known[name] || len(v[9][0]) != size {
			t.Errorf("constant %s of %v has %d bytes, want %d, or stands twice", name, numbers[1], len(v[9][0]), size)
		} else {
			known[name] = true
		}
	}
	ops := map[string]int{}
	for _, n := range graph[1] {
		_, v := fields(t, n)
		ops[string(v[4][0])]++
		for _, in := range v[1] {
			if !known[string(in)] {
				t.Errorf("node %s takes %q, which is not made before it", v[3][0], in)
			}
		}
		if out := string(v[2][0]); known[out] {
			t.Errorf("%s stands twice", out)
		} else {
			known[out] = true
		}
	}
	if ops["Conv"] != 49 || ops["Clip"] != 33 || ops["Add"] != 9 || ops["BatchNormalization"]+ops["Min"]+ops["Max"] != 0 {
		t.Errorf("operators %v: want 49 convolutions with all BatchNorm in them, 33 ReLU6, 9 sums", ops)
	}
	var out []string
	for _, o := range graph[12] {
		_, v := fields(t, o)
		out = append(out, string(v[1][0]))
		if !known[out[len(out)-1]] {
			t.Errorf("output %s is not made", out[len(out)-1])
		}
	}
	if !slices.Equal(out, outputs) {
		t.Errorf("outputs %v", out)
	}

	if _, err := w.ONNX(64, "", nil, "colour"); err == nil {
		t.Error("an unknown output is written")
	}
	if _, err := w.ONNX(0, "", nil, OutputScore); err == nil {
		t.Error("a network for images of no pixels is written")
	}
	delete(w, "_bn1.bias")
	if _, err := w.ONNX(64, "", nil, OutputScore); err == nil || !strings.Contains(err.Error(), "_bn1.bias") {
		t.Errorf("a tensor is missing: %v", err)
	}
}

// onONNX opens ONNX Runtime, or skips where it is not installed; CI has it.
func onONNX(t testing.TB) runtime.Opened {
	t.Helper()
	o, err := runtime.Open(runtime.Infer, "onnx")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("not compared: %v", err)
	}
	return o
}

// TestONNXEqualsGoMLX holds what ONNX Runtime computes to the one definition of the network, also at sizes whose halves are odd.
func TestONNXEqualsGoMLX(t *testing.T) {
	x := onONNX(t)
	o, err := runtime.Open(runtime.Infer, "xla")
	if err != nil {
		o, err = runtime.Open(runtime.Infer, "go")
	}
	if err != nil {
		t.Fatal(err)
	}
	w := withRandomHead(t)
	ours, err := NewModel(x, w)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	ours.Warn = func(text string) { t.Error(text) }
	theirs, err := NewModel(o, w)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	for _, size := range []int{33, 128} {
		const n = 3
		pix := pixels(n, size)
		a, err := ours.Run(pix, n, size)
		if err != nil {
			t.Fatal(err)
		}
		b, err := theirs.Run(pix, n, size)
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprint(size, " px logits"), a.Logits, b.Logits, 2e-5)
		near(t, fmt.Sprint(size, " px embedding"), a.Embedding, b.Embedding, 1e-4)
		// What is asked for alone is the same.
		s, err := ours.Scores(pix, n, n, size)
		if err != nil {
			t.Fatal(err)
		}
		want, err := theirs.Scores(pix, n, n, size)
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprint(size, " px scores"), s, want, 1e-5)
		e, err := ours.Embed(pix[:2*size*size*3], 2, n, size)
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprint(size, " px embedding alone, padded"), e, b.Embedding[:2*EmbeddingSize], 1e-4)

		// The file for other programs.
		names := []string{OutputScore, OutputLogits, OutputFeatures}
		file, err := w.ONNX(size, "", nil, names...)
		if err != nil {
			t.Fatal(err)
		}
		session, err := runtime.NewSession(file, InputPixels, names[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		logits, features := make([]float32, n*Classes), make([]float32, n*Features)
		if err := session.Run(pix, []int{n, size, size, 3}, logits, features); err != nil {
			t.Fatal(err)
		}
		session.Close()
		near(t, fmt.Sprint(size, " px logits of the exported file"), logits, b.Logits, 2e-5)
		for i := range n {
			near(t, fmt.Sprint(size, " px features of the exported file"), features[i*Features:(i+1)*Features], b.Embedding[(i+1)*EmbeddingSize-Features:(i+1)*EmbeddingSize], 1e-4)
		}
	}
}

// TestONNXRepeats: the bytes of a score depend neither on the number of cores nor on the other images, so that shards are the same wherever they
// are made again.
func TestONNXRepeats(t *testing.T) {
	o := onONNX(t)
	w := withRandomHead(t)
	const n, size = 7, 64
	pix := pixels(n, size)
	scores := func(pix []uint8) []float32 {
		m, err := NewModel(o, w)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		s, err := m.Scores(pix, n, n, size)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := scores(pix)
	was := goruntime.GOMAXPROCS(0)
	defer goruntime.GOMAXPROCS(was)
	for _, cores := range []int{1, 2, 3, 5} {
		goruntime.GOMAXPROCS(cores)
		if got := scores(pix); !slices.Equal(got, want) {
			t.Errorf("with %d cores %v, want %v", cores, got, want)
		}
	}
	others := slices.Clone(pix)
	clear(others[:3*size*size*3])
	if got := scores(others); !slices.Equal(got[3:], want[3:]) {
		t.Errorf("beside other images %v, want %v", got[3:], want[3:])
	}
}
