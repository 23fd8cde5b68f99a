package runtime

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// elsewhere hides what is installed on this machine.
func elsewhere(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "")
	t.Setenv(libraryEnv, "")
}

// library is a shared library with nothing in it: its headers are right, no loader takes it.
func library(t *testing.T, machine elf.Machine, size uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	p := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: 4, Filesz: size, Memsz: size, Align: 4096}
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		t.Fatal(err)
	}
	if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), make([]byte, 8)...)
}

const librarySize = 64 + 56 + 8

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCheckPlugin(t *testing.T) {
	here, ok := machines[goruntime.GOARCH]
	if !ok {
		t.Skip("no plugins for this machine")
	}
	whole := library(t, here, librarySize)
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"whole", whole, ""},
		{"empty", nil, "not a shared library"},
		{"text", []byte("<html>404</html>"), "not a shared library"},
		{"cut in the headers", whole[:80], "not a shared library"},
		{"cut short", library(t, here, librarySize+1), "cut short"},
		{"absurd size", library(t, here, 1<<63-1), "cut short"},
		{"for another machine", library(t, elf.EM_RISCV, librarySize), "another kind of machine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a_pjrt.so")
			write(t, path, tt.file)
			err := checkPlugin(path)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if err := checkPlugin(t.TempDir()); err == nil {
		t.Error("a folder passed")
	}
}

func FuzzCheckPlugin(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a_pjrt.so")
		write(t, path, b)
		checkPlugin(path) // must return
	})
}

func TestBrokenPluginFallsBack(t *testing.T) {
	if !hasXLA {
		t.Skip("built without XLA")
	}
	for _, tt := range []struct {
		name, why string
		file      []byte
	}{
		{"text", "not a shared library", []byte("not found")},
		{"cut short", "cut short", library(t, machines[goruntime.GOARCH], 1<<20)},
		{"refused by the loader", "dynamic", library(t, machines[goruntime.GOARCH], librarySize)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			elsewhere(t)
			path := filepath.Join(t.TempDir(), "xla_cpu_pjrt.so")
			write(t, path, tt.file)
			t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", filepath.Dir(path))
			o, err := Open(Train, "auto")
			if err != nil || o.Name != "go" || o.Backend == nil {
				t.Fatalf("auto: %q, %v", o.Name, err)
			}
			for _, part := range []string{path, tt.why, "Go backend"} {
				if !strings.Contains(o.Note, part) {
					t.Errorf("note %q lacks %q", o.Note, part)
				}
			}
			for _, want := range []string{"xla", "xla:cpu", "xla:" + path} {
				if o, err := Open(Infer, want); err == nil || !strings.Contains(err.Error(), tt.why) {
					t.Errorf("%s: %q, %v", want, o.Name, err)
				}
			}
		})
	}
}

func TestOpen(t *testing.T) {
	elsewhere(t)
	for _, tt := range []struct{ want, name, err string }{
		{"", "go", ""},
		{"auto", "go", ""},
		{"go", "go", ""},
		{"xla", "", "XLA"},
		{"xla:cuda", "", "XLA"},
		{"xla:tpu\x1b[31m", "", "XLA"},
		{"xla:/no/such/plugin.so", "", "XLA"},
		{"onnx", "go", ""},
		{"tensorfire:fast\x1b[31m", "", "tensorfire"},
	} {
		o, err := Open(Train, tt.want)
		if tt.err == "" {
			if err != nil || o.Name != tt.name || o.Note != "" || o.Backend == nil {
				t.Errorf("%q: %+v, %v", tt.want, o, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %+v, error %q, want one with %q", tt.want, o, err, tt.err)
		}
	}
	a, _ := Open(Train, "go")
	b, _ := Open(Infer, "auto")
	if a.Backend != b.Backend {
		t.Error("the Go backend was opened twice")
	}
}

func TestPluginOrder(t *testing.T) {
	if !hasXLA {
		t.Skip("built without XLA")
	}
	elsewhere(t)
	dir, single := t.TempDir(), filepath.Join(t.TempDir(), "mine_pjrt_cpu.so")
	inHome := filepath.Join(os.Getenv("HOME"), ".local/lib/go-xla/pjrt_c_api_cpu_v0.1_plugin.so")
	inDir := filepath.Join(dir, "xla_cpu_pjrt.so")
	for _, p := range []string{single, inHome, inDir, filepath.Join(dir, "libother.so")} {
		write(t, p, nil)
	}
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", strings.Join([]string{"relative", single, dir}, ":"))
	var got []string
	for _, p := range plugins() {
		if !strings.HasPrefix(p.path, "/usr/local/") {
			got = append(got, p.path)
		}
	}
	if want := []string{single, inDir, inHome}; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("plugins\n %v, want\n %v", got, want)
	}
}

// product multiplies two matrices, [64,96] x [96,32] float32.
func product(t *testing.T, b compute.Backend, x, y []float32) []float32 {
	t.Helper()
	exec, err := graph.NewExec(b, func(x, y *graph.Node) *graph.Node { return graph.Dot(x, y).Product() })
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(x, 64, 96), tensors.FromFlatDataAndDimensions(y, 96, 32))
	if err != nil {
		t.Fatal(err)
	}
	var z []float32
	tensors.MustConstFlatData(out[0], func(flat []float32) { z = append(z, flat...) })
	return z
}

func TestXLAComputesWhatGoComputes(t *testing.T) {
	if len(plugins()) == 0 {
		t.Skip("no XLA runtime is installed")
	}
	x, err := Open(Train, "xla")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(x.Name, "xla:") {
		t.Errorf("name %q", x.Name)
	}
	again, err := Open(Train, "auto")
	if err != nil || again.Backend != x.Backend || again.Note != "" {
		t.Errorf("auto after xla: %+v, %v", again, err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	a, b := make([]float32, 64*96), make([]float32, 96*32)
	for i := range a {
		a[i] = r.Float32() - 0.5
	}
	for i := range b {
		b[i] = r.Float32() - 0.5
	}
	want := make([]float32, 64*32)
	for i := range 64 {
		for j := range 32 {
			var sum float64
			for k := range 96 {
				sum += float64(a[i*96+k]) * float64(b[k*32+j])
			}
			want[i*32+j] = float32(sum)
		}
	}
	same := func(got []float32) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%d values, want %d", len(got), len(want))
		}
		for i := range want {
			if d := got[i] - want[i]; d > 1e-4 || d < -1e-4 {
				t.Fatalf("value %d: %v, want %v", i, got[i], want[i])
			}
		}
	}
	same(product(t, x.Backend, a, b))
	if raceDetector {
		t.Skip("the Go backend's matrix product stops the race detector's pointer checks")
	}
	g, err := Open(Train, "go")
	if err != nil {
		t.Fatal(err)
	}
	same(product(t, g.Backend, a, b))
}

// A home folder called nvidia makes go-xla take any plugin in it for a GPU's, a comma makes it cut the path.
func TestXLAInAnOddFolder(t *testing.T) {
	all := plugins()
	if len(all) == 0 || all[0].kind != "cpu" {
		t.Skip("no XLA runtime for CPUs is installed")
	}
	for _, name := range []string{"nvidia", "a,b"} {
		path := filepath.Join(t.TempDir(), name, "xla_cpu_pjrt.so")
		if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(all[0].path, path); err != nil {
			t.Fatal(err)
		}
		if o, err := Open(Train, "xla:"+path); err != nil || o.Name != "xla:cpu" {
			t.Errorf("%s: %q, %v", name, o.Name, err)
		}
	}
}
