//go:build cgo && !noxla && linux

package runtime

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestFlagsAreOnlyForPluginsThatKnowThem, wherever in the file the flag's name stands, since one that is not known ends the process.
func TestFlagsAreOnlyForPluginsThatKnowThem(t *testing.T) {
	for _, c := range []struct {
		before  int // bytes of the file before the name
		name    string
		was, is string
	}{
		{0, slowEmitters, "", "--xla_cpu_use_fusion_emitters=false"},
		{1<<20 - 5, slowEmitters, "", "--xla_cpu_use_fusion_emitters=false"}, // over the end of what is read at once
		{3<<20 - 2, slowEmitters, "--xla_x=1", "--xla_x=1 --xla_cpu_use_fusion_emitters=false"},
		{7, slowEmitters, "--xla_cpu_use_fusion_emitters=true", "--xla_cpu_use_fusion_emitters=true"},
		{7, "xla_cpu_use_fusion", "", ""},
	} {
		path := filepath.Join(t.TempDir(), "plugin.so")
		if err := os.WriteFile(path, append(bytes.Repeat([]byte{'_'}, c.before), c.name+"\x00 and more"...), 0o666); err != nil {
			t.Fatal(err)
		}
		t.Setenv("XLA_FLAGS", c.was)
		withoutSlowEmitters(path)
		if got := os.Getenv("XLA_FLAGS"); got != c.is {
			t.Errorf("%d, %q, %q: %q", c.before, c.name, c.was, got)
		}
	}
	withoutSlowEmitters(filepath.Join(t.TempDir(), "none.so"))
}
