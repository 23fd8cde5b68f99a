package main

import (
	"fmt"
	"os"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/bench"

	"github.com/spf13/cobra"
)

func benchScaleCommand() *cobra.Command {
	opt := bench.ScaleOptions{}
	var work string
	var costs []int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "An engine on as many images as you like",
		Long: "Open a project of so many images to the first picture, turn to pages anywhere, search ids, label, and refit the fast ranking; with seconds and " +
			"peak memory. The images are simulated: only the list, scores drawn from the seed and, with --embedded, embeddings (8 KB of disk an image) are those of " +
			"so many. With --real each is a file, a hard link to one of a few, and listing them is measured too. With --cost it is measured instead what an image costs " +
			"in pools of several sizes, to see whether it stays the same: real files, list, decoding, resumable scores and, with --embedded, embeddings' file and ranking; a " +
			"network of microseconds stands in for the real one.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
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
	_ = cmd.MarkFlagDirname("work")
	return cmd
}

// printScale prints a report as JSON or for people.
func printScale(cmd *cobra.Command, r fmt.Stringer, asJSON bool) error {
	if asJSON {
		return printJSON(cmd, r)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), r)
	return err
}
