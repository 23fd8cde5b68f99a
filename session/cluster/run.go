package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"anomalymatch/internal/say"
)

// Runner runs a command, without a shell, with that standard input, and returns its standard output. The error is a sentence with what the command said.
type Runner func(ctx context.Context, stdin string, argv ...string) (stdout string, err error)

// commandLimit is how long a batch system may take to answer; a busy one takes long.
const commandLimit = time.Minute

// Exec runs commands on this machine. Variables that change what the batch system's commands do (SBATCH_PARTITION, SQUEUE_FORMAT) are left out: the profile says
// it all.
func Exec(ctx context.Context, stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandLimit, fmt.Errorf("%s did not answer within %v", argv[0], commandLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		for _, prefix := range []string{"SBATCH_", "SQUEUE_", "SCANCEL_", "SACCT_"} {
			if strings.HasPrefix(v, prefix) {
				return true
			}
		}
		return false
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return "", absent(argv[0])
	case errors.As(err, &exit) && exit.ExitCode() == 127 && argv[0] == "env":
		return "", absent(argv[slices.IndexFunc(argv[1:], func(s string) bool { return !strings.Contains(s, "=") })+1])
	case errors.As(err, &exit):
		return "", &SaidError{argv[0], say.Lines(append(errs.Bytes(), out.Bytes()...)), exit.ExitCode()}
	}
	return "", fmt.Errorf("%s cannot be run: %w", say.Path(argv[0]), say.Cause(err))
}

// absentError is that a command is not there: [exec.ErrNotFound].
type absentError struct{ text string }

func (e absentError) Error() string   { return e.text }
func (absentError) Is(err error) bool { return err == exec.ErrNotFound }

func absent(command string) error {
	host, _ := os.Hostname()
	return absentError{fmt.Sprintf("there is no %s on this machine (%s): run this where the batch system is", say.Path(command), say.Path(host))}
}

// SaidError is that a command failed.
type SaidError struct {
	Command string
	Said    string // the last lines, safe to print
	Code    int    // exit status
}

func (e *SaidError) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("%s failed with exit status %d", e.Command, e.Code)
	}
	return e.Command + ": " + e.Said
}

// submitted gives a script to a command that answers with the job's id alone.
func submitted(ctx context.Context, run Runner, id *regexp.Regexp, script string, argv ...string) (string, error) {
	out, err := run(ctx, script, argv...)
	if err != nil {
		return "", err
	}
	if out = strings.TrimSpace(out); !id.MatchString(out) {
		return "", fmt.Errorf("%s answered %q where the id of a job was to be", argv[0], say.Lines([]byte(out)))
	}
	return out, nil
}
