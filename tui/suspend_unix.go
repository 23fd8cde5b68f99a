//go:build unix

package tui

import (
	"os"

	"golang.org/x/sys/unix"
)

// canSuspend reports whether a shell with job control started the program. Where none did, as in `ssh -t HOST anomalymatch`, the
// kernel drops the stop signal (POSIX: orphaned process groups) and the program would wait for ever to be continued.
func canSuspend() bool {
	parent, err := unix.Getsid(os.Getppid())
	if err != nil {
		return false
	}
	own, err := unix.Getsid(0)
	if err != nil || parent != own {
		return false
	}
	group, err := unix.Getpgid(os.Getppid())
	return err == nil && group != unix.Getpgrp()
}
