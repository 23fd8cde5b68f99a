package remote

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestHosts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(home, ".ssh", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := Hosts(""); got != nil {
		t.Errorf("without a file: %q", got)
	}
	write("config", "# mine\nHost leo leo2 *.cluster !bad\n  HostName leo.example\nHOST=\"juno\"\nInclude conf.d/*\nInclude config\nHost -oProxyCommand=x leo gpu?\nMatch host x\nHost\n")
	write("conf.d/a", "Host deep\n")
	if got := Hosts(""); !slices.Equal(got, []string{"leo", "leo2", "juno", "deep"}) {
		t.Errorf("%q", got)
	}
	if got := Hosts(filepath.Join(home, ".ssh", "conf.d", "a")); !slices.Equal(got, []string{"deep"}) {
		t.Errorf("of another file: %q", got)
	}
}
