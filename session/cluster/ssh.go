package cluster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"anomalymatch"
	"anomalymatch/session/quote"
)

// hosts are machines without a batch system, the profile's partition, reached by ssh. A job is begun at once on one of them; of an array each machine runs its
// share of the tasks, one after the other. What runs is known by files in the folder ~/.local/state/anomalymatch/jobs of those machines: ID.TASK holds the
// process group, ID.TASK.exit the exit status.
type hosts struct {
	profile anomalymatch.Cluster
	run     Runner
}

// The id says how many tasks there are, since nothing else does: ssh-3f09c2e1a77b-12; 0 of a single job.
var hostsID = regexp.MustCompile(`^ssh-([0-9a-f]{12})-([0-9]{1,9})(?:_([0-9]{1,9}))?$`)

const hostsFolder = `d="$HOME/.local/state/anomalymatch/jobs"`

func (q hosts) names() ([]string, error) {
	names := slices.DeleteFunc(strings.Split(q.profile.Partition, ","), func(s string) bool { return s == "" || s[0] == '-' })
	if len(names) == 0 {
		return nil, errors.New(`a profile for ssh names its machines: partition = "node1,node2"`)
	}
	return names, nil
}

func (q hosts) Script(s Spec) (string, error) {
	switch {
	case s.After != "":
		return "", errors.New("over ssh a job cannot wait for another one")
	case len(q.profile.Extra) > 0:
		return "", errors.New("a profile for ssh has no extra")
	}
	return script(q.profile, s, dialect{task: `"$task"`}) // $task is the launcher's
}

// hostOf is the machine of a task.
func hostOf(names []string, task int) string { return names[max(task, 0)%len(names)] }

// ssh gives a script to the sh of a machine.
func (q hosts) ssh(ctx context.Context, host, script string) (string, error) {
	return q.run(ctx, script, "ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host, "exec sh -s")
}

func (q hosts) Submit(ctx context.Context, s Spec) (string, error) {
	text, err := q.Script(s)
	if err != nil {
		return "", err
	}
	names, err := q.names()
	if err != nil {
		return "", err
	}
	mark := make([]byte, 6)
	rand.Read(mark)
	id := fmt.Sprintf("ssh-%s-%d", hex.EncodeToString(mark), s.Tasks)
	for n, host := range names[:min(len(names), max(s.Tasks, 1))] {
		var tasks []string
		for t := n; t < max(s.Tasks, 1); t += len(names) {
			tasks = append(tasks, strconv.Itoa(t))
		}
		// Each task leads a process group, so that it can be ended with all that it began. It says which, then looks whether it was cancelled; Cancel says
		// so, then looks for the group: one of the two sees the other.
		launcher := fmt.Sprintf(`%s
mkdir -p "$d" || exit
cd / && nohup setsid sh -c %s >/dev/null 2>&1 </dev/null &
`, hostsFolder, word(fmt.Sprintf(`d=$1; script=$2; export task
for task in %s; do
[ ! -e "$d/%s.$task.exit" ] || continue
setsid sh -c 'echo $$ >"$1.new"; mv "$1.new" "$1"; [ ! -e "$1.exit" ] || exit; exec sh -c "$2"' sh "$d/%s.$task" "$script"
code=$?; [ -e "$d/%s.$task.exit" ] || echo $code >"$d/%s.$task.exit"
done`, strings.Join(tasks, " "), id, id, id, id))+` sh "$d" `+word(text))
		if _, err := q.ssh(ctx, host, "nl='\n'\n"+launcher); err != nil {
			return "", errors.Join(err, q.Cancel(context.WithoutCancel(ctx), id))
		}
	}
	return id, nil
}

// tasks are the numbers that an id stands for; of a single job 0, which a Job has as -1.
func hostsTasks(id string) (base string, tasks []int, single bool, err error) {
	m := hostsID.FindStringSubmatch(id)
	if m == nil {
		return "", nil, false, fmt.Errorf("%q is no job over ssh", id)
	}
	n, _ := strconv.Atoi(m[2])
	base = "ssh-" + m[1] + "-" + m[2]
	if one, err := strconv.Atoi(m[3]); err == nil {
		return base, []int{one}, n == 0, nil
	}
	for t := range max(n, 1) {
		tasks = append(tasks, t)
	}
	return base, tasks, n == 0, nil
}

func (q hosts) Jobs(ctx context.Context, ids ...string) ([]Job, error) {
	names, err := q.names()
	if err != nil {
		return nil, err
	}
	files := map[string][]string{} // by machine
	for _, id := range ids {
		base, tasks, _, err := hostsTasks(id)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			host := hostOf(names, t)
			files[host] = append(files[host], fmt.Sprintf("%s.%d", base, t))
		}
	}
	said := map[string]string{} // file → what there is
	for host, list := range files {
		out, err := q.ssh(ctx, host, hostsFolder+`
for f in `+quote.Line(list...)+`; do
if [ -e "$d/$f.exit" ]; then echo "$f exit $(cat "$d/$f.exit")"
elif [ ! -e "$d/$f" ]; then echo "$f waits"
elif kill -0 -"$(cat "$d/$f")" 2>/dev/null; then echo "$f runs"
else echo "$f gone"; fi
done
`)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			f, what, _ := strings.Cut(strings.TrimSpace(line), " ")
			said[f] = what
		}
	}
	var all []Job
	for _, id := range ids {
		base, tasks, single, _ := hostsTasks(id)
		for _, t := range tasks {
			j := Job{ID: base, Task: t, Node: hostOf(names, t)}
			if single {
				j.Task = -1
			}
			switch what, code, _ := strings.Cut(said[fmt.Sprintf("%s.%d", base, t)], " "); {
			case what == "waits":
				j.State, j.Reason = Pending, "other tasks on its machine are before it"
			case what == "runs":
				j.State = Running
			case what == "exit" && code == "0":
				j.State = Done
			case what == "exit" && code == "cancelled":
				j.State = Cancelled
			case what == "exit":
				j.State, j.Reason = Failed, "its command failed: its log says why"
			default:
				j.State, j.Reason = Unknown, "it was killed, or its machine was restarted"
			}
			all = append(all, j)
		}
	}
	return all, nil
}

func (q hosts) Cancel(ctx context.Context, id string) error {
	base, tasks, _, err := hostsTasks(id)
	if err != nil {
		return err
	}
	names, err := q.names()
	if err != nil {
		return err
	}
	byHost := map[string][]string{}
	for _, t := range tasks {
		byHost[hostOf(names, t)] = append(byHost[hostOf(names, t)], fmt.Sprintf("%s.%d", base, t))
	}
	var failed error
	for host, list := range byHost {
		_, err := q.ssh(ctx, host, hostsFolder+`
mkdir -p "$d"
ended=
for f in `+quote.Line(list...)+`; do
if [ -e "$d/$f.exit" ]; then ended="$ended $f "; else echo cancelled >"$d/$f.exit"; fi
done
for f in `+quote.Line(list...)+`; do
case "$ended" in *" $f "*) continue;; esac
[ ! -e "$d/$f" ] || kill -TERM -"$(cat "$d/$f")" 2>/dev/null
done
true
`)
		failed = errors.Join(failed, err)
	}
	return failed
}

func (q hosts) MaxTasks(context.Context) (int, error) { return 0, nil }

func (q hosts) Attach(j Job, argv ...string) []string { return sshTo(j.Node, argv) }
