//go:build unix

package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"anomalymatch/internal/testdata"
	"anomalymatch/tui/tuitest"
)

// BenchmarkFirstPicture measures the time from starting the program on the 6,446 galaxies to the first picture in the terminal, the
// start of the engine included: with the list of images there, and without it.
//
//	go test -run - -bench FirstPicture -benchtime 5x ./cmd/anomalymatch/scenario
func BenchmarkFirstPicture(b *testing.B) {
	sky := filepath.Join(testdata.Shared(b, "data/galaxies"), "images")
	for _, indexed := range []bool{true, false} {
		name := map[bool]string{true: "index", false: "no index"}[indexed]
		b.Run(name, func(b *testing.B) {
			dir, home := b.TempDir(), b.TempDir()
			text := fmt.Sprintf("name = \"galaxies\"\n[[source]]\nname = \"galaxies\"\npath = %q\n[engine]\nruntime = %q\n", sky, backend)
			if err := os.WriteFile(filepath.Join(dir, "project.toml"), []byte(text), 0o666); err != nil {
				b.Fatal(err)
			}
			env := append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_STATE_HOME="+home, "XDG_DATA_HOME="+home)
			if plugin != "" {
				env = append(env, "PJRT_PLUGIN_LIBRARY_PATH="+plugin)
			}
			stop := func() {
				cmd := exec.Command(program, "stop", dir)
				cmd.Env = env
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
			first := func() time.Duration {
				began := time.Now()
				d := tuitest.Start(b, tuitest.Options{Env: env, Cols: 120, Rows: 40}, program, dir)
				d.Wait("a picture", func(string) bool { held, _ := d.Pictures(); return len(held) > 0 })
				took := time.Since(began)
				d.Press("q")
				d.Close()
				stop()
				return took
			}
			first() // lists the images, warms the disk cache
			var sum, worst time.Duration
			n := 0
			for b.Loop() {
				if !indexed {
					if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
						b.Fatal(err)
					}
				}
				t := first()
				sum, worst, n = sum+t, max(worst, t), n+1
			}
			b.ReportMetric(float64(sum.Milliseconds())/float64(n), "ms/first-picture")
			b.ReportMetric(float64(worst.Milliseconds()), "ms/worst")
		})
	}
}
