//go:build unix

package dataset

import (
	"image"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"anomalymatch/engine/dataset/turbo"
	"anomalymatch/internal/glob"
)

// BenchmarkDecodeResize: JPEGs in memory to pixels at the size of the model, by each decoder that there is. images/s is of the time on a
// processor, which says more than the clock where other work runs; use -cpu 1. bench/decode.py compares it with Pillow.
func BenchmarkDecodeResize(b *testing.B) {
	size := 224
	var files [][]byte
	for _, path := range glob.In(os.Getenv("ANOMALYMATCH_BENCH_JPEGS"), "*.jp*g") {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, data)
	}
	if files == nil {
		files = [][]byte{jpegOf(b, noise(6, 300, 300).Image())}
	}
	if n, err := strconv.Atoi(os.Getenv("ANOMALYMATCH_BENCH_SIZE")); err == nil {
		size = n
	}
	dst := make([]uint8, size*size*3)
	use := func(m image.Image) { resized(dst, m, size) }
	ways := []string{"pure-go", "standard-library"}
	if turbo.Available {
		ways = append(ways, "libjpeg-turbo")
	}
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			b.ReportAllocs()
			began := processor(b)
			for i := 0; b.Loop(); i++ {
				data := files[i%len(files)]
				c, whole, err := identify(data, Limits{}, nil)
				switch way {
				case "standard-library":
					c.quick = nil
				case "pure-go":
					c.quick = pureJPEG
				}
				if err == nil {
					err = c.decoded(data, whole, size, use)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/(processor(b)-began).Seconds(), "images/s")
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
