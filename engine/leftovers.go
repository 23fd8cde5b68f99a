package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"anomalymatch/internal/age"
	"anomalymatch/internal/atomicfile"
)

// Leftovers are the unfinished files in a project's folder that nobody has touched for a day: whoever was to give them their names was killed.
// Those that the next run goes on with are not among them.
func Leftovers(dir string) (paths []string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !unfinished(path) {
			return nil // what cannot be read is left alone
		}
		if info, err := d.Info(); err == nil && age.Of(path, info) > atomicfile.Leftover {
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}

func unfinished(path string) bool {
	name := filepath.Base(path)
	if part, ok := strings.CutSuffix(path, ".part.log"); ok { // of embeddings, which were whole
		_, err := os.Lstat(part + ".part")
		return errors.Is(err, fs.ErrNotExist)
	}
	return atomicfile.IsPart(name) || strings.HasPrefix(name, "images.idx.part-") || strings.Contains(name, ".pix-") && strings.HasSuffix(name, ".part")
}

// sweep removes them: a checkpoint that was cut off is as large as a whole one.
func (e *Engine) sweep() {
	for _, path := range Leftovers(e.opt.Dir) {
		if err := os.Remove(path); err != nil {
			e.log.Warn("an unfinished file stays", "err", err)
		}
	}
}
