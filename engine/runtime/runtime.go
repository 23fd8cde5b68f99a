// Package runtime is the one place that chooses, finds and installs what runs the network: XLA from a plugin file where
// there is one that works here, the pure Go backend everywhere else (13 times slower on a CPU, measured). For scores and embeddings
// on a CPU there is also ONNX Runtime, which is the fastest of them but cannot train.
//
// Programs import no backend themselves; [Open] gives them one. XLA and ONNX Runtime are compiled in on Linux with cgo, XLA unless the build
// tag noxla says otherwise.
package runtime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"

	"anomalymatch/internal/glob"
	"anomalymatch/internal/say"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	pkgerrors "github.com/pkg/errors"
)

// Task is what a backend is wanted for.
type Task int

const (
	Train Task = iota // forward and backward passes
	Infer             // scores and embeddings
)

// Opened is a backend that works.
type Opened struct {
	Backend compute.Backend // shared by the whole process: never finalize it; nil where ONNX is
	Name    string          // "xla:cpu", "xla:cuda", "onnx", "go", …
	Note    string          // one or more sentences on what should have run and could not, "" if all is well
	Devices int             // of the backend that are worth using side by side: its GPUs; 0 and 1 are one

	ONNX     bool                   // ONNX Runtime is loaded: see [NewSession]
	BFloat16 bool                   // it is to compute in bfloat16 where that is enough, to infer
	Other    func() (Opened, error) // what takes over where ONNX Runtime, or the last GPU, fails in its work
}

// bf16 behind a choice asks for bfloat16, to infer.
const bf16 = "+bf16"

// Open returns the backend for a task. want is:
//
//   - "auto" or "": XLA if a plugin file is found and loads, else Go, with a Note if a plugin was found that does not load; to infer on a
//     CPU, ONNX Runtime before them
//   - "onnx": to infer, ONNX Runtime or an error, "onnx:/path/to/library.so": this file; to train, as "auto"
//   - "xla": XLA or an error; "xla:cpu", "xla:cuda": with a plugin of that kind
//   - "xla:/path/to/plugin.so", also with options of GoMLX behind commas: this file or an error
//   - "go": the Go backend
//   - any other configuration of GoMLX whose backend is compiled in
//
// "+bf16" behind it lets GPUs infer in bfloat16, and behind "xla…" CPUs too: faster there, slower here. Training stays in float32.
//
// Every backend is opened once a process. Errors are sentences for people.
func Open(task Task, want string) (Opened, error) {
	want, half := strings.CutSuffix(want, bf16)
	o, err := openFor(task, want)
	if err != nil {
		return o, err
	}
	if o.Name == "xla:cuda" && o.Other == nil {
		o.Other = onCPU
	}
	if half && task == Infer && (o.Name == "xla:cuda" || o.Backend != nil && strings.HasPrefix(o.Name, "xla") && strings.HasPrefix(want, "xla")) {
		o.BFloat16, o.Name = true, o.Name+bf16
	}
	return o, nil
}

// onCPU is what infers where GPUs failed: ONNX Runtime, XLA, or the Go backend.
func onCPU() (Opened, error) {
	xla := func() (Opened, error) {
		if o, err := firstPlugin("cpu"); err == nil {
			return o, nil
		}
		return openGo("")
	}
	if hasONNX {
		if o, err := firstONNX(xla); err == nil {
			return o, nil
		}
	}
	return xla()
}

func openFor(task Task, want string) (Opened, error) {
	name, config, _ := strings.Cut(want, ":")
	switch {
	case (want == "" || want == "auto" || name == onnxName) && task == Train:
		return auto()
	case want == "" || want == "auto":
		return autoInfer()
	case name == onnxName:
		return onlyONNX(config)
	case want == "go":
		return openGo("")
	case name != "xla":
		return open(want, func() (compute.Backend, error) { return compute.NewWithConfig(want) })
	case !hasXLA:
		return Opened{}, errors.New("this program was built without XLA; use the build for Linux, or the backend \"auto\" or \"go\"")
	case filepath.IsAbs(config):
		return openPlugin(config)
	}
	return firstPlugin(config)
}

// auto is the choice for training, and for all else where there is no ONNX Runtime.
func auto() (Opened, error) {
	if !hasXLA {
		return openGo("")
	}
	o, err := firstPlugin("")
	switch {
	case errors.Is(err, errNoPlugin):
		return openGo("")
	case err != nil:
		return openGo(sentence(err) + " Until then the Go backend runs, about ten times slower.")
	}
	return o, nil
}

// sentence closes an error's text with a full stop.
func sentence(err error) string { return strings.TrimRight(err.Error(), ". ") + "." }

func openGo(note string) (Opened, error) {
	o, err := open("go", func() (compute.Backend, error) { return gobackend.New("") })
	o.Note = note
	return o, err
}

var errNoPlugin = errors.New("no XLA runtime is installed; `anomalymatch runtime install cpu` gets one")

// firstPlugin opens the first plugin of a kind ("" is any) that loads. Ones before it that do not are told in the Note.
func firstPlugin(kind string) (Opened, error) {
	var failed []error
	for _, p := range plugins() {
		if kind != "" && kind != p.kind {
			continue
		}
		o, err := openPlugin(p.path)
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
	if kind == "cuda" {
		for _, p := range found() {
			if p.kind == "cuda" {
				return Opened{}, fmt.Errorf("the XLA runtime %s is for GPUs of NVIDIA, and this machine shows none (/dev/nvidia0 is missing): load NVIDIA's driver, or ask the batch system for a GPU", say.Text(p.path))
			}
		}
	}
	if kind != "" && kind != "cpu" {
		return Opened{}, fmt.Errorf("no XLA runtime for %q is installed", say.Text(kind))
	}
	return Opened{}, errNoPlugin
}

// openPlugin opens XLA with a plugin file: an absolute path, options of GoMLX behind commas.
func openPlugin(config string) (Opened, error) {
	path, options := config, ""
	if _, err := os.Stat(path); err != nil {
		path, options, _ = strings.Cut(config, ",")
	}
	next := "choose another file, or the backend \"auto\" or \"go\""
	err := checkPlugin(path)
	if err != nil {
		if installed("cpu").Path == path {
			next = "`anomalymatch runtime install cpu` installs it anew"
		}
		return Opened{}, fmt.Errorf("the XLA runtime %s cannot be used: %w; %s", say.Text(path), err, next)
	}
	o, err := open("xla:"+config, func() (compute.Backend, error) { return openXLA(path, options) })
	if err != nil {
		return Opened{}, fmt.Errorf("the XLA runtime %s cannot be used: %w; %s", say.Text(path), err, nextStep(err.Error(), next))
	}
	return o, nil
}

var (
	mu     sync.Mutex
	opened = map[string]Opened{} // by configuration
)

// open returns the backend of a configuration, made on its first use. A panic of the library becomes an error.
func open(config string, make func() (compute.Backend, error)) (o Opened, err error) {
	mu.Lock()
	defer mu.Unlock()
	if o, ok := opened[config]; ok {
		return o, nil
	}
	defer func() {
		if r := recover(); r != nil {
			o, err = Opened{}, fmt.Errorf("the backend %s failed: %s", say.Text(config), say.Text(fmt.Sprint(r)))
		}
	}()
	goruntime.LockOSThread() // the system's loader keeps its reason by thread, and it is asked for in a call of its own
	defer goruntime.UnlockOSThread()
	b, err := make()
	if err != nil {
		return Opened{}, errors.New(say.Text(loaderSays(pkgerrors.Cause(err).Error()))) // the layers above the cause repeat the path
	}
	o = Opened{Backend: b, Name: NameOf(b), Devices: 1}
	if o.Name != "xla:cpu" { // which plays four, on the same cores
		o.Devices = int(b.NumDevices())
	}
	opened[config] = o
	return o, nil
}

// NameOf is the backend's name, with the kind of its devices for XLA: they, not the file's name, say what it runs on.
func NameOf(b compute.Backend) string {
	switch b.Name() {
	case gobackend.BackendName, "Go Backend":
		return "go"
	case "xla":
	default:
		return say.Text(b.Name())
	}
	device := strings.ToUpper(b.DeviceDescription(0))
	switch {
	case strings.Contains(device, "CUDA"), strings.Contains(device, "GPU"):
		return "xla:cuda"
	case strings.Contains(device, "CPU"):
		return "xla:cpu"
	}
	return "xla"
}

// plugin is a plugin file that lies where one is looked for; whether it loads is another question.
type plugin struct{ path, kind string }

// plugins lists the plugin files of this machine, best first: ones for a GPU that is here, then in the order of
// $PJRT_PLUGIN_LIBRARY_PATH, our own data folder, and the folders of go-xla.
func plugins() []plugin {
	return slices.DeleteFunc(found(), func(p plugin) bool { return p.kind == "cuda" && !hasGPU() })
}

// found is plugins with those for GPUs that are not here.
func found() []plugin {
	if !hasXLA {
		return nil
	}
	var all []plugin
	add := func(path string) {
		if p := (plugin{path, kindOf(path)}); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	addFolder := func(dir string) {
		for _, p := range glob.In(dir, "*pjrt*.so") {
			add(p)
		}
	}
	for _, path := range filepath.SplitList(os.Getenv("PJRT_PLUGIN_LIBRARY_PATH")) {
		if !filepath.IsAbs(path) {
			continue
		}
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			add(path)
		} else {
			addFolder(path)
		}
	}
	if i := installed("cpu"); i.Installed {
		add(i.Path)
	}
	for _, lib := range []string{home(".local", "lib"), "/usr/local/lib"} {
		if lib != "" {
			addFolder(filepath.Join(lib, "go-xla"))
			addFolder(filepath.Join(lib, "go-xla", "nvidia"))
		}
	}
	slices.SortStableFunc(all, func(a, b plugin) int { return rank(a) - rank(b) })
	return all
}

func rank(p plugin) int {
	if p.kind == "cuda" {
		return 0
	}
	return 1
}

// kindOf tells the kind of a plugin from its file name.
func kindOf(path string) string {
	name := strings.ToLower(filepath.Base(path))
	for _, kind := range []string{"cuda", "cpu"} {
		if strings.Contains(name, kind) {
			return kind
		}
	}
	return ""
}

func hasGPU() bool {
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*")
	return len(devices) > 0
}

// home is a path in the user's home folder, "" if there is none.
func home(elem ...string) string {
	dir, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(append([]string{dir}, elem...)...)
}

// HasXLA reports whether XLA is compiled in. Whether a plugin is installed is another question: see [Offer].
func HasXLA() bool { return hasXLA }
