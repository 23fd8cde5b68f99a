// Package doctor finds out what works on this machine, and what to do about the rest.
package doctor

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"anomalymatch/engine/runtime"
	"anomalymatch/tui/common"
)

// State of a check.
type State string

const (
	Good   State = "ok"
	Bad    State = "problem"
	Absent State = "absent" // not here, and nothing is wrong with that
)

// Check is one line of the report.
type Check struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Text  string `json:"text"`         // what there is
	Todo  string `json:"do,omitempty"` // what to do, where something can be done
}

// Write shows checks as lines for people.
func Write(w io.Writer, checks []Check) error {
	marks := map[State]string{Good: "✓", Bad: "✗", Absent: "–"}
	wide := 0
	for _, c := range checks {
		wide = max(wide, common.Width(c.Name))
	}
	for _, c := range checks {
		if _, err := fmt.Fprintf(w, "%s %s  %s\n", marks[c.State], common.Fit(c.Name, wide), common.Clean(c.Text)); err != nil {
			return err
		}
		if c.Todo != "" {
			fmt.Fprintf(w, "  %s  → %s\n", common.Blank(wide), common.Clean(c.Todo))
		}
	}
	return nil
}

// Env is what of the surroundings the checks look at; tests give their own.
type Env struct {
	Get      func(string) string                  // environment variable
	Look     func(program string) string          // path of a program, "" where there is none
	Run      func(argv ...string) (string, error) // all that a program prints, also where it fails
	Read     func(path string) string             // a small file, "" where it cannot be read
	Glob     func(pattern string) []string        // files
	Terminal bool                                 // standard input and output are one
	Pictures func() (why, hint string, err error) // asks the terminal, as imgview.Screen's Why and Hint; nil: it is not asked
	Glibc    string                               // the newest glibc whose symbols this program needs, "" for none

	// What is tried in a folder. It is left as it was.
	FS    func(dir string) (fileSystem, error)
	Start func(dir string) error                  // writes a program and runs it
	Lock  func(dir string) error                  // locks a file and looks whether that keeps another process out
	Sync  func(dir string) (time.Duration, error) // writes a file until it is on disk
}

// Here is this machine.
func Here(ctx context.Context, terminal bool) Env {
	exe, _ := os.Executable()
	e := Env{
		Get:  os.Getenv,
		Look: func(program string) string { path, _ := exec.LookPath(program); return path },
		Run: func(argv ...string) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			cmd.WaitDelay = time.Second // what it has started may hold its output open
			out, err := cmd.CombinedOutput()
			if ctx.Err() != nil {
				err = errSlow
			}
			return string(bytes.TrimSpace(out)), err
		},
		Read:     func(path string) string { b, _ := os.ReadFile(path); return string(b) },
		Glob:     func(pattern string) []string { files, _ := filepath.Glob(pattern); return files },
		Terminal: terminal,
		Glibc:    glibcNeeded(exe),
		FS:       lookAt,
		Start:    tryStart,
		Sync:     trySync,
	}
	e.Lock = func(dir string) error { return tryLock(dir, e.Run) }
	return e
}

// patience is how long a program may take.
const patience = 5 * time.Second

var errSlow = fmt.Errorf("it takes longer than %v", patience)

// ask returns the first line that a program prints, "" where it fails.
func (e Env) ask(argv ...string) string {
	out, err := e.Run(argv...)
	if err != nil {
		return ""
	}
	return firstLine(out)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// Terminal tells what is known of the terminal: from the environment, and what it answers.
func Terminal(e Env) []Check {
	if !e.Terminal {
		return []Check{{Name: "terminal", State: Absent, Text: "none: `anomalymatch train`, `score` and `labels` work without", Todo: "run `anomalymatch doctor` in a terminal to have it looked at"}}
	}
	name := e.Get("TERM")
	checks := []Check{{Name: "terminal", State: Good, Text: strings.TrimSpace(name + " " + e.Get("TERM_PROGRAM"))}}
	if name == "" || name == "dumb" {
		checks[0].State, checks[0].Text, checks[0].Todo = Bad, fmt.Sprintf("TERM is %q", name), "use a terminal that can move the cursor"
		return checks
	}
	charset := cmp.Or(e.Get("LC_ALL"), e.Get("LC_CTYPE"), e.Get("LANG"))
	if utf := strings.ToLower(strings.ReplaceAll(charset, "-", "")); charset != "" && !strings.Contains(utf, "utf8") {
		checks = append(checks, Check{Name: "characters", State: Bad, Text: "the locale " + charset + " is not UTF-8", Todo: "export LANG=C.UTF-8"})
	}
	colour := Check{Name: "colour", State: Good, Text: "16 million"}
	switch truecolor := e.Get("COLORTERM"); {
	case truecolor == "truecolor" || truecolor == "24bit" || strings.Contains(name, "kitty") || strings.Contains(name, "ghostty") || strings.Contains(name, "direct"):
	case strings.Contains(name, "256color"):
		colour.Text = "256 promised"
		colour.Todo = "export COLORTERM=truecolor if the terminal has more: pictures as half-blocks are better with it"
	default:
		colour.State, colour.Text = Absent, "few promised by TERM="+name
		colour.Todo = "export TERM=xterm-256color if the terminal has more"
	}
	checks = append(append(checks, colour), pictures(e)...)
	if e.Get("TMUX") != "" {
		checks = append(checks, tmux(e))
	}
	return checks
}

// pictures tells how pictures will be shown: what the terminal was asked, what it answered, what was chosen. Where it is not asked, what
// to expect.
func pictures(e Env) []Check {
	c := Check{Name: "pictures", State: Good}
	if e.Pictures != nil {
		why, hint, err := e.Pictures()
		if err != nil {
			c.State, c.Text = Bad, "the terminal cannot be asked: "+err.Error()
			return []Check{c}
		}
		var rest []Check
		for line := range strings.SplitSeq(why, "\n") {
			switch name, text, _ := strings.Cut(line, ": "); name {
			case "chosen":
				c.Text, c.Todo = text, hint
			default:
				rest = append(rest, Check{Name: "  " + name, State: Good, Text: text})
			}
		}
		return append([]Check{c}, rest...)
	}
	switch {
	case e.Get("KITTY_WINDOW_ID") != "" || strings.Contains(e.Get("TERM"), "kitty"):
		c.Text = "kitty: sharp ones"
	case strings.Contains(e.Get("TERM")+e.Get("TERM_PROGRAM"), "ghostty"):
		c.Text = "Ghostty: sharp ones"
	default:
		c.Text = "half-blocks, unless the terminal says that it can do better"
		c.Todo = "kitty 0.28 or Ghostty show sharp pictures, also over ssh"
	}
	return []Check{c}
}

// tmux must hand pictures on.
func tmux(e Env) Check {
	c := Check{Name: "tmux", State: Good, Text: cmp.Or(e.ask("tmux", "-V"), "yes")}
	switch pass := e.ask("tmux", "show-options", "-Apv", "allow-passthrough"); pass {
	case "on", "all":
		c.Text += ", hands pictures on"
	default:
		c.State, c.Text = Bad, c.Text+", does not hand pictures on"
		c.Todo = "tmux set -g allow-passthrough on (and into ~/.tmux.conf); half-blocks work without"
	}
	return c
}

// Machine tells about processors, memory, GPUs and what is needed for other machines.
func Machine(e Env) []Check {
	cpu := Check{Name: "processor", State: Good, Text: fmt.Sprintf("%s, %s/%s", common.Plural(goruntime.NumCPU(), "core"), goruntime.GOOS, goruntime.GOARCH)}
	memory := Check{Name: "memory", State: Absent, Text: "not known on this system"}
	if total, free := meminfo(e.Read("/proc/meminfo")); total > 0 {
		memory.State, memory.Text = Good, fmt.Sprintf("%s, %s free", common.Bytes(total), common.Bytes(free))
		if free < 1<<30 {
			memory.State, memory.Todo = Bad, "training needs about 1 GB: end something, or lower fixmatch.unlabelled_batch"
		}
	}
	return append([]Check{cpu, memory, gpu(e), ssh(e)}, slurm(e)...)
}

// meminfo reads the total and the available bytes of Linux' /proc/meminfo; 0 where they are not there.
func meminfo(text string) (total, free int64) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		var name string
		var kib int64
		if _, err := fmt.Sscan(lines.Text(), &name, &kib); err != nil {
			continue
		}
		switch name {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			free = kib << 10
		}
	}
	return total, free
}

func gpu(e Env) Check {
	c := Check{Name: "GPU", State: Absent, Text: "no NVIDIA GPU on this machine"}
	driver := e.Read("/proc/driver/nvidia/version")
	devices := e.Glob("/dev/nvidia[0-9]*")
	switch {
	case driver == "" && len(devices) == 0:
	case driver == "" || len(devices) == 0:
		c.State, c.Text, c.Todo = Bad, "an NVIDIA GPU whose driver is not running", "ask for a GPU in the job, or have the driver loaded (nvidia-smi)"
	default:
		c.State, c.Text = Good, common.Plural(len(devices), "NVIDIA GPU")
		if names := e.ask("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"); names != "" {
			c.Text += ": " + names
		}
	}
	return c
}

func ssh(e Env) Check {
	c := Check{Name: "ssh", State: Absent, Text: "not installed", Todo: "install an ssh client to work on other machines"}
	if e.Look("ssh") != "" {
		c = Check{Name: "ssh", State: Good, Text: cmp.Or(e.ask("ssh", "-V"), "installed")}
	}
	if e.Get("SSH_CONNECTION") != "" {
		c.Text += "; this session comes over ssh"
	}
	return c
}

// scoring tells what would score where that is not what trains, and loads it; false where there is nothing to say.
func scoring(want string, train runtime.Opened) (Check, bool) {
	c := Check{Name: "  scores", State: Good}
	o, err := runtime.Open(runtime.Infer, want)
	switch {
	case err != nil:
		c.State, c.Text, c.Todo = Bad, err.Error(), "`anomalymatch runtime list` shows what there is"
	case o.Note != "" && o.Note != train.Note:
		c.State, c.Text, c.Todo = Bad, o.Name+"; "+o.Note, "`anomalymatch runtime list` shows what there is"
	case o.ONNX:
		c.Text = o.Name + " loads"
	case o.Name != "xla:cpu" || want != "auto":
		return c, false
	default:
		for _, r := range runtime.List() {
			if r.Kind == "onnx" && !r.Installed && r.DownloadBytes > 0 {
				c.State, c.Text = Absent, o.Name+", the slower one"
				c.Todo = fmt.Sprintf("`anomalymatch runtime install onnx` (%s) scores and embeds more than twice as fast", common.Bytes(r.DownloadBytes))
				return c, true
			}
		}
		return c, false
	}
	return c, true
}

// Runtime tells what would compute, and loads it.
func Runtime(want string) []Check {
	c := Check{Name: "runtime", State: Good}
	o, err := runtime.Open(runtime.Train, want)
	offer := runtime.Offer()
	switch {
	case err != nil:
		c.State, c.Text, c.Todo = Bad, err.Error(), "`anomalymatch runtime list` shows what there is"
	case o.Note != "":
		c.State, c.Text, c.Todo = Bad, o.Name+"; "+o.Note, "`anomalymatch runtime list` shows what there is"
	default:
		c.Text = o.Name + " loads"
	}
	if err == nil && o.Note == "" && offer != nil && offer.Kind == "cpu" && want != "go" {
		c.Text += ", the slow one"
		c.Todo = fmt.Sprintf("`anomalymatch runtime install %s` (%s) computes ten times faster", offer.Kind, common.Bytes(offer.DownloadBytes))
	}
	if !runtime.HasXLA() {
		c.Text += "; XLA is not compiled in"
	}
	checks := []Check{c}
	if in, ok := scoring(want, o); ok {
		checks = append(checks, in)
	}
	for _, r := range runtime.List() {
		if r.Installed {
			in := Check{Name: "  " + r.Kind, State: Good, Text: r.Version + " in " + r.Path}
			if r.Works != "" {
				in.State, in.Text = Bad, in.Text+": "+r.Works
			}
			checks = append(checks, in)
		}
	}
	return checks
}
