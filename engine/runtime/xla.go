//go:build cgo && !noxla && linux

package runtime

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
	"k8s.io/klog/v2"
)

const hasXLA = true

// prepareXLA keeps GoMLX from downloading plugins by itself, and its log off the terminal.
var prepareXLA = sync.OnceFunc(func() {
	os.Setenv(xla.NoAutoInstallEnv, "1")
	xla.EnableAutoInstall(false) // the variable is read before main
	klog.SetSlogLogger(slog.New(errorsOnly{slog.Default().Handler()}))
})

// errorsOnly drops go-xla's warnings: what they warn of comes as an error as well.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}

// slowEmitters is a flag of XLA's CPU code. Its newer way to write fused loops makes a step of training take 1.41 to 1.58 s instead of 1.05 to 1.15 s, and
// 2.6 GB instead of 1.9 (`bench train`, 64 px, 2 cores, in turn); scoring is as fast or a little slower.
const slowEmitters = "xla_cpu_use_fusion_emitters"

// withoutSlowEmitters sets the flag in the environment, which is where the plugin looks. One that does not know a flag ends the process, so
// its file is asked first; a person's own choice stands.
func withoutSlowEmitters(path string) {
	flags := os.Getenv("XLA_FLAGS")
	if !strings.Contains(flags, slowEmitters) && contains(path, slowEmitters) {
		os.Setenv("XLA_FLAGS", strings.TrimSpace(flags+" --"+slowEmitters+"=false"))
	}
}

// contains says whether text stands somewhere in a file.
func contains(path, text string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	buf, kept := make([]byte, 1<<20), 0
	for {
		n, err := f.Read(buf[kept:])
		if bytes.Contains(buf[:kept+n], []byte(text)) {
			return true
		}
		if err != nil {
			return false
		}
		last := buf[max(0, kept+n-len(text)):][:min(len(text), kept+n)]
		kept = copy(buf, last)
	}
}

// openXLA loads the plugin file and opens its devices.
func openXLA(path, options string) (compute.Backend, error) {
	prepareXLA()
	if kindOf(path) == "cpu" {
		withoutSlowEmitters(path)
	}
	name := path
	if kindOf(path) == "cpu" && (pjrt.IsCUDAName(path) || strings.Contains(path, ",")) {
		// go-xla guesses the kind from the whole path, and splits it at commas: a home folder called nvidia would make
		// this a GPU. It gets a plain name for the moment of loading.
		dir, err := os.MkdirTemp("", "xla")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		name = filepath.Join(dir, "xla_cpu_pjrt.so")
		if err := os.Symlink(path, name); err != nil {
			return nil, err
		}
	}
	if options != "" {
		name += "," + options
	}
	return xla.New(name)
}
