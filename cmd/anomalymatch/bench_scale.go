package main

import (
	"fmt"
	"io"
	"os"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/bench"
	"anomalymatch/internal/atomicfile"

	"github.com/spf13/cobra"
)

func benchScaleCommand() *cobra.Command {
	opt := bench.ScaleOptions{}
	var work, plot string
	var costs []int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "An engine on as many images as you like",
		Long: "Open a project of so many images to the first picture, turn to pages anywhere, search ids, label, and refit the fast ranking; with seconds and " +
			"peak memory. The images are simulated: only the list, scores drawn from the seed and, with --embedded, embeddings (8 KB of disk an image) are those of " +
			"so many. With --real each is a file, a hard link to one of a few, and listing them is measured too. With --cost it is measured instead what an image costs " +
			"in pools of several sizes, to see whether it stays the same: real files, list, decoding, resumable scores and, with --embedded, embeddings' file and ranking; a " +
			"network of microseconds stands in for the real one. With --plot nothing is measured: a picture is drawn of reports that were kept with --json.",
		Example: `anomalymatch bench scale --images 100000 --real --embedded
anomalymatch bench scale --cost 10000,100000,1000000
anomalymatch bench scale --plot scale.svg small.json large.json costs.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if plot == "" {
				return exactly()(cmd, args)
			}
			if len(args) == 0 {
				return usage("--plot needs reports: files that `bench scale --json` has printed")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if plot != "" {
				return plotScales(plot, args)
			}
			dir, err := os.MkdirTemp(work, "anomalymatch-scale-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			line := progress.New(os.Stderr)
			if len(costs) > 0 {
				r, err := bench.Costs(cmd.Context(), dir, anomalymatch.Default(), costs, opt, benchProgress(line))
				line.Clear()
				if err != nil {
					return err
				}
				return printScale(cmd, r, asJSON)
			}
			r, err := bench.Scale(cmd.Context(), dir, anomalymatch.Default(), opt, benchProgress(line))
			line.Clear()
			if err != nil {
				return err
			}
			return printScale(cmd, r, asJSON)
		},
	}
	f := cmd.Flags()
	f.IntVar(&opt.Images, "images", 1_000_000, "how many images")
	f.IntVar(&opt.Labels, "labels", 1000, "how many labels the fast ranking is refitted to")
	f.IntSliceVar(&costs, "cost", nil, "measure what an image costs in pools of these sizes, such as 10000,100000,1000000")
	f.BoolVar(&opt.Real, "real", false, "make and list a file of each image")
	f.BoolVar(&opt.Embedded, "embedded", false, "simulate embeddings, and measure refits")
	f.Uint64Var(&opt.Seed, "seed", 42, "of what is drawn")
	f.StringVar(&work, "work", "", "folder on the disk to measure (default: the one for temporary files)")
	jsonFlag(cmd, &asJSON)
	f.StringVar(&plot, "plot", "", "draw the reports that are named as an SVG into this file")
	_ = cmd.MarkFlagDirname("work")
	_ = cmd.MarkFlagFilename("plot", "svg")
	return cmd
}

// plotScales draws reports.
func plotScales(path string, reports []string) error {
	var s bench.Scales
	for _, file := range reports {
		text, err := os.ReadFile(file)
		if err == nil {
			err = s.Add(text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return atomicfile.Write(path, func(w io.Writer) error { _, err := w.Write(s.SVG()); return err })
}

// printScale prints a report as JSON or for people.
func printScale(cmd *cobra.Command, r fmt.Stringer, asJSON bool) error {
	if asJSON {
		return printJSON(cmd, r)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), r)
	return err
}
