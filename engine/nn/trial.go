package nn

import (
	"fmt"
	goruntime "runtime"
	"strings"
	"time"

	"anomalymatch/engine/runtime"
)

// Trial finds by trial how many of a run's images of size×size pixels a device best scores at once: start, then twice as many again and again up to most,
// as long as that is worth it (5% faster), there is memory, and the next one can be expected to cost, with compiling, no more than a twentieth of the run,
// on CPUs two seconds. Where there is no memory for start, it is half as many until there is. A device that fails otherwise is not judged: the answer
// is start, and the run itself deals with that.
func (m *Model) Trial(size, start, most, images int) int {
	return m.devices[0].trial(size, start, most, images, time.Now)
}

func (d *Device) trial(size, start, most, images int, now func() time.Time) int {
	var pix []uint8
	measure := func(n int) (perSecond float64, err error) {
		bytes := n * size * size * d.of.Channels()
		if len(pix) < bytes {
			pix = make([]uint8, bytes)
		}
		for range 2 { // the first time it compiles and gets memory
			at := now()
			if _, err = d.net.run(pix[:bytes], n, size, part{logits: true}); err != nil {
				return 0, err
			}
			perSecond = float64(n) / max(now().Sub(at).Seconds(), 1e-9)
		}
		return perSecond, nil
	}
	began, best, n := now(), 0.0, start
	for {
		at := now()
		speed, err := measure(n)
		switch {
		case err == nil:
		case !runtime.OutOfMemory(err):
			return start
		case best > 0:
			return n / 2
		case n == 1:
			return 1
		default:
			n /= 2
			most = n
			continue
		}
		if speed < 1.05*best {
			return n / 2
		}
		best = speed
		budget := time.Duration(float64(images) / speed / 20 * float64(time.Second))
		if !strings.HasPrefix(d.name, "xla:cuda") {
			budget = min(budget, 2*time.Second)
		}
		end := now()
		if 2*n > most || end.Sub(began)+2*end.Sub(at) > budget {
			return n
		}
		n *= 2
	}
}

// Bounded says that a batch of any size does no harm: ONNX Runtime takes it in parts, and a GPU that has too little memory says so.
func (m *Model) Bounded() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on.ONNX || strings.HasPrefix(m.on.Name, "xla:cuda")
}

// Hardware says on what and how many devices the model runs, as far as that has to do with its speed.
func (m *Model) Hardware() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := fmt.Sprintf("%s, %d cores", m.on.Name, goruntime.GOMAXPROCS(0))
	if m.on.Backend != nil {
		text += ", " + m.on.Backend.DeviceDescription(0)
	}
	return text
}
