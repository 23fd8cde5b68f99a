// Package atomicfile writes files that are either the old ones or the whole new ones, whatever happens in between.
package atomicfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"anomalymatch/internal/age"
	"anomalymatch/internal/failpoint"
)

// Write makes or replaces path with what fill writes: a part file beside it, fsync, rename, fsync of the folder. On error path
// is as it was and no part file stays.
func Write(path string, fill func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	// As readable as any new file here: colleagues share projects, and os.CreateTemp would keep them out.
	part, err := os.OpenFile(filepath.Join(dir, partName(filepath.Base(path))), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			part.Close()
			os.Remove(part.Name())
		}
	}()
	failpoint.Hit(failpoint.PartMade)
	w := bufio.NewWriterSize(part, 1<<20)
	if err = fill(w); err != nil {
		return err
	}
	if err = w.Flush(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.PartFilled)
	if err = part.Sync(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.PartSynced)
	if err = part.Close(); err != nil {
		return err
	}
	return Rename(part.Name(), path)
}

// Replace is Write for what a person has made now and then, in whatever folder: it also removes what processes that were killed have left of path.
func Replace(path string, fill func(io.Writer) error) error {
	Clean(path)
	return Write(path, fill)
}

// Bytes is Write of a text.
func Bytes(path string, text []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func partName(base string) string { return fmt.Sprintf(".%s-%08x.part", base, rand.Uint32()) }

// IsPart tells by its name whether a file is a part of Write.
func IsPart(name string) bool {
	name, ok := strings.CutSuffix(name, ".part")
	at := len(name) - 9
	return ok && at > 1 && name[0] == '.' && name[at] == '-' && strings.Trim(name[at+1:], "0123456789abcdef") == ""
}

// Leftover is the age from which on a part is one that a process which was killed has left.
const Leftover = 24 * time.Hour

// Clean removes parts of path, files or folders, that are that old.
func Clean(path string) {
	list, _ := os.ReadDir(filepath.Dir(path))
	for _, d := range list {
		if !strings.HasPrefix(d.Name(), "."+filepath.Base(path)+"-") || !IsPart(d.Name()) || len(d.Name()) != len(partName(filepath.Base(path))) {
			continue
		}
		part := filepath.Join(filepath.Dir(path), d.Name())
		if info, err := d.Info(); err == nil && age.Of(part, info) > Leftover {
			os.RemoveAll(part)
		}
	}
}

// Rename gives a whole part, whose bytes are on disk, the name path, and is on disk when it returns.
func Rename(part, path string) error {
	if err := os.Rename(part, path); err != nil {
		return err
	}
	failpoint.Hit(failpoint.PartRenamed)
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

// Append writes lines behind those of path, which is made where it is missing, and returns when they are on disk. Where a crash cut the last line
// off, nobody was told that it is there, and it goes. Where processes cannot keep each other out, another one may be writing it just now: then the
// new lines begin behind its end. On error none of them is there, as far as that can be, so that they can be appended again.
func Append(path string, lines []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer f.Close() // what it says no longer matters: the lines are on disk, or an error was told
	alone := lock(f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	defer func() {
		if err != nil && alone && f.Truncate(size) == nil {
			_ = f.Sync()
		}
	}()
	switch whole, err := wholeLines(f, size); {
	case err != nil:
		return err
	case whole == size:
	case alone:
		size = whole
		if err := f.Truncate(whole); err != nil {
			return err
		}
	default:
		lines = append([]byte{'\n'}, lines...)
	}
	failpoint.Hit(failpoint.AppendBegun)
	failpoint.Torn(failpoint.AppendHalf, func() { f.Write(lines[:len(lines)/2]) })
	if _, err := f.Write(lines); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AppendWritten)
	if err := f.Sync(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AppendSynced)
	return SyncDir(filepath.Dir(path)) // each time: who made the file may have ended before this
}

// wholeLines is the length of the first size bytes of f without a last line that does not end.
func wholeLines(f io.ReaderAt, size int64) (int64, error) {
	for b := make([]byte, min(size, 1<<16)); size > 0; {
		last := b[:min(size, int64(len(b)))]
		if _, err := f.ReadAt(last, size-int64(len(last))); err != nil {
			return 0, err
		}
		if end := bytes.LastIndexByte(last, '\n'); end >= 0 {
			return size - int64(len(last)-end-1), nil
		}
		size -= int64(len(last))
	}
	return 0, nil
}
