package cluster

import (
	"cmp"
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

// pbs is OpenPBS and PBS Professional.
type pbs struct {
	profile anomalymatch.Cluster
	run     Runner
}

// 12.server, 12[].server and, of a task, 12[].server_3: ours, as TaskID writes it.
var pbsID = regexp.MustCompile(`^([0-9]{1,18})(\[\])?(\.[A-Za-z0-9][A-Za-z0-9.-]*)?(?:_([0-9]{1,9}))?$`)

func (q pbs) Script(s Spec) (string, error) {
	p := q.profile
	head := []string{"-N " + name(s.Name), "-S /bin/sh", "-j oe", "-o /dev/null"}
	if p.Partition != "" {
		head = append(head, "-q "+p.Partition)
	}
	if p.Account != "" {
		head = append(head, "-A "+p.Account)
	}
	if p.GPUs > 0 {
		head = append(head, fmt.Sprintf("-l select=1:ngpus=%d", p.GPUs))
	}
	if d := limit(p, s); d > 0 {
		head = append(head, "-l walltime="+clock(d))
	}
	head = append(head, "-r "+map[bool]string{true: "y", false: "n"}[s.Requeue])
	if s.After != "" {
		if !pbsID.MatchString(s.After) {
			return "", fmt.Errorf("%q is no job of PBS", s.After)
		}
		head = append(head, "-W depend=afterany:"+s.After)
	}
	if s.Tasks > 1 { // PBS knows no array of one
		array := fmt.Sprintf("-J 0-%d", s.Tasks-1)
		if s.AtOnce > 0 {
			array += fmt.Sprintf("%%%d", s.AtOnce)
		}
		head = append(head, array)
	}
	return script(p, s, dialect{prefix: "#PBS", head: head, task: `"${PBS_ARRAY_INDEX:-0}"`})
}

func (q pbs) Submit(ctx context.Context, s Spec) (string, error) {
	text, err := q.Script(s)
	if err != nil {
		return "", err
	}
	return submitted(ctx, q.run, pbsID, text, "qsub")
}

func (q pbs) Jobs(ctx context.Context, ids ...string) ([]Job, error) {
	found := map[string][]Job{}
	for _, id := range ids {
		m := pbsID.FindStringSubmatch(id)
		if m == nil {
			return nil, fmt.Errorf("%q is no job of PBS", id)
		}
		base := m[1] + m[2] + m[3]
		if found[base] != nil {
			continue
		}
		argv := []string{"qstat", "-x", "-f", "-F", "json"}
		if m[2] != "" {
			argv = append(argv, "-t") // its tasks too
		}
		out, err := q.run(ctx, "", append(argv, base)...)
		if err != nil {
			if ctx.Err() != nil || !strings.Contains(err.Error(), "Unknown Job Id") {
				return nil, err
			}
			continue
		}
		if found[base], err = pbsJobs(base, out); err != nil {
			return nil, err
		}
	}
	return inOrder(ids, found), nil
}

// pbsJobs reads what qstat says of a job or an array.
func pbsJobs(base, out string) ([]Job, error) {
	var answer struct {
		Jobs map[string]struct {
			Name    string `json:"Job_Name"`
			State   string `json:"job_state"`
			Comment string `json:"comment"`
			Host    string `json:"exec_host"`
			Exit    *int   `json:"Exit_status"`
			Start   string `json:"stime"`
			End     string `json:"obittime"`
			Needs   struct {
				Time string `json:"walltime"`
			} `json:"Resource_List"`
			Estimated struct {
				Start string `json:"start"`
			} `json:"estimated"`
		} `json:"Jobs"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return nil, fmt.Errorf("qstat answered what is no JSON: %s", say.Lines([]byte(out)))
	}
	var jobs []Job
	for id, a := range answer.Jobs {
		j := Job{ID: base, Task: -1, Name: say.Text(a.Name), Start: pbsTime(a.Start), End: pbsTime(a.End), Reason: say.Text(a.Comment)}
		if n, rest, ok := strings.Cut(id, "["); ok && n != "" {
			number, _, _ := strings.Cut(rest, "]")
			if number == "" && len(answer.Jobs) > 1 {
				continue // the array itself
			}
			if n, err := strconv.Atoi(number); err == nil {
				j.Task = n
			}
		}
		j.Node, _, _ = strings.Cut(say.Text(a.Host), "/")
		switch a.State {
		case "Q", "H", "W", "T", "M":
			j.State, j.Start = Pending, pbsTime(cmp.Or(a.Estimated.Start, a.Start))
		case "R", "B":
			j.State, j.Reason = Running, ""
			if d := anomalymatch.Walltime(a.Needs.Time); d > 0 && !j.Start.IsZero() {
				j.End = j.Start.Add(d)
			}
		case "S", "U":
			j.State = Suspended
		case "E":
			j.State, j.Reason = Ending, ""
		case "F", "X":
			switch {
			case a.Exit == nil:
				j.State = Unknown
			case *a.Exit == 0:
				j.State, j.Reason = Done, ""
			case *a.Exit == -29: // JOB_EXEC_KILL_WALLTIME
				j.State, j.Reason = Timeout, "its time was up"
			case *a.Exit == 271: // 256 + TERM: qdel
				j.State, j.Reason = Cancelled, ""
			default:
				j.State, j.Reason = Failed, fmt.Sprintf("its command failed with exit status %d: its log says why", *a.Exit)
			}
		default:
			j.State = Unknown
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func pbsTime(s string) time.Time {
	t, err := time.ParseInLocation(time.ANSIC, s, time.Local)
	if err != nil {
		return epoch(s)
	}
	return t
}

func (q pbs) Cancel(ctx context.Context, id string) error {
	m := pbsID.FindStringSubmatch(id)
	if m == nil {
		return fmt.Errorf("%q is no job of PBS", id)
	}
	if m[4] != "" {
		m[2] = "[" + m[4] + "]"
	}
	_, err := q.run(ctx, "", "qdel", m[1]+m[2]+m[3])
	if err != nil && (strings.Contains(err.Error(), "has finished") || strings.Contains(err.Error(), "Unknown Job Id")) {
		return nil
	}
	return err
}

func (q pbs) MaxTasks(context.Context) (int, error) { return 0, nil }

func (q pbs) Attach(j Job, argv ...string) []string { return sshTo(j.Node, argv) }
