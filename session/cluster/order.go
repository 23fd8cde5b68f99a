package cluster

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// inOrder puts what a batch system told of jobs into the order of the ids that were asked for. One of which nothing was told is unknown.
func inOrder(ids []string, found map[string][]Job) []Job {
	var all []Job
	for _, id := range ids {
		base, number, one := strings.Cut(id, "_")
		jobs := slices.Clone(found[base])
		if task, err := strconv.Atoi(number); one && err == nil {
			jobs = slices.DeleteFunc(jobs, func(j Job) bool { return j.Task != task })
		}
		if len(jobs) == 0 {
			jobs = []Job{{ID: id, Task: -1, State: Unknown, Reason: "the batch system no longer knows it"}}
		}
		slices.SortStableFunc(jobs, func(a, b Job) int { return cmp.Compare(a.Task, b.Task) })
		all = append(all, jobs...)
	}
	return all
}
