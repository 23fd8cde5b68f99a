package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"anomalymatch/engine/rpc"
	"anomalymatch/session/injob"
)

// finder finds a project's engine wherever it runs: here, in a job on a node, on another machine that shares the project's folder.
func finder() rpc.Finder {
	return rpc.Finder{Hop: func(h rpc.Holder, project string) (*exec.Cmd, error) {
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		by := os.Getenv(attachBy)
		if _, err := exec.LookPath("srun"); err != nil && by == "" {
			by = "ssh"
		}
		return hop(h, by, exe, project)
	}, Queued: queued}
}

// attachBy says how an engine in a job is reached: "ssh" or "srun". Where it is not set it is srun, which needs no leave but that to submit, if
// there is one here.
const attachBy = "ANOMALYMATCH_ATTACH"

// hop is the command that reaches the engine of h. The program is expected at the same place there as it is here: engine.lock, which others may
// be able to write, has no say in what runs. For the same reason the host must look like one, and the job like a number.
func hop(h rpc.Holder, by, exe, project string) (*exec.Cmd, error) {
	job, inJob := injob.Parse(h.Job)
	if by == "" && inJob {
		by = "srun"
	}
	switch by {
	case "srun":
		if !inJob {
			return nil, errors.New("it is in no Slurm job")
		}
		cmd := exec.Command("srun", "--unbuffered", "--overlap", "--jobid="+string(job), "--nodes=1", "--ntasks=1", "--gres=none",
			"--export=HOME,USER,LOGNAME,PATH,LANG,SLURM_CONF", "--quiet", exe, "attach", project)
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
	return nil, fmt.Errorf("%s is %q: it is ssh or srun", attachBy, by)
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
