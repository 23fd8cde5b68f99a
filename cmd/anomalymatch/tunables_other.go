//go:build !linux

package main

// asEngine does nothing where the C library has no such settings.
func asEngine() error { return nil }
