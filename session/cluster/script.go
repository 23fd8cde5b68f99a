package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/session/quote"
)

// dialect is what a job script has of its batch system.
type dialect struct {
	prefix string   // of the lines of the head
	head   []string // options
	task   string   // shell word: the number of a task, from 0
	launch string   // what goes before the command
}

// script writes a job's script. No text of a spec or a profile begins a line of it: batch systems look for their options at the beginning of lines, some of them
// everywhere.
func script(p anomalymatch.Cluster, s Spec, d dialect) (string, error) {
	switch {
	case len(s.Argv) == 0 || s.Argv[0] == "":
		return "", errors.New("a job needs a command")
	case !filepath.IsAbs(s.Dir) || !filepath.IsAbs(s.Log):
		return "", fmt.Errorf("a job needs absolute paths, not %q and %q", s.Dir, s.Log)
	case strings.Contains(strings.Join(s.Argv, "")+s.Dir+s.Log, "\x00"):
		return "", errors.New("no command and no path can hold a NUL")
	case s.Tasks < 0 || s.AtOnce < 0 || s.Time < 0 || s.Warn < 0:
		return "", errors.New("numbers and times of a job cannot be negative")
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("#!/bin/sh")
	for _, option := range append(d.head, p.Extra...) {
		if strings.ContainsAny(option, "\r\n\x00") { // the settings refuse it already
			return "", fmt.Errorf("the option %q is more than one line", option)
		}
		if d.prefix != "" {
			line("%s %s", d.prefix, option)
		}
	}
	line("nl='\n'")
	log := word(s.Log)
	if s.Tasks > 0 {
		line("export %s=%s", TaskVariable, d.task)
		log += `."$` + TaskVariable + `"`
	}
	line("(umask 077; : >>%s)", log)
	line("exec >>%s 2>&1 </dev/null", log)
	line(`export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"`)
	if len(p.Modules) > 0 {
		// A job's shell is no login shell.
		line(`command -v module >/dev/null || for f in /etc/profile.d/modules.sh /etc/profile.d/lmod.sh "$LMOD_PKG/init/sh" "$MODULESHOME/init/sh"; do [ ! -r "$f" ] || { . "$f"; break; }; done`)
		line("module load %s || exit", words(p.Modules))
	}
	if p.Scratch != "" {
		line("TMPDIR=%s", expandable(p.Scratch))
		line(`mkdir -p -- "$TMPDIR" && [ -w "$TMPDIR" ] || { echo "$TMPDIR cannot be used for temporary files: using /tmp" >&2; TMPDIR=/tmp; }`)
		line("export TMPDIR")
	}
	line("cd -- %s || exit", word(s.Dir))
	line("exec %s", strings.TrimSpace(d.launch+" "+words(s.Argv)))
	return b.String(), nil
}

// word quotes s on one line of a script that has set nl.
func word(s string) string { return strings.ReplaceAll(quote.Sh(s), "\n", `'"$nl"'`) }

func words(argv []string) string { return strings.ReplaceAll(quote.Line(argv...), "\n", `'"$nl"'`) }

// expandable quotes a path in which $NAME and ${NAME} are variables of the job; nothing else is expanded.
func expandable(path string) string {
	var b strings.Builder
	for path != "" {
		text, rest, found := strings.Cut(path, "$")
		if text != "" {
			b.WriteString(word(text))
		}
		if !found {
			break
		}
		name, after := variable(rest)
		if name == "" {
			b.WriteString(`'$'`)
		} else {
			b.WriteString(`"${` + name + `-}"`)
		}
		path = after
	}
	return b.String()
}

// variable reads NAME or {NAME} at the beginning of s; name is empty where there is none.
func variable(s string) (name, rest string) {
	isName := func(s string) bool {
		return s != "" && (s[0] < '0' || s[0] > '9') && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
	}
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		if name, rest, ok := strings.Cut(inner, "}"); ok && isName(name) {
			return name, rest
		}
		return "", s
	}
	n := 0
	for n < len(s) && isName(s[:n+1]) {
		n++
	}
	return s[:n], s[n:]
}

// limit is the longest time of a job; 0: the batch system's default.
func limit(p anomalymatch.Cluster, s Spec) time.Duration {
	if s.Time > 0 {
		return s.Time
	}
	return anomalymatch.Walltime(p.Time)
}

// clock writes a time as hours:minutes:seconds, rounded up.
func clock(d time.Duration) string {
	n := int64((d + time.Second - 1) / time.Second)
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}
