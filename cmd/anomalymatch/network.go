package main

import (
	"fmt"
	"os"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/sweep"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

// importedNetwork is `import --json`.
type importedNetwork struct {
	Project string `json:"project"`
	File    string `json:"file"`
	Cycle   int    `json:"cycle"`
	Size    int    `json:"size"`
}

func importCommand() *cobra.Command {
	var size int
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "import PROJECT FILE",
		GroupID: groupWork,
		Short:   "Take a network that AnomalyMatch trained",
		Long: "Take a network that ESA's AnomalyMatch trained, a .safetensors file of its versions from 1.3.1 on, of efficientnet-lite0 and three channels. It becomes a cycle of the project: " +
			"`anomalymatch score` scores with it, and the next training goes on from it. The images must be prepared as they were there: see `anomalymatch new --anomalymatch`.",
		Example: `anomalymatch import rings model_iteration_4.safetensors --size 224`,
		Args:    exactly("PROJECT", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			if size == 0 {
				size = p.Config.Model.Size
			}
			if size < 32 || size > 512 {
				return usage("--size is 32 to 512")
			}
			if p.ReadOnly {
				return fmt.Errorf("the project folder cannot be written, so nothing can be imported into it")
			}
			theirs, err := fixmatch.ReadAnomalyMatch(args[1])
			if err != nil {
				return err
			}
			made := importedNetwork{Project: p.Dir, File: args[1], Size: size}
			if made.Cycle, err = sweep.NextRound(p.Dir); err != nil {
				return err
			}
			line := progress.New(os.Stderr)
			if theirs.Timm && size%32 != 0 {
				line.Say(fmt.Sprintf("warning: at %d px the borders of the images are padded in another way than there, so scores differ: multiples of 32 px are the same", size))
			}
			if theirs.How != "" {
				line.Say("it was trained on images prepared by " + theirs.How)
			}
			if size != p.Config.Model.Size {
				line.Say(fmt.Sprintf("warning: model.size of the project is %d: the next training is of that size", p.Config.Model.Size))
			}
			info := fixmatch.Info{Cycle: made.Cycle, Size: size, Seed: p.Config.Seed, Settings: fixmatch.FromConfig(p.Config.FixMatch)}
			if err := fixmatch.WriteCheckpoint(p.Sub("checkpoints"), theirs.State, info); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, made)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is cycle %d now, at %d px\nscore with it:  anomalymatch score %s\n", common.Clean(args[1]), made.Cycle, size, asWord(p.Dir))
			return err
		},
	}
	cmd.Flags().IntVar(&size, "size", 0, "pixels a side that it was trained at (default: model.size of the project)")
	jsonFlag(cmd, &asJSON)
	return cmd
}
