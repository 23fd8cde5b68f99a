package main

import (
	"fmt"
	"os"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/bench"

	"github.com/spf13/cobra"
)

func benchShardsCommand() *cobra.Command {
	var images, parts int
	var seed uint64
	var work string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "shards",
		Short: "Scoring in shards, without images",
		Long: "Plan, write, look through, repair and merge the shards of as many images as you like, and take the top 1%. No image is read and no network " +
			"runs: the scores are drawn from the seed, everything else is what a cluster does. Needs 8 bytes of disk an image.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp(work, "anomalymatch-shards-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			line := progress.New(os.Stderr)
			r, err := bench.Shards(cmd.Context(), dir, images, parts, seed, benchProgress(line))
			line.Clear()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, r)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), r)
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&images, "images", 1_000_000, "how many images")
	f.IntVar(&parts, "shards", 100, "in how many shards")
	f.Uint64Var(&seed, "seed", 42, "of the scores")
	f.StringVar(&work, "work", "", "folder on the disk to measure (default: the one for temporary files)")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagDirname("work")
	return cmd
}
