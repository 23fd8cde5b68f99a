//go:build !unix

package tui

// canSuspend: there is no job control.
func canSuspend() bool { return false }
