package fast

import (
	"context"
	"fmt"
	"os"
	"slices"

	"anomalymatch/engine/dataset"
)

// Carry makes the embeddings of a new list of rows images from those of the old one, also unfinished ones: the images of kept have the rows that
// they had, the others are missing (see Missing) until Create embeds them. from and to are the keys of both lists, which differ in nothing but
// the pool. It is a pass over the file in bounded memory; until its end the old file stays as it is, and then the new one takes its place.
// It returns how many images have something carried over; where none has, or the new list has a file already, nothing is done.
func Carry(ctx context.Context, dir string, from, to Key, kept []dataset.Kept, rows int, progress Progress) (images int, err error) {
	if from.Pool != to.Pool {
		if e, err := Open(dir, to); err == nil { // it was cut off after this one
			e.Close()
			return 0, nil
		}
	}
	fail := func(err error) (int, error) { return 0, fmt.Errorf("embeddings could not be kept: %w", err) }
	old, err := Open(dir, from)
	if err == nil {
		defer old.Close()
	}
	var unfinished *part
	unfinishedPath := base(dir, from) + ".f16.part"
	if _, err := os.Stat(unfinishedPath); err == nil {
		if unfinished, err = openPart(unfinishedPath, from); err != nil {
			return fail(err)
		}
		defer unfinished.Close()
	}
	if old == nil && (unfinished == nil || unfinished.rows == 0) {
		return 0, nil
	}
	path := base(dir, to) + ".f16.carry"
	os.Remove(path + logName)
	out, err := openPart(path, to)
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil || images == 0 {
			out.discard()
		}
	}()
	if old != nil {
		out.backend = old.Backend
	}
	raw := make([]byte, 0, together*rowBytes)
	pour := func() error {
		err := out.add(raw)
		raw = raw[:0]
		return err
	}
	row, block, at, rowsAt := make([]byte, rowBytes), make([]byte, blockRows*rowBytes), -1, []byte(nil)
	for _, k := range append(slices.Clip(kept), dataset.Kept{To: rows}) {
		if err := out.addMissing(k.To - out.rows); err != nil {
			return fail(err)
		}
		for i := k.From; i < k.From+k.N; i++ {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			has := false
			switch {
			case unfinished != nil && i < unfinished.rows:
				_, err := unfinished.file.ReadAt(row, int64(i)*int64(rowBytes))
				has = err == nil
			case old != nil && i < old.Rows:
				if i/blockRows != at {
					at = i / blockRows
					rowsAt = old.block(at, block)
				}
				if has = rowsAt != nil && old.has(i); has {
					copy(row, rowsAt[i%blockRows*rowBytes:])
				}
			}
			if has {
				images++
				if raw = append(raw, row...); len(raw) < cap(raw) {
					continue
				}
			}
			if err := pour(); err != nil {
				return fail(err)
			}
			if !has {
				if err := out.addMissing(1); err != nil {
					return fail(err)
				}
			}
			if progress != nil {
				progress(out.rows, rows)
			}
		}
		if err := pour(); err != nil {
			return fail(err)
		}
	}
	if images == 0 {
		return 0, nil
	}
	if err := out.finish(base(dir, to) + ".f16"); err != nil {
		return fail(err)
	}
	if unfinished != nil {
		unfinished.discard()
	}
	return images, nil
}

// Remove removes the embeddings of a key; who has them open reads on where the system allows that.
func Remove(dir string, key Key) {
	os.Remove(base(dir, key) + ".f16")
}
