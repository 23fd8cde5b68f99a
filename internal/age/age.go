// Package age tells how old a file is by the clock of the file system that it is on. A shared folder's files have the times of its server, and a
// machine's own clock may be days away from that: compared with it, a file that is being written looks forgotten, and an engine that lives dead.
package age

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Of is how old the file info at path is: the difference between its time and that of a file made beside it now. It is negative for a file of the future.
// Where no file can be made there the machine's own clock has to do.
func Of(path string, info fs.FileInfo) time.Duration {
	return now(filepath.Dir(path)).Sub(info.ModTime())
}

// look is a reading of a file system's clock. Of the machine's own clock only how much time went by since counts, which no change of it touches.
type look struct{ there, here time.Time }

// lasts is how long a reading is used: clocks drift by far less meanwhile than anybody asks here.
const lasts = time.Minute

var (
	mu    sync.Mutex
	looks = map[string]look{} // by folder
)

// now is the time by the clock of the file system that dir is on.
func now(dir string) time.Time {
	mu.Lock()
	defer mu.Unlock()
	l, ok := looks[dir]
	if !ok || time.Since(l.here) > lasts {
		there, err := read(dir)
		if err != nil {
			return clock()
		}
		l = look{there, time.Now()}
		looks[dir] = l
	}
	return l.there.Add(time.Since(l.here))
}

// clock is the machine's own; tests set it wrong.
var clock = time.Now

// read makes a file and looks at its time.
func read(dir string) (time.Time, error) {
	path := filepath.Join(dir, fmt.Sprintf(".clock-%08x.part", rand.Uint32()))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return time.Time{}, err
	}
	defer os.Remove(path)
	_, err = f.Write([]byte{'\n'}) // some file systems take the time of a new file from who makes it, and that of what is written from the server
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return time.Time{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
