// Package injob is what a process can know and do about the Slurm job that it runs in, and what a login node can ask about such a job.
package injob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"anomalymatch/internal/say"
)

// patience is how long Slurm's commands may take: a busy controller lets people wait.
const patience = 20 * time.Second

// Job is a job's number.
type Job string

// Here is the job that this process runs in; empty where it runs in none. A shell that only asked for nodes (salloc) is not in its job.
func Here() Job {
	id := Job(os.Getenv("SLURM_JOB_ID"))
	if os.Getenv("SLURMD_NODENAME") == "" || !id.valid() {
		return ""
	}
	return id
}

// Parse reads what Name made; ok is false for anything else.
func Parse(name string) (j Job, ok bool) {
	id, found := strings.CutPrefix(name, "slurm ")
	return Job(id), found && Job(id).valid()
}

// Name is the job's name on screen and in engine.lock: "slurm 1234".
func (j Job) Name() string { return "slurm " + string(j) }

func (j Job) valid() bool {
	return j != "" && len(j) < 20 && strings.Trim(string(j), "0123456789") == ""
}

// Ends asks when Slurm ends the job. The zero time: never. (SLURM_JOB_END_TIME does not follow a changed limit, and Slurm 22.05 does not set it.)
func (j Job) Ends(ctx context.Context) (time.Time, error) {
	out, err := run(ctx, "squeue", "-h", "-j", string(j), "-o", "%e")
	if err != nil {
		return time.Time{}, err
	}
	return end(out)
}

// end reads squeue's %e in UTC.
func end(text string) (time.Time, error) {
	switch text = strings.TrimSpace(text); text {
	case "", "N/A", "NONE", "Unknown", "UNLIMITED":
		return time.Time{}, nil
	}
	t, err := time.Parse("2006-01-02T15:04:05", text)
	if err != nil {
		return time.Time{}, fmt.Errorf("squeue tells no time but %q", say.Text(text))
	}
	return t, nil
}

// State asks for the job's state (PENDING, RUNNING, …) and what Slurm gives as the reason; both are empty when it is no more.
func (j Job) State(ctx context.Context) (state, reason string, err error) {
	out, err := run(ctx, "squeue", "-h", "-j", string(j), "-o", "%T %r")
	if err != nil {
		if strings.Contains(err.Error(), "Invalid job id") {
			return "", "", nil
		}
		return "", "", err
	}
	state, reason, _ = strings.Cut(say.Text(strings.TrimSpace(out)), " ")
	return state, reason, nil
}

// Preempted asks whether Slurm is about to take the job's nodes away. A job that then ends by itself within its grace time counts as done and is
// not queued again, whatever the partition's PreemptMode says (seen with Slurm 22.05).
func (j Job) Preempted(ctx context.Context) (bool, error) {
	out, err := run(ctx, "scontrol", "show", "job", "--oneliner", string(j))
	return preempted(out), err
}

// preempted reads what scontrol shows of a job; the last field of a name counts, since those before it may be somebody's words.
func preempted(text string) bool {
	at := strings.LastIndex(text, " PreemptTime=")
	if at < 0 {
		return false
	}
	when, _, _ := strings.Cut(text[at+len(" PreemptTime="):], " ")
	return when != "None" && when != ""
}

// Requeue puts the job back into the queue with all that it was submitted with. Slurm then ends what runs in it.
func (j Job) Requeue(ctx context.Context) error {
	_, err := run(ctx, "scontrol", "requeue", string(j))
	return err
}

// run runs one of Slurm's commands. The error is its last words.
func run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s did not answer within %v", name, patience))
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "SLURM_TIME_FORMAT=standard", "LC_ALL=C")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	switch text := say.Text(strings.TrimSpace(said.String())); {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("%s is not found: is Slurm installed here, and in PATH?", name)
	case text != "":
		return "", errors.New(text)
	}
	return "", fmt.Errorf("%s: %w", name, err)
}
