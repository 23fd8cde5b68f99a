package score

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"anomalymatch"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/atomicfile"
)

const (
	usual    = 256  // images at once where nothing else is known: at 64 px, fewer where they are larger
	longRuns = 100  // batches from which on a run is worth a trial
	most     = 8192 // images at once
)

// Fit is Batch for a model that is about to score so many images on this machine alone. Where the settings leave it open (wanted is 0) and the run is long,
// the batch is found by trial once and remembered in the file memory for this hardware and size, so that the same machine makes the same bytes again; "" for
// no file. Where memory runs out while the network runs, see nn.Device, batches are halved; but XLA's CPU code then ends the whole process (seen: bad_alloc), so
// there, and on the Go backend, nothing is tried that is larger than Batch.
func Fit(m *nn.Model, memory string, wanted, size, images int) int {
	n := Batch(wanted, size, images)
	if wanted > 0 || images < longRuns*n || !m.Bounded() {
		return n
	}
	key := fmt.Sprintf("%s, %d px, program %s", m.Hardware(), size, anomalymatch.Version)
	known := map[string]int{}
	if b, err := os.ReadFile(memory); err == nil && json.Unmarshal(b, &known) == nil && known[key] > 0 && known[key] <= most {
		return min(known[key], images)
	}
	n = m.Trial(size, n, min(most, images), images)
	if memory == "" {
		return n
	}
	if known == nil {
		known = map[string]int{}
	}
	known[key] = n
	if b, err := json.MarshalIndent(known, "", " "); err == nil && os.MkdirAll(filepath.Dir(memory), 0o777) == nil {
		_ = atomicfile.Write(memory, func(w io.Writer) error { _, err := w.Write(b); return err }) // it is tried again then
	}
	return n
}

// Memory is the file that Fit remembers in, of this user on this machine; "" where there is no place for it.
func Memory() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "anomalymatch", "batches.json")
}
