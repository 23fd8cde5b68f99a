package nn

import (
	"slices"
	"sync"
	"testing"

	"anomalymatch/engine/runtime"
)

// TestSeveralDevicesOfXLA: each of the devices that XLA's CPU code plays gives the same bytes, side by side.
func TestSeveralDevicesOfXLA(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "xla:cpu")
	if err != nil {
		t.Skipf("not tested here: %v", err)
	}
	if o.Devices != 1 {
		t.Errorf("%d devices share the cores", o.Devices)
	}
	if o.Devices = int(o.Backend.NumDevices()); o.Devices < 2 {
		t.Skip("not tested here: it plays no devices")
	}
	m, err := NewModel(o, withRandomHead(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	devices := m.Devices()
	if len(devices) != o.Devices {
		t.Fatalf("%d devices", len(devices))
	}
	const n, size = 4, 32
	pix := pixels(n, size)
	got := make([]Result, len(devices))
	var wg sync.WaitGroup
	for i, d := range devices {
		wg.Go(func() {
			var err error
			if got[i], err = d.run(pix, n, size, part{true, true}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, r := range got {
		if len(r.Logits) != n*Classes || !slices.Equal(r.Logits, got[0].Logits) || !slices.Equal(r.Embedding, got[0].Embedding) {
			t.Errorf("device %d says something else", i+1)
		}
	}
}
