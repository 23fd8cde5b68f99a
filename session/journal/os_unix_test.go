//go:build unix

package journal

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Opening a pipe waits for ever.
func TestPipesAreNotRead(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "p.jsonl"), 0o666); err != nil {
		t.Skip("no pipes here: ", err)
	}
	if got := mustOpen(t, dir, "ada").Current(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
