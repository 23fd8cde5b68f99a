//go:build unix

package usage

import (
	"syscall"
	"time"
)

// ProcessTime is the processor time of this process so far, all threads together; false where the system does not say.
func ProcessTime() (time.Duration, bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
