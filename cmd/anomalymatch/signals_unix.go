//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// Batch systems send USR1 to every process of a job: it ends none of ours, and tells an engine to keep its training.
func ignoreCheckpoint() { signal.Ignore(syscall.SIGUSR1) }

// notifyCheckpoint has USR1 told to c.
func notifyCheckpoint(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR1) }
