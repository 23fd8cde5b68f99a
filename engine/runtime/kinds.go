package runtime

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"anomalymatch/internal/say"
)

// kind is a runtime that can be installed.
type kind struct {
	name     string
	pkg      string           // on PyPI
	python   string           // whose wheel it is, where they differ
	version  string           // exact
	member   string           // of the wheel: the plugin or library
	wheels   map[string]wheel // by GOOS/GOARCH
	onlyLate string           // why it cannot be installed yet
}

// wheel is one file of a package, known before it is downloaded: what does not match is never loaded.
type wheel struct {
	file     string
	platform string // as pip calls it
	sha256   string // of the file
	bytes    int64  // of the file
	unpacked int64  // bytes of the member
}

const gpuLater = "GPU runtimes cannot be installed from here yet; put the plugin where PJRT_PLUGIN_LIBRARY_PATH points, or name its file: backend = \"xla:/path/to/plugin.so\""

var kinds = []kind{
	{
		name: "cpu", pkg: "xla-cpu-pjrt", version: "0.0.1", member: "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so",
		wheels: map[string]wheel{
			"linux/amd64": {
				file:     "xla_cpu_pjrt-0.0.1-py3-none-manylinux_2_27_x86_64.whl",
				platform: "manylinux_2_27_x86_64",
				sha256:   "55837b6b7b47daa717f2d9a5a03563ea0ceaa338d06a81a1e2d3f060d960decc",
				bytes:    63461052, unpacked: 259284552,
			},
			"linux/arm64": {
				file:     "xla_cpu_pjrt-0.0.1-py3-none-manylinux_2_27_aarch64.whl",
				platform: "manylinux_2_27_aarch64",
				sha256:   "8f613be6e891858f40d64f9799319502fff42689661944fc18a6ffd8210b30c9",
				bytes:    49514947, unpacked: 200328224,
			},
		},
	},
	{
		name: onnxName, pkg: "onnxruntime", version: "1.32.0", python: "3.11", member: "onnxruntime/capi/libonnxruntime.so.1.32.0",
		wheels: map[string]wheel{
			"linux/amd64": {
				file:     "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl",
				platform: "manylinux_2_28_x86_64",
				sha256:   "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
				bytes:    27773237, unpacked: 34824680,
			},
			"linux/arm64": {
				file:     "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_aarch64.whl",
				platform: "manylinux_2_28_aarch64",
				sha256:   "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
				bytes:    23195070, unpacked: 27165936,
			},
		},
	},
	{name: "cuda12", pkg: "jax-cuda12-pjrt", onlyLate: gpuLater},
	{name: "cuda13", pkg: "jax-cuda13-pjrt", onlyLate: gpuLater},
}

// Info is one runtime as far as this machine is concerned.
type Info struct {
	Kind          string // cpu, onnx, cuda12, cuda13
	Version       string // that would be, or is, installed
	Path          string // of the plugin or library; where it would be if it is not installed
	Installed     bool
	Bytes         int64 // on disk; what it would take if it is not installed
	DownloadBytes int64
	Works         string // "" if it can be used here as it is, else why not, for people
}

// find returns a kind by name.
func find(name string) (kind, error) {
	var names []string
	for _, k := range kinds {
		if k.name == name {
			return k, nil
		}
		names = append(names, k.name)
	}
	return kind{}, fmt.Errorf("there is no runtime called %q; there are: %s", say.Text(name), strings.Join(names, ", "))
}

// wheelFor returns the file of a kind for a platform, GOOS/GOARCH.
func (k kind) wheelFor(platform string) (wheel, error) {
	if k.onlyLate != "" {
		return wheel{}, fmt.Errorf("%s", k.onlyLate)
	}
	w, ok := k.wheels[platform]
	if !ok {
		return wheel{}, fmt.Errorf("there is no %s runtime for %s, only for %s; the Go backend runs everywhere",
			k.name, platform, strings.Join(slices.Sorted(maps.Keys(k.wheels)), " and "))
	}
	return w, nil
}

func platform() string { return goruntime.GOOS + "/" + goruntime.GOARCH }

// folder is where all runtimes of this user lie: $XDG_DATA_HOME/anomalymatch/runtime, or the same in ~/.local/share.
func folder() string {
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) {
		data = home(".local", "share")
	}
	if data == "" {
		return ""
	}
	return filepath.Join(data, "anomalymatch", "runtime")
}

// path is where the plugin of a kind is installed.
func (k kind) path() string {
	name := k.name
	if name != onnxName {
		name = "xla-" + name
	}
	return filepath.Join(folder(), name+"-"+k.version, filepath.Base(k.member))
}

// info looks at the disk.
func (k kind) info() Info {
	i := Info{Kind: k.name, Version: k.version}
	w, err := k.wheelFor(platform())
	if err != nil {
		i.Works = err.Error()
		return i
	}
	i.Path, i.Bytes, i.DownloadBytes = k.path(), w.unpacked, w.bytes
	st, err := os.Stat(i.Path)
	if err != nil {
		i.Works = "not installed"
		return i
	}
	i.Installed, i.Bytes = true, st.Size()
	switch {
	case !k.sound(w):
		i.Works = fmt.Sprintf("damaged; `anomalymatch runtime install %s` installs it anew", k.name)
	case k.name == onnxName && !hasONNX:
		i.Works = errBuiltWithoutONNX.Error()
	case k.name != onnxName && !hasXLA:
		i.Works = "this program was built without XLA"
	}
	return i
}

// sound says whether the installed plugin is whole, as far as its size and headers tell.
func (k kind) sound(w wheel) bool {
	st, err := os.Stat(k.path())
	return err == nil && st.Size() == w.unpacked && checkPlugin(k.path()) == nil
}

// installed is info by name.
func installed(name string) Info {
	k, err := find(name)
	if err != nil {
		return Info{Kind: name, Works: err.Error()}
	}
	return k.info()
}

// List returns every known runtime and how it stands here. It loads none.
func List() []Info {
	all := make([]Info, len(kinds))
	for i, k := range kinds {
		all[i] = k.info()
	}
	return all
}

// Fast reports whether there is something faster than the Go backend to infer with, as far as files tell.
func Fast() bool {
	files := libraries()
	for _, p := range plugins() {
		files = append(files, p.path)
	}
	return slices.ContainsFunc(files, func(path string) bool { return checkPlugin(path) == nil })
}

// Offer returns the runtime that would make this machine faster if it were installed, nil when nothing would: XLA where there is no plugin, installed or found;
// then, on a CPU, ONNX Runtime, which scores and embeds. There has to be a build for the machine.
func Offer() *Info {
	if hasXLA {
		if i := installed("cpu"); i.Path != "" && i.Works != "" && !anyPlugin(i.Path) {
			return &i
		}
	}
	if i := installed(onnxName); hasONNX && i.Path != "" && i.Works != "" && len(libraries()) == 0 && !hasGPU() {
		return &i
	}
	return nil
}

// anyPlugin reports whether there is a plugin beside the file.
func anyPlugin(beside string) bool {
	return slices.ContainsFunc(plugins(), func(p plugin) bool { return p.path != beside && checkPlugin(p.path) == nil })
}
