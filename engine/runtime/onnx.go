package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"anomalymatch/internal/say"
)

// libraryEnv names ONNX Runtime's library, as other Go programs are told of it.
const libraryEnv = "ONNXRUNTIME_SHARED_LIBRARY_PATH"

// onnxName is the backend's name.
const onnxName = "onnx"

var errBuiltWithoutONNX = errors.New("this program was built without ONNX Runtime")

var errNoONNX = errors.New("ONNX Runtime is not installed; `anomalymatch runtime install onnx` gets it")

// autoInfer is the choice for scores and embeddings: XLA on a GPU, ONNX Runtime on a CPU, then what training takes.
func autoInfer() (Opened, error) {
	if !hasONNX {
		return auto()
	}
	var notes []string
	if all := plugins(); len(all) > 0 && all[0].kind == "cuda" {
		o, err := firstPlugin("cuda")
		if err == nil {
			return o, nil
		}
		notes = append(notes, sentence(err))
	}
	o, err := firstONNX(auto)
	if err != nil {
		if !errors.Is(err, errNoONNX) {
			notes = append(notes, sentence(err)+" Until then scoring is slower.")
		}
		if o, err = auto(); err != nil {
			return o, err
		}
	}
	if o.Note != "" {
		notes = append(notes, o.Note)
	}
	o.Note = strings.Join(notes, " ")
	return o, nil
}

// onlyONNX is ONNX Runtime or an error: the library at path, or where path is "" the first that loads.
func onlyONNX(path string) (Opened, error) {
	switch {
	case !hasONNX:
		return Opened{}, fmt.Errorf("%w; use the build for Linux, or the backend \"auto\" or \"go\"", errBuiltWithoutONNX)
	case path == "":
		return firstONNX(auto)
	}
	return openLibrary(path, auto)
}

// firstONNX opens the first library that loads, of those that are where one is looked for. Ones before it that do not are told in the Note.
func firstONNX(other func() (Opened, error)) (Opened, error) {
	var failed []error
	for _, path := range libraries() {
		o, err := openLibrary(path, other)
		if err == nil {
			if len(failed) > 0 {
				o.Note = sentence(errors.Join(failed...))
			}
			return o, nil
		}
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		return Opened{}, failed[0]
	}
	return Opened{}, errNoONNX
}

func openLibrary(path string, other func() (Opened, error)) (Opened, error) {
	next := "choose another file, or the backend \"xla\" or \"go\""
	err := checkPlugin(path)
	if err == nil {
		if err = loadONNX(path); err != nil {
			next = nextStep(err.Error(), next)
		}
	} else if installed(onnxName).Path == path {
		next = "`anomalymatch runtime install onnx` installs it anew"
	}
	if err != nil {
		return Opened{}, fmt.Errorf("ONNX Runtime's library %s cannot be used: %w; %s", say.Text(path), err, next)
	}
	return Opened{ONNX: true, Name: onnxName, Other: other}, nil
}

// libraries lists the files of ONNX Runtime on this machine, best first: those of $ONNXRUNTIME_SHARED_LIBRARY_PATH, then our own.
func libraries() (all []string) {
	if !hasONNX {
		return nil
	}
	for _, path := range filepath.SplitList(os.Getenv(libraryEnv)) {
		if filepath.IsAbs(path) && !slices.Contains(all, path) {
			all = append(all, path)
		}
	}
	if i := installed(onnxName); i.Installed && !slices.Contains(all, i.Path) {
		all = append(all, i.Path)
	}
	return all
}

// Together is one name for what scores and what trains.
func Together(infer, train string) string {
	if infer == train || train == "" {
		return infer
	}
	if infer == "" {
		return train
	}
	return infer + " + " + train
}

// Part is the name of what does a task, of a name that Together made.
func Part(task Task, together string) string {
	infer, train, both := strings.Cut(together, " + ")
	if both && task == Train {
		return train
	}
	return infer
}
