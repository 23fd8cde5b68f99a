package doctor

import (
	"bytes"
	"strings"
	"testing"
)

// env is a machine with these variables, programs with what they print, and files.
func env(terminal bool, vars, programs, files map[string]string) Env {
	return Env{
		Get: func(k string) string { return vars[k] },
		Look: func(p string) string {
			if _, ok := programs[p]; ok {
				return "/bin/" + p
			}
			return ""
		},
		Ask:  func(argv ...string) string { return programs[strings.Join(argv, " ")] },
		Read: func(p string) string { return files[p] },
		Glob: func(pattern string) []string {
			if s := files[pattern]; s != "" {
				return strings.Fields(s)
			}
			return nil
		},
		Terminal: terminal,
	}
}

// line returns the state of a check and its text.
func line(checks []Check, name string) string {
	for _, c := range checks {
		if c.Name == name {
			return string(c.State) + ": " + c.Text
		}
	}
	return "none"
}

func TestTerminal(t *testing.T) {
	type m = map[string]string
	for name, c := range map[string]struct {
		env         Env
		check, want string
	}{
		"none":            {env(false, nil, nil, nil), "terminal", "absent: none"},
		"dumb":            {env(true, m{"TERM": "dumb"}, nil, nil), "terminal", "problem: TERM is"},
		"xterm":           {env(true, m{"TERM": "xterm-256color"}, nil, nil), "colour", "ok: 256"},
		"truecolor":       {env(true, m{"TERM": "xterm-256color", "COLORTERM": "truecolor"}, nil, nil), "colour", "ok: 16 million"},
		"few":             {env(true, m{"TERM": "vt100"}, nil, nil), "colour", "absent: few"},
		"kitty":           {env(true, m{"TERM": "xterm-kitty"}, nil, nil), "pictures", "ok: kitty"},
		"half-blocks":     {env(true, m{"TERM": "xterm"}, nil, nil), "pictures", "ok: half-blocks"},
		"latin 1":         {env(true, m{"TERM": "xterm", "LANG": "de_DE.ISO-8859-1"}, nil, nil), "characters", "problem: "},
		"UTF-8":           {env(true, m{"TERM": "xterm", "LANG": "C.UTF-8"}, nil, nil), "characters", "none"},
		"tmux off":        {env(true, m{"TERM": "tmux", "TMUX": "x"}, m{"tmux -V": "tmux 3.4"}, nil), "tmux", "problem: tmux 3.4, does not"},
		"tmux on":         {env(true, m{"TERM": "tmux", "TMUX": "x"}, m{"tmux -V": "tmux 3.4", "tmux show-options -Apv allow-passthrough": "on"}, nil), "tmux", "ok: tmux 3.4, hands"},
		"tmux not around": {env(true, m{"TERM": "xterm"}, nil, nil), "tmux", "none"},
	} {
		if got := line(Terminal(c.env), c.check); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestMachine(t *testing.T) {
	type m = map[string]string
	for name, c := range map[string]struct {
		env         Env
		check, want string
	}{
		"memory":        {env(false, nil, nil, m{"/proc/meminfo": "MemTotal:       32000000 kB\nMemFree: 1 kB\nMemAvailable:   16000000 kB\n"}), "memory", "ok: 33 GB, 16 GB free"},
		"little memory": {env(false, nil, nil, m{"/proc/meminfo": "MemTotal: 2000000 kB\nMemAvailable: 100000 kB\n"}), "memory", "problem: "},
		"no /proc":      {env(false, nil, nil, nil), "memory", "absent: "},
		"no GPU":        {env(false, nil, nil, nil), "GPU", "absent: "},
		"GPU": {env(false, nil, m{"nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader": "H100, 80 GB"},
			m{"/proc/driver/nvidia/version": "x", "/dev/nvidia[0-9]*": "/dev/nvidia0 /dev/nvidia1"}), "GPU", "ok: 2 NVIDIA GPUs: H100"},
		"not in the job": {env(false, nil, nil, m{"/proc/driver/nvidia/version": "x"}), "GPU", "problem: "},
		"ssh":            {env(false, m{"SSH_CONNECTION": "1 2"}, m{"ssh": "", "ssh -V": "OpenSSH_9"}, nil), "ssh", "ok: OpenSSH_9; this session"},
		"no ssh":         {env(false, nil, nil, nil), "ssh", "absent: "},
		"Slurm":          {env(false, nil, m{"sbatch": "", "sbatch --version": "slurm 24"}, nil), "Slurm", "ok: slurm 24"},
		"Slurm job":      {env(false, m{"SLURM_JOB_ID": "7"}, m{"sbatch": ""}, nil), "Slurm", "ok: in job 7"},
	} {
		if got := line(Machine(c.env), c.check); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestWrite(t *testing.T) {
	var b bytes.Buffer
	err := Write(&b, []Check{{Name: "a", State: Good, Text: "fine\x1b[2J"}, {Name: "longer", State: Bad, Text: "broken", Todo: "mend it"}})
	want := "✓ a       fine␛[2J\n✗ longer  broken\n          → mend it\n"
	if err != nil || b.String() != want {
		t.Errorf("got %q, want %q (%v)", b.String(), want, err)
	}
}
