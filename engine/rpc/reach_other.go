//go:build !linux

package rpc

// reaches says whether a lock on the file holds on other machines too.
func reaches(string) bool { return true }
