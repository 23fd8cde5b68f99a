package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/session/capsule"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func replayCommand() *cobra.Command {
	var r capsule.Replay
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "replay CAPSULE",
		GroupID: groupWork,
		Short:   "Derive the ranking of a run capsule again, and compare",
		Long: "Derive the ranking that a run capsule is of again, and say whether it is the same. A capsule is what `anomalymatch export PROJECT --capsule FILE` writes. " +
			"The trainings are done again in their order, each with its labels as of then, its settings and its seed, and the images are scored; for the fast ranking they are embedded and " +
			"ranked by the labels. With the same data, version and backend it is the same ranking; what of these is another is said before it begins. " +
			"The images must be those of the capsule: they are looked for where they were then, or where --sources says. It ends with exit code 1 where the ranking is another.",
		Example: `anomalymatch replay rings.zip
anomalymatch replay rings.zip --sources /data/north /data/south
anomalymatch replay rings.zip --score-only --sources north=/mnt/north`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && len(r.Sources) > 0 { // --sources A B
				r.Sources = append(r.Sources, args[1:]...)
				args = args[:1]
			}
			return exactly("CAPSULE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := capsule.Open(args[0])
			if err != nil {
				return err
			}
			defer c.Close()
			if r.Dir, err = os.MkdirTemp("", "anomalymatch-replay-"); err != nil {
				return err
			}
			defer os.RemoveAll(r.Dir)
			line := progress.New(os.Stderr)
			defer line.Clear()
			meters := map[string]*progress.Meter{}
			r.Say = line.Say
			r.Progress = func(what string, done, total int) {
				if meters[what] == nil {
					meters[what] = &progress.Meter{}
				}
				switch {
				case total > 0:
					line.Set(meters[what].Job(what, done, total))
				case done > 0:
					line.Set(progress.Listing(int64(done)))
				default:
					line.Set(what)
				}
			}
			line.Say(aboutCapsule(c.Manifest))
			res, err := r.Run(cmd.Context(), c)
			if err != nil {
				return err
			}
			line.Clear()
			if asJSON {
				err = printJSON(cmd, res)
			} else {
				printReplay(cmd.OutOrStdout(), res)
			}
			if err == nil && !res.Same {
				err = errors.New("the ranking is not the one of the capsule")
			}
			return err
		},
	}
	cmd.Flags().StringArrayVar(&r.Sources, "sources", nil, "where the images are: PATH, in the order of the capsule's sources, or NAME=PATH; can be given several times")
	cmd.Flags().BoolVar(&r.ScoreOnly, "score-only", false, "score with the network in the capsule instead of training it again")
	runtimeFlag(cmd, &r.Runtime)
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagDirname("sources")
	return cmd
}

// aboutCapsule says in a line what a capsule is of.
func aboutCapsule(m capsule.Manifest) string {
	text := fmt.Sprintf("%s ranking of %s of the project %s, %s", m.Ranking.By, common.Plural(m.Ranking.Images, "image"), common.Clean(m.Project), m.Made.Local().Format("2006-01-02 15:04"))
	if n := len(m.Cycles); n > 0 {
		text += fmt.Sprintf(", by %s", common.Plural(n, "training"))
	}
	return text + fmt.Sprintf("; labels: %d anomaly, %d normal", m.Labels.Anomalies, m.Labels.Normals)
}

func printReplay(w io.Writer, r capsule.Result) {
	switch {
	case r.Exact:
		fmt.Fprintf(w, "the same ranking, to the last digit of the scores: %s, %s\n", common.Plural(r.Images, "image"), r.Got[:16])
	case r.Same:
		fmt.Fprintf(w, "the same ranking: %s, %s; scores differ in their last digits\n", common.Plural(r.Images, "image"), r.Got[:16])
	default:
		fmt.Fprintf(w, "another ranking: rank correlation %.4f, %s of the top 1%% (%s) are the same; the first difference is at place %d\n", r.Rank, common.Percent(r.Overlap), common.Plural(r.Top, "image"), r.First)
	}
	if r.Trained > 0 {
		fmt.Fprintf(w, "%s done again; the network is %s, bit for bit\n", common.Plural(r.Trained, "training"), map[string]string{"same": "the same", "other": "not the same"}[r.Network])
	}
}
