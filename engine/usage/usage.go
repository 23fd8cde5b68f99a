// Package usage measures what a process takes of its machine: processor time, memory, graphics cards. What the system does not say is
// not known, and nothing here is an error.
package usage

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// CPU tells how busy this process keeps its cores. The zero value is ready; not for concurrent use.
type CPU struct {
	at   time.Time
	used time.Duration
}

// Percent is the share of cores that the process used since the call before: 100 where all were busy. The first call, and systems that do not
// say, give false.
func (c *CPU) Percent(cores int) (float64, bool) {
	used, ok := processTime()
	if !ok {
		return 0, false
	}
	return c.since(time.Now(), used, cores)
}

func (c *CPU) since(now time.Time, used time.Duration, cores int) (float64, bool) {
	wall, busy, first := now.Sub(c.at), used-c.used, c.at.IsZero()
	c.at, c.used = now, used
	if first || wall <= 0 || cores <= 0 {
		return 0, false
	}
	return min(100, max(0, 100*busy.Seconds()/(wall.Seconds()*float64(cores)))), true
}

// Memory is how much this process may use in MiB: that of the machine, or less where a control group says so. 0: not known.
func Memory() float64 { return memory(os.DirFS("/")) }

func memory(root fs.FS) float64 {
	total := math.Inf(1)
	if b, err := fs.ReadFile(root, "proc/meminfo"); err == nil {
		for l := range strings.Lines(string(b)) {
			if f := strings.Fields(l); len(f) == 3 && f[0] == "MemTotal:" {
				if kib, err := strconv.ParseFloat(f[1], 64); err == nil && kib > 0 {
					total = kib / 1024
				}
			}
		}
	}
	limit := func(file string) {
		b, err := fs.ReadFile(root, file)
		if err != nil {
			return
		}
		if bytes, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64); err == nil && bytes > 0 { // else "max"
			total = min(total, bytes/(1<<20))
		}
	}
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		b = nil
	}
	for l := range strings.Lines(string(b)) { // hierarchy:controllers:path; the limits of all groups above hold as well
		parts := strings.SplitN(strings.TrimSpace(l), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, file := "sys/fs/cgroup", "memory.max"
		if parts[0] != "0" {
			if parts[1] != "memory" {
				continue
			}
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			limit(path.Join(base, group, file))
			if group == "/" {
				break
			}
		}
	}
	if math.IsInf(total, 1) {
		return 0
	}
	return math.Round(total)
}

// GPU is one graphics card. Numbers below 0 are not known.
type GPU struct {
	Name            string
	Percent         float64 // of the time in which something ran on it
	UsedMiB, AllMiB float64
}

// patience is how long nvidia-smi may take: a card that hangs must not hold up who asks.
const patience = 3 * time.Second

var visible = regexp.MustCompile(`^[0-9A-Za-z,-]+$`)

// GPUs asks nvidia-smi about the cards that this process sees.
func GPUs(ctx context.Context) ([]GPU, error) {
	args := []string{"--query-gpu=name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"}
	if v, set := os.LookupEnv("CUDA_VISIBLE_DEVICES"); set {
		if v == "" {
			return nil, errors.New("no card is visible")
		}
		if visible.MatchString(v) && v != "all" {
			args = append(args, "--id="+v)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nvidia-smi", args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	return ParseGPUs(string(out)), nil
}

// most is the number of cards that one machine is believed to have.
const most = 64

// ParseGPUs reads lines "name, use in percent, MiB in use, MiB"; what is no number, such as "[N/A]", is not known, and lines of another form are
// left out.
func ParseGPUs(out string) (all []GPU) {
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return -1
		}
		return v
	}
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() && len(all) < most {
		in := csv.NewReader(strings.NewReader(lines.Text()))
		in.LazyQuotes = true
		f, err := in.Read()
		if err != nil || len(f) < 4 {
			continue
		}
		n := len(f) - 3 // a name may hold a comma
		g := GPU{strings.TrimSpace(strings.Join(f[:n], ",")), number(f[n]), number(f[n+1]), number(f[n+2])}
		if g.Name == "" || g.Percent < 0 && g.UsedMiB < 0 && g.AllMiB < 0 {
			continue
		}
		g.Percent = min(100, g.Percent)
		all = append(all, g)
	}
	return all
}

// ProcessTime is the processor time of this process so far, all threads together, 0 where the system does not say.
func ProcessTime() time.Duration {
	d, _ := processTime()
	return d
}
