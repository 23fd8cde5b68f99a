package doctor

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anomalymatch/internal/testbed"
	"anomalymatch/session"
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
		Run: func(argv ...string) (string, error) {
			out, ok := programs[strings.Join(argv, " ")]
			if said, failed := strings.CutPrefix(out, "FAILS "); !ok || failed {
				return said, errors.New("exit status 1")
			}
			return out, nil
		},
		Read: func(p string) string { return files[p] },
		Glob: func(pattern string) []string {
			if s := files[pattern]; s != "" {
				return strings.Fields(s)
			}
			return nil
		},
		Terminal: terminal,
		FS:       func(string) (fileSystem, error) { return fileSystem{name: "ext4", free: 1e12}, nil },
		Start:    func(string) error { return nil },
		Lock:     func(string) error { return nil },
		Sync:     func(string) (time.Duration, error) { return 3 * time.Millisecond, nil },
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
	asked, mute := env(true, m{"TERM": "xterm"}, nil, nil), env(true, m{"TERM": "xterm"}, nil, nil)
	asked.Pictures = func() (string, string, error) {
		return "asked: name (XTVERSION)\nanswered: XTerm(379)\nchosen: sixel, XTerm(379) says that it draws sixel", "a hint", nil
	}
	mute.Pictures = func() (string, string, error) { return "", "", errors.New("no") }
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
		"asked":           {asked, "pictures", "ok: sixel, XTerm(379) says"},
		"what was asked":  {asked, "  asked", "ok: name (XTVERSION)"},
		"what came":       {asked, "  answered", "ok: XTerm(379)"},
		"not to be asked": {mute, "pictures", "problem: the terminal cannot be asked: no"},
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
	} {
		if got := line(Machine(c.env), c.check); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestSlurm(t *testing.T) {
	type m = map[string]string
	const sinfo = "sinfo --noheader --format=%P|%G|%D|%a|%l"
	cluster := m{"sbatch": "", "sbatch --version": "slurm 24.05.1", "srun --help": "… --overlap  Force steps to overlap …",
		sinfo: "cpu*|(null)|40|up|2-00:00:00\nfast|gpu:h100:4(S:0-1),gpu:l4:2,craynetwork:4|8|up|1-00:00:00\nold|gpu:1|2|down|1:00:00\nold|(null)|3|up|1:00:00"}
	with := func(k, v string) m {
		c := m{}
		for a, b := range cluster {
			c[a] = b
		}
		c[k] = v
		return c
	}
	for name, c := range map[string]struct {
		env         Env
		check, want string
	}{
		"none":          {env(false, nil, nil, nil), "Slurm", "absent: no sbatch"},
		"version":       {env(false, nil, cluster, nil), "Slurm", "ok: slurm 24.05.1"},
		"job":           {env(false, m{"SLURM_JOB_ID": "7"}, cluster, nil), "Slurm", "ok: slurm 24.05.1, in job 7"},
		"no controller": {env(false, nil, with(sinfo, "FAILS slurm_load_partitions: Unable to contact\x1b[2J\nmore"), nil), "Slurm", "problem: slurm 24.05.1, but its controller does not answer: slurm_load_partitions: Unable to contact␛[2J"},
		"GPUs":          {env(false, nil, cluster, nil), "  GPUs", "ok: partitions with GPUs: fast (8 × gpu:h100:4,gpu:l4:2, at most 1-00:00:00), old (2 × gpu:1, at most 1:00:00, down)"},
		"no GPUs":       {env(false, nil, with(sinfo, "cpu*|(null)|4|up|infinite\nnonsense"), nil), "  GPUs", "absent: no partition has GPUs; there are cpu"},
		"srun":          {env(false, nil, cluster, nil), "  srun", "ok: can attach"},
		"old srun":      {env(false, nil, with("srun --help", "usage"), nil), "  srun", "absent: too old"},
	} {
		if got := line(Machine(c.env), c.check); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestHost(t *testing.T) {
	type m = map[string]string
	const login, plain = "env SHLVL=0 SSH_CLIENT=127.0.0.1 1 22 /bin/bash -lc :", "env SHLVL=0 SSH_CLIENT=127.0.0.1 1 22 /bin/bash -c :"
	bash, home := m{"SHELL": "/bin/bash"}, m{"HOME": "/home/ada", "USER": "ada"}
	on := func(fs fileSystem, programs m) Env {
		e := env(false, home, programs, nil)
		e.FS = func(string) (fileSystem, error) { return fs, nil }
		return e
	}
	needs := func(glibc, here string) Env {
		e := env(false, nil, m{"getconf GNU_LIBC_VERSION": here}, nil)
		e.Glibc = glibc
		return e
	}
	noexec := env(false, m{"HOME": "/home/ada", "XDG_CACHE_HOME": "/scratch/ada"}, nil, nil)
	noexec.Start = func(dir string) error { return errors.New("permission denied in " + dir) }
	for name, c := range map[string]struct {
		env         Env
		check, want string
	}{
		"no shell":      {env(false, nil, nil, nil), "shell", "absent: "},
		"silent":        {env(false, bash, m{login: "", plain: ""}, nil), "shell", "ok: /bin/bash, silent at login"},
		"motd":          {env(false, bash, m{login: "Welcome\x1b[31m!\nline 2", plain: ""}, nil), "shell", "ok: /bin/bash, at login it says: Welcome␛[31m!"},
		"bashrc echoes": {env(false, bash, m{login: "", plain: "loading modules"}, nil), "shell", "ok: /bin/bash, at login it says: loading modules"},
		"broken":        {env(false, bash, m{login: "FAILS no such module", plain: ""}, nil), "shell", "problem: /bin/bash fails at login: exit status 1; it says: no such module"},
		"csh":           {env(false, m{"SHELL": "/bin/tcsh"}, m{"env SHLVL=0 SSH_CLIENT=127.0.0.1 1 22 /bin/tcsh -c :": ""}, nil), "shell", "ok: /bin/tcsh, silent"},

		"glibc":         {needs("2.34", "glibc 2.36"), "glibc", "ok: 2.36; this program needs 2.34"},
		"same glibc":    {needs("2.28", "glibc 2.28"), "glibc", "ok: 2.28; "},
		"old glibc":     {needs("2.34", "glibc 2.28"), "glibc", "problem: 2.28; this program needs 2.34"},
		"too old a one": {needs("2.3.2", "glibc 2.17"), "glibc", "problem: 2.17; this program needs 2.3.2, the XLA runtime 2.27"},
		"no onnx":       {needs("2.3.2", "glibc 2.27"), "glibc", "ok: 2.27; this program needs 2.3.2, ONNX Runtime 2.28"},
		"static":        {needs("", "glibc 2.31"), "glibc", "ok: 2.31; this program needs none"},
		"musl":          {needs("", ""), "glibc", "absent: not known; this program needs none"},

		"home":       {on(fileSystem{name: "xfs", free: 5e9}, nil), "home", "ok: xfs, 5.0 GB free"},
		"full home":  {on(fileSystem{name: "xfs", free: 5e7}, nil), "home", "problem: xfs, 50 MB free"},
		"quota":      {on(fileSystem{name: "NFS", free: 5e12, mount: "/home"}, m{"quota": "", "quota -w -p -f /home": quotaText}), "home", "ok: NFS, 5.0 TB free, 2.0 GB of the quota of 10 GB used"},
		"over quota": {on(fileSystem{name: "NFS", free: 5e12, mount: "/home"}, m{"quota": "", "quota -w -p -f /home": "FAILS " + strings.ReplaceAll(quotaText, " 1953125", " 9999999*")}), "home", "problem: NFS, 5.0 TB free, 10 GB of the quota of 10 GB used"},
		"Lustre": {on(fileSystem{name: "Lustre", free: 5e12, mount: "/lustre"}, m{"lfs": "", "quota": "", "quota -w -p -f /lustre": quotaText,
			"lfs quota -q -u ada /home/ada": "/home/ada\n          976562  0  1953125  -  12  0  0  -"}), "home", "ok: Lustre, 5.0 TB free, 1.0 GB of the quota of 2.0 GB used"},
		"no quota": {on(fileSystem{name: "NFS", free: 5e12, mount: "/home"}, m{"quota": "", "quota -w -p -f /home": "FAILS quota: Mountpoint (or device) /home not found or has no quota enabled."}), "home", "ok: NFS, 5.0 TB free"},
		"programs": {env(false, home, nil, nil), "programs", "ok: can be kept and run in /home/ada/.cache"},
		"noexec":   {noexec, "programs", "problem: none can be kept and run in /scratch/ada: permission denied in /scratch/ada"},
	} {
		if got := line(Host(c.env), c.check); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

const quotaText = `Disk quotas for user ada (uid 4711):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
fs1:/export/home 1953125 8789062 9765625       0    1234       0       0       0`

func TestProject(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	sky := t.TempDir()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "project.toml"), []byte("name = \"p\"\n[[source]]\nname = \"sky\"\npath = \""+sky+"\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := session.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	on := func(name string, options ...string) Env {
		e := env(false, nil, nil, map[string]string{"/etc/beegfs/beegfs-client.conf": "tuneUseGlobalFileLocks = false\n", "/etc/other.conf": "# x\ntuneUseGlobalFileLocks=true\n"})
		e.FS = func(string) (fileSystem, error) {
			return fileSystem{name: name, shared: true, free: 1e12, options: options}, nil
		}
		return e
	}
	locked, slow, broken, little := on("Lustre"), on("NFS"), on("NFS"), on("NFS")
	locked.Lock = func(string) error { return errors.New("function not implemented") }
	slow.Sync = func(string) (time.Duration, error) { return time.Second, nil }
	broken.Sync = func(string) (time.Duration, error) { return 0, errors.New("no space left on device") }
	little.FS = func(string) (fileSystem, error) { return fileSystem{name: "ext4", free: 1e6}, nil }
	for name, c := range map[string]struct {
		env         Env
		check, want string
		todo        bool
	}{
		"disk":             {on("NFS"), "disk", "ok: NFS, 1.0 TB free; a shared file system", false},
		"full":             {little, "disk", "problem: ext4, 1.0 MB free", true},
		"locks":            {on("NFS", "rw", "local_lock=none"), "locks", "ok: keep a second engine out", false},
		"no locks":         {locked, "locks", "problem: do not work here: function not implemented", true},
		"NFS with nolock":  {on("NFS", "nolock"), "locks", "problem: keep a second engine out on this machine only (NFS: mounted with nolock)", true},
		"local NFS locks":  {on("NFS", "local_lock=all"), "locks", "problem: keep a second engine out on this machine only", true},
		"posix locks":      {on("NFS", "local_lock=posix"), "locks", "ok: ", false},
		"local Lustre":     {on("Lustre", "localflock"), "locks", "problem: keep", true},
		"BeeGFS":           {on("BeeGFS"), "locks", "problem: keep a second engine out on this machine only (BeeGFS: tuneUseGlobalFileLocks is off)", true},
		"BeeGFS with them": {on("BeeGFS", "rw", "cfgFile=/etc/other.conf"), "locks", "ok: ", false},
		"sshfs":            {on("sshfs"), "locks", "problem: keep", true},
		"fsync":            {on("NFS"), "fsync", "ok: a label is on disk after 3ms", false},
		"slow fsync":       {slow, "fsync", "ok: a label is on disk after 1s", true},
		"no fsync":         {broken, "fsync", "problem: what is written does not get to the disk: no space left", true},
	} {
		checks := Project(t.Context(), c.env, p)
		if got := line(checks, c.check); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		for _, k := range checks {
			if k.Name == c.check && (k.Todo != "") != c.todo {
				t.Errorf("%s: what to do is %q", name, k.Todo)
			}
		}
	}
}

// What is tried is tried here as well, and leaves nothing behind.
func TestTrials(t *testing.T) {
	e, dir := Here(t.Context(), false), t.TempDir()
	if err := e.Lock(dir); err != nil {
		t.Errorf("lock: %v", err)
	}
	if took, err := e.Sync(dir); err != nil || took <= 0 {
		t.Errorf("sync: %v, %v", took, err)
	}
	if fs, err := e.FS(dir); err != nil || fs.name == "" || fs.free <= 0 {
		t.Errorf("file system %+v, %v", fs, err)
	}
	if _, err := exec.LookPath("/bin/sh"); err == nil {
		if err := e.Start(filepath.Join(dir, "not", "there")); err != nil {
			t.Errorf("start: %v", err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for name, try := range map[string]func(string) error{"lock": e.Lock, "sync": func(d string) error { _, err := e.Sync(d); return err }} {
		if err := try(filepath.Join(dir, "gone")); err == nil || strings.Contains(err.Error(), dir) {
			t.Errorf("%s in no folder: %v", name, err)
		}
	}
	// Locks that keep nobody out, and ones that are never given back.
	exit1 := exec.Command("false").Run()
	for want, result := range map[string]error{"two processes": nil, "not given back": exit1} {
		if err := tryLock(dir, func(...string) (string, error) { return "", result }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// Without flock(1).
	if err := tryLock(dir, func(...string) (string, error) { return "", exec.ErrNotFound }); err != nil {
		t.Error(err)
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"2.9", "2.28", true}, {"2.28", "2.9", false}, {"2.28", "2.28", false}, {"2.3", "2.3.2", true}, {"2.3.2", "2.3", false}, {"", "2", true}, {"2", "", false}, {"3.0", "2.28", false}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("older(%q, %q) = %v", c.a, c.b, got)
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

// The real Slurm: what its programs print is read.
func TestSlurmOfACluster(t *testing.T) {
	bed := testbed.Up(t, testbed.Options{})
	e := env(false, nil, map[string]string{"sbatch": ""}, nil)
	e.Run = func(argv ...string) (string, error) {
		out, errs, err := bed.Try(testbed.Login, argv...)
		return strings.TrimSpace(out + errs), err
	}
	checks := Machine(e)
	for name, want := range map[string]string{"Slurm": "ok: slurm", "  GPUs": "ok: partitions with GPUs: gpu (2 × gpu:1, at most ", "  srun": "ok: can attach"} {
		if got := line(checks, name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
