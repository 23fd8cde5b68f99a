package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"

	"anomalymatch"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func exportCommand() *cobra.Command {
	var file string
	var cycle int
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "export PROJECT --onnx FILE",
		GroupID: groupWork,
		Short:   "Write the trained network for other programs",
		Long: "Write the trained network as an ONNX file, which ONNX Runtime and many other programs run. Its input \"pixels\" is uint8 [images, size, size, 3], " +
			"RGB, at the size that the network was trained at; its outputs are \"score\" [images], the probability of anomaly that `anomalymatch score` gives, " +
			"\"logits\" [images, 2], normal and anomaly, and \"features\" [images, 1280].",
		Example: `anomalymatch export rings --onnx rings.onnx
anomalymatch export rings --onnx first.onnx --cycle 1`,
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cycle < 0 {
				return usage("--cycle is 1 or more")
			}
			if file == "" {
				return usage("--onnx FILE is missing: where the network is written")
			}
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			made, err := exportONNX(p, file, cycle)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, made)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is the network of cycle %d for images of %d px, %s\n", common.Clean(file), made.Cycle, made.Size, common.Bytes(made.Bytes))
			return err
		},
	}
	cmd.Flags().StringVar(&file, "onnx", "", "the ONNX file to write")
	cmd.Flags().IntVar(&cycle, "cycle", 0, "the network of this cycle (default: what was trained last)")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagFilename("onnx", "onnx")
	return cmd
}

// exportedNetwork is `export --onnx --json`.
type exportedNetwork struct {
	Project string   `json:"project"`
	File    string   `json:"file"`
	Cycle   int      `json:"cycle"`
	Step    int      `json:"step"`
	Size    int      `json:"size"` // pixels a side
	Outputs []string `json:"outputs"`
	Bytes   int64    `json:"bytes"`
}

func exportONNX(p *session.Project, file string, cycle int) (exportedNetwork, error) {
	state, info, err := trainedIn(p, cycle)
	if err != nil {
		return exportedNetwork{}, err
	}
	made := exportedNetwork{Project: p.Dir, File: file, Cycle: info.Cycle, Step: info.RunStep, Size: info.Size, Outputs: []string{nn.OutputScore, nn.OutputLogits, nn.OutputFeatures}}
	about := fmt.Sprintf("%s, cycle %d. pixels: uint8 [images, %d, %d, 3], RGB. score: probability of anomaly.", nn.Architecture, info.Cycle, info.Size, info.Size)
	b, err := state.Scoring().ONNX(info.Size, about, map[string]string{
		"architecture": nn.Architecture, "version": anomalymatch.Version, "size": strconv.Itoa(info.Size), "cycle": strconv.Itoa(info.Cycle), "step": strconv.Itoa(info.RunStep),
	}, made.Outputs...)
	if err != nil {
		return exportedNetwork{}, err
	}
	made.Bytes = int64(len(b))
	err = atomicfile.Write(file, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return exportedNetwork{}, fmt.Errorf("%s cannot be written: %w; --onnx names another file", common.Clean(file), cause(err))
	}
	return made, nil
}

// trainedIn is what was trained in a cycle of the project, 0 for the last one. Checkpoints that are left out because they are damaged are told.
func trainedIn(p *session.Project, cycle int) (fixmatch.State, fixmatch.Info, error) {
	none := func(err error) (fixmatch.State, fixmatch.Info, error) { return fixmatch.State{}, fixmatch.Info{}, err }
	dir := p.Sub("checkpoints")
	files, err := fixmatch.Checkpoints(dir)
	switch {
	case err != nil:
		return none(fmt.Errorf("the checkpoints cannot be read: %w", err))
	case len(files) == 0:
		return none(fmt.Errorf("nothing was trained yet: `anomalymatch train %s` first", asWord(p.Dir)))
	case cycle == 0:
		state, info, damaged, found, err := fixmatch.Latest(dir)
		if err == nil && !found {
			err = errors.New("all are damaged; train again")
		}
		if err != nil {
			return none(fmt.Errorf("the checkpoints cannot be read: %w", err))
		}
		for _, d := range damaged {
			slog.Warn(d)
		}
		return state, info, nil
	}
	info := fixmatch.InfoOf(files, cycle)
	if info.Cycle != cycle {
		return none(fmt.Errorf("there is no checkpoint of cycle %d; the newest is %s", cycle, common.Clean(filepath.Base(files[0]))))
	}
	state, info, err := fixmatch.ReadCheckpoint(filepath.Join(dir, info.File()))
	if err != nil {
		return none(fmt.Errorf("the checkpoint of cycle %d cannot be read: %w", cycle, err))
	}
	return state, info, nil
}

// cause is why a file cannot be had, without its path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
