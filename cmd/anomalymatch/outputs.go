package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/export"
	"anomalymatch/engine/export/table"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/session"
	"anomalymatch/session/capsule"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

// outputs are the files that `export` writes.
type outputs struct {
	list, format string
	regions      string
	sheet, page  string
	copies       string
	onnx         string
	capsule      string
	bare         bool // the capsule without its checkpoint
	cycle        int
	want         wantedList
	top          string
}

func (o *outputs) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.list, "list", "", "write the ranked list to this file: .csv, .parquet, .vot (VOTable) or .fits")
	f.StringVar(&o.format, "format", "", "of --list: csv, parquet, votable or fits (default: by the end of its name)")
	f.StringVar(&o.regions, "regions", "", "write DS9 regions of the images that have a position on the sky to this .reg file")
	f.StringVar(&o.sheet, "sheet", "", "draw a contact sheet of the top into this .png or .pdf file")
	f.StringVar(&o.page, "page", "", "write a page for a browser with the top's pictures in it to this .html file")
	f.StringVar(&o.copies, "copy", "", "copy the top's images into this new folder, or .zip file")
	f.StringVar(&o.top, "top", "", "how many images: a number, a share of the ranked ones such as 0.5%, or all (default: all, of pictures 100)")
	f.StringVar(&o.want.filter, "filter", "all", "which images: all, queue (candidates without a label), labelled, anomaly, normal or skip")
	f.StringVar(&o.want.by, "by", "", "ranking: deep, fast, joint or novelty (default: the project's)")
	f.StringVar(&o.onnx, "onnx", "", "write the trained network to this ONNX file")
	f.StringVar(&o.capsule, "capsule", "", "write a run capsule to this .zip file: all that the ranking was derived from but the images, for `anomalymatch replay`")
	f.BoolVar(&o.bare, "without-checkpoint", false, "of --capsule: leave out the trained network, which is 40 MB")
	f.IntVar(&o.cycle, "cycle", 0, "of --onnx: the network of this cycle (default: what was trained last)")
	_ = cmd.MarkFlagFilename("onnx", "onnx")
	_ = cmd.MarkFlagFilename("capsule", "zip")
	_ = cmd.MarkFlagFilename("list", "csv", "parquet", "vot", "fits")
	_ = cmd.MarkFlagFilename("regions", "reg")
	_ = cmd.RegisterFlagCompletionFunc("filter", cobra.FixedCompletions(candidateFilters, cobra.ShellCompDirectiveNoFileComp))
}

// ofList says whether the ranked list is needed.
func (o *outputs) ofList() bool { return o.list != "" || o.regions != "" || o.ofPictures() }

func (o *outputs) ofPictures() bool { return o.sheet != "" || o.page != "" || o.copies != "" }

// usualPictures is how many pictures are shown and copied where nobody says how many.
const usualPictures = 100

func (o *outputs) check() error {
	if o.onnx == "" && o.capsule == "" && !o.ofList() {
		return usage("what is to be written? --list, --regions, --sheet, --page, --copy, --capsule or --onnx FILE, several at once too")
	}
	if o.bare && o.capsule == "" {
		return usage("--without-checkpoint is of --capsule FILE, which is missing")
	}
	if o.cycle < 0 {
		return usage("--cycle is 1 or more")
	}
	if o.cycle > 0 && o.onnx == "" {
		return usage("--cycle is of --onnx FILE, which is missing")
	}
	if !slices.Contains(candidateFilters, o.want.filter) {
		return usage("--filter %q: choose %s", o.want.filter, strings.Join(candidateFilters, ", "))
	}
	if !slices.Contains([]string{"", "deep", "fast", "joint", "novelty"}, o.want.by) {
		return usage("--by is deep, fast, joint or novelty")
	}
	if o.list != "" || o.format != "" {
		if o.list == "" {
			return usage("--format is of --list FILE, which is missing")
		}
		if _, err := table.FormatOf(o.format, o.list); err != nil {
			return usage("--list: %w", err)
		}
	}
	if o.sheet != "" && sheetWriter(o.sheet) == nil {
		return usage("--sheet %q ends neither in .png nor in .pdf", o.sheet)
	}
	if ext := strings.ToLower(filepath.Ext(o.page)); o.page != "" && ext != ".html" && ext != ".htm" {
		return usage("--page %q does not end in .html", o.page)
	}
	var err error
	o.want.top, err = parseTop(cmp.Or(o.top, "all"))
	return err
}

// exported is what was written; `export --json`.
type exported struct {
	Project  string             `json:"project"`
	RankedBy string             `json:"ranked_by,omitempty"`
	Ranked   int64              `json:"ranked"` // images in the ranking
	Files    []exportedFile     `json:"files"`
	Network  *exportedNetwork   `json:"network,omitempty"`
	Capsule  *exportedCapsule   `json:"capsule,omitempty"`
	Bad      []dataset.BadImage `json:"bad"` // images that could not be read for it
}

// exportedCapsule is the run capsule in `export --json`.
type exportedCapsule struct {
	File     string `json:"file"`
	RankedBy string `json:"ranked_by"`
	Images   int    `json:"images"` // in the ranking
	Hash     string `json:"hash"`   // of the ranking
	Cycles   int    `json:"cycles"` // trainings that can be done again
	Bytes    int64  `json:"bytes"`
}

// usualTop is how many lines of the list a run capsule shows where nobody says how many.
const usualTop = 1000

// writeCapsule keeps what the ranking was derived from.
func (m *exported) writeCapsule(ctx context.Context, o *outputs, p *session.Project, line *progress.Line) error {
	top := func(ranked int) int {
		if o.top == "" {
			return usualTop
		}
		return int(min(o.want.top.images(int64(ranked)), int64(ranked)))
	}
	man, err := capsule.Make(ctx, p, o.capsule, capsule.Options{By: o.want.by, Top: top, WithoutCheckpoint: o.bare, Say: line.Say, Progress: line.Set})
	if err != nil {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			return fmt.Errorf("%s cannot be written: %w; --capsule names another file", common.Clean(o.capsule), cause(err))
		}
		return err
	}
	m.Capsule = &exportedCapsule{File: o.capsule, RankedBy: man.Ranking.By, Images: man.Ranking.Images, Hash: man.Ranking.Order, Cycles: len(man.Cycles)}
	if info, err := os.Stat(o.capsule); err == nil {
		m.Capsule.Bytes = info.Size()
	}
	return nil
}

type exportedFile struct {
	Kind    string `json:"kind"` // list, regions, …
	File    string `json:"file"`
	Images  int    `json:"images"`
	Bytes   int64  `json:"bytes"`
	Without int    `json:"without_position,omitempty"`
	Why     string `json:"why,omitempty"` // the first of them has no position
}

func (m exported) print(w io.Writer) {
	for _, f := range m.Files {
		text := fmt.Sprintf("%s: %s", common.Clean(f.File), common.Plural(f.Images, "image"))
		if f.Kind != "regions" {
			text += fmt.Sprintf(" of %s by the %s ranking", common.Count(m.Ranked), m.RankedBy)
		}
		fmt.Fprintf(w, "%s, %s\n", text, common.Bytes(f.Bytes))
		if f.Without > 0 {
			fmt.Fprintf(w, "  %s without a position on the sky left out, such as %s\n", common.Plural(f.Without, "image"), common.Clean(f.Why))
		}
	}
	if c := m.Capsule; c != nil {
		fmt.Fprintf(w, "%s: run capsule of the %s ranking of %s, %s\n", common.Clean(c.File), c.RankedBy, common.Plural(c.Images, "image"), common.Bytes(c.Bytes))
	}
	if n := m.Network; n != nil {
		fmt.Fprintf(w, "%s is the network of cycle %d for images of %d px, %s\n", common.Clean(n.File), n.Cycle, n.Size, common.Bytes(n.Bytes))
	}
}

// write makes the files, one after the other; each is there whole or not at all.
func (o *outputs) write(ctx context.Context, p *session.Project, line *progress.Line) (exported, error) {
	made := exported{Project: p.Dir, Files: []exportedFile{}, Bad: []dataset.BadImage{}}
	if o.onnx != "" {
		network, err := exportONNX(p, o.onnx, o.cycle)
		if err != nil {
			return made, err
		}
		made.Network = &network
	}
	if o.capsule != "" {
		if err := made.writeCapsule(ctx, o, p, line); err != nil {
			return made, err
		}
	}
	if !o.ofList() {
		return made, nil
	}
	line.Set("reading the ranking")
	ask, done, err := projectRanking(ctx, p)
	if err != nil {
		return made, err
	}
	list, err := rankedPart(ctx, p, ask, o.want)
	done()
	if err != nil {
		return made, err
	}
	if list.RankedBy == "order" {
		line.Say("warning: nothing ranks the images yet, so they stand in the order of their ids, without scores: `anomalymatch score PROJECT` looks at them")
	}
	pool, err := p.OpenPool(ctx, func(n int64) { line.Set(progress.Listing(n)) })
	if err != nil {
		return made, err
	}
	defer pool.Close()
	pool.Share()
	hash := pool.Hash()
	list.Pool = hex.EncodeToString(hash[:])
	made.RankedBy, made.Ranked = list.RankedBy, list.Images

	var more []export.Columns
	known, err := p.OpenMetadata(ctx, pool, func(n int64) { line.Set(common.Plural(n, "row") + " read") })
	if err != nil {
		return made, err
	}
	if known != nil {
		defer known.Close()
		more = append(more, metadataColumns{known, pool})
	}
	further, err := list.Further(ctx, more...)
	if err != nil {
		return made, err
	}
	if o.list != "" {
		line.Set("writing the list")
		t, err := list.Table(further...)
		if err != nil {
			return made, err
		}
		format, err := table.FormatOf(o.format, o.list)
		if err != nil {
			return made, err
		}
		if err := made.file("list", o.list, t.Rows, func(w io.Writer) error { return format.Write(w, t) }); err != nil {
			return made, err
		}
	}
	if o.regions != "" {
		if err := made.writeRegions(ctx, o.regions, pool, list, further, line); err != nil {
			return made, err
		}
	}
	if o.ofPictures() {
		if o.top == "" {
			list.Candidates = list.Candidates[:min(usualPictures, len(list.Candidates))]
		}
		if err := made.writePictures(ctx, o, pool, list, line); err != nil {
			return made, err
		}
	}
	return made, made.badImages(line)
}

// metadataColumns are what tables say about the images.
type metadataColumns struct {
	*meta.Table
	pool *dataset.Pool
}

func (m metadataColumns) Columns(ctx context.Context, ids []string) (all []table.Column, err error) {
	images := make([]int, 0, len(ids))
	for _, id := range ids {
		i, ok := m.pool.Find(id)
		if !ok {
			return nil, fmt.Errorf("the image %q is not listed any more: try again", id)
		}
		images = append(images, i)
	}
	column := func(c int, name string) error {
		values, err := m.Values(ctx, c, images)
		if err != nil {
			return err
		}
		of := m.Table.Columns()[c]
		out := table.Column{Name: name, Unit: of.Unit}
		switch of.Type {
		case meta.Int:
			out.Kind = table.Int
		case meta.Float:
			out.Kind = table.Float64
		}
		for _, v := range values {
			switch out.Kind {
			case table.Int:
				out.Ints, out.Missing = append(out.Ints, v.Int), append(out.Missing, v.Type == meta.None)
			case table.Float64:
				out.Doubles = append(out.Doubles, v.Number())
			default:
				out.Texts = append(out.Texts, v.String())
			}
		}
		all = append(all, out)
		return nil
	}
	named := map[string]bool{}
	for c, of := range m.Table.Columns() {
		if err := column(c, of.Name); err != nil {
			return nil, err
		}
		named[strings.ToLower(of.Name)] = true
	}
	if ra, dec, ok := m.Position(); ok && !(named["ra"] && named["dec"]) { // under another name: regions look for these
		if err := errors.Join(column(ra, "ra"), column(dec, "dec")); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// file writes one file, whole or not at all.
func (m *exported) file(kind, path string, images int, fill func(io.Writer) error) error {
	if err := atomicfile.Replace(path, fill); err != nil {
		return fmt.Errorf("%s cannot be written: %w; --%s names another file", common.Clean(path), cause(err), kind)
	}
	f := exportedFile{Kind: kind, File: path, Images: images}
	if info, err := os.Stat(path); err == nil {
		f.Bytes = info.Size()
	}
	m.Files = append(m.Files, f)
	return nil
}

// writeRegions takes positions from columns where there are such, for other images from their files.
func (m *exported) writeRegions(ctx context.Context, path string, pool *dataset.Pool, list export.List, further []table.Column, line *progress.Line) error {
	type place struct {
		dataset.Position
		ok bool
	}
	places := make([]place, len(list.Candidates))
	known := export.Positions(further)
	why, meter := "", progress.Meter{}
	for i, c := range list.Candidates {
		if known != nil {
			if places[i].Position, places[i].ok = known(i); places[i].ok {
				continue
			}
		}
		n, ok := pool.Find(c.ID)
		if !ok {
			continue // the list of images is another one by now
		}
		line.Set(meter.Job("looking for positions", i, len(list.Candidates)))
		at, err := pool.Position(ctx, n)
		switch {
		case err == nil:
			places[i] = place{at, true}
		case ctx.Err() != nil:
			return context.Canceled
		case errors.Is(err, dataset.ErrSource):
			return err
		case why == "":
			why = err.Error()
		}
	}
	var missing int
	err := m.file("regions", path, 0, func(w io.Writer) (err error) {
		missing, err = export.WriteRegions(w, list, func(i int) (dataset.Position, bool) { return places[i].Position, places[i].ok })
		return err
	})
	if err != nil {
		return err
	}
	f := &m.Files[len(m.Files)-1]
	f.Images, f.Without, f.Why = len(list.Candidates)-missing, missing, why
	return nil
}
