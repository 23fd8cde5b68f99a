package cluster

import (
	"context"
	"encoding/xml"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/internal/say"
)

// sge is Grid Engine in its several versions (Univa, Altair, Son of).
type sge struct {
	profile anomalymatch.Cluster
	run     Runner
}

var sgeID = regexp.MustCompile(`^([0-9]{1,18})(?:_([0-9]{1,9}))?$`)

func (q sge) Script(s Spec) (string, error) {
	p := q.profile
	head := []string{"-N " + name(s.Name), "-S /bin/sh", "-j y", "-o /dev/null"}
	if p.Partition != "" {
		head = append(head, "-q "+p.Partition)
	}
	if p.Account != "" {
		head = append(head, "-P "+p.Account)
	}
	if p.GPUs > 0 {
		head = append(head, fmt.Sprintf("-l gpu=%d", p.GPUs))
	}
	if d := limit(p, s); d > 0 {
		head = append(head, "-l h_rt="+clock(d))
		if s.Warn > 0 && s.Warn < d {
			head = append(head, "-l s_rt="+clock(d-s.Warn)) // USR1 then
		}
	}
	head = append(head, "-r "+map[bool]string{true: "y", false: "n"}[s.Requeue])
	if s.After != "" {
		if !sgeID.MatchString(s.After) {
			return "", fmt.Errorf("%q is no job of Grid Engine", s.After)
		}
		head = append(head, "-hold_jid "+s.After)
	}
	if s.Tasks > 0 { // numbers begin at 1
		head = append(head, fmt.Sprintf("-t 1-%d", s.Tasks))
		if s.AtOnce > 0 {
			head = append(head, fmt.Sprintf("-tc %d", s.AtOnce))
		}
	}
	return script(p, s, dialect{prefix: "#$", head: head, task: `"$((SGE_TASK_ID - 1))"`})
}

var sgeAnswer = regexp.MustCompile(`^([0-9]{1,18})(\.[0-9:-]+)?$`)

func (q sge) Submit(ctx context.Context, s Spec) (string, error) {
	text, err := q.Script(s)
	if err != nil {
		return "", err
	}
	id, err := submitted(ctx, q.run, sgeAnswer, text, "qsub", "-terse")
	id, _, _ = strings.Cut(id, ".") // 12.1-10:1
	return id, err
}

func (q sge) Jobs(ctx context.Context, ids ...string) ([]Job, error) {
	for _, id := range ids {
		if !sgeID.MatchString(id) {
			return nil, fmt.Errorf("%q is no job of Grid Engine", id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := q.run(ctx, "", "qstat", "-xml", "-g", "d") // one entry a task
	if err != nil {
		return nil, err
	}
	found, err := sgeLive(out)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		base, _, _ := strings.Cut(id, "_")
		// Ended tasks are in the accounting only, which may take a while to know them, or be kept from people.
		out, err := q.run(ctx, "", "qacct", "-j", base)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		live := map[int]bool{}
		for _, j := range found[base] {
			live[j.Task] = true
		}
		for _, j := range sgeEnded(base, out) {
			if !live[j.Task] {
				found[base] = append(found[base], j)
				live[j.Task] = true
			}
		}
	}
	return inOrder(ids, found), nil
}

// sgeLive reads what qstat says of the jobs that wait and run.
func sgeLive(out string) (map[string][]Job, error) {
	type entry struct {
		ID    string `xml:"JB_job_number"`
		Name  string `xml:"JB_name"`
		State string `xml:"state"`
		Start string `xml:"JAT_start_time"`
		Queue string `xml:"queue_name"` // all.q@node
		Task  string `xml:"tasks"`
	}
	var answer struct {
		Running []entry `xml:"queue_info>job_list"`
		Pending []entry `xml:"job_info>job_list"`
	}
	if err := xml.Unmarshal([]byte(out), &answer); err != nil {
		return nil, fmt.Errorf("qstat answered what is no XML: %s", say.Lines([]byte(out)))
	}
	found := map[string][]Job{}
	for _, e := range append(answer.Running, answer.Pending...) {
		j := Job{ID: e.ID, Task: -1, Name: say.Text(e.Name)}
		if n, err := strconv.Atoi(e.Task); err == nil {
			j.Task = n - 1
		}
		if t, err := time.ParseInLocation("2006-01-02T15:04:05", e.Start, time.Local); err == nil {
			j.Start = t
		}
		_, j.Node, _ = strings.Cut(say.Text(e.Queue), "@")
		switch {
		case strings.Contains(e.State, "E"):
			j.State, j.Reason = Pending, "it could not be started: `qstat -j ID` says why, `qmod -cj ID` tries again"
		case strings.Contains(e.State, "d"):
			j.State = Ending
		case strings.Contains(e.State, "h"):
			j.State, j.Reason = Pending, "is held, or waits for another job"
		case strings.Contains(e.State, "q"):
			j.State = Pending
		case strings.ContainsAny(e.State, "sST"):
			j.State = Suspended
		case strings.ContainsAny(e.State, "rt"):
			j.State = Running
		default:
			j.State = Unknown
		}
		found[j.ID] = append(found[j.ID], j)
	}
	return found, nil
}

// sgeEnded reads what qacct says of a job: blocks of "key value" lines.
func sgeEnded(id, out string) []Job {
	var jobs []Job
	for block := range strings.SplitSeq(out, "==============================================================") {
		f := map[string]string{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			f[key] = strings.TrimSpace(value)
		}
		if f["jobnumber"] != id {
			continue
		}
		j := Job{ID: id, Task: -1, Name: say.Text(f["jobname"]), Node: say.Text(f["hostname"])}
		if n, err := strconv.Atoi(f["taskid"]); err == nil {
			j.Task = n - 1
		}
		j.Start, _ = time.ParseInLocation(time.ANSIC, f["start_time"], time.Local)
		j.End, _ = time.ParseInLocation(time.ANSIC, f["end_time"], time.Local)
		failed, _, _ := strings.Cut(f["failed"], " ")
		exit, _, _ := strings.Cut(f["exit_status"], " ")
		switch {
		case f["deleted_by"] != "" && f["deleted_by"] != "NONE":
			j.State = Cancelled
		case failed == "0" && exit == "0":
			j.State = Done
		default:
			j.State, j.Reason = Failed, "its command failed with exit status "+say.Text(exit)+", Grid Engine says "+say.Text(f["failed"])
		}
		jobs = append(jobs, j)
	}
	return jobs
}

func (q sge) Cancel(ctx context.Context, id string) error {
	m := sgeID.FindStringSubmatch(id)
	if m == nil {
		return fmt.Errorf("%q is no job of Grid Engine", id)
	}
	argv := []string{"qdel", m[1]}
	if n, err := strconv.Atoi(m[2]); err == nil {
		argv = append(argv, "-t", strconv.Itoa(n+1))
	}
	_, err := q.run(ctx, "", argv...)
	if err != nil && strings.Contains(err.Error(), "does not exist") {
		return nil
	}
	return err
}

func (q sge) MaxTasks(context.Context) (int, error) { return 0, nil }

func (q sge) Attach(j Job, argv ...string) []string { return sshTo(j.Node, argv) }
