package main

import (
	"fmt"
	"os"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/cmd/anomalymatch/internal/screenbench"

	"github.com/spf13/cobra"
)

func benchTUICommand() *cobra.Command {
	var images, keys, pages, labels, candidates, size int
	var seed uint64
	var columns, lines int
	var links string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "tui",
		Short: "How long keys and pictures take in the terminal, near and over a slow link",
		Long: "Run the screen in a pseudo-terminal with a terminal at the other end that speaks kitty's graphics protocol, near and over a link of 1 Mbit/s with a round " +
			"trip of 100 ms, and measure there: from a key to its frame, from a page key to the frame and to the last picture of the page, bytes. Behind the screen is an " +
			"engine without a network on a pool of synthetic galaxies. Then a person labels candidates at five keys a second, each key pressed when the " +
			"picture under the cursor is on the terminal, and what was chosen is compared with what was labelled. Takes about five minutes; nothing else should be at work on the machine.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case images < 1000 || images > 10_000_000:
				return usage("--images is 1000 to 10000000")
			case size < 48 || size > 512:
				return usage("--size is 48 to 512 pixels")
			case keys < 1 || pages < 1 || labels < 0 || candidates < 0:
				return usage("--keys and --pages are 1 or more, --labels and --review 0 or more")
			case columns < 60 || lines < 16 || columns > 500 || lines > 200:
				return usage("--columns is 60 to 500, --lines 16 to 200")
			}
			nets := screenbench.Nets()
			switch links {
			case "both":
			case "near":
				nets = nets[:1]
			case "slow":
				nets = nets[1:]
			default:
				return usage("--link is near, slow or both")
			}
			line := progress.New(os.Stderr)
			defer line.Clear()
			opt := screenbench.Options{Images: images, Size: size, Cols: columns, Rows: lines, Keys: keys, Pages: pages, Labels: labels, Links: nets, Seed: seed, Progress: line.Set}
			r, err := screenbench.Run(cmd.Context(), opt)
			if err != nil {
				return err
			}
			if candidates > 0 {
				for _, net := range opt.Links {
					v, err := screenbench.Sit(cmd.Context(), opt, net, candidates, 5)
					if err != nil {
						return err
					}
					r.Reviews = append(r.Reviews, *v)
				}
			}
			line.Clear()
			if asJSON {
				return printJSON(cmd, r)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), r)
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&images, "images", 1_000_000, "images of the pool")
	f.IntVar(&size, "size", 128, "pixels a side of an image")
	f.IntVar(&keys, "keys", 200, "keys to measure on each link")
	f.IntVar(&pages, "pages", 12, "pages to turn, new ones and prefetched ones")
	f.IntVar(&labels, "labels", 100, "images to label")
	f.IntVar(&candidates, "review", 200, "candidates of the review at five keys a second; 0: none")
	f.IntVar(&columns, "columns", 120, "width of the terminal in cells")
	f.IntVar(&lines, "lines", 40, "height of the terminal in cells")
	f.StringVar(&links, "link", "both", "near, slow or both")
	f.Uint64Var(&seed, "seed", 42, "of the galaxies")
	jsonFlag(cmd, &asJSON)
	return cmd
}
