//go:build unix

// Slow runs a program as if it were at the other end of a slow link: go run ./internal/slowlink/slow -rate 1000000 -trip 100ms PROGRAM…
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"anomalymatch/internal/slowlink"
)

func main() {
	rate := flag.Int("rate", 1_000_000, "bits per second, each way")
	trip := flag.Duration("trip", 100*time.Millisecond, "there and back")
	flag.Parse()
	if err := run(slowlink.New(*rate, *trip), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "slow:", err)
		os.Exit(1)
	}
}

func run(link *slowlink.Link, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which program?")
	}
	size, err := pty.GetsizeFull(os.Stdin)
	if err != nil {
		return fmt.Errorf("standard input is no terminal: %w", err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	far, err := pty.StartWithSize(cmd, size)
	if err != nil {
		return err
	}
	defer far.Close()
	old, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return err
	}
	defer term.Restore(int(os.Stdin.Fd()), old)
	go link.Pipe(far, os.Stdin)
	link.Pipe(os.Stdout, far) // ends with an error of the pseudo-terminal when the program ends
	return cmd.Wait()
}
