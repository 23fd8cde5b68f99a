//go:build unix

package session

import "golang.org/x/sys/unix"

// writable asks the system whether files can be made in dir, without making one.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
