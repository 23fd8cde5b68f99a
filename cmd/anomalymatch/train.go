package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func trainCommand() *cobra.Command {
	var iterations int
	var score, asJSON bool
	var several sweepOrder
	cmd := &cobra.Command{
		Use:     "train PROJECT",
		GroupID: groupWork,
		Short:   "Train on the labels, without a terminal",
		Long: "Train on the labels, without a terminal. The project's engine does it; it is started if none runs, and goes on running. " +
			"Ctrl+c cancels the training; what was learnt is kept, and the next training goes on from there.\n\n" +
			"With --seeds and --set the network is trained several times, on the labels of now and each time from the start, and every run scores the pool: a sweep. " +
			"It runs without an engine, here or with --cluster as jobs of a batch system, while labelling goes on; `anomalymatch sweep` compares the runs and uses one of them or all.",
		Example: `anomalymatch train rings --score
anomalymatch train rings --seeds 42,43,44 --cluster leo
anomalymatch train rings --seeds 1,2 --set fixmatch.learning_rate=0.005,0.01`,
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if iterations < 0 || iterations > 1_000_000 {
				return usage("--iterations is 1 to 1000000")
			}
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			if len(several.seeds) > 0 || len(several.sets) > 0 || several.cluster != "" {
				several.iterations = iterations
				return trainRuns(cmd, p, several, asJSON)
			}
			if several.anew {
				return usage("--new is for several runs: --seeds, --set or --cluster")
			}
			f, err := follow(cmd.Context(), p, progress.New(os.Stderr))
			if err != nil {
				return err
			}
			defer f.Close()
			t, err := train(cmd.Context(), f, iterations, score)
			if err != nil {
				return err
			}
			t.Project = p.Dir
			if asJSON {
				return printJSON(cmd, t)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), t)
			return err
		},
	}
	cmd.Flags().IntVar(&iterations, "iterations", 0, "training steps (default: fixmatch.iterations of the settings)")
	cmd.Flags().BoolVar(&score, "score", false, "score the pool when it is done")
	cmd.Flags().Int64SliceVar(&several.seeds, "seeds", nil, "train a run with each of these seeds")
	cmd.Flags().StringArrayVar(&several.sets, "set", nil, "train a run with each value of a setting: KEY=VALUE,VALUE; several settings give every combination")
	cmd.Flags().StringVar(&several.cluster, "cluster", "", "have the batch system of this profile make the runs, [cluster.NAME] in the settings")
	cmd.Flags().BoolVar(&several.anew, "new", false, "begin a new sweep, though one of the same runs is not over")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// trained is `train --json`.
type trained struct {
	Project         string  `json:"project"`
	Cycle           int32   `json:"cycle"`
	Steps           int32   `json:"steps"`
	Loss            float32 `json:"loss"` // of the last step
	Kept            float32 `json:"kept"`
	Seconds         float64 `json:"seconds"` // without compiling
	ImagesPerSecond float64 `json:"images_per_second"`
	Backend         string  `json:"backend"`
	Scored          bool    `json:"scored"`
}

func (t trained) String() string {
	text := fmt.Sprintf("cycle %d trained: %s in %s on %s, loss %.3f, kept %s", t.Cycle, common.Plural(t.Steps, "step"), common.Seconds(t.Seconds), common.Clean(t.Backend), t.Loss, common.Percent(float64(t.Kept)))
	if rate := common.Rate(t.ImagesPerSecond); rate != "" {
		text += ", " + rate
	}
	if t.Scored {
		text += "; the pool is scored"
	}
	return text
}

func train(ctx context.Context, f *follower, iterations int, score bool) (trained, error) {
	states := []string{"training"}
	if score {
		states = append(states, "scoring")
	}
	err := f.job(ctx, func(ctx context.Context) (*rpc.JobReply, error) {
		return f.client.Train(ctx, &rpc.TrainRequest{Iterations: int32(iterations), ThenScore: score})
	}, states...)
	s := f.newestStep(ctx)
	early := s != nil && s.GetStep() < s.GetSteps() // the engine was stopped, perhaps
	switch {
	case (errors.Is(err, context.Canceled) || err == nil) && early:
		return trained{}, cancelled("the training ended at step %d of %d and is kept; the next one goes on from there", s.GetStep(), s.GetSteps())
	case errors.Is(err, context.Canceled):
		return trained{}, cancelled("the training is cancelled")
	case err != nil:
		return trained{}, err
	case s == nil:
		return trained{}, errors.New("the engine knows nothing of the training: engine.log in the project says why")
	}
	return trained{Cycle: s.GetCycle(), Steps: s.GetStep(), Loss: s.GetLoss(), Kept: s.GetKept(), Seconds: s.GetSeconds(), ImagesPerSecond: s.GetImagesPerSecond(),
		Backend: runtime.Part(runtime.Train, f.status.GetBackend()), Scored: score}, nil
}
