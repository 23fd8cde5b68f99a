//go:build cgo && linux

package runtime

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"sync"

	"anomalymatch/internal/say"

	ort "github.com/yalue/onnxruntime_go"
)

const hasONNX = true

var loaded struct {
	sync.Mutex
	path string // of the one library that a process can have
}

// loadONNX loads the library, once a process.
func loadONNX(path string) error {
	loaded.Lock()
	defer loaded.Unlock()
	switch loaded.path {
	case path:
		return nil
	case "":
	default:
		return fmt.Errorf("this process has loaded %s already", say.Text(loaded.path))
	}
	goruntime.LockOSThread() // see open
	defer goruntime.UnlockOSThread()
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return loadReason(path, err)
	}
	loaded.path = path
	return nil
}

// loadReason is why the library could not be loaded, without the path, and for people where that is known.
func loadReason(path string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "looking up OrtGetApiBase"):
		return errors.New("it is another library")
	case strings.Contains(text, "ORT API base"):
		return errors.New("it is older than ONNX Runtime 1.24")
	}
	if _, reason, ok := strings.Cut(text, `"`+path+`": `); ok {
		text = strings.TrimPrefix(reason, path+": ")
	}
	return errors.New(say.Text(text))
}

// Session is a network in ONNX Runtime. Several goroutines may run it at once.
type Session struct {
	on      *ort.DynamicAdvancedSession
	outputs int
}

// NewSession gives ONNX Runtime a network, an ONNX file in memory, whose input is uint8 and whose outputs are float32. Each run computes
// on one core: parts of a batch side by side need not wait for each other at every layer, as a run on all cores does.
func NewSession(model []byte, input string, outputs ...string) (*Session, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, inONNX(err)
	}
	defer options.Destroy()
	if err := options.SetIntraOpNumThreads(1); err != nil {
		return nil, inONNX(err)
	}
	s := &Session{outputs: len(outputs)}
	if s.on, err = ort.NewDynamicAdvancedSessionWithONNXData(model, []string{input}, outputs, options); err != nil {
		return nil, inONNX(err)
	}
	return s, nil
}

// Run computes on pix, of the given shape whose first dimension is the number of images, and fills the outputs [images,…].
func (s *Session) Run(pix []uint8, shape []int, outputs ...[]float32) error {
	if len(outputs) != s.outputs {
		return fmt.Errorf("%d outputs are wanted of %d", len(outputs), s.outputs)
	}
	var pin goruntime.Pinner // ONNX Runtime keeps the addresses for the time of the call
	defer pin.Unpin()
	dims := func(of []int) (d ort.Shape) {
		for _, v := range of {
			d = append(d, int64(v))
		}
		return d
	}
	pin.Pin(&pix[0])
	in, err := ort.NewTensor(dims(shape), pix)
	if err != nil {
		return inONNX(err)
	}
	defer in.Destroy()
	outs := make([]ort.Value, len(outputs))
	for i, o := range outputs {
		pin.Pin(&o[0])
		out, err := ort.NewTensor(dims([]int{shape[0], len(o) / shape[0]}), o)
		if err != nil {
			return inONNX(err)
		}
		defer out.Destroy()
		outs[i] = out
	}
	return inONNX(s.on.Run([]ort.Value{in}, outs))
}

// Close frees the network.
func (s *Session) Close() { s.on.Destroy() }

// inONNX makes an error of the library safe to print.
func inONNX(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("ONNX Runtime: " + say.Text(err.Error()))
}
