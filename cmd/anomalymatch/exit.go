package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"anomalymatch/engine/rpc"
	"anomalymatch/internal/say"
	"anomalymatch/session/quote"
	"anomalymatch/tui/common"

	"charm.land/fang/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What the program's exit code says.
const (
	exitFailed    = 1
	exitUsage     = 2
	exitBadInputs = 3  // done, but some inputs were bad and are listed
	exitQueued    = 75 // of attach: the engine waits in a batch system (sysexits: try again later)
	exitCancelled = 130
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

func usage(format string, args ...any) error {
	return exitError{exitUsage, fmt.Errorf(format, args...)}
}

func badInputs(format string, args ...any) error {
	return exitError{exitBadInputs, fmt.Errorf(format, args...)}
}

func cancelled(format string, args ...any) error {
	return exitError{exitCancelled, fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var e exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled):
		return exitCancelled
	case errors.As(err, new(*rpc.QueuedError)):
		return exitQueued
	}
	return exitFailed
}

// showError writes the one sentence that a failed command ends with.
func showError(w io.Writer, s fang.Styles, err error) {
	if errors.Is(err, errSaid) {
		return
	}
	text := sentence(err)
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		fmt.Fprintln(w, text)
		return
	}
	mark := s.ErrorHeader.UnsetMargins().Render()
	if exitCode(err) == exitBadInputs || exitCode(err) == exitCancelled {
		mark = ""
	}
	width, _, _ := term.GetSize(int(os.Stderr.Fd()))
	fmt.Fprintln(w, ansi.Wrap(strings.TrimSpace(mark+" "+text), max(width, 40), ""))
}

// sentence is an error for people: on one line, without control characters.
func sentence(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "this took too long: " + common.Clean(err.Error())
	}
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = common.Clean(strings.TrimSpace(lines[i]))
	}
	return say.Plain(strings.Join(lines, "; "))
}

// asWord is a path as a person may copy it into a shell.
func asWord(path string) string { return quote.Sh(common.Clean(path)) }

// noNumber is how Go says that a flag's value is no number.
var noNumber = regexp.MustCompile(`strconv\.\w+: parsing (".*"): (invalid syntax|value out of range)`)

// flagSentence is what is wrong with a flag, for people.
func flagSentence(err error) string {
	return noNumber.ReplaceAllStringFunc(err.Error(), func(s string) string {
		m := noNumber.FindStringSubmatch(s)
		return m[1] + map[bool]string{true: " is no number of this kind", false: " is too large"}[m[2] == "invalid syntax"]
	})
}

// said is what an engine answered instead of what was asked for, for people.
func said(err error) error {
	switch status.Code(err) {
	case codes.Canceled:
		return context.Canceled
	case codes.Unavailable:
		return errors.New("the engine is gone: engine.log in the project says why")
	case codes.Unimplemented:
		return errors.New("the engine is of another version and does not know this: `anomalymatch stop PROJECT`, then try again")
	}
	return errors.New(status.Convert(err).Message())
}

// exactly wants the named arguments: exactly("PROJECT", "FILE").
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage("%s is missing: `%s`", names[len(args)], cmd.UseLine())
		case len(args) > len(names):
			return usage("%q is one too many: `%s`", args[len(names)], cmd.UseLine())
		}
		return nil
	}
}

// atLeast wants the named arguments, of the last one as many as there are.
func atLeast(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usage("%s is missing: `%s`", names[len(args)], cmd.UseLine())
		}
		return nil
	}
}

// group is a command that only holds others.
func group(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(children...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, word string) error {
	hint := "see `" + cmd.CommandPath() + " --help`"
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage("`%s` knows no command %q; %s", cmd.CommandPath(), word, hint)
}
