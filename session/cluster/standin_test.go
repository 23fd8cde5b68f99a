package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"anomalymatch"
)

// The batch systems other than Slurm are not here. What answers for them is this test program under their commands' names: it takes only the options that the
// real command has, in the form that its manual gives, runs the script as the real one would, with an empty environment but for the task's number, and
// answers in the form of the manual. So this shows that we say what the manuals want, not that a real one understands it.

func TestMain(m *testing.M) {
	if command, ok := standIns[filepath.Base(os.Args[0])]; ok {
		if err := command(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// standIn puts the stand-ins of these commands before everything on the path, with a folder for what they are to remember.
func standIn(t *testing.T, commands ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, c := range commands {
		if err := os.Symlink(must(os.Executable())(t), filepath.Join(dir, c)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("STANDIN", dir)
	t.Setenv("AM_SECRET", "hunter2")
}

var standIns = map[string]func(args []string) error{
	"qsub": func(args []string) error {
		if slices.Equal(args, []string{"-terse"}) {
			return sgeSubmit()
		}
		return pbsSubmit(args)
	},
	"qstat": func(args []string) error {
		switch {
		case slices.Equal(args, []string{"-xml", "-g", "d"}):
			fmt.Print(`<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd"><queue_info>
<job_list state="running"><JB_job_number>31</JB_job_number><JAT_prio>0.5</JAT_prio><JB_name>am</JB_name><JB_owner>ada</JB_owner><state>r</state>
<JAT_start_time>2026-11-24T20:11:22</JAT_start_time><queue_name>gpu.q@node7</queue_name><slots>1</slots><tasks>2</tasks></job_list>
</queue_info><job_info>
<job_list state="pending"><JB_job_number>31</JB_job_number><JB_name>am</JB_name><state>hqw</state><JB_submission_time>2026-11-24T20:11:22</JB_submission_time><queue_name></queue_name><slots>1</slots><tasks>3</tasks></job_list>
<job_list state="pending"><JB_job_number>32</JB_job_number><JB_name>am</JB_name><state>Eqw</state><queue_name></queue_name><slots>1</slots></job_list>
</job_info></job_info>`)
			return nil
		case slices.Equal(args, []string{"-x", "-f", "-F", "json", "-t", "12[].pbs"}):
			fmt.Print(`{"timestamp":1,"Jobs":{"12[].pbs":{"Job_Name":"am","job_state":"B"},
"12[0].pbs":{"Job_Name":"am","job_state":"X","Exit_status":0,"exec_host":"n3/0*2","stime":"Tue Nov 24 20:11:22 2026","obittime":"Tue Nov 24 20:21:22 2026"},
"12[1].pbs":{"Job_Name":"am","job_state":"R","comment":"Job run at…","exec_host":"n4/0","stime":"Tue Nov 24 20:11:22 2026","Resource_List":{"walltime":"01:00:00"}},
"12[2].pbs":{"Job_Name":"am","job_state":"Q","comment":"Not Running: Insufficient amount of resource: ngpus","estimated":{"start":"Tue Nov 24 21:11:22 2026"}},
"12[3].pbs":{"Job_Name":"am","job_state":"F","Exit_status":271},"12[4].pbs":{"Job_Name":"am","job_state":"F","Exit_status":-29},"12[5].pbs":{"Job_Name":"am","job_state":"F","Exit_status":3}}}`)
			return nil
		case slices.Equal(args, []string{"-x", "-f", "-F", "json", "13.pbs"}):
			return fmt.Errorf("qstat: Unknown Job Id 13.pbs")
		}
		return fmt.Errorf("qstat: usage: %q", args)
	},
	"qdel": func(args []string) error {
		switch {
		case slices.Equal(args, []string{"12[].pbs"}), slices.Equal(args, []string{"12[3].pbs"}), slices.Equal(args, []string{"31"}), slices.Equal(args, []string{"31", "-t", "3"}):
			return note("deleted", strings.Join(args, " "))
		}
		return fmt.Errorf("qdel: Unknown Job Id %q", args)
	},
	"qacct": func(args []string) error {
		if !slices.Equal(args, []string{"-j", "31"}) {
			return fmt.Errorf("error: job id %s not found", args[len(args)-1])
		}
		line := strings.Repeat("=", 62)
		fmt.Print(line + "\nqname        gpu.q\nhostname     node5\njobname      am\njobnumber    31\ntaskid       1\nstart_time   Tue Nov 24 20:11:22 2026\nend_time     Tue Nov 24 20:12:22 2026\n" +
			"failed       0\nexit_status  0\n" + line + "\nhostname     node6\njobnumber    31\ntaskid       4\nfailed       100 : assumedly after job\nexit_status  137                  (Killed)\n")
		return nil
	},
	"bsub": func(args []string) error {
		if !slices.Equal(args, []string{"-env", "none"}) {
			return fmt.Errorf("bsub: usage: %q", args)
		}
		options := map[string]string{"-J": `^"[\w.-]+(\[1-\d+\](%\d+)?)?"$`, "-L": `^/bin/sh$`, "-o": `^/dev/null$`, "-q": `^\w+$`, "-P": `^\w+$`, "-gpu": `^"num=\d+"$`,
			"-W": `^\d+:\d\d$`, "-wa": `^USR1 -wt \d+$`, "-r": `^$`, "-rn": `^$`, "-w": `^"ended\(\d+\)"$`, "-R": `^"rusage\[mem=4GB\]"$`}
		return submitScript("#BSUB", options, "-J", `\[1-(\d+)\]`, "LSB_JOBINDEX", 1, "Job <21> is submitted to queue <normal>.")
	},
	"bjobs": func(args []string) error {
		if len(args) < 5 || !slices.Equal(args[:4], []string{"-a", "-json", "-o", "jobid jobindex stat pend_reason start_time finish_time exec_host exit_code exit_reason job_name"}) {
			return fmt.Errorf("bjobs: usage: %q", args)
		}
		now, err := time.Parse(time.RFC3339, os.Getenv("STANDIN_NOW"))
		if err != nil {
			return err
		}
		at := func(d time.Duration) string { return now.Add(d).Format("Jan _2 15:04") }
		fmt.Printf(`{"COMMAND":"bjobs","JOBS":4,"RECORDS":[
{"JOBID":"21","JOBINDEX":"1","STAT":"DONE","PEND_REASON":"","START_TIME":"%[1]s","FINISH_TIME":"%[2]s","EXEC_HOST":"n1","EXIT_CODE":"","EXIT_REASON":"","JOB_NAME":"am[1]"},
{"JOBID":"21","JOBINDEX":"2","STAT":"RUN","PEND_REASON":"","START_TIME":"%[1]s","FINISH_TIME":"%[3]s L","EXEC_HOST":"4*n2:n3","EXIT_CODE":"","EXIT_REASON":"","JOB_NAME":"am[2]"},
{"JOBID":"21","JOBINDEX":"3","STAT":"PEND","PEND_REASON":"Job requirements for reserving resource (ngpus_physical) not satisfied: 2 hosts;","START_TIME":"","FINISH_TIME":"","EXEC_HOST":"","JOB_NAME":"am[3]"},
{"JOBID":"21","JOBINDEX":"4","STAT":"EXIT","EXIT_CODE":"140","EXIT_REASON":"TERM_RUNLIMIT: job killed after reaching LSF run time limit","EXEC_HOST":"n1","JOB_NAME":"am[4]"},
{"JOBID":"22","JOBINDEX":"0","STAT":"EXIT","EXIT_CODE":"3","EXIT_REASON":"-","EXEC_HOST":"n1","JOB_NAME":"am"},
{"JOBID":"23","ERROR":"Job <23> is not found"}]}`, at(-2*time.Hour), at(-time.Hour), at(time.Hour))
		return nil
	},
	"bkill": func(args []string) error {
		if len(args) != 1 || args[0] != "21" && args[0] != "21[3]" {
			return fmt.Errorf("bkill: usage: %q", args)
		}
		return note("deleted", args[0])
	},
	"kubectl": func(args []string) error {
		if len(args) == 0 || args[0] != "--namespace=lab" {
			return fmt.Errorf("error: namespace: %q", args)
		}
		switch args = args[1:]; {
		case slices.Equal(args, []string{"create", "--filename=-", "--output=name"}):
			return kubernetesCreate()
		case slices.Equal(args, []string{"get", "pods", "--selector=job-name in (am-x7k2p,am-gone)", "--output=json"}):
			fmt.Print(`{"kind":"List","items":[
{"metadata":{"labels":{"job-name":"am-x7k2p"},"annotations":{"batch.kubernetes.io/job-completion-index":"1"},"creationTimestamp":"2026-11-24T20:11:22Z"},"spec":{"nodeName":"k1"},
 "status":{"phase":"Running","startTime":"2026-11-24T20:11:22Z","conditions":[{"type":"PodScheduled","status":"True"}],"containerStatuses":[{"state":{"running":{"startedAt":"2026-11-24T20:11:25Z"}}}]}},
{"metadata":{"labels":{"job-name":"am-x7k2p"},"annotations":{"batch.kubernetes.io/job-completion-index":"0"},"creationTimestamp":"2026-11-24T20:11:22Z"},"spec":{},
 "status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}]}},
{"metadata":{"labels":{"job-name":"am-x7k2p"},"annotations":{"batch.kubernetes.io/job-completion-index":"2"},"creationTimestamp":"2026-11-24T20:11:22Z"},"spec":{"nodeName":"k1"},
 "status":{"phase":"Failed","containerStatuses":[{"state":{"terminated":{"exitCode":3,"finishedAt":"2026-11-24T20:12:22Z"}}}]}},
{"metadata":{"labels":{"job-name":"am-x7k2p"},"annotations":{"batch.kubernetes.io/job-completion-index":"2"},"creationTimestamp":"2026-11-24T20:13:22Z"},"spec":{"nodeName":"k2"},
 "status":{"phase":"Succeeded","containerStatuses":[{"state":{"terminated":{"exitCode":0,"finishedAt":"2026-11-24T20:14:22Z"}}}]}}]}`)
			return nil
		case slices.Equal(args, []string{"delete", "job", "--ignore-not-found", "--wait=false", "--", "am-x7k2p"}):
			return note("deleted", "am-x7k2p")
		}
		return fmt.Errorf("error: unknown command %q", args)
	},
}

func pbsSubmit(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("qsub: usage: %q", args)
	}
	options := map[string]string{"-N": `^[A-Za-z][\w.-]*$`, "-S": `^/bin/sh$`, "-j": `^oe$`, "-o": `^/dev/null$`, "-q": `^\w+$`, "-A": `^\w+$`,
		"-l": `^(select=1:ngpus=\d+|walltime=\d+:\d\d:\d\d|mem=4gb)$`, "-r": `^[yn]$`, "-W": `^depend=afterany:[\w.\[\]]+$`, "-J": `^0-[1-9]\d*(%\d+)?$`}
	return submitScript("#PBS", options, "-J", `^0-(\d+)`, "PBS_ARRAY_INDEX", 0, "12[].pbs")
}

func sgeSubmit() error {
	options := map[string]string{"-N": `^[A-Za-z][\w.-]*$`, "-S": `^/bin/sh$`, "-j": `^y$`, "-o": `^/dev/null$`, "-q": `^\w+$`, "-P": `^\w+$`,
		"-l": `^(gpu=\d+|[hs]_rt=\d+:\d\d:\d\d|h_vmem=4G)$`, "-r": `^[yn]$`, "-hold_jid": `^\d+$`, "-t": `^1-\d+$`, "-tc": `^\d+$`}
	return submitScript("#$", options, "-t", `^1-(\d+)`, "SGE_TASK_ID", 1, "31.1-4:1")
}

// submitScript reads a script, holds the options of its head to what the system knows, runs it, for each task of the array that the option array asks for or else
// once, and answers.
func submitScript(prefix string, options map[string]string, array, size, variable string, first int, answer string) error {
	script, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	last := -1
	for n, line := range strings.Split(string(script), "\n") {
		line, ours := strings.CutPrefix(line, prefix) // wherever in the script
		if !ours {
			continue
		}
		option, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if form, known := options[option]; !known || !regexp.MustCompile(form).MatchString(value) {
			return fmt.Errorf("line %d: invalid option %s %q", n+1, option, value)
		}
		if m := regexp.MustCompile(size).FindStringSubmatch(value); option == array && m != nil {
			last, _ = strconv.Atoi(m[1])
		}
	}
	if err := note("script", string(script)); err != nil {
		return err
	}
	for n := first; n <= max(last, first); n++ {
		env := []string{"PATH=" + os.Getenv("PATH")}
		if last >= 0 {
			env = append(env, fmt.Sprintf("%s=%d", variable, n))
		}
		if err := runScript(string(script), env); err != nil {
			return err
		}
	}
	fmt.Println(answer)
	return nil
}

func kubernetesCreate() error {
	var job struct {
		APIVersion string `json:"apiVersion"`
		Kind       string
		Metadata   struct{ GenerateName string }
		Spec       struct {
			BackoffLimit          int
			ActiveDeadlineSeconds int
			CompletionMode        string
			Completions           int
			Parallelism           int
			Template              struct {
				Spec struct {
					RestartPolicy                string
					AutomountServiceAccountToken bool
					ServiceAccountName           string
					Volumes                      []struct {
						Name                  string
						PersistentVolumeClaim struct{ ClaimName string }
					}
					Containers []struct {
						Name, Image  string
						Command      []string
						Resources    struct{ Limits map[string]string }
						VolumeMounts []struct{ Name, MountPath string }
					}
				}
			}
		}
	}
	in := json.NewDecoder(os.Stdin)
	in.DisallowUnknownFields()
	if err := in.Decode(&job); err != nil {
		return err
	}
	pod := job.Spec.Template.Spec
	switch {
	case job.APIVersion != "batch/v1" || job.Kind != "Job" || !regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?-$`).MatchString(job.Metadata.GenerateName):
		return fmt.Errorf("no job: %+v", job)
	case pod.RestartPolicy != "Never" || len(pod.Containers) != 1 || pod.Containers[0].Image == "" || len(pod.Containers[0].Command) != 3:
		return fmt.Errorf("no pod: %+v", pod)
	case len(pod.Volumes) != 1 || pod.Volumes[0].PersistentVolumeClaim.ClaimName != "data" || pod.Containers[0].VolumeMounts[0].Name != pod.Volumes[0].Name:
		return fmt.Errorf("no volume: %+v", pod)
	case job.Spec.CompletionMode != "Indexed" || job.Spec.Parallelism > job.Spec.Completions || job.Spec.ActiveDeadlineSeconds != 5400 || pod.Containers[0].Resources.Limits["nvidia.com/gpu"] != "2":
		return fmt.Errorf("not as asked for: %+v", job)
	}
	for n := range job.Spec.Completions {
		cmd := exec.Command(pod.Containers[0].Command[0], pod.Containers[0].Command[1:]...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), fmt.Sprintf("JOB_COMPLETION_INDEX=%d", n)}
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			return fmt.Errorf("the script says %q, %v", out, err)
		}
	}
	fmt.Println("job.batch/am-x7k2p")
	return nil
}

// runScript runs a script as a batch system does, from a copy of its own.
func runScript(script string, env []string) error {
	f := filepath.Join(os.Getenv("STANDIN"), "spooled")
	if err := os.WriteFile(f, []byte(script), 0o600); err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", f)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		return fmt.Errorf("the script says %q, %v", out, err)
	}
	return nil
}

// note keeps what a stand-in was told.
func note(name, text string) error {
	return os.WriteFile(filepath.Join(os.Getenv("STANDIN"), name), []byte(text), 0o600)
}

func noted(t *testing.T, name string) string {
	t.Helper()
	return read(t, filepath.Join(os.Getenv("STANDIN"), name))
}

// oddArray is an array whose texts are as odd as they may be, with options of every system in them.
func oddArray(t *testing.T, tasks int) (s Spec, check func(t *testing.T, args []string)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a b'\"$(touch pwned)`touch pwned`\n#PBS -q evil\n#BSUB -q evil\n#$ -q evil\n\\ %j!")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"", "a\nb", "$(touch pwned)", "it's", "-n", "\xff", "\n#$ -q evil"}
	s = Spec{Name: "ä\n#PBS -q evil'\"", Argv: append([]string{"sh", "-c", `env; pwd; echo "task $` + TaskVariable + `"; printf '<%s>' "$@"`, "sh"}, args...), Dir: dir,
		Log: filepath.Join(dir, "log"), Tasks: tasks, AtOnce: 2, Time: 90 * time.Minute, Warn: 2 * time.Minute, Requeue: true}
	return s, func(t *testing.T, args []string) {
		t.Helper()
		for n := range tasks {
			log := read(t, fmt.Sprintf("%s.%d", s.Log, n))
			if want := fmt.Sprintf("%s\ntask %d\n<%s>", dir, n, strings.Join(args, "><")); !strings.HasSuffix(log, want) {
				t.Errorf("log %q\nends not with %q", log, want)
			}
			if strings.Contains(log, "hunter2") {
				t.Errorf("the job has the secret: %q", log)
			}
		}
		if entries := must(os.ReadDir(dir))(t); len(entries) != tasks {
			t.Errorf("in the folder are %v", entries)
		}
	}
}

// brief is what a table of jobs says, for comparing.
func brief(jobs []Job) []string {
	var all []string
	for _, j := range jobs {
		s := fmt.Sprintf("%s/%d %s %s", j.ID, j.Task, j.State, j.Node)
		if !j.Start.IsZero() {
			s += " from " + j.Start.Format("15:04")
		}
		if !j.End.IsZero() {
			s += " to " + j.End.Format("15:04")
		}
		if j.Reason != "" {
			s += ": " + j.Reason
		}
		all = append(all, s)
	}
	return all
}

func TestStandIns(t *testing.T) {
	now := time.Now()
	t.Setenv("STANDIN_NOW", now.Format(time.RFC3339))
	at := func(d time.Duration) string { return now.Add(d).Format("15:04") }
	for _, c := range []struct {
		scheduler string
		commands  []string
		extra     []string
		id, after string
		ask       []string
		jobs      []string
		cancel    map[string]string // id → what the command is told
	}{
		{"pbs", []string{"qsub", "qstat", "qdel"}, []string{"-l mem=4gb"}, "12[].pbs", "11[].pbs", []string{"12[].pbs", "13.pbs", "12[].pbs_1"}, []string{
			"12[].pbs/0 done n3 from 20:11 to 20:21",
			"12[].pbs/1 running n4 from 20:11 to 21:11",
			"12[].pbs/2 pending  from 21:11: Not Running: Insufficient amount of resource: ngpus",
			"12[].pbs/3 cancelled ",
			"12[].pbs/4 timeout : its time was up",
			"12[].pbs/5 failed : its command failed with exit status 3: its log says why",
			"13.pbs/-1 unknown : the batch system no longer knows it",
			"12[].pbs/1 running n4 from 20:11 to 21:11",
		}, map[string]string{"12[].pbs": "12[].pbs", "12[].pbs_3": "12[3].pbs"}},
		{"lsf", []string{"bsub", "bjobs", "bkill"}, []string{`-R "rusage[mem=4GB]"`}, "21", "20", []string{"21", "22", "23"}, []string{
			"21/0 done n1 from " + at(-2*time.Hour) + " to " + at(-time.Hour),
			"21/1 running n2 from " + at(-2*time.Hour) + " to " + at(time.Hour),
			"21/2 pending : Job requirements for reserving resource (ngpus_physical) not satisfied: 2 hosts;",
			"21/3 timeout n1: its time was up",
			"22/-1 failed n1: its command failed with exit status 3: its log says why",
			"23/-1 unknown : the batch system no longer knows it",
		}, map[string]string{"21": "21", "21_2": "21[3]"}},
		{"sge", []string{"qsub", "qstat", "qdel", "qacct"}, []string{"-l h_vmem=4G"}, "31", "30", []string{"31", "32", "33"}, []string{
			"31/0 done node5 from 20:11 to 20:12",
			"31/1 running node7 from 20:11",
			"31/2 pending : is held, or waits for another job",
			"31/3 failed node6: its command failed with exit status 137, Grid Engine says 100 : assumedly after job",
			"32/-1 pending : it could not be started: `qstat -j ID` says why, `qmod -cj ID` tries again",
			"33/-1 unknown : the batch system no longer knows it",
		}, map[string]string{"31": "31", "31_2": "31 -t 3"}},
		{"kubernetes", []string{"kubectl"}, []string{"image=ours:1", "volume=data:/data"}, "am-x7k2p", "", []string{"am-x7k2p", "am-gone"}, []string{
			"am-x7k2p/0 pending : 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
			"am-x7k2p/1 running k1 from 20:11",
			"am-x7k2p/2 done k2 to 20:14",
			"am-gone/-1 unknown : the batch system no longer knows it",
		}, map[string]string{"am-x7k2p": "am-x7k2p"}},
	} {
		t.Run(c.scheduler, func(t *testing.T) {
			standIn(t, c.commands...)
			q := scheduler(t, anomalymatch.Cluster{Scheduler: c.scheduler, Partition: "lab", Account: "lens", GPUs: 2, Extra: c.extra, Scratch: t.TempDir() + "/$NOPE/it's"}, Exec)
			s, check := oddArray(t, 4)
			if c.scheduler == "kubernetes" { // JSON is UTF-8
				if _, err := q.Script(s); err == nil || !strings.Contains(err.Error(), "UTF-8") {
					t.Errorf("got %v", err)
				}
				s.Argv = slices.DeleteFunc(s.Argv, func(s string) bool { return s == "\xff" })
			}
			s.After = c.after
			if id := submit(t, q, s); id != c.id {
				t.Errorf("id %q, want %q", id, c.id)
			}
			check(t, s.Argv[4:])
			if got := brief(must(q.Jobs(t.Context(), c.ask...))(t)); !slices.Equal(got, c.jobs) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.jobs, "\n"))
			}
			for _, id := range slices.Sorted(maps.Keys(c.cancel)) {
				if err := q.Cancel(t.Context(), id); err != nil {
					t.Error(err)
				}
				if got := noted(t, "deleted"); got != c.cancel[id] {
					t.Errorf("cancelling %s says %q, want %q", id, got, c.cancel[id])
				}
			}
			for _, id := range []string{"-u", "", "a b", "$(id)", "1;2", "--all", "../x"} {
				if err := q.Cancel(t.Context(), id); err == nil {
					t.Errorf("%q was cancelled", id)
				}
				if _, err := q.Jobs(t.Context(), id); err == nil {
					t.Errorf("%q was asked for", id)
				}
			}
			s.After = "$(id)"
			if _, err := q.Script(s); err == nil {
				t.Error("waits for a job with an odd id")
			}
			one := Spec{Name: "one", Argv: []string{"sh", "-c", "echo $" + TaskVariable}, Dir: s.Dir, Log: s.Log, Time: 90 * time.Minute}
			if c.scheduler != "kubernetes" { // whose stand-in wants an array
				submit(t, q, one)
				if got := read(t, s.Log); got != "\n" {
					t.Errorf("a job that is no array says %q", got)
				}
			}
		})
	}
}

func TestScriptRefuses(t *testing.T) {
	good := Spec{Name: "x", Argv: []string{"true"}, Dir: "/", Log: "/log"}
	for name, change := range map[string]func(*Spec, *anomalymatch.Cluster){
		"no command":    func(s *Spec, _ *anomalymatch.Cluster) { s.Argv = nil },
		"empty command": func(s *Spec, _ *anomalymatch.Cluster) { s.Argv = []string{""} },
		"relative":      func(s *Spec, _ *anomalymatch.Cluster) { s.Dir = "x" },
		"relative log":  func(s *Spec, _ *anomalymatch.Cluster) { s.Log = "" },
		"NUL":           func(s *Spec, _ *anomalymatch.Cluster) { s.Argv = []string{"true", "a\x00b"} },
		"negative":      func(s *Spec, _ *anomalymatch.Cluster) { s.Tasks = -1 },
		"lines":         func(_ *Spec, p *anomalymatch.Cluster) { p.Extra = []string{"--a\n--b"} },
		"odd after":     func(s *Spec, _ *anomalymatch.Cluster) { s.After = "1,2" },
	} {
		s, p := good, profile(nil)
		change(&s, &p)
		if text, err := scheduler(t, p, nil).Script(s); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestModulesAreLoaded(t *testing.T) {
	dir := t.TempDir()
	init := filepath.Join(dir, "init")
	if err := os.MkdirAll(init, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(init, "sh"), []byte(`module() { echo "module $*"; [ "$2" != bad ]; }`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, modules := range [][]string{{"cuda/12.4", "gcc"}, {"bad"}} {
		p := anomalymatch.Cluster{Scheduler: "pbs", Modules: modules}
		log := filepath.Join(t.TempDir(), "log")
		cmd := exec.Command("/bin/sh")
		cmd.Stdin = strings.NewReader(must(scheduler(t, p, nil).Script(Spec{Name: "x", Argv: []string{"echo", "ran"}, Dir: dir, Log: log}))(t))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LMOD_PKG=" + dir}
		out, err := cmd.CombinedOutput()
		want := "module load " + strings.Join(modules, " ") + "\n"
		if modules[0] != "bad" {
			want += "ran\n"
		}
		if got := read(t, log); got != want || len(bytes.TrimSpace(out)) > 0 || (err == nil) != (modules[0] != "bad") {
			t.Errorf("says %q, %q, %v; want %q", got, out, err, want)
		}
	}
}

func TestScratch(t *testing.T) {
	for path, want := range map[string]string{
		"/scratch":           "/scratch",
		"/s/$USER/x":         `/s/"${USER-}"/x`,
		"$A${B}c":            `"${A-}""${B-}"c`,
		"/a b/$(id)/`x`":     `'/a b/''$''(id)/` + "`x`'",
		"/${A:-$(id)}$1$":    `/'$''{A:-''$''(id)}''$'1'$'`,
		"/${}/$/it's":        `/'$''{}/''$''/it'"'"'s'`,
		"$SLURM_TMPDIR\n#$x": `"${SLURM_TMPDIR-}"''"$nl"'#'"${x-}"`,
	} {
		if got := expandable(path); got != want {
			t.Errorf("%q becomes %s, want %s", path, got, want)
		}
	}
}
