package runtime

import (
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
)

func TestBrokenLibraryFallsBack(t *testing.T) {
	if !hasONNX {
		t.Skip("built without ONNX Runtime")
	}
	for _, tt := range []struct {
		name, why string
		file      []byte
	}{
		{"missing", "no such file", nil},
		{"text", "not a shared library", []byte("not found")},
		{"cut short", "cut short", library(t, machines[goruntime.GOARCH], 1<<20)},
		{"refused by the loader", "dynamic", library(t, machines[goruntime.GOARCH], librarySize)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			elsewhere(t)
			path := filepath.Join(t.TempDir(), "libonnxruntime.so")
			if tt.file != nil {
				write(t, path, tt.file)
			}
			t.Setenv(libraryEnv, path)
			o, err := Open(Infer, "auto")
			if err != nil || o.ONNX || o.Backend == nil {
				t.Fatalf("auto: %+v, %v", o, err)
			}
			for _, part := range []string{path, tt.why, "Until then"} {
				if strings.Count(o.Note, part) != 1 {
					t.Errorf("note %q has not one %q", o.Note, part)
				}
			}
			for _, want := range []string{"onnx", "onnx:" + path} {
				if o, err := Open(Infer, want); err == nil || !strings.Contains(err.Error(), tt.why) || !strings.Contains(err.Error(), "choose another file") {
					t.Errorf("%s: %q, %v", want, o.Name, err)
				}
			}
			if o, err := Open(Train, "onnx"); err != nil || o.Backend == nil || o.Note != "" {
				t.Errorf("training does not need it: %+v, %v", o, err)
			}
		})
	}

	if other, _ := filepath.Glob("/lib/*/libm.so.6"); len(other) == 1 {
		path, err := filepath.EvalSymlinks(other[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Infer, "onnx:"+path); err == nil || !strings.Contains(err.Error(), "cannot be used: it is another library;") {
			t.Errorf("%s: %v", path, err)
		}
	}

	elsewhere(t)
	t.Setenv(libraryEnv, "relative.so")
	if len(libraries()) > 0 {
		t.Errorf("libraries %v: a relative path means another file in each folder", libraries())
	}
	if _, err := Open(Infer, "onnx"); err == nil || !strings.Contains(err.Error(), "runtime install onnx") {
		t.Errorf("not installed: %v", err)
	}
	damaged := installed(onnxName).Path
	if damaged == "" {
		t.Skip("there is none for this machine")
	}
	write(t, damaged, []byte("half"))
	if _, err := Open(Infer, "onnx"); err == nil || !strings.Contains(err.Error(), "`anomalymatch runtime install onnx` installs it anew") {
		t.Errorf("damaged: %v", err)
	}
}

// What is installed loads, does not train, and is the one of the process.
func TestONNXLoads(t *testing.T) {
	o, err := Open(Infer, "onnx")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("not tested: %v", err)
	}
	if !o.ONNX || o.Name != "onnx" || o.Note != "" || o.Other == nil {
		t.Errorf("%+v", o)
	}
	other, err := o.Other()
	if err != nil || other.Backend == nil || other.ONNX {
		t.Errorf("what takes over: %+v, %v", other, err)
	}
	if _, err := NewSession([]byte("no network"), "pixels", "logits"); err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || !strings.HasPrefix(err.Error(), "ONNX Runtime: ") {
		t.Errorf("a file that is no network: %v", err)
	}
	copied := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.Symlink(libraries()[0], copied); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Infer, "onnx:"+copied); err == nil || !strings.Contains(err.Error(), "has loaded") {
		t.Errorf("a second library: %v", err)
	}
}

func TestTogether(t *testing.T) {
	for _, tt := range []struct{ infer, train, want string }{
		{"onnx", "xla:cpu", "onnx + xla:cpu"}, {"go", "go", "go"}, {"onnx", "", "onnx"}, {"", "xla:cuda", "xla:cuda"}, {"", "", ""},
	} {
		got := Together(tt.infer, tt.train)
		if got != tt.want {
			t.Errorf("%q and %q: %q, want %q", tt.infer, tt.train, got, tt.want)
		}
		if tt.infer != "" && tt.train != "" && (Part(Infer, got) != tt.infer || Part(Train, got) != tt.train) {
			t.Errorf("%q is taken apart into %q and %q", got, Part(Infer, got), Part(Train, got))
		}
	}
}
