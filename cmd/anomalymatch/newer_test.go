package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommandRefusesANewerProject runs every command that takes a project on one of a newer program, and wants the program to get, and not a
// byte in the folder changed.
func TestEveryCommandRefusesANewerProject(t *testing.T) {
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, t.TempDir())
	}
	root := t.TempDir()
	dir, file := filepath.Join(root, "p"), filepath.Join(root, "file.csv")
	for name, text := range map[string]string{
		"project.toml":     "layout = 7\nprogram = \"9.8.7\"\nstrange = true\n\n[[source]]\nname = \"s\"\npath = \"" + filepath.ToSlash(root) + "\"\n",
		"labels/ada.jsonl": "newer lines\n", "labels/ada.idx": "more of it\n", "checkpoints/1": "x", "scores/old.part": "x", "jobs.jsonl": "{}\n",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte("filename,label\nx.jpg,1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	listed := func() string {
		var b strings.Builder
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				text, err := os.ReadFile(filepath.Join(dir, path))
				if err != nil {
					return err
				}
				b.WriteString(path + "\x00" + string(text) + "\x00")
				return nil
			}
			b.WriteString(path + "\x00")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	before := listed()
	flags := map[string][]string{ // without which a command says how it is used
		"anomalymatch export":        {"--list", filepath.Join(root, "list.csv")},
		"anomalymatch labels export": {"--out", filepath.Join(root, "out.csv")},
		"anomalymatch labels merge":  {"--by", "bob"},
		"anomalymatch verify":        {"--repair"},
	}
	tried := 0
	var try func(c *cobra.Command)
	try = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			try(sub)
		}
		words := strings.Fields(c.Use)[1:]
		if !strings.Contains(c.Use, "PROJECT") || c.Name() == "new" {
			return
		}
		var args []string
		for _, word := range words {
			switch {
			case strings.Contains(word, "PROJECT"):
				args = append(args, dir)
			case strings.HasPrefix(word, "FILE"):
				args = append(args, file)
			case word == "SWEEP", word == "PLAN":
				args = append(args, filepath.Join(dir, "sweeps", "001"))
			}
		}
		tried++
		t.Run(c.CommandPath(), func(t *testing.T) {
			cmd := rootCommand()
			var out bytes.Buffer
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			cmd.SetArgs(append(append(strings.Fields(c.CommandPath())[1:], args...), flags[c.CommandPath()]...))
			err := cmd.ExecuteContext(t.Context())
			said := out.String()
			if err != nil {
				said += err.Error()
			}
			if !strings.Contains(said, "get anomalymatch 9.8.7 or a later version") {
				t.Errorf("it says %q", said)
			}
			if listed() != before {
				t.Errorf("the folder was changed")
			}
		})
	}
	try(rootCommand())
	if tried < 20 {
		t.Errorf("%d commands", tried)
	}
}
