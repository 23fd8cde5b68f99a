package bench

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/usage"
	"anomalymatch/internal/parallel"
)

// NetworkSpeed is what `bench network --json` prints: the network alone, from pixels in memory to scores.
type NetworkSpeed struct {
	Seconds float64        `json:"seconds"` // of each measurement
	Rounds  int            `json:"rounds"`  // in each of which all are measured in turn
	Runs    []NetworkTimes `json:"runs"`
}

// NetworkTimes are those of one backend at one size.
type NetworkTimes struct {
	Backend   string    `json:"backend"`
	Form      string    `json:"form,omitempty"` // of the layers, where it is not the backend's own
	Size      int       `json:"size"`
	Batch     int       `json:"batch"`                 // the fastest of those that were tried
	PerSecond float64   `json:"images_per_second"`     // the median of the rounds
	Each      []float64 `json:"each"`                  // images a second, round by round
	PerCPU    float64   `json:"images_per_cpu_second"` // the median; what else the machine does shows less in it
	eachCPU   []float64

	model *nn.Model
	pix   []uint8
}

// NetworkOptions say what is measured.
type NetworkOptions struct {
	Sizes, Batches []int
	Channels       int      // of the images; 0: 3
	Runtimes       []string // as runtime.Open takes them
	Rounds         int
	Time           time.Duration // of each measurement
	Forms          bool          // each form of the layers, on backends that have several
	Keep           string        // an ONNX file to write of the network at the first size, "" for none
	Tell           func(string)
}

// Network measures the network on each backend with its best batch, in turn, so that what else the machine does falls on all of them.
func Network(ctx context.Context, opt NetworkOptions) (*NetworkSpeed, error) {
	w, err := nn.Pretrained(cmp.Or(opt.Channels, 3))
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 2))
	w.NewHead(r)
	if opt.Keep != "" {
		b, err := w.ONNX(opt.Sizes[0], "", nil, nn.OutputLogits)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(opt.Keep, b, 0o666); err != nil {
			return nil, err
		}
	}
	all := &NetworkSpeed{Seconds: opt.Time.Seconds(), Rounds: opt.Rounds}
	for _, size := range opt.Sizes {
		pix := make([]uint8, slices.Max(opt.Batches)*size*size*w.Channels())
		for i := range pix {
			pix[i] = uint8(r.Uint32())
		}
		for _, name := range opt.Runtimes {
			o, err := runtime.Open(runtime.Infer, name)
			if err != nil {
				return nil, err
			}
			forms := []nn.Form{{}}
			if opt.Forms && !o.ONNX {
				forms = nn.Forms()
			}
			for _, f := range forms {
				m, err := nn.NewFormed(o, w, f)
				if err != nil {
					return nil, err
				}
				defer m.Close()
				t := NetworkTimes{Backend: o.Name, Size: size, model: m, pix: pix}
				if len(forms) > 1 {
					t.Form = f.String()
				}
				best := 0.0
				for _, batch := range opt.Batches {
					if ctx.Err() != nil {
						return nil, ctx.Err()
					}
					if opt.Tell != nil {
						opt.Tell(fmt.Sprintf("%s at %d px in batches of %d %s", o.Name, size, batch, t.Form))
					}
					speed, _, err := t.speed(ctx, batch, opt.Time/2)
					if err != nil {
						return nil, err
					}
					if speed > best {
						best, t.Batch = speed, batch
					}
				}
				all.Runs = append(all.Runs, t)
			}
		}
	}
	for k := range opt.Rounds {
		for i := range all.Runs {
			t := &all.Runs[i]
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if opt.Tell != nil {
				opt.Tell(fmt.Sprintf("round %d of %d: %s at %d px", k+1, opt.Rounds, t.Backend, t.Size))
			}
			speed, perCPU, err := t.speed(ctx, t.Batch, opt.Time)
			if err != nil {
				return nil, err
			}
			t.Each, t.eachCPU = append(t.Each, round(speed, 1)), append(t.eachCPU, round(perCPU, 1))
		}
	}
	for i := range all.Runs {
		t := &all.Runs[i]
		t.PerSecond, t.PerCPU = median(t.Each), median(t.eachCPU)
	}
	return all, nil
}

func median(of []float64) float64 {
	s := slices.Sorted(slices.Values(of))
	return s[len(s)/2]
}

// speed is images a second, and a second of processor time (0 where the system does not say), in batches of a size. Batches follow each other as they do
// when a pool is scored (nn.Model.Lanes); the time is that between the first batch that is done and the last one that is done while others follow.
func (t *NetworkTimes) speed(ctx context.Context, batch int, least time.Duration) (perSecond, perCPU float64, err error) {
	pix := t.pix[:batch*t.Size*t.Size*t.model.Channels()]
	if _, err := t.model.Scores(pix, batch, batch, t.Size); err != nil {
		return 0, 0, err
	}
	type mark struct {
		images   int
		at       time.Time
		cpu      time.Duration
		measured bool
	}
	lanes := t.model.Lanes()
	warm := len(lanes) // batches of the start, when all lanes begin at once
	began := time.Now()
	var feeding atomic.Bool
	feeding.Store(true)
	batches := func(yield func(int, error) bool) {
		for n := 0; n < 2*warm || time.Since(began) < least; n++ {
			if !yield(n, nil) {
				return
			}
		}
		feeding.Store(false)
	}
	var first, last mark
	done := 0
	for _, err := range parallel.InOrder(ctx, lanes, batches, func(d *nn.Device, _ int) (struct{}, error) {
		_, err := d.Scores(pix, batch, batch, t.Size)
		return struct{}{}, err
	}, nil) {
		if err != nil {
			return 0, 0, err
		}
		if done++; done%len(lanes) != 0 {
			continue // the lanes are done at about the same time: their batches count together
		}
		cpu, ok := usage.ProcessTime()
		now := mark{done * batch, time.Now(), cpu, ok}
		if done == warm {
			first = now
		} else if feeding.Load() || last.images == 0 {
			last = now
		}
	}
	images := float64(last.images - first.images)
	perSecond = images / last.at.Sub(first.at).Seconds()
	if last.measured && last.cpu > first.cpu {
		perCPU = images / (last.cpu - first.cpu).Seconds()
	}
	return perSecond, perCPU, nil
}
