package runtime

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
)

// TestNextStep: what loaders, drivers and runtimes say, as they say it, becomes what to do.
func TestNextStep(t *testing.T) {
	for text, want := range map[string]string{
		"/lib/x86_64-linux-gnu/libm.so.6: version `GLIBC_2.38' not found (required by /r/libonnxruntime.so)":            "this system is older",
		"/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /r/xla_cpu_pjrt.so)":                      "this system is older",
		"Error relocating /r/libonnxruntime.so: __memcpy_chk: symbol not found: __memcpy_chk":                           "this system is older",
		"libcuda.so.1: cannot open shared object file: No such file or directory":                                       "NVIDIA's driver is not installed",
		"libcudnn.so.9: cannot open shared object file: No such file or directory":                                      "install the library that it names",
		"FAILED_PRECONDITION: No visible GPU devices.":                                                                  "no GPU is to be seen",
		"INTERNAL: failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected":                     "no GPU is to be seen",
		"CUDA driver version is insufficient for CUDA runtime version":                                                  "too old",
		"cudaGetDeviceCount() failed. Status: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: system has unsupported display driver": "too old",
		"RESOURCE_EXHAUSTED: CUDA_ERROR_OUT_OF_MEMORY: out of memory":                                                   "another program",
		"/r/x.so: failed to map segment from shared object":                                                             "noexec",
		"something else": "otherwise",
	} {
		if got := nextStep(text, "otherwise"); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want one with %q", text, got, want)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	for text, want := range map[string]bool{
		"RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes.":                                       true,
		"RESOURCE_EXHAUSTED: Out of memory allocating 5368709120 bytes.":                                              true,
		"ONNX Runtime: Error running network: std::bad_alloc":                                                         true,
		"ONNX Runtime: bfc_arena.cc:360 AllocateRawInternal Failed to allocate memory for requested buffer of size 9": true,
		"INTERNAL: CUDNN_STATUS_ALLOC_FAILED":                                                                         true,
		"INTERNAL: the device fell off the bus":                                                                       false,
		"RESOURCE: 404":                                                                                               false,
	} {
		if got := OutOfMemory(errors.New(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if OutOfMemory(nil) {
		t.Error("no error is one of memory")
	}
}

// TestLibraryThatMisses (in a file that comes before onnx_test.go, since a process keeps the first ONNX Runtime that it has loaded): a library that needs another one that is not there, and one for a newer C library, as the system's loader finds it, are told with
// the file, the reason and what to do; the other backends take over.
func TestLibraryThatMisses(t *testing.T) {
	if !hasXLA || !hasONNX {
		t.Skip("built without XLA or ONNX Runtime")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler")
	}
	elsewhere(t)
	dir := t.TempDir()
	build := func(out string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), cc, append([]string{"-shared", "-fPIC", "-o", filepath.Join(dir, out)}, args...)...)
		c.Dir = dir
		if text, err := c.CombinedOutput(); err != nil {
			t.Skipf("nothing can be built here: %v\n%s", err, text)
		}
		return filepath.Join(dir, out)
	}
	write(t, filepath.Join(dir, "a.c"), []byte("int f(void) { return 1; }\n"))
	write(t, filepath.Join(dir, "b.c"), []byte("int f(void); int GetPjrtApi(void) { return f(); }\n"))
	write(t, filepath.Join(dir, "new.map"), []byte("GLIBC_9.99 { global: f; };\n"))
	write(t, filepath.Join(dir, "old.map"), []byte("GLIBC_0.01 { global: f; };\n"))

	gone := build("libnotthere.so.3", "a.c", "-Wl,-soname,libnotthere.so.3")
	missing := build("missing_cpu_pjrt.so", "b.c", gone)
	versioned := build("libversioned.so.1", "a.c", "-Wl,-soname,libversioned.so.1", "-Wl,--version-script=new.map")
	newer := build("newer_cpu_pjrt.so", "b.c", versioned, "-Wl,-rpath,"+dir)
	build("libversioned.so.1", "a.c", "-Wl,-soname,libversioned.so.1", "-Wl,--version-script=old.map")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ file, why, next string }{
		{missing, "libnotthere.so.3", "install the library that it names"},
		{newer, "GLIBC_9.99", "this system is older"},
	} {
		for _, want := range []string{"xla:" + tt.file, "onnx:" + tt.file} {
			o, err := Open(Infer, want)
			if err == nil {
				t.Errorf("%s loads: %+v", want, o)
				continue
			}
			for _, part := range []string{tt.file, tt.why, tt.next} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %q lacks %q", want, err, part)
				}
			}
		}
		t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", tt.file)
		t.Setenv(libraryEnv, tt.file)
		if o, err := Open(Infer, "auto"); err != nil || o.Name != "go" || strings.Count(o.Note, tt.next) != 2 {
			t.Errorf("auto: %q, %q, %v", o.Name, o.Note, err)
		}
		if o, err := Open(Train, "auto"); err != nil || o.Name != "go" || !strings.Contains(o.Note, tt.why) {
			t.Errorf("to train: %q, %q, %v", o.Name, o.Note, err)
		}
	}
}

// TestCUDAWithoutGPU: a plugin for GPUs on a machine without one is not in the way of auto, and who asks for it is told what is missing.
func TestCUDAWithoutGPU(t *testing.T) {
	if !hasXLA || hasGPU() {
		t.Skip("built without XLA, or there is a GPU")
	}
	machine, ok := machines[goruntime.GOARCH]
	if !ok {
		t.Skip("no plugins for this machine")
	}
	elsewhere(t)
	path := filepath.Join(t.TempDir(), "xla_cuda_plugin_pjrt.so")
	write(t, path, library(t, machine, librarySize))
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", path)
	if o, err := Open(Train, "auto"); err != nil || o.Name != "go" || o.Note != "" {
		t.Errorf("auto: %+v, %v", o, err)
	}
	if _, err := Open(Infer, "xla:cuda"); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "/dev/nvidia0 is missing") {
		t.Errorf("xla:cuda: %v", err)
	}
	if _, err := Open(Infer, "xla:"+path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the file: %v", err)
	}
}

func TestBFloat16IsAskedFor(t *testing.T) {
	elsewhere(t)
	for want, name := range map[string]string{"go+bf16": "go", "auto+bf16": "go"} {
		if o, err := Open(Infer, want); err != nil || o.Name != name || o.BFloat16 {
			t.Errorf("%s: %+v, %v", want, o, err)
		}
	}
	if _, err := Open(Train, "xla+bf16"); err == nil || !strings.Contains(err.Error(), "no XLA runtime") {
		t.Errorf("%v", err)
	}
}
