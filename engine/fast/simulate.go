package fast

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"

	"anomalymatch/engine/nn"
	"anomalymatch/internal/parallel"

	"github.com/x448/float16"
)

// Simulated embeddings differ along so many directions, each half as much as the one before, and by noise in every value.
const simulatedDirections = 8

// SimulatedRare says whether image i of simulated embeddings is one of the rare ones: one in fifty, anywhere.
func SimulatedRare(seed uint64, i int) bool {
	return rand.New(rand.NewPCG(seed, uint64(i))).IntN(50) == 0
}

// Simulate keeps embeddings of n images that do not exist in dir, for benchmarks: the same for the same seed. Rare ones (see SimulatedRare) are
// moved along a direction of their own, so that a head can be fitted to them.
func Simulate(dir string, key Key, n int, seed uint64) (*Embeddings, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	path := base(dir, key) + ".f16.part"
	os.Remove(path + logName)
	partial, err := openPart(path, key)
	if err == nil {
		defer partial.Close()
		err = simulate(partial, n, seed)
	}
	if err != nil {
		return nil, fmt.Errorf("simulated embeddings could not be kept: %w", err)
	}
	return partial.keep(dir)
}

func simulate(file *part, n int, seed uint64) error {
	const block = 4096
	dims := nn.EmbeddingSize
	rng := rand.New(rand.NewPCG(seed, math.MaxUint64))
	var directions [simulatedDirections + 1][]float32 // the last one is that of the rare
	for k := range directions {
		directions[k] = make([]float32, dims)
		for j := range directions[k] {
			directions[k][j] = float32(rng.NormFloat64() * math.Pow(2, -float64(k%simulatedDirections)))
		}
	}
	noise := make([]float32, 1<<20)
	for j := range noise {
		noise[j] = float32(rng.NormFloat64())
	}
	raw := make([]byte, block*2*dims)
	for from := 0; from < n; from += block {
		rows := min(block, n-from)
		parallel.Parts(rows, 8*runtime.GOMAXPROCS(0), func(_, a, b int) {
			row := make([]float32, dims)
			for i := a; i < b; i++ {
				rng := rand.New(rand.NewPCG(seed, uint64(from+i)))
				rare := rng.IntN(50) == 0
				copy(row, noise[rng.IntN(len(noise)-dims):])
				for k := range simulatedDirections {
					addTo(row, float32(rng.NormFloat64()), directions[k])
				}
				if rare {
					addTo(row, 0.2, directions[simulatedDirections])
				}
				for j, v := range row {
					binary.LittleEndian.PutUint16(raw[2*(i*dims+j):], float16.Fromfloat32(3+v).Bits())
				}
			}
		})
		if err := file.add(raw[:rows*2*dims]); err != nil {
			return err
		}
	}
	return nil
}

func addTo(sum []float32, a float32, v []float32) {
	v = v[:len(sum)]
	for j := range sum {
		sum[j] += a * v[j]
	}
}
