package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// slurm tells what the batch system offers, as it sees it from here.
func slurm(e Env) []Check {
	c := Check{Name: "Slurm", State: Absent, Text: "no sbatch on this machine"}
	if e.Look("sbatch") == "" {
		return []Check{c}
	}
	c.State, c.Text = Good, cmp.Or(e.ask("sbatch", "--version"), "installed")
	if job := e.Get("SLURM_JOB_ID"); job != "" {
		c.Text += ", in job " + job
	}
	out, err := e.Run("sinfo", "--noheader", "--format=%P|%G|%D|%a|%l")
	if err != nil {
		c.State, c.Text = Bad, c.Text+", but its controller does not answer"
		if out != "" {
			c.Text += ": " + brief(out)
		}
		c.Todo = "run this on a login node of the cluster, or ask who runs it"
		return []Check{c}
	}
	return []Check{c, partitions(out), srun(e)}
}

// partitions reads sinfo's lines: partition, generic resources, nodes, availability, time limit.
func partitions(out string) Check {
	var with, without []string
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 5 {
			continue
		}
		name := strings.TrimSuffix(f[0], "*")
		if !strings.Contains(f[1], "gpu") {
			if !slices.Contains(without, name) {
				without = append(without, name)
			}
			continue
		}
		text := fmt.Sprintf("%s (%s × %s, at most %s", name, f[2], resources(f[1]), f[4])
		if f[3] != "up" {
			text += ", " + f[3]
		}
		with = append(with, text+")")
	}
	c := Check{Name: "  GPUs", State: Good, Text: "partitions with GPUs: " + strings.Join(with, ", ")}
	if len(with) == 0 {
		c.State, c.Text = Absent, "no partition has GPUs"
		if len(without) > 0 {
			c.Text += "; there are " + strings.Join(without, ", ")
		}
	}
	return c
}

// resources leaves of "gpu:a100:4(S:0-1),craynetwork:4" what counts: "gpu:a100:4".
func resources(gres string) string {
	var out []string
	depth := 0
	for _, part := range strings.FieldsFunc(gres, func(r rune) bool {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		return r == ',' && depth == 0
	}) {
		if part, _, _ = strings.Cut(part, "("); strings.HasPrefix(part, "gpu") {
			out = append(out, part)
		}
	}
	return strings.Join(out, ",")
}

// srun looks whether a job can be reached where ssh to its node is forbidden.
func srun(e Env) Check {
	c := Check{Name: "  srun", State: Good, Text: "can attach to running jobs (--overlap)"}
	if help, err := e.Run("srun", "--help"); err != nil || !strings.Contains(help, "--overlap") {
		c.State, c.Text, c.Todo = Absent, "too old to attach to running jobs, or not installed", "attach by ssh: attach = \"ssh\" in the cluster's profile"
	}
	return c
}
