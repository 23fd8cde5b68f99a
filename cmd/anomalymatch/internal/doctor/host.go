package doctor

import (
	"cmp"
	"debug/elf"
	"fmt"
	"strconv"
	"strings"

	"anomalymatch/tui/common"
)

// Host tells what else matters where the program comes over ssh: shell, C library, the home folder and where programs are kept.
func Host(e Env) []Check {
	checks := []Check{shell(e), glibc(e)}
	if home := e.Get("HOME"); home != "" {
		checks = append(checks, disk(e, "home", home, homeLeast, "free some space, or set XDG_CACHE_HOME and XDG_DATA_HOME to a folder with room: the program and the XLA runtime take 400 MB"),
			cache(e, cmp.Or(e.Get("XDG_CACHE_HOME"), home+"/.cache")))
	}
	return checks
}

// homeLeast is what the program, the runtime and its download need, bytes.
const homeLeast = 400e6

// shell looks at what the login shell does when ssh starts it for a command.
func shell(e Env) Check {
	c := Check{Name: "shell", State: Absent, Text: "SHELL is not set"}
	path := e.Get("SHELL")
	if path == "" {
		return c
	}
	c.State, c.Text = Good, path+", silent at login"
	// bash reads .bashrc without a terminal only where it believes that ssh started it.
	for _, how := range []string{"-lc", "-c"} {
		argv := []string{"env", "SHLVL=0", "SSH_CLIENT=127.0.0.1 1 22", path, how, ":"}
		if csh(path) && how == "-lc" {
			continue // csh has no login shell with a command
		}
		noise, err := e.Run(argv...)
		switch {
		case err != nil:
			c.State, c.Text = Bad, fmt.Sprintf("%s fails at login: %v", path, err)
			if noise != "" {
				c.Text += "; it says: " + brief(noise)
			}
			c.Todo = "correct its start files: every connection goes through them"
			return c
		case noise != "":
			c.Text = path + ", at login it says: " + brief(noise)
			c.Todo = "anomalymatch skips this, scp and rsync do not: print only in a terminal, `test -t 1 && …`"
		}
	}
	return c
}

func csh(path string) bool { return strings.HasSuffix(path, "csh") }

// brief is the beginning of what a program said.
func brief(s string) string { return common.Cut(common.Clean(firstLine(s)), 60) }

// What the runtimes for Linux are built for.
const xlaGlibc, onnxGlibc = "2.27", "2.28"

func glibc(e Env) Check {
	c := Check{Name: "glibc", State: Good, Text: "this program needs none"}
	if e.Glibc != "" {
		c.Text = "this program needs " + e.Glibc
	}
	name, here, _ := strings.Cut(e.ask("getconf", "GNU_LIBC_VERSION"), " ")
	switch {
	case name != "glibc":
		c.State, c.Text = Absent, "not known; "+c.Text
		return c
	case older(here, e.Glibc):
		c.State, c.Todo = Bad, "take the release's program, which needs 2.28 or less"
	case older(here, xlaGlibc):
		c.State, c.Text = Bad, c.Text+", the XLA runtime "+xlaGlibc
		c.Todo = "the Go backend works; XLA does on a newer node or in a container"
	case older(here, onnxGlibc):
		c.Text += ", ONNX Runtime " + onnxGlibc // XLA does its work
	}
	c.Text = here + "; " + c.Text
	return c
}

// glibcNeeded reads from a program which glibc it needs; "" where it needs none.
func glibcNeeded(exe string) (newest string) {
	f, err := elf.Open(exe)
	if err != nil {
		return ""
	}
	defer f.Close()
	symbols, _ := f.ImportedSymbols()
	for _, s := range symbols {
		if v, ok := strings.CutPrefix(s.Version, "GLIBC_"); ok && (newest == "" || older(newest, v)) {
			newest = v
		}
	}
	return newest
}

// older compares versions of numbers and dots; "" is older than all.
func older(a, b string) bool {
	for b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		m, _ := strconv.Atoi(x)
		n, _ := strconv.Atoi(y)
		if m != n {
			return m < n
		}
	}
	return false
}

// cache looks whether the folder that programs are brought to runs them.
func cache(e Env, dir string) Check {
	if err := e.Start(dir); err != nil {
		return Check{Name: "programs", State: Bad, Text: fmt.Sprintf("none can be kept and run in %s: %v", dir, err),
			Todo: "set XDG_CACHE_HOME to a folder that is mounted without noexec; else another place is tried when the program is brought here"}
	}
	return Check{Name: "programs", State: Good, Text: "can be kept and run in " + dir}
}
