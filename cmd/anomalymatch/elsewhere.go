package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/cluster"
	"anomalymatch/session/injob"
	"anomalymatch/tui/common"
)

// finder finds a project's engine wherever it runs: here, in a job on a node, on another machine that shares the project's folder.
func finder(p *session.Project) rpc.Finder {
	return rpc.Finder{Hop: func(h rpc.Holder, project string) (*exec.Cmd, error) {
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		entry, profile := submittedBy(p)
		by := cmp.Or(os.Getenv(attachBy), profile.Attach)
		if h.Job == "" {
			by = "ssh"
		}
		if profile.Scheduler != "" && profile.Scheduler != "slurm" {
			return hopToJob(p, entry, profile, exe, project)
		}
		if _, err := exec.LookPath("srun"); err != nil && by == "" {
			by = "ssh"
		}
		return hop(h, by, exe, project)
	}, Queued: func(ctx context.Context, name string) (state, said string, err error) {
		if entry, profile := submittedBy(p); entry.ID != "" && name == jobName(profile, entry.ID) {
			return submitted(ctx, entry, profile)
		}
		state, err = queued(ctx, name)
		return state, "", err
	}}
}

// attachBy is a variable that says how engines in jobs are reached, "ssh" or "srun", whatever the profile says.
const attachBy = "ANOMALYMATCH_ATTACH"

// submittedBy is how a project's engine was submitted last, with the profile; both are empty where it never was.
func submittedBy(p *session.Project) (entry cluster.Entry, profile anomalymatch.Cluster) {
	entries, err := cluster.Remembered(p.Dir)
	if err != nil {
		return
	}
	for _, e := range entries { // newest first
		if e.Kind == cluster.KindEngine {
			if profile, err = p.Config.Profile(e.Profile); err == nil {
				return e, profile
			}
		}
	}
	return cluster.Entry{}, anomalymatch.Cluster{}
}

// hopToJob reaches an engine in a job of a batch system other than Slurm, as that has it.
func hopToJob(p *session.Project, entry cluster.Entry, profile anomalymatch.Cluster, exe, project string) (*exec.Cmd, error) {
	q, err := cluster.New(profile, cluster.Exec)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	jobs, err := q.Jobs(ctx, entry.ID)
	if err != nil {
		return nil, err
	}
	argv := q.Attach(jobs[0], exe, "attach", "--hex", hex.EncodeToString([]byte(project)))
	return exec.Command(argv[0], argv[1:]...), nil
}

// hop is the command that reaches the engine of h. The program is expected at the same place there as it is here: engine.lock, which others may
// be able to write, has no say in what runs. For the same reason the host must look like one, and the job like a number.
func hop(h rpc.Holder, by, exe, project string) (*exec.Cmd, error) {
	job, inJob := injob.Parse(h.Job)
	if by == "" && inJob {
		by = "srun" // needs no leave but that to submit
	}
	switch by {
	case "srun":
		if !inJob {
			return nil, errors.New("it is in no Slurm job")
		}
		argv := cluster.Srun(string(job), exe, "attach", project)
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = withoutSlurm(os.Environ())
		return cmd, nil
	case "ssh", "":
		if !hostName.MatchString(h.Host) {
			return nil, errors.New("that is no name of a host")
		}
		// sshd gives the line to the person's login shell, whichever that is: none changes what is in single quotes, but for these.
		if strings.ContainsAny(exe, "'!\\\n\r") {
			return nil, fmt.Errorf("the program lies at %q, which not every shell leaves as it is: move it", exe)
		}
		return exec.Command("ssh", "-T", "-a", "-x", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=5", "-o", "LogLevel=ERROR",
			"-o", "ClearAllForwardings=yes", h.Host, "exec '"+exe+"' attach --hex "+hex.EncodeToString([]byte(project))), nil
	}
	return nil, fmt.Errorf("attach is %q: it is ssh or srun", by)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$`)

// withoutSlurm drops what a job around us would have srun do, but not where its configuration lies.
func withoutSlurm(env []string) (kept []string) {
	for _, e := range env {
		if strings.HasPrefix(e, "SLURM_CONF=") || !strings.HasPrefix(e, "SLURM_") && !strings.HasPrefix(e, "SRUN_") {
			kept = append(kept, e)
		}
	}
	return kept
}

// submitted tells how the engine's job waits that we submitted.
func submitted(ctx context.Context, entry cluster.Entry, profile anomalymatch.Cluster) (state, said string, err error) {
	if job, ok := injob.Parse(jobName(profile, entry.ID)); ok && job == injob.Here() {
		return "", "", nil
	}
	q, err := cluster.New(profile, cluster.Exec)
	if err != nil {
		return "", "", err
	}
	jobs, err := q.Jobs(ctx, entry.ID)
	switch {
	case errors.Is(err, exec.ErrNotFound): // another cluster's, or none
		return "", "", nil
	case err != nil:
		return "", "", err
	}
	j := jobs[0]
	if j.State.Ended() || j.State == cluster.Ending {
		return "", "", nil
	}
	return string(j.State), engineWaits(j, entry.Profile, time.Now()), nil
}

// engineWaits says that an engine is not there yet because of its job. What matters most stands first: a screen may cut it.
func engineWaits(j cluster.Job, profile string, now time.Time) string {
	name := fmt.Sprintf("job %s on %s", common.Clean(j.ID), common.Clean(profile))
	if j.State != cluster.Pending {
		return strings.TrimSpace(fmt.Sprintf("the engine's %s is %s%s and does not answer yet", name, j.State, on(j.Node)))
	}
	text := "the engine waits as " + name
	if j.Start.After(now) {
		text += " until about " + common.Clock(now, j.Start)
	}
	if j.Reason != "" {
		text += ": " + common.Clean(j.Reason)
	}
	return text
}

func on(node string) string {
	if node == "" {
		return ""
	}
	return " on " + common.Clean(node)
}

// queued tells how a job waits whose engine does not run.
func queued(ctx context.Context, name string) (string, error) {
	job, ok := injob.Parse(name)
	if !ok || job == injob.Here() {
		return "", nil
	}
	state, reason, err := job.State(ctx)
	switch {
	case errors.Is(err, exec.ErrNotFound): // another cluster's, or none
		return "", nil
	case err != nil:
		return "", err
	case state == "COMPLETING": // it is over
		return "", nil
	case reason != "" && reason != "None":
		state += ": " + reason
	}
	return state, nil
}
