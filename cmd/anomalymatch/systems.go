package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"anomalymatch/session"
	"anomalymatch/session/cluster"
	"anomalymatch/session/remote"
	"anomalymatch/tui/batch"
)

// systemsHere are this machine's batch systems and a project, for the screen. The settings are read each time: a profile may have been written.
type systemsHere struct{ dir string }

func (s systemsHere) Look(ctx context.Context) (batch.Report, error) {
	p, err := session.Open(s.dir)
	if err != nil {
		return batch.Report{}, err
	}
	told, err := submittedJobs(ctx, []string{s.dir}, func(cluster.Entry) bool { return true })
	return batch.Report{Engine: engineOf(p), Profiles: profilesOf(p.Config), Jobs: reports(told, false, true)}, err
}

func (s systemsHere) Start(ctx context.Context, profile string) (string, error) {
	p, err := session.Open(s.dir)
	if err != nil {
		return "", err
	}
	said, err := submitEngine(ctx, p, profile, false, true, func(string) {})
	return last(said), err
}

func (s systemsHere) Cancel(ctx context.Context, cluster, id string) (string, error) {
	return cancelJob(ctx, id, cluster, s.dir)
}

func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// systemsThere are those of a host, asked by our program there.
type systemsThere struct {
	host    *remote.Host
	name    string // of the host, as the person's settings have it
	project string
}

func (s systemsThere) Look(ctx context.Context) (r batch.Report, err error) {
	out, err := s.run(ctx, "jobs", "--json", "--fold", "--", s.project)
	if out != "" {
		if e := json.Unmarshal([]byte(out), &r); e != nil && err == nil {
			err = fmt.Errorf("the program on %s answers in another way than expected: %w", s.host.Name, e)
		}
	}
	return r, err
}

func (s systemsThere) Start(ctx context.Context, profile string) (string, error) {
	out, err := s.run(ctx, "engine", "--cluster="+profile, "--replace", "--", s.project)
	return last(strings.Split(strings.TrimSpace(out), "\n")), err
}

func (s systemsThere) Cancel(ctx context.Context, cluster, id string) (string, error) {
	out, err := s.run(ctx, "jobs", "cancel", "--cluster="+cluster, "--project="+s.project, "--", id)
	return strings.TrimSpace(out), err
}

// run runs a command there. The error is what it said last.
func (s systemsThere) run(ctx context.Context, args ...string) (string, error) {
	settings, err := profiles(s.name)
	if err != nil {
		return "", err
	}
	var out, errs bytes.Buffer
	code, err := s.host.Run(ctx, remote.Call{Args: args, Settings: settings}, remote.Streams{Out: &out, Err: &errs}, nil)
	if err == nil && code != 0 {
		if err = errors.New(last(strings.Split(strings.TrimSpace(errs.String()), "\n"))); err.Error() == "" {
			err = fmt.Errorf("the program on %s ended with exit status %d", s.host.Name, code)
		}
	}
	return out.String(), err
}
