package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/export"
	"anomalymatch/engine/export/sheet"
	"anomalymatch/tui/common"
)

// sheetWriter is what draws contact sheets into a file of that name; nil: nothing does.
func sheetWriter(path string) func(io.Writer, sheet.Sheet) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png":
		return sheet.WritePNG
	case ".pdf":
		return sheet.WritePDF
	}
	return nil
}

// writePictures makes what shows or copies images.
func (m *exported) writePictures(ctx context.Context, o *outputs, pool *dataset.Pool, list export.List, line *progress.Line) error {
	title := fmt.Sprintf("%s · %s of %s by the %s ranking", list.Project, common.Plural(len(list.Candidates), "image"), common.Count(list.Images), list.RankedBy)
	if o.want.filter != "all" {
		title += " · " + o.want.filter
	}
	most := sheet.MostPDF
	if strings.EqualFold(filepath.Ext(o.sheet), ".png") {
		most = sheet.MostPNG
	}
	for _, f := range []struct {
		kind, path string
		most       int
		view       dataset.View
		write      func(io.Writer, sheet.Sheet) error
	}{
		{"sheet", o.sheet, most, dataset.View{MaxPx: sheet.PictureSize}, sheetWriter(o.sheet)},
		{"page", o.page, sheet.MostPage, dataset.View{MaxPx: sheet.PictureSize, Compact: true}, sheet.WritePage},
	} {
		if f.path == "" {
			continue
		}
		s := sheet.Sheet{Title: title}
		if len(list.Candidates) <= f.most { // else the writer says so, sooner
			var err error
			if s.Pictures, err = m.pictures(ctx, pool, list, f.view, line); err != nil {
				return err
			}
		} else {
			s.Pictures = make([]sheet.Picture, len(list.Candidates))
		}
		line.Set("writing the " + f.kind)
		if err := m.file(f.kind, f.path, len(list.Candidates), func(w io.Writer) error { return f.write(w, s) }); err != nil {
			return err
		}
	}
	if o.copies == "" {
		return nil
	}
	return m.copyImages(ctx, o.copies, pool, list, line)
}

// pictures takes the pictures of a list; those that cannot be had say why.
func (m *exported) pictures(ctx context.Context, pool *dataset.Pool, list export.List, view dataset.View, line *progress.Line) ([]sheet.Picture, error) {
	all := make([]sheet.Picture, 0, len(list.Candidates))
	meter := progress.Meter{}
	for k, c := range list.Candidates {
		line.Set(meter.Job("taking pictures", k, len(list.Candidates)))
		p := sheet.Picture{Candidate: c}
		err := m.image(ctx, pool, c, func(i int) error {
			t, err := pool.Thumb(ctx, i, view)
			p.Data = t.Data
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(p.Data) == 0 {
			p.Why = "cannot be read"
		}
		all = append(all, p)
	}
	return all, nil
}

// image has use look at one image. Where it cannot be read that is noted; an error is about everything.
func (m *exported) image(ctx context.Context, pool *dataset.Pool, c export.Candidate, use func(i int) error) error {
	i, ok := pool.Find(c.ID)
	if !ok {
		m.note(c.ID, "is no longer among the images of the project")
		return nil
	}
	err := use(i)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return context.Canceled
	case errors.Is(err, dataset.ErrSource), errors.Is(err, errWriting):
		return err
	default:
		m.note(c.ID, strings.TrimPrefix(err.Error(), fmt.Sprintf("%q ", c.ID)))
	}
	return nil
}

func (m *exported) note(id, reason string) {
	if !slices.ContainsFunc(m.Bad, func(b dataset.BadImage) bool { return b.ID == id }) {
		m.Bad = append(m.Bad, dataset.BadImage{ID: id, Reason: reason})
	}
}

// errWriting is among errors of what is written, which no image is to blame for.
var errWriting = errors.New("cannot be written")

func (m *exported) copyImages(ctx context.Context, path string, pool *dataset.Pool, list export.List, line *progress.Line) error {
	meter, copied := progress.Meter{}, 0
	err := export.Copy(path, list, func(into *export.Copies) error {
		for k, c := range list.Candidates {
			line.Set(meter.Job("copying", k, len(list.Candidates)))
			err := m.image(ctx, pool, c, func(i int) error {
				has, err := pool.Content(ctx, i)
				if err != nil {
					return err
				}
				seen := dataset.RGB{}
				if has.Values.Data != nil {
					if seen, err = pool.Image(ctx, i); err != nil {
						return err
					}
				}
				if err := into.Add(c, has, seen); err != nil {
					return fmt.Errorf("%w: %w", errWriting, err)
				}
				copied++
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if ctx.Err() != nil {
			return context.Canceled
		}
		return fmt.Errorf("the copies cannot be written to %s: %w; --copy names another place", common.Clean(path), cause(err))
	}
	f := exportedFile{Kind: "copy", File: path, Images: copied}
	_ = filepath.WalkDir(path, func(_ string, d os.DirEntry, err error) error { // for people
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				f.Bytes += info.Size()
			}
		}
		return nil
	})
	m.Files = append(m.Files, f)
	return nil
}

// badImages lists the images that could not be used.
func (m *exported) badImages(line *progress.Line) error {
	if len(m.Bad) == 0 {
		return nil
	}
	for _, b := range m.Bad[:min(len(m.Bad), listed)] {
		line.Say(strings.TrimSpace(b.ID + " " + b.Reason))
	}
	if more := len(m.Bad) - listed; more > 0 {
		line.Say(fmt.Sprintf("and %d more", more))
	}
	return badInputs("%s could not be read", common.Plural(len(m.Bad), "image"))
}
