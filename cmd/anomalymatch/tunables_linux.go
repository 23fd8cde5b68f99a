package main

import (
	"fmt"
	"os"
	"syscall"
)

// asEngine begins the program again as engines are started (see engine/rpc): with huge pages for the C library's memory, which is read before main. It
// returns only where that is so already, or cannot be.
func asEngine() error {
	const name, value = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
	if _, set := os.LookupEnv(name); set {
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return fmt.Errorf("starting %s: %w", exe, syscall.Exec(exe, os.Args, append(os.Environ(), name+"="+value)))
}
