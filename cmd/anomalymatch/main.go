// Command anomalymatch finds rare objects among millions of image cut-outs, with a person in the loop, in a terminal.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"anomalymatch"

	"charm.land/fang/v2"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ignoreCheckpoint()
	if len(os.Args) == 3 && os.Args[1] == "at-host" { // the other end of --host
		args, hangUp, err := atHost(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, sentence(err))
			return exitUsage
		}
		os.Args = append(os.Args[:1], args...)
		if hangUp {
			ctx = hungUp(ctx)
		}
	}
	context.AfterFunc(ctx, stop) // a second ctrl+c ends the program however busy it is
	err := fang.Execute(ctx, rootCommand(), fang.WithVersion(anomalymatch.Version), fang.WithCommit(revision()), fang.WithErrorHandler(showError))
	return exitCode(err)
}

// revision is the commit the program was built from, as the Go tools stamped it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
