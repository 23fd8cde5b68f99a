// Package atomicfile writes files that are either the old ones or the whole new ones, whatever happens in between.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	return Rename(part.Name(), path)
}

// Rename gives a whole part, whose bytes are on disk, the name path, and is on disk when it returns.
func Rename(part, path string) error {
	if err := os.Rename(part, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// MkdirAll makes a folder, and those above it that are missing, and is on disk when it returns: a file in a folder whose own name is lost with the
// power is lost too.
func MkdirAll(dir string, perm os.FileMode) error {
	var within []string // folders that get a new name
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err // os.MkdirAll would say that it exists
		}
		within = append(within, filepath.Dir(at))
	}
	if err := os.MkdirAll(dir, perm); err != nil {
		return err
	}
	for _, at := range within {
		if err := SyncDir(at); err != nil {
			return err
		}
	}
	return nil
}

// Append writes lines behind those of path, which is made where it is missing, and returns when they are on disk. Where the last line there was cut off
// they begin behind its end, so that only that one is damaged. On error none of them is there, as far as the disk can do that, so that they can be
// appended again.
func Append(path string, lines []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer f.Close() // what it says no longer matters: the lines are on disk, or an error was told
	info, err := f.Stat()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && f.Truncate(info.Size()) == nil {
			_ = f.Sync()
		}
	}()
	if last := make([]byte, 1); info.Size() > 0 {
		if _, err := f.ReadAt(last, info.Size()-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			lines = append([]byte{'\n'}, lines...)
		}
	}
	if _, err := f.Write(lines); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path)) // each time: who made the file may have ended before this
}
