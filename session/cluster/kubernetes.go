package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"anomalymatch"
	"anomalymatch/internal/say"
)

// kubernetes runs jobs as objects of kind Job. The profile's partition is the namespace, its account the service account; extra says image=NAME, which has the
// program's C library and nothing more is needed of, and volume=CLAIM:/PATH for each volume: the project, the images and this program are on them.
type kubernetes struct {
	profile anomalymatch.Cluster
	run     Runner
}

// A name that kubectl gave (job.batch/NAME), and the number of a task.
var (
	kubernetesID     = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?)(?:_([0-9]{1,9}))?$`)
	kubernetesAnswer = regexp.MustCompile(`^job\.batch/[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?$`)
)

type object = map[string]any

// Script is the manifest.
func (q kubernetes) Script(s Spec) (string, error) {
	p := q.profile
	if s.After != "" {
		return "", errors.New("a job of Kubernetes cannot wait for another one")
	}
	image := ""
	var volumes, mounts []object
	for _, extra := range p.Extra {
		key, value, _ := strings.Cut(extra, "=")
		claim, path, _ := strings.Cut(value, ":")
		switch {
		case key == "image" && value != "":
			image = value
		case key == "volume" && claim != "" && strings.HasPrefix(path, "/"):
			name := fmt.Sprintf("volume%d", len(volumes))
			volumes = append(volumes, object{"name": name, "persistentVolumeClaim": object{"claimName": claim}})
			mounts = append(mounts, object{"name": name, "mountPath": path})
		default:
			return "", fmt.Errorf("extra of a profile for Kubernetes is image=NAME or volume=CLAIM:/PATH, not %q", extra)
		}
	}
	if image == "" {
		return "", errors.New(`a profile for Kubernetes needs an image: extra = ["image=NAME", "volume=CLAIM:/PATH"]`)
	}
	text, err := script(p, s, dialect{task: `"$JOB_COMPLETION_INDEX"`})
	if err != nil {
		return "", err
	}
	if !utf8.ValidString(text) {
		return "", errors.New("Kubernetes takes no command and no path that is not UTF-8: rename it")
	}
	container := object{"name": "job", "image": image, "command": []string{"/bin/sh", "-c", text}}
	if p.GPUs > 0 {
		container["resources"] = object{"limits": object{"nvidia.com/gpu": strconv.Itoa(p.GPUs)}}
	}
	pod := object{"restartPolicy": "Never", "containers": []object{container}, "automountServiceAccountToken": false}
	if len(volumes) > 0 {
		pod["volumes"], container["volumeMounts"] = volumes, mounts
	}
	if p.Account != "" {
		pod["serviceAccountName"] = p.Account
	}
	job := object{"template": object{"spec": pod}, "backoffLimit": 0}
	if s.Requeue {
		job["backoffLimit"] = 6
	}
	if d := limit(p, s); d > 0 {
		job["activeDeadlineSeconds"] = int64((d + time.Second - 1) / time.Second)
	}
	if s.Tasks > 0 {
		job["completionMode"], job["completions"], job["parallelism"] = "Indexed", s.Tasks, s.Tasks
		if s.AtOnce > 0 {
			job["parallelism"] = min(s.AtOnce, s.Tasks)
		}
	}
	prefix := strings.Trim(strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name(s.Name))), "-")
	manifest := object{"apiVersion": "batch/v1", "kind": "Job", "metadata": object{"generateName": prefix[:min(len(prefix), 40)] + "-"}, "spec": job}
	out, err := json.MarshalIndent(manifest, "", "  ")
	return string(out) + "\n", err
}

// kubectl is a command in the profile's namespace.
func (q kubernetes) kubectl(argv ...string) []string {
	if q.profile.Partition != "" {
		return append([]string{"kubectl", "--namespace=" + q.profile.Partition}, argv...)
	}
	return append([]string{"kubectl"}, argv...)
}

func (q kubernetes) Submit(ctx context.Context, s Spec) (string, error) {
	text, err := q.Script(s)
	if err != nil {
		return "", err
	}
	id, err := submitted(ctx, q.run, kubernetesAnswer, text, q.kubectl("create", "--filename=-", "--output=name")...)
	return strings.TrimPrefix(id, "job.batch/"), err
}

func (q kubernetes) Jobs(ctx context.Context, ids ...string) ([]Job, error) {
	var names []string
	for _, id := range ids {
		m := kubernetesID.FindStringSubmatch(id)
		if m == nil {
			return nil, fmt.Errorf("%q is no job of Kubernetes", id)
		}
		names = append(names, m[1])
	}
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := q.run(ctx, "", q.kubectl("get", "pods", "--selector=job-name in ("+strings.Join(names, ",")+")", "--output=json")...)
	if err != nil {
		return nil, err
	}
	found, err := pods(out)
	if err != nil {
		return nil, err
	}
	return inOrder(ids, found), nil
}

// pods reads what kubectl says of jobs' pods. Of several pods of one task the newest counts.
func pods(out string) (map[string][]Job, error) {
	var answer struct {
		Items []struct {
			Metadata struct {
				Labels, Annotations map[string]string
				CreationTimestamp   time.Time
				DeletionTimestamp   *time.Time
			}
			Spec   struct{ NodeName string }
			Status struct {
				Phase, Reason, Message string
				StartTime              time.Time
				Conditions             []struct{ Type, Status, Message string }
				ContainerStatuses      []struct {
					State struct {
						Waiting    *struct{ Reason, Message string }
						Terminated *struct {
							ExitCode   int
							FinishedAt time.Time
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return nil, fmt.Errorf("kubectl answered what is no JSON: %s", say.Lines([]byte(out)))
	}
	found := map[string][]Job{}
	type task struct {
		id   string
		task int
	}
	made := map[task]time.Time{}
	for _, p := range answer.Items {
		id := p.Metadata.Labels["job-name"]
		j := Job{ID: id, Task: -1, Name: say.Text(id), Node: say.Text(p.Spec.NodeName), Start: p.Status.StartTime, Reason: say.Text(p.Status.Message)}
		if n, err := strconv.Atoi(p.Metadata.Annotations["batch.kubernetes.io/job-completion-index"]); err == nil {
			j.Task = n
		}
		for _, c := range p.Status.Conditions {
			if c.Type == "PodScheduled" && c.Status != "True" {
				j.Reason = say.Text(c.Message)
			}
		}
		exit := ""
		for _, c := range p.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil {
				j.Reason = say.Text(strings.TrimSpace(w.Reason + " " + w.Message))
			}
			if e := c.State.Terminated; e != nil {
				j.End, exit = e.FinishedAt, strconv.Itoa(e.ExitCode)
			}
		}
		switch p.Status.Phase {
		case "Pending":
			j.State = Pending
		case "Running":
			if j.State = Running; p.Metadata.DeletionTimestamp != nil {
				j.State = Ending
			}
		case "Succeeded":
			j.State, j.Reason = Done, ""
		case "Failed":
			switch j.State = Failed; {
			case p.Status.Reason == "DeadlineExceeded":
				j.State, j.Reason = Timeout, "its time was up"
			case exit != "":
				j.Reason = "its command failed with exit status " + exit + ": its log says why"
			}
		default:
			j.State = Unknown
		}
		key := task{id, j.Task}
		if t, twice := made[key]; twice {
			if p.Metadata.CreationTimestamp.Before(t) {
				continue
			}
			for i := range found[id] {
				if found[id][i].Task == j.Task {
					found[id][i] = j
				}
			}
		} else {
			found[id] = append(found[id], j)
		}
		made[key] = p.Metadata.CreationTimestamp
	}
	return found, nil
}

func (q kubernetes) Cancel(ctx context.Context, id string) error {
	m := kubernetesID.FindStringSubmatch(id)
	switch {
	case m == nil:
		return fmt.Errorf("%q is no job of Kubernetes", id)
	case m[3] != "":
		return errors.New("Kubernetes cannot cancel one task: cancel the whole job")
	}
	_, err := q.run(ctx, "", q.kubectl("delete", "job", "--ignore-not-found", "--wait=false", "--", m[1])...)
	return err
}

func (q kubernetes) MaxTasks(context.Context) (int, error) { return 0, nil }

func (q kubernetes) Attach(j Job, argv ...string) []string {
	return q.kubectl(append([]string{"exec", "--stdin", "job/" + j.ID, "--"}, argv...)...)
}
