package engine

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"anomalymatch/internal/atomicfile"
)

// What nobody has touched for a day goes, and what the next run goes on with does not.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	old, young := time.Now().Add(-atomicfile.Leftover-time.Minute), time.Now().Add(-atomicfile.Leftover+time.Minute)
	cases := []struct {
		name  string
		time  time.Time
		stays bool
	}{
		{".project.toml-0a0a0a0a.part", old, false},
		{"checkpoints/.cycle-001-step-00005.safetensors-0a0a0a0a.part", old, false},
		{"checkpoints/.cycle-001-step-00006.safetensors-0a0a0a0a.part", young, true}, // somebody may be at work on it
		{"scores/shards-0a/.shard-00001.scores-0a0a0a0a.part", old, false},
		{"sweeps/001/run-001/checkpoints/.cycle-001-step-00005.safetensors-0a0a0a0a.part", old, false},
		{"index/images.idx.part-123", old, false},
		{"prepared/64/000001.pix-0a0a0a0a.part", old, false},
		{"embeddings/frozen-32x1.f16.part.log", old, false}, // without its part
		{"scores/unfinished.part", old, true},
		{"embeddings/frozen-64x1.f16.part", old, true},
		{"embeddings/frozen-64x1.f16.part.log", old, true},
		{"index/unpacked/sky.tar.part", old, true},
		{"notes.part", old, true},
		{"labels/ann.jsonl.torn", old, true},
	}
	for _, c := range cases {
		path := filepath.Join(dir, filepath.FromSlash(c.name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, nil, 0o666), os.Chtimes(path, c.time, c.time)); err != nil {
			t.Fatal(err)
		}
	}
	(&Engine{opt: Options{Dir: dir}, log: slog.New(slog.DiscardHandler)}).sweep()
	for _, c := range cases {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(c.name))); (err == nil) != c.stays {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
