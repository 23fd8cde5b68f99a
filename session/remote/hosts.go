package remote

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxHosts is how many names are taken from a configuration, and maxDepth how deep its files may name each other.
const maxHosts, maxDepth = 200, 4

// Hosts lists the hosts that an ssh configuration names, in its order, those of the files that it includes among them; patterns are left out.
// config is a file for ssh's -F, "" for the person's own.
func Hosts(config string) []string {
	home, err := os.UserHomeDir()
	if config == "" {
		if err != nil {
			return nil
		}
		config = filepath.Join(home, ".ssh", "config")
	}
	var all []string
	var read func(file string, depth int)
	read = func(file string, depth int) {
		f, err := os.Open(file)
		if err != nil || depth > maxDepth {
			return
		}
		defer f.Close()
		if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
			return
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() && len(all) < maxHosts {
			line := strings.TrimSpace(lines.Text())
			end := strings.IndexAny(line, " \t=") // one = may stand between keyword and arguments (ssh_config(5))
			if end < 0 {
				continue
			}
			words := append([]string{line[:end]}, strings.Fields(strings.TrimPrefix(strings.TrimLeft(line[end:], " \t"), "="))...)
			switch strings.ToLower(words[0]) {
			case "host":
				for _, name := range words[1:] {
					name = strings.Trim(name, `"`)
					if _, err := New(name, "", nil); err == nil && !strings.ContainsAny(name, "*?!") && !slices.Contains(all, name) {
						all = append(all, name)
					}
				}
			case "include":
				for _, pattern := range words[1:] {
					pattern = strings.Trim(pattern, `"`)
					if rest, ok := strings.CutPrefix(pattern, "~/"); ok {
						pattern = filepath.Join(home, rest)
					} else if !filepath.IsAbs(pattern) {
						pattern = filepath.Join(home, ".ssh", pattern)
					}
					files, _ := filepath.Glob(pattern)
					for _, file := range files {
						read(file, depth+1)
					}
				}
			}
		}
	}
	read(config, 0)
	return all
}
