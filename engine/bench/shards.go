package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/score"
	"anomalymatch/engine/score/shards"
)

// Phase is one part of ShardsReport.
type Phase struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`
	Peak    float64 `json:"peak_rss_mib"` // of this process meanwhile
	CPU     float64 `json:"cpu_seconds"`  // processor time of all threads: of other work on the machine it depends little
}

// ShardsReport is what `bench shards --json` prints: scoring in shards without images.
type ShardsReport struct {
	Images    int     `json:"images"`
	Shards    int     `json:"shards"`
	Seed      uint64  `json:"seed"`
	Phases    []Phase `json:"phases"`
	TopRows   int     `json:"top_rows"`  // in the top 1%
	TopScore  float32 `json:"top_score"` // the lowest of them
	Bad       int     `json:"bad"`       // images without a score
	DiskBytes int64   `json:"disk_bytes"`
	FileBytes int64   `json:"file_bytes"` // of the merged scores, which are among them
}

// drawnBatch is the batch of a plan without a network.
const drawnBatch = 256

// Shards plans, makes and merges shards of images that do not exist, in dir, and takes the top 1%. The rows are written as a worker of a
// cluster writes them, but they are drawn from the seed: one in a million has no score, the others are the eighth power of a uniform
// number. Then some shards are lost and one is damaged, and what is to do is run again. It is an error if the merged file is not the rows
// that were drawn.
func Shards(ctx context.Context, dir string, images, n int, seed uint64, progress func(Progress)) (*ShardsReport, error) {
	if images < 1 || n < 1 || n > shards.MaxShards {
		return nil, fmt.Errorf("%d images in %d shards cannot be", images, n)
	}
	r := &ShardsReport{Images: images, Seed: seed}
	phase := func(what string, f func() error) error {
		p, err := measured(what, f)
		r.Phases = append(r.Phases, p)
		return err
	}
	plan := shards.Plan{Program: "bench", Pool: fmt.Sprintf("%064x", seed), Images: images, Checkpoint: "drawn", Cycle: 1, Size: 64, Batch: drawnBatch, Shards: shards.Split(images, drawnBatch, n)}
	r.Shards = len(plan.Shards)
	var f *shards.Folder
	if err := phase("plan", func() (err error) { f, err = shards.Create(dir, plan); return err }); err != nil {
		return nil, err
	}
	work := shards.Work{Host: "here", Backend: "drawn", Rows: drawnRows(seed), Bad: drawnBad}
	run := func(list []int) error {
		for k, shard := range list {
			if err := f.Run(ctx, shard, work); err != nil {
				return err
			}
			if progress != nil {
				progress(Progress{What: "writing shards", Done: k + 1, All: len(list), SecondsLeft: -1})
			}
		}
		return nil
	}
	whole, err := plan.Select("")
	if err != nil {
		return nil, err
	}
	if err := phase("draw and write all shards", func() error { return run(whole) }); err != nil {
		return nil, err
	}
	status := func(done int) func() error {
		return func() error {
			s, err := f.Status()
			if err == nil && s.Done != done {
				err = fmt.Errorf("%d shards are done instead of %d", s.Done, done)
			}
			return err
		}
	}
	if err := phase("status at first", status(r.Shards)); err != nil {
		return nil, err
	}
	if err := phase("status again", status(r.Shards)); err != nil {
		return nil, err
	}
	lost := min(3, r.Shards-1)
	for shard := range lost {
		if err := os.Remove(filepath.Join(f.Dir, fmt.Sprintf("shard-%05d.json", shard))); err != nil {
			return nil, err
		}
	}
	if err := spoil(filepath.Join(f.Dir, fmt.Sprintf("shard-%05d.scores", r.Shards-1))); err != nil {
		return nil, err
	}
	err = phase("merge that refuses: shards are missing, one is damaged", func() error {
		_, err := f.Merge(ctx)
		if err == nil || ctx.Err() != nil {
			return errors.Join(ctx.Err(), errors.New("damaged shards were merged"))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var todo []int
	if err := phase("find what is to do", func() error { todo = f.Todo(); return nil }); err != nil {
		return nil, err
	}
	if len(todo) != lost+1 {
		return nil, fmt.Errorf("%d shards are to do instead of %d", len(todo), lost+1)
	}
	if err := phase("run that again", func() error { return run(todo) }); err != nil {
		return nil, err
	}
	var merged shards.Merged
	if err := phase("merge", func() (err error) { merged, err = f.Merge(ctx); return err }); err != nil {
		return nil, err
	}
	r.Bad = len(merged.Bad)
	var best []score.Best
	var h score.Header
	if err := phase("top 1%", func() (err error) { h, best, err = score.Top(merged.Path, (images+99)/100); return err }); err != nil {
		return nil, err
	}
	if r.TopRows = len(best); r.TopRows > 0 {
		r.TopScore = best[r.TopRows-1].Score
	}
	sum := uint32(0)
	for rows := range drawnRows(seed)(ctx, 0, images) {
		sum = score.Checksum(sum, score.Bytes(rows))
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if h.Rows != images || sum != h.CRC {
		return nil, errors.New("the merged file does not hold the rows that were drawn")
	}
	for k := range min(len(merged.Top), len(best)) {
		if merged.Top[k] != best[k] {
			return nil, fmt.Errorf("place %d is image %d in the shards' best and %d in the file's", k, merged.Top[k].Image, best[k].Image)
		}
	}
	if info, err := os.Stat(merged.Path); err == nil {
		r.FileBytes = info.Size()
	}
	r.DiskBytes = r.FileBytes
	err = filepath.WalkDir(f.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				r.DiskBytes += info.Size()
			}
		}
		return err
	})
	return r, err
}

// drawnRows draws the scores of images, a batch at a time, each batch from the seed and its place.
func drawnRows(seed uint64) func(context.Context, int, int) iter.Seq2[[]float32, error] {
	return func(ctx context.Context, from, to int) iter.Seq2[[]float32, error] {
		return func(yield func([]float32, error) bool) {
			var rows [drawnBatch]float32
			for i := from; i < to; i += drawnBatch {
				if err := ctx.Err(); err != nil {
					yield(nil, err)
					return
				}
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				batch := rows[:min(drawnBatch, to-i)]
				for k := range batch {
					u := rng.Float32()
					u *= u
					u *= u
					if batch[k] = u * u; (i+k)%1_000_000 == 999_999 {
						batch[k] = float32(math.NaN())
					}
				}
				if !yield(batch, nil) {
					return
				}
			}
		}
	}
}

func drawnBad(from, to int) (bad []dataset.BadImage) {
	for i := from + (1_999_999-from%1_000_000)%1_000_000; i < to; i += 1_000_000 {
		bad = append(bad, dataset.BadImage{ID: fmt.Sprintf("drawn/%09d", i), Reason: "is one in a million"})
	}
	return bad
}

// spoil changes the first byte of a file.
func spoil(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b[:], 0)
	return err
}

// String is the report for people.
func (r *ShardsReport) String() string {
	var b strings.Builder
	for _, p := range r.Phases {
		fmt.Fprintf(&b, "%-56s %8.2f s  %6.0f MiB\n", p.What, p.Seconds, p.Peak)
	}
	fmt.Fprintf(&b, "%d images in %d shards, %d without a score; the top 1%% are %d rows down to %.4g; %.0f MB on disk, of which %.0f MB are the merged scores\n",
		r.Images, r.Shards, r.Bad, r.TopRows, r.TopScore, float64(r.DiskBytes)/1e6, float64(r.FileBytes)/1e6)
	return b.String()
}
