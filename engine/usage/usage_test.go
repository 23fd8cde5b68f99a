package usage

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestParseGPUs(t *testing.T) {
	for name, c := range map[string]struct {
		out  string
		want []GPU
	}{
		"one":          {"NVIDIA A100-SXM4-40GB, 87, 31245, 40960\n", []GPU{{"NVIDIA A100-SXM4-40GB", 87, 31245, 40960}}},
		"two":          {"Tesla T4, 0, 3, 15360\r\nTesla T4, 100, 15000, 15360\n", []GPU{{"Tesla T4", 0, 3, 15360}, {"Tesla T4", 100, 15000, 15360}}},
		"not told":     {"NVIDIA GH200 480GB, [N/A], [Not Supported], 97871\n", []GPU{{"NVIDIA GH200 480GB", -1, -1, 97871}}},
		"comma":        {"Card, the second, 3, 4, 5\n", []GPU{{"Card, the second", 3, 4, 5}}},
		"too much":     {"Card, 400, 4, 5\n", []GPU{{"Card", 100, 4, 5}}},
		"error":        {"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", nil},
		"no devices":   {"No devices were found\n", nil},
		"all unknown":  {"Card, [N/A], [N/A], [N/A]\n", nil},
		"no numbers":   {"Card, NaN, Inf, -7\n", nil},
		"nothing":      {"", nil},
		"binary":       {"\x00\xff\"\"\",\n,,,,\n\"", nil},
		"and the next": {"garbage\nCard, 1, 2, 3", []GPU{{"Card", 1, 2, 3}}},
	} {
		if got := ParseGPUs(c.out); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if got := ParseGPUs(strings.Repeat("Card, 1, 2, 3\n", 1000)); len(got) != most {
		t.Errorf("%d cards", len(got))
	}
}

func FuzzParseGPUs(f *testing.F) {
	f.Add("NVIDIA A100, 87, 31245, 40960\n\"a\",\"\n")
	f.Fuzz(func(t *testing.T, out string) {
		for _, g := range ParseGPUs(out) {
			if g.Name == "" || g.Percent > 100 || g.Percent != g.Percent {
				t.Errorf("%+v", g)
			}
		}
	})
}

func TestAskedOfTheProgram(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := GPUs(t.Context()); err == nil {
		t.Error("there is no nvidia-smi")
	}
	script := "#!/bin/sh\necho \"$2 $3, 12, 34, 56\"\n"
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	for visible, name := range map[string]string{"0,2": "--format=csv,noheader,nounits --id=0,2", "$(rm x)": "--format=csv,noheader,nounits"} {
		t.Setenv("CUDA_VISIBLE_DEVICES", visible)
		if got, err := GPUs(t.Context()); err != nil || len(got) != 1 || got[0] != (GPU{name, 12, 34, 56}) {
			t.Errorf("%q: %+v, %v", visible, got, err)
		}
	}
	t.Setenv("CUDA_VISIBLE_DEVICES", "")
	if got, err := GPUs(t.Context()); err == nil {
		t.Errorf("no card is visible: %+v", got)
	}
}

func TestCPU(t *testing.T) {
	var c CPU
	at := time.Unix(100, 0)
	for i, step := range []struct {
		wall, used time.Duration
		cores      int
		want       float64
		ok         bool
	}{{0, 5 * time.Second, 2, 0, false}, {2 * time.Second, 8 * time.Second, 2, 75, true}, {2 * time.Second, 20 * time.Second, 2, 0, false}, {3 * time.Second, 30 * time.Second, 2, 100, true},
		{4 * time.Second, 30 * time.Second, 0, 0, false}} {
		if got, ok := c.since(at.Add(step.wall), step.used, step.cores); got != step.want || ok != step.ok {
			t.Errorf("step %d: %v, %v", i, got, ok)
		}
	}
	if before, ok := ProcessTime(); ok {
		for sum, end := 0, time.Now().Add(5*time.Second); time.Now().Before(end); sum++ {
			if after, _ := ProcessTime(); after > before {
				return
			}
		}
		t.Error("the process works and takes no time")
	}
}

func TestMemory(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	machine := file("MemTotal:        8388608 kB\nMemFree:          100 kB\n")
	for name, c := range map[string]struct {
		fs   fstest.MapFS
		want float64
	}{
		"nothing":     {fstest.MapFS{}, 0},
		"machine":     {fstest.MapFS{"proc/meminfo": machine}, 8192},
		"job":         {fstest.MapFS{"proc/meminfo": machine, "proc/self/cgroup": file("0::/slurm/job_7/step\n"), "sys/fs/cgroup/slurm/job_7/memory.max": file(fmt.Sprintln(2 << 30)), "sys/fs/cgroup/slurm/job_7/step/memory.max": file("max\n")}, 2048},
		"no limit":    {fstest.MapFS{"proc/meminfo": machine, "proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("max\n")}, 8192},
		"version 1":   {fstest.MapFS{"proc/meminfo": machine, "proc/self/cgroup": file("5:cpu:/x\n4:memory:/x\n"), "sys/fs/cgroup/memory/x/memory.limit_in_bytes": file("1073741824\n")}, 1024},
		"more memory": {fstest.MapFS{"proc/meminfo": machine, "proc/self/cgroup": file("4:memory:/x\n"), "sys/fs/cgroup/memory/x/memory.limit_in_bytes": file("9223372036854771712\n")}, 8192},
		"garbage":     {fstest.MapFS{"proc/meminfo": file("MemTotal: x kB\n"), "proc/self/cgroup": file("\n::\n0::../..\n"), "sys/fs/cgroup/memory.max": file("-1")}, 0},
	} {
		if got := memory(c.fs); got != c.want {
			t.Errorf("%s: %v MiB, want %v", name, got, c.want)
		}
	}
}
