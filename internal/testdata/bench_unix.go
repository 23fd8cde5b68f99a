//go:build unix

package testdata

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchFiles measures read with every file of an ending in the folder ANOMALYMATCH_BENCH_FILES, which bench/formats_speed.py sets; without
// one the benchmark is skipped. read says how many bytes of pixels there were. images/s is of the time on a processor, which says more than
// the clock where other work runs; use -cpu 1.
func BenchFiles(b *testing.B, ending string, read func(path string) (int, error)) {
	dir := os.Getenv("ANOMALYMATCH_BENCH_FILES")
	if dir == "" {
		b.Skip("ANOMALYMATCH_BENCH_FILES is not set: bench/formats_speed.py runs this benchmark")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+ending))
	if err != nil || len(files) == 0 {
		b.Fatalf("no %s in %s: %v", ending, dir, err)
	}
	for _, path := range files {
		b.Run(filepath.Base(path), func(b *testing.B) {
			bytes := 0
			began := processor(b)
			for b.Loop() {
				if bytes, err = read(path); err != nil {
					b.Fatal(err)
				}
			}
			rate := float64(b.N) / (processor(b) - began).Seconds()
			b.ReportMetric(rate, "images/s")
			b.ReportMetric(rate*float64(bytes)/1e6, "MB-of-pixels/s")
		})
	}
}

// processor is the time that this process has had so far.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
