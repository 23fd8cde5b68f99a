package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/dataset/meta/where"
	"anomalymatch/engine/rpc"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// chosen are the images of which a condition holds, a bit an image. It is never changed once made.
type chosen struct {
	meta  *meta.Table
	where string
	bits  []uint64
}

// metaStamp tells one file of columns from another; empty where there is none.
func (e *Engine) metaStamp() string {
	st, err := os.Stat(filepath.Join(e.dir("index"), meta.Name))
	if err != nil {
		return ""
	}
	return fmt.Sprint(st.Size(), st.ModTime().UnixNano())
}

// openMetadata opens the columns of the project's tables, and makes them first where they are of other images or of tables as they were. Pictures
// do not wait for it.
func (e *Engine) openMetadata(ctx context.Context) {
	defer func() {
		e.mu.Lock()
		e.metaOpen = true
		e.mu.Unlock()
	}()
	files := e.opt.Metadata
	if len(files) == 0 {
		e.mu.Lock()
		e.metaSeen = e.metaStamp() // left by a project that has none any more
		e.mu.Unlock()
		return
	}
	t, err := meta.Open(e.dir("index"), e.pool, files)
	if err != nil && e.opt.ReadOnly {
		e.notice("warning", "the project's folder cannot be written to: its metadata is not shown")
		return
	}
	if err != nil {
		reports, err := meta.Build(ctx, e.dir("index"), e.pool, files, nil)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.notice("warning", "the metadata is not shown: "+sentence(err))
			return
		}
		for _, r := range reports {
			e.log.Info("metadata is there", "file", r.File, "key", r.Key, "rows", r.Rows, "matched", r.Matched, "unmatched", r.Unmatched, "twice", r.Twice, "ambiguous", r.Ambiguous, "bad", r.Bad)
		}
		if t, err = meta.Open(e.dir("index"), e.pool, files); err != nil {
			e.notice("warning", "the metadata is not shown: "+sentence(err))
			return
		}
	}
	e.setMetadata(t)
}

// takeMetadata takes in columns that the command line made, or takes those away that it took away.
func (e *Engine) takeMetadata() {
	e.mu.Lock()
	seen, pool, opened := e.metaSeen, e.pool, e.metaOpen
	e.mu.Unlock()
	stamp := e.metaStamp()
	if stamp == seen || pool == nil || !opened {
		return
	}
	t, err := meta.Open(e.dir("index"), pool, nil)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		e.mu.Lock()
		e.metaSeen = stamp // not tried again until it changes
		e.mu.Unlock()
		e.log.Warn("the metadata is left as it was", "err", err)
		return
	}
	e.setMetadata(t)
}

// setMetadata replaces the columns. Those before stay open for who still reads them, until the collector closes their file.
func (e *Engine) setMetadata(t *meta.Table) {
	stamp := e.metaStamp()
	e.mu.Lock()
	e.meta, e.metaSeen = t, stamp
	e.status.Columns = 0
	if t != nil {
		e.status.Columns = int64(len(t.Columns()))
	}
	e.newOrder() // lists and descriptions are asked for again
	e.mu.Unlock()
	e.publish()
}

// condition checks what a request asks for of the metadata. Its errors are for who asked.
func (v view) condition(in *rpc.RankingRequest) (w wanted, err error) {
	if in.Where != "" {
		if _, err := v.meta.Check(in.Where); err != nil {
			return w, status.Error(codes.InvalidArgument, err.Error())
		}
		w.meta, w.where = v.meta, in.Where
	}
	if in.Sort == "column" {
		w.column = -1
		if v.meta != nil {
			w.column = v.meta.Column(in.Column)
		}
		if w.column < 0 {
			return w, status.Errorf(codes.InvalidArgument, "there is no column %.100q to sort by", in.Column)
		}
		w.meta, w.descending = v.meta, in.Descending
	}
	return w, nil
}

// chosen finds the images of which a condition holds. The answer to the last one is kept: the list is asked for again after every label.
func (e *Engine) chosen(ctx context.Context, t *meta.Table, text string) (chosen, error) {
	e.mu.Lock()
	c := e.choice
	e.mu.Unlock()
	if c.meta == t && c.where == text {
		return c, nil
	}
	filter, err := t.Check(text)
	if err != nil {
		return c, status.Error(codes.InvalidArgument, err.Error())
	}
	bits, err := t.Select(ctx, filter)
	if ctx.Err() != nil {
		return c, status.FromContextError(ctx.Err()).Err()
	}
	if err != nil {
		return c, status.Error(codes.FailedPrecondition, sentence(err))
	}
	c = chosen{t, text, bits}
	e.mu.Lock()
	e.choice = c
	e.mu.Unlock()
	return c, nil
}

func (c chosen) has(i int32) bool { return c.bits[i>>6]&(1<<(i&63)) != 0 }

// Metadata tells of the columns.
func (s *Service) Metadata(context.Context, *rpc.MetadataRequest) (*rpc.MetadataReply, error) {
	t := s.e.view("").meta
	out := &rpc.MetadataReply{}
	if t == nil {
		return out, nil
	}
	for _, c := range t.Columns() {
		out.Columns = append(out.Columns, &rpc.MetadataColumn{Name: c.Name, Unit: c.Unit, Type: c.Type.String(), Quoted: where.Quote(c.Name)})
	}
	for _, r := range t.Reports() {
		out.Tables = append(out.Tables, &rpc.MetadataTable{File: r.File, Key: r.Key, Rows: r.Rows, Matched: r.Matched, Unmatched: r.Unmatched, Twice: r.Twice, Ambiguous: r.Ambiguous, Bad: r.Bad})
	}
	return out, nil
}

// known is what the metadata says of an image.
func known(t *meta.Table, image int, out *rpc.DescribeReply) error {
	row, err := t.Row(image)
	if err != nil {
		return err
	}
	for i, v := range row {
		if v.Type == meta.None {
			continue
		}
		c := t.Columns()[i]
		text := v.String()
		if c.Type == meta.Float && math.Abs(v.Float) < 1e6 && len(text) > 9 {
			text = fmt.Sprintf("%.8g", v.Float) // as many digits as a position needs
		}
		if c.Unit != "" {
			text += " " + c.Unit
		}
		out.Metadata = append(out.Metadata, &rpc.Fact{Name: c.Name, Value: text})
	}
	if ra, dec, ok := t.At(image); ok {
		out.Place = &rpc.Place{Ra: ra, Dec: dec}
	}
	return nil
}
