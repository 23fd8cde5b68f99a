package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset/mosaic"
	"anomalymatch/engine/dataset/raw"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"
	"anomalymatch/tui/common"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
)

func mosaicCommand() *cobra.Command {
	var d mosaic.Definition
	var size string
	var origin int
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:     "mosaic FILE" + mosaic.Extension + " --catalogue TABLE --band FILES --size SIZE",
		GroupID: groupWork,
		Short:   "Describe mosaics and a catalogue, whose objects are cut out as they are looked at",
		Long: "Write a small file that is a source of images: the objects of a catalogue (CSV, Parquet or a FITS table of RA and Dec, or of pixels), cut out of large " +
			"FITS images through their WCS as they are looked at. Each --band is a pattern, in quotes, of the files of one band: they may be many tiles of the sky. " +
			"An object is cut out of the tile that holds it best. Bands with other pixels are resampled to those of the first. What lies beyond a border is missing (NaN), " +
			"and said so where an image is described. The file can be written by hand too.",
		Example: `anomalymatch mosaic sky.mosaic.toml --catalogue objects.parquet --band 'VIS_*.fits' --band 'NIR_Y_*.fits' --size 64
anomalymatch mosaic sky.mosaic.toml --catalogue objects.csv --band 'tile_*.fits[SCI]' --size "6.4 arcsec" --id SOURCE_ID
anomalymatch new rings --images sky.mosaic.toml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && len(d.Bands) > 0 {
				return usage("%.100q is one too many: a pattern must be in quotes, --band 'VIS_*.fits'", args[1])
			}
			return exactly("FILE"+mosaic.Extension)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			file := args[0]
			if !strings.HasSuffix(strings.ToLower(file), mosaic.Extension) {
				return usage("the file must be called something%s", mosaic.Extension)
			}
			if d.Catalogue == "" || len(d.Bands) == 0 {
				return usage("--catalogue and --band are needed: `%s`", cmd.UseLine())
			}
			if _, err := os.Lstat(file); err == nil && !force {
				return fmt.Errorf("%s is there already: --force replaces it", say.Path(file))
			}
			if size != "" {
				d.Size = size
			}
			if cmd.Flags().Changed("origin") {
				d.Origin = &origin
			}
			dir, err := filepath.Abs(filepath.Dir(file))
			if err != nil {
				return err
			}
			for _, p := range append([]*string{&d.Catalogue}, pointers(d.Bands)...) {
				*p = seenFrom(dir, *p)
			}
			m, err := d.Open(dir, "", raw.Limits{})
			if err != nil {
				return fmt.Errorf("%s %w", say.Path(file), err)
			}
			defer m.Close()
			line := progress.New(os.Stderr)
			defer line.Clear()
			made, err := tryMosaic(cmd.Context(), m, line)
			if err != nil {
				return fmt.Errorf("%s %w", say.Path(file), err)
			}
			var text bytes.Buffer
			enc := toml.NewEncoder(&text)
			enc.Indent = ""
			if err := enc.Encode(d); err != nil {
				return err
			}
			if _, err := mosaic.Parse(text.Bytes()); err != nil {
				return fmt.Errorf("%s would not be read again: it %w", say.Path(file), err)
			}
			if err := atomicfile.Write(file, func(w io.Writer) error { _, err := w.Write(text.Bytes()); return err }); err != nil {
				return err
			}
			line.Clear()
			made.File = file
			if asJSON {
				err = printJSON(cmd, made)
			} else {
				err = made.print(cmd.OutOrStdout())
			}
			return errors.Join(err, made.bad(line))
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.Catalogue, "catalogue", "", "CSV, Parquet or FITS table of the objects")
	f.StringArrayVar(&d.Bands, "band", nil, "files of one band, as a pattern in quotes, with an HDU behind them if need be ('VIS_*.fits[SCI]'); can be given several times")
	f.StringVar(&size, "size", "", "of a cut-out: pixels of the first band (64), or an angle (\"6.4 arcsec\")")
	f.StringVar(&d.SizeColumn, "size-column", "", "column of the catalogue with the size of each object")
	f.StringVar(&d.SizeUnit, "size-unit", "", "unit of that column: pixels or arcsec (default pixels)")
	f.StringVar(&d.ID, "id", "", "column of the ids (default: by the usual names; without one an object is called by its position)")
	f.StringVar(&d.RA, "ra", "", "column of the right ascension in degrees (default: by the usual names)")
	f.StringVar(&d.Dec, "dec", "", "column of the declination in degrees")
	f.StringVar(&d.X, "x", "", "column of x in pixels of the first band, instead of --ra")
	f.StringVar(&d.Y, "y", "", "column of y")
	f.IntVar(&origin, "origin", 0, "x and y of the first pixel: 0 or 1 (default 1 for X_IMAGE and Y_IMAGE, otherwise 0)")
	f.StringVar(&d.Resample, "resample", "", "how bands with other pixels are resampled: bilinear or nearest (default bilinear)")
	f.BoolVar(&d.ByTile, "by-tile", false, "put the tile's name before each id, so that the tiles are read one after the other")
	f.BoolVar(&force, "force", false, "replace the file if it is there")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagFilename("catalogue", "csv", "tsv", "ecsv", "parquet", "fits")
	return cmd
}

func pointers(s []string) (out []*string) {
	for i := range s {
		out = append(out, &s[i])
	}
	return out
}

// seenFrom is a path as it is written into a file in dir: relative, where it was.
func seenFrom(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(dir, abs)
	if err != nil {
		return abs
	}
	return filepath.ToSlash(rel)
}

// madeMosaic is what `mosaic` says.
type madeMosaic struct {
	File    string   `json:"file"`
	Objects int      `json:"objects"` // that are images
	Border  int      `json:"border"`  // of them, cut off by the border of the first band
	Outside int      `json:"outside"` // that cannot be cut out
	Why     string   `json:"why,omitempty"`
	Bad     []string `json:"bad,omitempty"` // mosaics that are left out
}

// tryMosaic goes through the catalogue once, and cuts out the first object.
func tryMosaic(ctx context.Context, m *mosaic.Mosaic, line *progress.Line) (out madeMosaic, err error) {
	tried := false
	for o, why := range m.Objects(ctx) {
		switch {
		case o.ID == "":
			return out, why
		case why != nil:
			if out.Outside++; out.Why == "" {
				out.Why = common.Clean(o.ID) + " " + common.Clean(why.Error())
			}
			continue
		case !tried:
			if _, err := m.Cut(ctx, o.Row); errors.Is(err, mosaic.ErrFile) {
				return out, fmt.Errorf("cannot be used: %w", err)
			}
			tried = true
		}
		if out.Objects++; o.Edge {
			out.Border++
		}
		if n := out.Objects + out.Outside; n%10000 == 0 {
			line.Set(progress.Listing(int64(n)))
		}
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	for name, why := range m.BadTiles() {
		out.Bad = append(out.Bad, common.Clean(name+" "+why.Error()))
	}
	switch {
	case out.Objects == 0 && out.Outside == 0:
		return out, errors.New("has an empty catalogue")
	case out.Objects == 0:
		return out, fmt.Errorf("holds none of %s: %s", common.Plural(out.Outside, "object"), out.Why)
	}
	return out, nil
}

func (m madeMosaic) print(w io.Writer) error {
	text := fmt.Sprintf("%s: %s", common.Clean(m.File), common.Plural(m.Objects, "object"))
	if m.Border > 0 {
		text += fmt.Sprintf(", %d of them cut off by a border", m.Border)
	}
	if m.Outside > 0 {
		text += fmt.Sprintf("; %d cannot be cut out: %s", m.Outside, common.Clean(m.Why))
	}
	_, err := fmt.Fprintf(w, "%s\nmake a project:  anomalymatch new PROJECT --images %s\n", text, asWord(m.File))
	return err
}

// bad lists the mosaics that are left out.
func (m madeMosaic) bad(line *progress.Line) error {
	if len(m.Bad) == 0 {
		return nil
	}
	for _, b := range m.Bad[:min(len(m.Bad), listed)] {
		line.Say(b)
	}
	return badInputs("%s left out", common.Plural(len(m.Bad), "mosaic")+map[bool]string{true: " is", false: " are"}[len(m.Bad) == 1])
}
