package shards

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk: what does not fit is said and leaves nothing; once there is room, running what is to do gives the straight run's file.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("only who may mount can test this: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	p := plan(60_000, 16, 8) // 240 kB of scores
	f := create(t, dir, p)
	run(t, f, 0)
	ballast := filepath.Join(dir, "ballast")
	fill := func() { // to the last byte
		file, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := file.Write(make([]byte, 4096)); err != nil {
				break
			}
		}
		file.Close()
	}
	free := func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	if err := f.Run(t.Context(), 1, drawn(16, "here")); err == nil || err.Error() != "shard 1 cannot be kept: no space left on device" {
		t.Errorf("a full disk: %v", err)
	}
	if _, err := f.Merge(t.Context()); err == nil || !strings.Contains(err.Error(), "of 8 shards 7 (1-7) are missing") {
		t.Errorf("merged: %v", err)
	}
	if parts, _ := filepath.Glob(filepath.Join(f.Dir, ".*")); len(parts) > 0 {
		t.Errorf("left %v", parts)
	}
	free()
	run(t, f, f.Todo()...)
	fill()
	if m, err := f.Merge(t.Context()); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("merged on a full disk: %+v, %v", m, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cycle-002.scores")); err == nil {
		t.Error("there is a score file")
	}
	free()
	m, err := f.Merge(t.Context())
	if err != nil || !bytes.Equal(read(t, m.Path), straight(t, p)) {
		t.Errorf("in the end: %v, or another file", err)
	}
}
