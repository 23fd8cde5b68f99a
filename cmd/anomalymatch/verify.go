package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/rpc"
	"anomalymatch/internal/say"
	"anomalymatch/session"
	"anomalymatch/session/verify"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func verifyCommand() *cobra.Command {
	var repair, asJSON bool
	cmd := &cobra.Command{
		Use:     "verify PROJECT",
		GroupID: groupWork,
		Short:   "Check every file of a project by its checksums, and repair what can be repaired",
		Long: "Check every file of a project by its checksums: labels, checkpoints, scores, embeddings, the list of images, prepared pixels, shards, sweeps. Your images are " +
			"not read.\n\nWith --repair what can be made again is removed, so that it is made again; damaged checkpoints and scores are put aside under another name, and " +
			"damaged lines of labels into a file beside them: nothing that is whole is lost. The exit code is 3 where something stays damaged.",
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			if repair {
				if p.ReadOnly {
					return errors.New(p.Notice)
				}
				held, err := rpc.Lock(p.Dir, "")
				if errors.Is(err, rpc.ErrRunning) {
					return fmt.Errorf("%w: end it with `anomalymatch stop %s`, then repair", err, asWord(args[0]))
				}
				if err != nil {
					return err
				}
				defer held.Release()
			}
			line := progress.New(os.Stderr)
			began := time.Now()
			r, err := verify.Check(cmd.Context(), p.Dir, func(file string, done, total int64) {
				line.Set(progress.Bytes(done, total, float64(done)/time.Since(began).Seconds()) + " · " + say.Path(file))
			})
			line.Clear()
			if err != nil {
				return err
			}
			if repair {
				r.Repair()
			}
			if asJSON {
				err = printJSON(cmd, r)
			} else {
				err = printVerified(cmd.OutOrStdout(), r)
			}
			if n := r.Damaged(); err == nil && n > 0 {
				if repair {
					return badInputs("damaged still: %s", common.Plural(n, "file"))
				}
				return badInputs("damaged: %s; `anomalymatch verify %s --repair` repairs what can be repaired", common.Plural(n, "file"), asWord(args[0]))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "Repair what can be repaired; no engine may be running")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printVerified tells people what was found: a line a file, and one of what is or can be done.
func printVerified(w io.Writer, r verify.Report) error {
	for _, f := range r.Findings {
		state := "damaged "
		switch {
		case f.Newer:
			state = "newer "
		case !f.Damage:
			state = "left over"
		}
		remedy := f.Remedy
		switch {
		case f.Mended:
			state = "repaired "
		case f.Problem != "":
			remedy = "the repair failed: " + f.Problem
		}
		if _, err := fmt.Fprintf(w, "%-10s%s\n          %s\n          %s\n", state, say.Path(f.File), common.Clean(f.What), common.Clean(remedy)); err != nil {
			return err
		}
	}
	whole := "all whole"
	if len(r.Findings) > 0 {
		whole = common.Plural(len(r.Findings), "finding")
	}
	_, err := fmt.Fprintf(w, "%s, %s, %s: %s\n", common.Plural(r.Files, "file"), common.Bytes(r.Bytes), common.Plural(r.Labels, "label event"), whole)
	return err
}
