//go:build failpoints && unix

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	deadly Point
	left   atomic.Int64 // times that it is still passed
)

func init() {
	name, count, _ := strings.Cut(os.Getenv(variable), ":")
	deadly = Point(name)
	n, _ := strconv.ParseInt(count, 10, 64)
	left.Store(max(n, 1))
}

// Hit kills the process if this is the point, and the time, that was asked for.
func Hit(p Point) { Torn(p, func() {}) }

// Torn is Hit that first does what a crash in the middle of something would have done.
func Torn(p Point, half func()) {
	if p != deadly || left.Add(-1) != 0 {
		return
	}
	half()
	os.Stderr.WriteString(Said(p))
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}
