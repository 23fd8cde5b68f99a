//go:build cgo && !noxla && linux

package runtime

import (
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

// openXLA loads the plugin file and opens its devices.
func openXLA(path, options string) (compute.Backend, error) {
	prepareXLA()
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
