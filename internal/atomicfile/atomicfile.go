// Package atomicfile writes files that are either the old ones or the whole new ones, whatever happens in between.
package atomicfile

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
)

// Write makes or replaces path with what fill writes: a part file beside it, fsync, rename, fsync of the folder. On error path
// is as it was and no part file stays.
func Write(path string, fill func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	// As readable as any new file here: colleagues share projects, and os.CreateTemp would keep them out.
	part, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf(".%s-%08x.part", filepath.Base(path), rand.Uint32())), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			part.Close()
			os.Remove(part.Name())
		}
	}()
	w := bufio.NewWriterSize(part, 1<<20)
	if err = fill(w); err != nil {
		return err
	}
	if err = w.Flush(); err != nil {
		return err
	}
	if err = part.Sync(); err != nil {
		return err
	}
	if err = part.Close(); err != nil {
		return err
	}
	if err = os.Rename(part.Name(), path); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // folders cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
