package runtime

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWheelFor(t *testing.T) {
	for _, tt := range []struct{ kind, platform, want string }{
		{"cpu", "linux/amd64", ""},
		{"cpu", "linux/arm64", ""},
		{"cpu", "darwin/arm64", "no cpu runtime for darwin/arm64"},
		{"cpu", "windows/amd64", "no cpu runtime for windows/amd64"},
		{"cpu", "linux/riscv64", "no cpu runtime for linux/riscv64"},
		{"cuda12", "linux/amd64", "GPU runtimes cannot be installed"},
		{"cuda13", "linux/amd64", "GPU runtimes cannot be installed"},
		{"tpu\x1b", "linux/amd64", `no runtime called "tpu"`},
	} {
		k, err := find(tt.kind)
		var w wheel
		if err == nil {
			w, err = k.wheelFor(tt.platform)
		}
		switch {
		case tt.want != "":
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s on %s: error %v, want %q", tt.kind, tt.platform, err, tt.want)
			}
		case err != nil:
			t.Errorf("%s on %s: %v", tt.kind, tt.platform, err)
		case len(w.sha256) != 64 || w.bytes <= 0 || w.unpacked <= 0 || !strings.Contains(w.file, k.version) || !strings.Contains(w.file, w.platform):
			t.Errorf("%s on %s: %+v", tt.kind, tt.platform, w)
		}
	}
}

// tiny is a runtime of a few bytes.
func tiny(t *testing.T) (k kind, w wheel, file string) {
	t.Helper()
	machine, ok := machines[goruntime.GOARCH]
	if !ok {
		machine = elf.EM_X86_64
	}
	plugin := library(t, machine, librarySize)
	k = kind{name: "tiny", pkg: "tiny-pjrt", version: "1.2", member: "xla_plugins/tiny/tiny_pjrt.so"}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range []struct {
		name string
		data []byte
	}{{"xla_plugins/tiny/__init__.py", nil}, {k.member, plugin}} {
		f, err := z.Create(m.name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(m.data)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	w = wheel{file: "tiny.whl", platform: "any", sha256: hex.EncodeToString(sum[:]), bytes: int64(b.Len()), unpacked: int64(len(plugin))}
	k.wheels = map[string]wheel{platform(): w}
	file = filepath.Join(t.TempDir(), w.file)
	write(t, file, b.Bytes())
	return k, w, file
}

func TestInstallFromFile(t *testing.T) {
	elsewhere(t)
	k, w, file := tiny(t)
	if i := k.info(); i.Installed || i.Works != "not installed" {
		t.Errorf("before: %+v", i)
	}
	write(t, filepath.Join(folder(), "part-1.so"), []byte("of an install that was killed"))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var last int64
			err := install(t.Context(), k, w, file, func(done, total int64) {
				if done < last || done > total || total != w.bytes {
					t.Errorf("progress %d of %d after %d", done, total, last)
				}
				last = done
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	i := k.info()
	if !i.Installed || i.Bytes != w.unpacked || hasXLA && i.Works != "" {
		t.Errorf("after: %+v", i)
	}
	if left, _ := filepath.Glob(filepath.Join(folder(), "part-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	os.Truncate(i.Path, 10)
	if i := k.info(); !strings.Contains(i.Works, "damaged") {
		t.Errorf("damaged: %+v", i)
	}
	if err := install(t.Context(), k, w, file, nil); err != nil || !k.sound(w) {
		t.Errorf("over the damaged one: %v", err)
	}
}

func TestInstallRefuses(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name   string
		change func(k *kind, w *wheel, file string) (context.Context, string)
		want   string
	}{
		{"another file", func(_ *kind, _ *wheel, file string) (context.Context, string) {
			b, _ := os.ReadFile(file)
			b[len(b)/2] ^= 1
			os.WriteFile(file, b, 0o644)
			return t.Context(), file
		}, "is not the file that this program knows"},
		{"a longer file", func(_ *kind, _ *wheel, file string) (context.Context, string) {
			f, _ := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			f.WriteString("more")
			f.Close()
			return t.Context(), file
		}, "is not the file that this program knows"},
		{"no file", func(_ *kind, _ *wheel, file string) (context.Context, string) { return t.Context(), file + "\x1b" }, "cannot read"},
		{"a folder", func(_ *kind, _ *wheel, file string) (context.Context, string) { return t.Context(), filepath.Dir(file) }, "cannot read"},
		{"no plugin in it", func(k *kind, _ *wheel, file string) (context.Context, string) {
			k.member = "xla_plugins/other.so"
			return t.Context(), file
		}, "has no xla_plugins/other.so"},
		{"a larger plugin", func(_ *kind, w *wheel, file string) (context.Context, string) {
			w.unpacked--
			return t.Context(), file
		}, "bytes, not"},
		{"no space", func(_ *kind, w *wheel, file string) (context.Context, string) {
			w.unpacked = 1 << 60
			return t.Context(), file
		}, "not enough space"},
		{"cancelled", func(_ *kind, _ *wheel, file string) (context.Context, string) { return cancelled, file }, "canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			elsewhere(t)
			k, w, file := tiny(t)
			ctx, from := tt.change(&k, &w, file)
			err := install(ctx, k, w, from, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(k.path()); err == nil {
				t.Error("something was installed")
			}
			if left, _ := filepath.Glob(filepath.Join(folder(), "part-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestDownload(t *testing.T) {
	body := bytes.Repeat([]byte("wheel "), 1<<18)
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wheel":
			w.Write(body)
		case "/hangs":
			w.Write(body[:10])
			w.(http.Flusher).Flush()
			<-release
		case "/short":
			w.Header().Set("Content-Length", "1000")
			w.Write(body[:10])
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	defer close(release)
	w := wheel{bytes: int64(len(body))}
	var got bytes.Buffer
	var last int64
	if err := download(t.Context(), srv.URL+"/wheel", w, &got, func(done, total int64) { last = done }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), body) || last != w.bytes {
		t.Errorf("%d bytes came, %d told", got.Len(), last)
	}
	none := func(int64, int64) {}
	if err := download(t.Context(), srv.URL+"/none", w, io.Discard, none); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("not found: %v", err)
	}
	if err := download(t.Context(), srv.URL+"/short", w, io.Discard, none); err == nil {
		t.Error("a broken line went unnoticed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := download(ctx, srv.URL+"/hangs", w, io.Discard, none); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestInstallWithoutNetwork(t *testing.T) {
	if len(kinds[0].wheels[platform()].file) == 0 {
		t.Skip("no runtime for this machine")
	}
	elsewhere(t)
	serve(t, refuse{})
	err := Install(t.Context(), "cpu", "", nil)
	if err == nil {
		t.Fatal("installed from nowhere")
	}
	for _, part := range []string{"could not download the cpu runtime", "no network?", "runtime fetch cpu --platform " + platform(), "pip download", "--from xla_cpu_pjrt"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "://") {
		t.Errorf("error %q names an address", err)
	}
	if err := Remove("cpu"); err == nil {
		t.Error("removed what was not there")
	}
}

type refuse struct{}

func (refuse) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

func TestOffer(t *testing.T) {
	elsewhere(t)
	if _, err := os.Stat("/usr/local/lib/go-xla"); err == nil {
		t.Skip("a plugin is installed for all users")
	}
	o := Offer()
	_, err := kinds[0].wheelFor(platform())
	if want := hasXLA && err == nil; (o != nil) != want {
		t.Fatalf("offer %+v, want one: %v", o, want)
	}
	if o == nil {
		return
	}
	if o.Kind != "cpu" || o.DownloadBytes < 40e6 || o.Bytes < o.DownloadBytes {
		t.Errorf("offer %+v", o)
	}
	path := filepath.Join(t.TempDir(), "some_cpu_pjrt.so")
	write(t, path, library(t, machines[goruntime.GOARCH], librarySize))
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", path)
	_, err = kinds[1].wheelFor(platform())
	if o, want := Offer(), hasONNX && err == nil && !hasGPU(); (o != nil) != want || want && o.Kind != onnxName {
		t.Errorf("offer beside a plugin: %+v, want ONNX Runtime: %v", o, want)
	}
	t.Setenv(libraryEnv, path)
	if o := Offer(); o != nil {
		t.Errorf("offer beside both: %+v", o)
	}
}

func TestList(t *testing.T) {
	elsewhere(t)
	var names []string
	for _, i := range List() {
		names = append(names, i.Kind)
		if i.Installed || i.Works == "" {
			t.Errorf("%+v", i)
		}
	}
	if strings.Join(names, " ") != "cpu onnx cuda12 cuda13" {
		t.Errorf("kinds %v", names)
	}
}

// The real thing, from a file: ANOMALYMATCH_WHEEL names a wheel of this platform.
func TestInstallRealWheel(t *testing.T) {
	file := os.Getenv("ANOMALYMATCH_WHEEL")
	if file == "" {
		t.Skip("ANOMALYMATCH_WHEEL names no wheel")
	}
	elsewhere(t)
	if err := Install(t.Context(), "cpu", file, nil); err != nil {
		t.Fatal(err)
	}
	o, err := Open(Train, "auto")
	if err != nil || hasXLA && (o.Name != "xla:cpu" || o.Note != "") {
		t.Errorf("%+v, %v", o, err)
	}
	if o := Offer(); o != nil && o.Kind == "cpu" {
		t.Error("offered what is installed")
	}
	if err := Remove("cpu"); err != nil || installed("cpu").Installed {
		t.Errorf("removing: %v", err)
	}
}
