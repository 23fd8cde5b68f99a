package shards

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/score"
	"anomalymatch/internal/age"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/failpoint"
)

// Manifest says what a shard's scores are. It is written after them, so scores without one are none.
type Manifest struct {
	Plan    string             `json:"plan"`
	Shard   int                `json:"shard"`
	From    int                `json:"from"`
	To      int                `json:"to"`
	CRC     uint32             `json:"crc32c"` // of the scores' file
	Scored  int                `json:"scored"` // images with a score
	Bad     []dataset.BadImage `json:"bad,omitempty"`
	Top     []score.Best       `json:"top"` // the best, at most Kept
	Backend string             `json:"backend"`
	Host    string             `json:"host"`
	Seconds float64            `json:"seconds"`
	Speed   float64            `json:"images_per_second"`
	Check   uint32             `json:"check"` // CRC-32C of this as JSON with check 0
}

// Kept is how many of the best images a manifest names. They are what a person looks at first; score.Top finds more in the merged file.
const Kept = 100

// Work scores the images of shards.
type Work struct {
	Host    string
	Backend string
	// Rows yields the scores of the images [from, to) in their order.
	Rows func(ctx context.Context, from, to int) iter.Seq2[[]float32, error]
	// Bad lists those of them that could not be used; asked afterwards.
	Bad func(from, to int) []dataset.BadImage
	// Report, if not nil, is told how many images of the shard are done.
	Report func(done int)
}

// often is the time between two notes of progress.
const often = time.Second

// Run makes a shard, unless it is there already. What it leaves when it is ended at any moment is never taken for a shard.
func (f *Folder) Run(ctx context.Context, shard int, w Work) error {
	if shard < 0 || shard >= len(f.Plan.Shards) {
		return fmt.Errorf("there is no shard %d in a plan of %d", shard, len(f.Plan.Shards))
	}
	if f.Verify(shard) == nil {
		return nil
	}
	f.sweep()
	r := f.Plan.Shards[shard]
	var done atomic.Int64
	stop := f.tell(shard, w.Host, &done)
	defer stop()
	began := time.Now()
	scores := make([]float32, 0, r.Len())
	for rows, err := range w.Rows(ctx, r.From, r.To) {
		if err != nil {
			return err
		}
		scores = append(scores, rows...)
		done.Store(int64(len(scores)))
		if w.Report != nil {
			w.Report(len(scores))
		}
	}
	if len(scores) != r.Len() {
		return errors.Join(ctx.Err(), fmt.Errorf("shard %d has %d scores instead of %d", shard, len(scores), r.Len()))
	}
	raw := score.Bytes(scores)
	m := Manifest{Plan: f.Name, Shard: shard, From: r.From, To: r.To, CRC: score.Checksum(0, raw), Top: top(scores, r.From), Bad: w.Bad(r.From, r.To), Backend: w.Backend, Host: w.Host,
		Seconds: time.Since(began).Seconds()}
	for _, s := range scores {
		if s == s {
			m.Scored++
		}
	}
	if m.Seconds > 0 {
		m.Speed = float64(r.Len()) / m.Seconds
	}
	m.Check = m.sum()
	err := atomicfile.Write(f.scores(shard), func(w io.Writer) error { _, err := w.Write(raw); return err })
	if err == nil {
		failpoint.Hit(failpoint.ShardScores)
		err = atomicfile.Write(f.manifest(shard), func(w io.Writer) error { _, err := w.Write(m.text()); return err })
	}
	if err != nil {
		return fmt.Errorf("shard %d cannot be kept: %w", shard, cause(err))
	}
	return nil
}

// text is a manifest as its file holds it.
func (m Manifest) text() []byte {
	text, _ := json.Marshal(m) // its fields always have a JSON form
	return append(text, '\n')
}

// sum is the checksum of a manifest without it.
func (m Manifest) sum() uint32 {
	m.Check = 0
	text, _ := json.Marshal(m)
	return score.Checksum(0, text)
}

// top are the best of scores, the first of which is image from.
func top(scores []float32, from int) []score.Best {
	best := make([]score.Best, 0, Kept+1)
	for k, s := range scores {
		b := score.Best{Image: from + k, Score: s}
		if s != s || len(best) == Kept && b.Compare(best[Kept-1]) > 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, b, score.Best.Compare)
		best = slices.Insert(best, at, b)
		best = best[:min(len(best), Kept)]
	}
	return best
}

var errMissing = errors.New("it is not there")

// readManifest reads and checks a shard's manifest. errMissing: there is none.
func (f *Folder) readManifest(shard int) (Manifest, error) {
	text, err := os.ReadFile(f.manifest(shard))
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, errMissing
	}
	if err != nil {
		return Manifest{}, cause(err)
	}
	var m Manifest
	r := f.Plan.Shards[shard]
	switch {
	case json.Unmarshal(text, &m) != nil || m.Check != m.sum() || !bytes.Equal(text, m.text()):
		return m, errors.New("its manifest is damaged")
	case m.Plan != f.Name || m.Shard != shard || m.From != r.From || m.To != r.To:
		return m, errors.New("its manifest is of another shard")
	}
	info, err := os.Stat(f.scores(shard))
	switch {
	case err != nil:
		return m, fmt.Errorf("its scores: %w", cause(err))
	case info.Size() != 4*int64(r.Len()):
		return m, fmt.Errorf("its scores are %d bytes instead of %d", info.Size(), 4*r.Len())
	}
	return m, nil
}

// Verify reads a shard as a whole. nil: it is there and undamaged.
func (f *Folder) Verify(shard int) error {
	_, _, err := f.verify(shard, 0)
	return err
}

// verify reads a shard and carries on the checksum before, of the shards before it.
func (f *Folder) verify(shard int, before uint32) (m Manifest, sum uint32, err error) {
	m, err = f.readManifest(shard)
	if err != nil {
		return m, 0, err
	}
	file, err := os.Open(f.scores(shard))
	if err != nil {
		return m, 0, cause(err)
	}
	defer file.Close()
	own, all := checksum(0), checksum(before)
	if _, err := io.Copy(io.MultiWriter(&own, &all), file); err != nil {
		return m, 0, cause(err)
	}
	if uint32(own) != m.CRC {
		return m, 0, errors.New("its scores are damaged")
	}
	return m, uint32(all), nil
}

// checksum is that of the bytes written so far.
type checksum uint32

func (c *checksum) Write(b []byte) (int, error) {
	*c = checksum(score.Checksum(uint32(*c), b))
	return len(b), nil
}

// leftover is the age from which on part files are removed: they are there for the moment of writing only, so who made them is gone.
const leftover = time.Hour

// sweep removes part files of workers that were killed.
func (f *Folder) sweep() {
	files, _ := os.ReadDir(f.Dir)
	for _, file := range files {
		if filepath.Ext(file.Name()) != ".part" {
			continue
		}
		if info, err := file.Info(); err == nil && age.Of(filepath.Join(f.Dir, file.Name()), info) > leftover {
			os.Remove(filepath.Join(f.Dir, file.Name()))
		}
	}
}
