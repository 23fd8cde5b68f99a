package cluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/internal/say"
)

// slurm is Slurm 20.11 and later (tested with 22.05).
type slurm struct {
	profile anomalymatch.Cluster
	run     Runner
}

func (q slurm) Script(s Spec) (string, error) {
	p := q.profile
	head := []string{"--job-name=" + name(s.Name), "--nodes=1", "--ntasks=1", "--chdir=/", "--output=/dev/null", "--open-mode=append"}
	option := func(key, value string) {
		if value != "" {
			head = append(head, key+"="+value)
		}
	}
	option("--partition", p.Partition)
	option("--account", p.Account)
	if p.GPUs > 0 {
		option("--gres", fmt.Sprintf("gpu:%d", p.GPUs))
	}
	if d := limit(p, s); d > 0 {
		option("--time", clock(d))
	}
	if s.Warn > 0 {
		// Without B: the signal goes to the steps, which is where the command is.
		option("--signal", fmt.Sprintf("USR1@%d", int(s.Warn.Seconds())))
	}
	if s.Requeue {
		head = append(head, "--requeue")
	} else {
		head = append(head, "--no-requeue")
	}
	if s.After != "" {
		if !slurmID.MatchString(s.After) {
			return "", fmt.Errorf("%q is no job of Slurm", s.After)
		}
		option("--dependency", "afterany:"+s.After)
	}
	if s.Tasks > 0 {
		array := fmt.Sprintf("0-%d", s.Tasks-1)
		if s.AtOnce > 0 {
			array += fmt.Sprintf("%%%d", s.AtOnce)
		}
		option("--array", array)
	}
	return script(p, s, dialect{
		prefix: "#SBATCH", head: head, task: `"$SLURM_ARRAY_TASK_ID"`,
		// As a step, since only steps are warned; with what the script has set, which --export=NONE would else keep from it; and with the CPUs that the
		// job asked for, which steps do not inherit since Slurm 22.05.
		launch: "srun --export=ALL --ntasks=1 ${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} --",
	})
}

var slurmAnswer = regexp.MustCompile(`^[0-9]{1,18}(;[\w.-]+)?$`) // of a cluster with that name

var slurmID = regexp.MustCompile(`^[0-9]{1,18}(_[0-9]{1,9})?$`)

func (q slurm) Submit(ctx context.Context, s Spec) (string, error) {
	text, err := q.Script(s)
	if err != nil {
		return "", err
	}
	// Here and not in the head, where the environment would go before it.
	id, err := submitted(ctx, q.run, slurmAnswer, text, "sbatch", "--parsable", "--export=NONE")
	id, _, _ = strings.Cut(id, ";")
	return id, err
}

// The fields of a line of squeue and sacct: array or job id, task, state, reason, start, end, node, name, which alone may hold a separator.
const (
	squeueFields = "%F|%K|%T|%r|%S|%e|%B|%j"
	sacctFields  = "JobID,State,Reason,Start,End,NodeList,JobName"
)

func (q slurm) Jobs(ctx context.Context, ids ...string) ([]Job, error) {
	for _, id := range ids {
		if !slurmID.MatchString(id) {
			return nil, fmt.Errorf("%q is no job of Slurm", id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	list := strings.Join(ids, ",")
	out, err := q.run(ctx, "", "env", "SLURM_TIME_FORMAT=%s", "squeue", "--noheader", "--array", "--states=all", "--jobs="+list, "--format="+squeueFields)
	var said *SaidError
	if err != nil && !(errors.As(err, &said) && strings.Contains(said.Said, "Invalid job id")) { // so it answers to a single id that it does not know
		return nil, err
	}
	found := map[string][]Job{}
	for line := range strings.Lines(out) {
		if f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 8); len(f) == 8 {
			j := slurmJob(f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7])
			found[j.ID] = append(found[j.ID], j)
		}
	}
	var forgotten []string
	for _, id := range ids {
		if base, _, _ := strings.Cut(id, "_"); found[base] == nil {
			forgotten = append(forgotten, id)
		}
	}
	if len(forgotten) > 0 {
		// A cluster without accounting has no more to say.
		out, err := q.run(ctx, "", "env", "SLURM_TIME_FORMAT=%s", "sacct", "--noheader", "--parsable2", "--allocations", "--jobs="+strings.Join(forgotten, ","), "--format="+sacctFields)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			if f := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 7); len(f) == 7 {
				id, task, _ := strings.Cut(f[0], "_")
				j := slurmJob(id, task, f[1], f[2], f[3], f[4], f[5], f[6])
				found[j.ID] = append(found[j.ID], j)
			}
		}
	}
	return inOrder(ids, found), nil
}

// slurmJob is a job as squeue and sacct write its fields.
func slurmJob(id, task, state, reason, start, end, node, name string) Job {
	j := Job{ID: id, Task: -1, Name: say.Text(name), Node: say.Text(node), Start: epoch(start), End: epoch(end)}
	if n, err := strconv.Atoi(task); err == nil {
		j.Task = n
	}
	if j.Node == "n/a" || j.Node == "(null)" || j.Node == "None assigned" {
		j.Node = ""
	}
	state, _, _ = strings.Cut(strings.TrimSuffix(state, "+"), " ") // CANCELLED by 1000
	if j.State = slurmStates[state]; j.State == "" {
		j.State = Unknown
	}
	j.Reason = slurmReason(state, reason)
	return j
}

func epoch(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{} // N/A, Unknown, None
	}
	return time.Unix(n, 0)
}

var slurmStates = map[string]State{
	"PENDING": Pending, "CONFIGURING": Pending, "REQUEUED": Pending, "REQUEUE_FED": Pending, "REQUEUE_HOLD": Pending, "SPECIAL_EXIT": Pending, "RESV_DEL_HOLD": Pending,
	"RUNNING": Running, "RESIZING": Running, "SIGNALING": Running, "SUSPENDED": Suspended, "STOPPED": Suspended,
	"COMPLETING": Ending, "STAGE_OUT": Ending,
	"COMPLETED": Done, "CANCELLED": Cancelled, "REVOKED": Cancelled, "TIMEOUT": Timeout, "DEADLINE": Timeout, "PREEMPTED": Preempted,
	"FAILED": Failed, "NODE_FAIL": Failed, "BOOT_FAIL": Failed, "OUT_OF_MEMORY": Failed,
}

// slurmReason says in words why a job is in its state.
func slurmReason(state, reason string) string {
	if words := slurmStateWords[state]; words != "" {
		return words
	}
	if reason == "None" || reason == "" || state == "RUNNING" || state == "COMPLETED" {
		return ""
	}
	if words := slurmReasons[reason]; words != "" {
		return words
	}
	for _, r := range slurmReasonParts {
		if strings.Contains(reason, r.part) {
			return r.words + " (" + say.Text(reason) + ")"
		}
	}
	return say.Text(reason)
}

var slurmStateWords = map[string]string{
	"CONFIGURING": "its node is being started", "REQUEUED": "it was requeued", "REQUEUE_HOLD": "it was requeued and is held: `scontrol release ID` lets it go",
	"SPECIAL_EXIT": "it ended oddly and is held: `scontrol release ID` lets it go", "OUT_OF_MEMORY": "it used more memory than it asked for: ask for more with --mem",
	"NODE_FAIL": "its node failed", "BOOT_FAIL": "its node could not be started", "DEADLINE": "it could not end before its deadline", "TIMEOUT": "its time was up",
}

// From the section on reasons in squeue(1) and the resource limits page of Slurm's documentation.
var slurmReasons = map[string]string{
	"Resources":                     "waits for a node to become free",
	"Priority":                      "others are before it in the queue",
	"Dependency":                    "waits for another job to end",
	"DependencyNeverSatisfied":      "the job that it waits for cannot end as needed: cancel it",
	"BeginTime":                     "may not start yet; after a requeue Slurm waits about two minutes",
	"JobArrayTaskLimit":             "as many tasks of the array run as may at once",
	"JobHeldUser":                   "is held: `scontrol release ID` lets it go",
	"JobHeldAdmin":                  "is held by an administrator",
	"PartitionDown":                 "the partition is down",
	"PartitionInactive":             "the partition takes no jobs just now",
	"PartitionTimeLimit":            "asks for more time than the partition allows: cancel it and set a shorter time",
	"PartitionNodeLimit":            "asks for more nodes than the partition has free for it",
	"ReqNodeNotAvail":               "a node that it needs is not available",
	"Licenses":                      "waits for a licence",
	"Reservation":                   "waits for its reservation",
	"NodeDown":                      "its node is down",
	"BadConstraints":                "no node is as it asks: look at extra in the profile",
	"InvalidAccount":                "the account is not valid: look at account in the profile",
	"InvalidQOS":                    "the quality of service is not valid: look at extra in the profile",
	"AccountNotAllowed":             "the account may not use the partition",
	"AssocGrpGRES":                  "the account's GPUs are all in use",
	"AssocGrpCPUMinutesLimit":       "the account's computing time is used up",
	"AssocGrpGRESMinutes":           "the account's GPU time is used up",
	"AssocGrpBillingMinutes":        "the account's computing time is used up",
	"AssocMaxJobsLimit":             "as many jobs of yours run as the account allows",
	"QOSMaxJobsPerUserLimit":        "as many jobs of yours run as you may have at once",
	"QOSMaxSubmitJobPerUserLimit":   "as many jobs of yours wait as you may have at once",
	"QOSMaxGRESPerUser":             "your jobs use as many GPUs as you may have at once",
	"QOSMaxCpuPerUserLimit":         "your jobs use as many CPUs as you may have at once",
	"QOSGrpGRES":                    "all GPUs of this quality of service are in use",
	"QOSMaxWallDurationPerJobLimit": "asks for more time than is allowed: cancel it and set a shorter time",
	"JobLaunchFailure":              "it could not be started on its node",
	"NonZeroExitCode":               "its command failed: its log says why",
	"RaisedSignal:9":                "it was killed",
	"TimeLimit":                     "its time was up",
	"SystemFailure":                 "the batch system failed",
	"OutOfMemory":                   "it used more memory than it asked for: ask for more with --mem",
}

// The many limits of accounts and qualities of service are alike in what a person can do.
var slurmReasonParts = []struct{ part, words string }{
	{"ReqNodeNotAvail", "a node that it needs is not available"},
	{"NonZeroExitCode", "its command failed: its log says why"},
	{"Minutes", "computing time is used up"},
	{"PerUser", "you use as much as you may at once"},
	{"PerAccount", "the account uses as much as it may at once"},
	{"Assoc", "a limit of the account is reached"},
	{"QOS", "a limit of the quality of service is reached"},
	{"Prolog", "its node is being prepared"},
}

func (q slurm) Cancel(ctx context.Context, id string) error {
	if !slurmID.MatchString(id) {
		return fmt.Errorf("%q is no job of Slurm", id)
	}
	_, err := q.run(ctx, "", "scancel", "--quiet", id)
	return err
}

func (q slurm) MaxTasks(ctx context.Context) (int, error) {
	out, err := q.run(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(line, "=")
		if n, err := strconv.Atoi(strings.TrimSpace(value)); strings.TrimSpace(key) == "MaxArraySize" && err == nil {
			return n, nil // the largest number is one less, and ours begin at 0
		}
	}
	return 0, nil
}

func (q slurm) Attach(j Job, argv ...string) []string {
	if q.profile.Attach == "srun" {
		return Srun(j.TaskID(), argv...)
	}
	return sshTo(j.Node, argv)
}

// Srun is the command that runs argv beside what runs in a Slurm job, on a pseudo-terminal that passes bytes on as they come, with little of our
// environment.
func Srun(job string, argv ...string) []string {
	return append([]string{"srun", "--unbuffered", "--overlap", "--jobid=" + job, "--nodes=1", "--ntasks=1", "--gres=none",
		"--export=HOME,USER,LOGNAME,PATH,LANG,SLURM_CONF", "--quiet", "--"}, argv...)
}
