package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/internal/say"
)

// lsf is IBM Spectrum LSF 10.
type lsf struct {
	profile anomalymatch.Cluster
	run     Runner
}

var lsfID = regexp.MustCompile(`^([0-9]{1,18})(?:_([0-9]{1,9}))?$`)

func (q lsf) Script(s Spec) (string, error) {
	p := q.profile
	job := name(s.Name)
	if s.Tasks > 0 { // numbers begin at 1
		job += fmt.Sprintf("[1-%d]", s.Tasks)
		if s.AtOnce > 0 {
			job += fmt.Sprintf("%%%d", s.AtOnce)
		}
	}
	head := []string{`-J "` + job + `"`, "-L /bin/sh", "-o /dev/null"}
	if p.Partition != "" {
		head = append(head, "-q "+p.Partition)
	}
	if p.Account != "" {
		head = append(head, "-P "+p.Account)
	}
	if p.GPUs > 0 {
		head = append(head, fmt.Sprintf(`-gpu "num=%d"`, p.GPUs))
	}
	if d := limit(p, s); d > 0 {
		minutes := int64((d + time.Minute - 1) / time.Minute)
		head = append(head, fmt.Sprintf("-W %d:%02d", minutes/60, minutes%60))
		if s.Warn > 0 && s.Warn < d {
			head = append(head, fmt.Sprintf("-wa USR1 -wt %d", int64((s.Warn+time.Minute-1)/time.Minute)))
		}
	}
	if s.Requeue {
		head = append(head, "-r")
	} else {
		head = append(head, "-rn")
	}
	if s.After != "" {
		if !lsfID.MatchString(s.After) {
			return "", fmt.Errorf("%q is no job of LSF", s.After)
		}
		head = append(head, `-w "ended(`+s.After+`)"`)
	}
	return script(p, s, dialect{prefix: "#BSUB", head: head, task: `"$((LSB_JOBINDEX - 1))"`})
}

var lsfAnswer = regexp.MustCompile(`^Job <([0-9]{1,18})> is submitted`)

func (q lsf) Submit(ctx context.Context, s Spec) (string, error) {
	text, err := q.Script(s)
	if err != nil {
		return "", err
	}
	// LSF would give the job the whole environment.
	out, err := q.run(ctx, text, "bsub", "-env", "none")
	if err != nil {
		return "", err
	}
	m := lsfAnswer.FindStringSubmatch(strings.TrimSpace(out))
	if m == nil {
		return "", fmt.Errorf("bsub answered %q where the number of a job was to be", say.Lines([]byte(out)))
	}
	return m[1], nil
}

func (q lsf) Jobs(ctx context.Context, ids ...string) ([]Job, error) {
	argv := []string{"bjobs", "-a", "-json", "-o", "jobid jobindex stat pend_reason start_time finish_time exec_host exit_code exit_reason job_name"}
	for _, id := range ids {
		m := lsfID.FindStringSubmatch(id)
		if m == nil {
			return nil, fmt.Errorf("%q is no job of LSF", id)
		}
		argv = append(argv, m[1])
	}
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := q.run(ctx, "", argv...)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Records []map[string]string `json:"RECORDS"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return nil, fmt.Errorf("bjobs answered what is no JSON: %s", say.Lines([]byte(out)))
	}
	found := map[string][]Job{}
	now := time.Now()
	for _, r := range answer.Records {
		if r["ERROR"] != "" || r["STAT"] == "" { // a job that it does not know
			continue
		}
		j := Job{ID: r["JOBID"], Task: -1, Name: say.Text(r["JOB_NAME"]), Start: lsfTime(r["START_TIME"], now), End: lsfTime(r["FINISH_TIME"], now)}
		if n, err := strconv.Atoi(r["JOBINDEX"]); err == nil && n > 0 {
			j.Task = n - 1
		}
		host, _, _ := strings.Cut(r["EXEC_HOST"], ":")
		if _, one, ok := strings.Cut(host, "*"); ok { // 4*node
			host = one
		}
		if j.Node = say.Text(host); j.Node == "-" {
			j.Node = ""
		}
		switch r["STAT"] {
		case "PEND", "WAIT", "PSUSP":
			j.State, j.Reason = Pending, say.Text(strings.TrimSpace(r["PEND_REASON"]))
			j.Start, j.End = time.Time{}, time.Time{}
		case "RUN", "PROV":
			j.State = Running
		case "USUSP", "SSUSP":
			j.State = Suspended
		case "DONE":
			j.State = Done
		case "EXIT":
			switch why := r["EXIT_REASON"]; {
			case strings.Contains(why, "TERM_RUNLIMIT"):
				j.State, j.Reason = Timeout, "its time was up"
			case strings.Contains(why, "TERM_OWNER"), strings.Contains(why, "TERM_ADMIN"), strings.Contains(why, "TERM_FORCE"):
				j.State = Cancelled
			case strings.Contains(why, "TERM_PREEMPT"):
				j.State = Preempted
			default:
				j.State, j.Reason = Failed, "its command failed with exit status "+say.Text(r["EXIT_CODE"])+": its log says why"
			}
		default: // UNKWN, ZOMBI
			j.State = Unknown
		}
		found[j.ID] = append(found[j.ID], j)
	}
	return inOrder(ids, found), nil
}

// lsfTime reads "Nov 24 20:11", which may be followed by a letter: the year is the one that brings it nearest to now.
func lsfTime(s string, now time.Time) time.Time {
	f := strings.Fields(s)
	if len(f) < 3 {
		return time.Time{}
	}
	for _, year := range []int{now.Year(), now.Year() - 1, now.Year() + 1} {
		t, err := time.ParseInLocation("2006 Jan 2 15:04", fmt.Sprintf("%d %s", year, strings.Join(f[:3], " ")), time.Local)
		if err == nil && t.Sub(now).Abs() < 183*24*time.Hour {
			return t
		}
	}
	return time.Time{}
}

func (q lsf) Cancel(ctx context.Context, id string) error {
	m := lsfID.FindStringSubmatch(id)
	if m == nil {
		return fmt.Errorf("%q is no job of LSF", id)
	}
	id = m[1]
	if n, err := strconv.Atoi(m[2]); err == nil {
		id += fmt.Sprintf("[%d]", n+1)
	}
	_, err := q.run(ctx, "", "bkill", id)
	if err != nil && strings.Contains(err.Error(), "already finished") {
		return nil
	}
	return err
}

func (q lsf) MaxTasks(context.Context) (int, error) { return 0, nil }

func (q lsf) Attach(j Job, argv ...string) []string { return sshTo(j.Node, argv) }
