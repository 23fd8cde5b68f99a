package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func metadataCommand() *cobra.Command {
	var key string
	var none, asJSON bool
	cmd := &cobra.Command{
		Use:     "metadata PROJECT [FILE…]",
		GroupID: groupWork,
		Short:   "What tables say of the images: to show, filter, sort and export",
		Long: "Take what tables say of the images: CSV (also with tabs, semicolons or bars), Parquet or FITS, which stay where they are. A row belongs to the image that its key names: " +
			"an id, a path, a file name, or a file name without its ending; the column of keys is found by its name (" + strings.Join(meta.Keys[:6], ", ") + ", …), or named with --key. " +
			"The tables named are the project's from now on, instead of those before; an engine that runs takes them up within seconds. Without FILE it says what there is.",
		Example: `anomalymatch metadata rings catalogue.csv
anomalymatch metadata rings photometry.fits classes.parquet --key OBJID
anomalymatch metadata rings`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usage("which project? %s", cmd.UseLine())
			case none && len(args) > 1:
				return usage("--none takes all metadata away: name no file")
			case key != "" && len(args) == 1:
				return usage("--key is a column of a FILE: name one")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			line := progress.New(os.Stderr)
			pool, err := p.OpenPool(cmd.Context(), func(n int64) { line.Set(progress.Listing(n)) })
			line.Clear()
			if err != nil {
				return err
			}
			defer pool.Close()
			var said knownTables
			switch {
			case none:
				if _, err = p.SetMetadata(cmd.Context(), pool, nil, nil); err == nil {
					said, err = tellMetadata(cmd.Context(), p, pool, line)
				}
			case len(args) > 1:
				said, err = takeMetadata(cmd.Context(), p, pool, args[1:], key, line)
			default:
				said, err = tellMetadata(cmd.Context(), p, pool, line)
			}
			if err != nil && exitCode(err) != exitBadInputs {
				return err
			}
			if asJSON {
				return errors.Join(printJSON(cmd, said), err)
			}
			said.print(cmd)
			return err
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the column that names images")
	cmd.Flags().BoolVar(&none, "none", false, "take all metadata away from the project; the tables stay where they are")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// knownTables is `metadata --json`.
type knownTables struct {
	Tables  []meta.Report `json:"tables"`
	Columns []knownColumn `json:"columns"`
	Images  int           `json:"images"`
}

type knownColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Unit string `json:"unit,omitempty"`
}

// takeMetadata makes tables the project's, and lists their lines that were left out.
func takeMetadata(ctx context.Context, p *session.Project, pool *dataset.Pool, files []string, key string, line *progress.Line) (knownTables, error) {
	var tables []session.Metadata
	for _, f := range files {
		tables = append(tables, session.Metadata{File: f, Key: key})
	}
	reports, err := p.SetMetadata(ctx, pool, tables, func(n int64) { line.Set(fmt.Sprintf("%s read", common.Plural(n, "row"))) })
	line.Clear()
	if err != nil {
		return knownTables{}, err
	}
	said, err := tellMetadata(ctx, p, pool, line)
	if err != nil {
		return said, err
	}
	left := int64(0)
	for _, r := range reports {
		for _, l := range r.Lines {
			line.Say(fmt.Sprintf("%s:%d: %s", common.Clean(r.File), l.Line, common.Clean(l.Reason)))
		}
		n := r.Bad + r.Twice + r.Ambiguous
		if more := n - int64(len(r.Lines)); more > 0 {
			line.Say(fmt.Sprintf("and %s of %s", common.Plural(more, "more line"), common.Clean(r.File)))
		}
		left += n
	}
	if left > 0 {
		return said, badInputs("%s left out, the rest is there", common.Plural(left, "line"))
	}
	return said, nil
}

// tellMetadata says what there is.
func tellMetadata(ctx context.Context, p *session.Project, pool *dataset.Pool, line *progress.Line) (knownTables, error) {
	said := knownTables{Tables: []meta.Report{}, Columns: []knownColumn{}, Images: pool.Len()}
	t, err := p.OpenMetadata(ctx, pool, func(n int64) { line.Set(fmt.Sprintf("%s read", common.Plural(n, "row"))) })
	line.Clear()
	if err != nil || t == nil {
		return said, err
	}
	defer t.Close()
	said.Tables = t.Reports()
	for _, c := range t.Columns() {
		said.Columns = append(said.Columns, knownColumn{c.Name, c.Type.String(), c.Unit})
	}
	return said, nil
}

func (k knownTables) print(cmd *cobra.Command) {
	out := cmd.OutOrStdout()
	if len(k.Tables) == 0 {
		fmt.Fprintln(out, "no metadata: name a table, a CSV, Parquet or FITS")
		return
	}
	for _, r := range k.Tables {
		fmt.Fprintln(out, told(r, k.Images))
	}
	var names []string
	for _, c := range k.Columns {
		name := common.Clean(c.Name) + " " + c.Type
		if c.Unit != "" {
			name += " [" + common.Clean(c.Unit) + "]"
		}
		names = append(names, name)
	}
	fmt.Fprintf(out, "columns: %s\n", strings.Join(names, ", "))
}

// told is how a table was matched, in a line.
func told(r meta.Report, images int) string {
	text := fmt.Sprintf("%s: %s of %d by the column %s, of %s", common.Clean(r.File), common.Plural(r.Matched, "image"), images, common.Clean(r.Key), common.Plural(r.Rows, "row"))
	if r.Unmatched > 0 {
		text += fmt.Sprintf("; %s no image, such as %s", common.Plural(r.Unmatched, "row")+" "+map[bool]string{true: "names", false: "name"}[r.Unmatched == 1], common.Cut(common.Clean(strings.Join(r.Names, ", ")), 100))
	}
	if r.Twice > 0 {
		text += fmt.Sprintf("; %d for an image that has one", r.Twice)
	}
	if r.Ambiguous > 0 {
		text += fmt.Sprintf("; %d that can be several images", r.Ambiguous)
	}
	if r.Bad > 0 {
		text += fmt.Sprintf("; %s", common.Plural(r.Bad, "line")+" that cannot be read")
	}
	return text
}
