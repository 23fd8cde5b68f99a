package score

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/failpoint"
)

// Resume is Pool that keeps what it has in the file path while it works, and goes on there after it was cut off at any moment: the scores are the
// same. of says what is scored with what (see Scored); what another one left is not used. The caller removes the file when the scores are kept.
//
// The file is of as one line, then of each batch the scores, as Bytes, and their CRC-32C, so that a torn end is noticed.
func Resume(ctx context.Context, path, of string, pool *dataset.Pool, m *nn.Model, opt Options) ([]float32, error) {
	return resume(ctx, path, of, pool, m.Lanes(), opt)
}

// ResumeOn is Resume on any network.
func ResumeOn(ctx context.Context, path, of string, pool *dataset.Pool, n Network, opt Options) ([]float32, error) {
	return resume(ctx, path, of, pool, []Network{n}, opt)
}

func resume[N Network](ctx context.Context, path, of string, pool *dataset.Pool, networks []N, opt Options) ([]float32, error) {
	opt.Batch = max(opt.Batch, 1)
	f, out, err := openPartial(path, of, pool.Len(), opt.Batch)
	if err != nil {
		return nil, fmt.Errorf("scores could not be kept: %w", err)
	}
	defer f.Close()
	from := len(out)
	if report := opt.Progress; report != nil && from > 0 {
		report(from, pool.Len())
		opt.Progress = func(done, _ int) { report(from+done, pool.Len()) }
	}
	for s, err := range scored(ctx, pool, networks, from, pool.Len(), opt) {
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
		raw := Bytes(s)
		failpoint.Torn(failpoint.ScoresHalf, func() { f.Write(raw[:len(raw)/2]) })
		if _, err := f.Write(binary.LittleEndian.AppendUint32(raw, Checksum(0, raw))); err != nil {
			return nil, fmt.Errorf("scores could not be kept: %w", err)
		}
		failpoint.Hit(failpoint.ScoresBatch)
	}
	return out, nil
}

// openPartial opens the file where it ends, and reads the scores that are in it: whole batches, up to the first that is damaged.
func openPartial(path, of string, images, batch int) (*os.File, []float32, error) {
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, nil, err
	}
	head := []byte(of + "\n")
	out := make([]float32, 0, images)
	have := make([]byte, len(head))
	if _, err := io.ReadFull(f, have); err == nil && bytes.Equal(have, head) {
		for len(out) < images {
			raw := make([]byte, 4*min(batch, images-len(out))+4)
			if _, err := io.ReadFull(f, raw); err != nil {
				break
			}
			rows, sum := raw[:len(raw)-4], binary.LittleEndian.Uint32(raw[len(raw)-4:])
			if Checksum(0, rows) != sum {
				break
			}
			for ; len(rows) > 0; rows = rows[4:] {
				out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(rows)))
			}
		}
	} else {
		err := f.Truncate(0)
		if err == nil {
			_, err = f.WriteAt(head, 0)
		}
		if err != nil {
			return nil, nil, errors.Join(err, f.Close())
		}
	}
	end := int64(len(head)) + 4*int64(len(out)) + 4*int64((len(out)+batch-1)/batch)
	err = f.Truncate(end)
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, out, nil
}

// Scored says what makes scores: the pool, the weights, the shape of the batches and the backend. It is one line.
func Scored(pool *dataset.Pool, w nn.Weights, backend string, opt Options) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(w)) {
		fmt.Fprintf(h, "%s %v\n", name, w[name].Dims)
		h.Write(Bytes(w[name].Data))
	}
	hash := pool.Hash()
	return fmt.Sprintf("AMPART1 pool %s weights %s size %d batch %d backend %q", hex.EncodeToString(hash[:]), hex.EncodeToString(h.Sum(nil)), opt.Size, opt.Batch, backend)
}
