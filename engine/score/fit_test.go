package score

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
)

// TestFit: only a long run whose batch is open is worth a trial, and there is one for each size of images.
func TestFit(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "auto")
	if err != nil {
		t.Fatal(err)
	}
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	m, err := nn.NewModel(o, w)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	memory := filepath.Join(t.TempDir(), "cache", "batches.json")
	for _, tt := range []struct{ wanted, images, want int }{{0, 1000, 256}, {64, 1 << 30, 64}, {0, 7, 7}} {
		if got := Fit(m, memory, tt.wanted, 64, tt.images); got != tt.want {
			t.Errorf("%d wanted, %d images: %d, want %d", tt.wanted, tt.images, got, tt.want)
		}
	}
	if _, err := os.Stat(memory); err == nil {
		t.Error("there was a trial")
	}
	if !m.Bounded() {
		if got := Fit(m, memory, 0, 32, 1<<20); got != Batch(0, 32, 1<<20) {
			t.Errorf("%d on %s", got, o.Name)
		}
		t.Skipf("no trials on %s", o.Name)
	}
	n := Fit(m, memory, 0, 32, 1<<20)
	if n < 1 || n > most {
		t.Errorf("%d images at once", n)
	}
	b, err := os.ReadFile(memory)
	if err != nil || !strings.Contains(string(b), o.Name) || !strings.Contains(string(b), "32 px") {
		t.Fatalf("%s %v", b, err)
	}
	was := strings.LastIndex(string(b), ": ")
	if err := os.WriteFile(memory, []byte(string(b[:was])+": 48\n}"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := Fit(m, memory, 0, 32, 1<<20); got != 48 {
		t.Errorf("%d, and 48 was remembered", got)
	}
	for _, damaged := range []string{"", "[", "null", strings.Replace(string(b[:was])+": 99999\n}", "\x00", "", 1)} {
		if err := os.WriteFile(memory, []byte(damaged), 0o666); err != nil {
			t.Fatal(err)
		}
		if got := Fit(m, memory, 0, 32, 1<<20); got < 1 || got > most {
			t.Errorf("%q: %d", damaged, got)
		}
	}
}
