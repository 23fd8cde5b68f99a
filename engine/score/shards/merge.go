package shards

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/score"
)

// Merged is what a merge made.
type Merged struct {
	Path     string             // the score file
	Scored   int                // images with a score
	Bad      []dataset.BadImage // images that could not be used
	Top      []score.Best       // the best of all, at most Kept
	Backends []string           // that scored; the scores of different ones differ in their last digits
}

// Merge makes the score file of the cycle in the folder that the plan is in: the file that score.Write makes of the same scores. It
// checks every shard first and refuses where one is missing or damaged; the error is a sentence that says which.
func (f *Folder) Merge(ctx context.Context) (Merged, error) {
	var out Merged
	var missing, damaged []int
	var why error // of the first damaged one
	sum := uint32(0)
	for shard := range f.Plan.Shards {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		m, all, err := f.verify(shard, sum)
		switch {
		case err == nil:
			sum = all
			out.add(m)
		case errors.Is(err, errMissing):
			missing = append(missing, shard)
		default:
			if damaged = append(damaged, shard); why == nil {
				why = err
			}
		}
	}
	if len(missing)+len(damaged) > 0 {
		return Merged{}, f.incomplete(missing, damaged, why)
	}
	p := f.Plan
	dir := filepath.Dir(f.Dir)
	rows := &chain{ctx: ctx, files: len(p.Shards), open: func(shard int) (io.ReadCloser, error) { return os.Open(f.scores(shard)) }}
	defer rows.Close()
	if err := score.WriteFrom(dir, score.Header{Pool: p.Pool, Cycle: p.Cycle, Step: p.Step, Rows: p.Images, CRC: sum, Backend: strings.Join(out.Backends, ", "), Batch: p.Batch}, rows); err != nil {
		return Merged{}, errors.Join(ctx.Err(), err)
	}
	out.Path = score.Path(dir, p.Cycle)
	return out, nil
}

// add takes in a shard that follows those before it.
func (m *Merged) add(s Manifest) {
	m.Scored += s.Scored
	m.Bad = append(m.Bad, s.Bad...)
	m.Top = append(m.Top, s.Top...)
	slices.SortFunc(m.Top, score.Best.Compare)
	m.Top = m.Top[:min(len(m.Top), Kept)]
	if !slices.Contains(m.Backends, s.Backend) {
		m.Backends = append(m.Backends, s.Backend)
	}
}

// incomplete says what a merge lacks.
func (f *Folder) incomplete(missing, damaged []int, why error) error {
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, shardsAre(missing)+" missing")
	}
	if len(damaged) > 0 {
		parts = append(parts, fmt.Sprintf("%s damaged (%d: %v)", shardsAre(damaged), damaged[0], why))
	}
	return fmt.Errorf("the scores cannot be merged: of %d shards %s; score again, which runs only these", len(f.Plan.Shards), strings.Join(parts, ", "))
}

func shardsAre(shards []int) string {
	if len(shards) == 1 {
		return fmt.Sprintf("number %d is", shards[0])
	}
	const most = 60 // bytes
	names := List(shards)
	if len(names) > most {
		names = names[:strings.LastIndexByte(names[:most], ',')+1] + "…"
	}
	return fmt.Sprintf("%d (%s) are", len(shards), names)
}

// chain reads files one after the other, one open at a time.
type chain struct {
	ctx   context.Context
	files int
	next  int
	open  func(int) (io.ReadCloser, error)
	now   io.ReadCloser
}

func (c *chain) Read(b []byte) (int, error) {
	for {
		if err := c.ctx.Err(); err != nil {
			return 0, err
		}
		if c.now == nil {
			if c.next == c.files {
				return 0, io.EOF
			}
			file, err := c.open(c.next)
			if err != nil {
				return 0, err
			}
			c.now, c.next = file, c.next+1
		}
		n, err := c.now.Read(b)
		if err != io.EOF {
			return n, err
		}
		c.Close()
		if n > 0 {
			return n, nil
		}
	}
}

// Close closes the file that is open.
func (c *chain) Close() error {
	if c.now == nil {
		return nil
	}
	now := c.now
	c.now = nil
	return now.Close()
}
