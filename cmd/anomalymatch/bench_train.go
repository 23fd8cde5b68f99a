package main

import (
	"fmt"
	"os"

	"anomalymatch"
	"anomalymatch/engine/bench"
	"anomalymatch/engine/dataset"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func benchTrainCommand() *cobra.Command {
	var images, runtime string
	var size, steps, labelled, unlabelled int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Seconds a training step, with reading and augmentation beside it",
		Long: "Seconds a training step as an engine does it: images are drawn, read and augmented on all cores while the device is at the step before. " +
			"Without --images they are noise in memory. An engine on Linux runs with GLIBC_TUNABLES=glibc.malloc.hugetlb=1, and so does this.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if steps < 1 {
				return usage("--steps is 1 or more")
			}
			if labelled < 0 || unlabelled < 0 || max(labelled, unlabelled) > 4096 {
				return usage("--labelled and --unlabelled are 1 to 4096, or 0 for what the settings say")
			}
			cfg, err := benchConfig(runtime, func(c *anomalymatch.Config) {
				c.Model.Size = size
				if labelled > 0 {
					c.FixMatch.LabelledBatch = labelled
				}
				if unlabelled > 0 {
					c.FixMatch.UnlabelledBatch = unlabelled
				}
			})
			if err != nil {
				return err
			}
			if err := asEngine(); err != nil {
				return err
			}
			var pool *dataset.Pool
			if images != "" {
				work, err := os.MkdirTemp("", "anomalymatch-bench-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(work)
				if pool, err = dataset.OpenPool(cmd.Context(), work, []dataset.NamedSource{{Name: "images", Path: images}}, dataset.Limits{}, nil); err != nil {
					return err
				}
				defer pool.Close()
			}
			r, err := bench.Train(cmd.Context(), cfg, pool, steps)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, r)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, %d px, %d + 2 × %d images: %.3f s a step, %.0f images/s, %.2f s of processor time; the device waited for images in %.1f%% of the time (augmentation alone %.3f s); compiled in %.1f s, %.0f MiB\n",
				common.Clean(r.Backend), r.Size, r.Labelled, r.Unlabelled, r.StepSeconds, r.PerSecond, r.CPUSeconds, 100*r.Waited, r.AugmentSeconds, r.CompileSeconds, r.MaxRSS)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&images, "images", "", "folder of images, which are read anew for each step (default: noise)")
	f.IntVar(&size, "size", 64, "pixels a side")
	f.IntVar(&steps, "steps", 5, "steps to measure")
	f.IntVar(&labelled, "labelled", 0, "labelled images a step (default: the settings')")
	f.IntVar(&unlabelled, "unlabelled", 0, "unlabelled images a step (default: the settings')")
	runtimeFlag(cmd, &runtime)
	jsonFlag(cmd, &asJSON)
	return cmd
}
