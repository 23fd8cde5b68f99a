package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func exportCommand() *cobra.Command {
	var out outputs
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "export PROJECT",
		GroupID: groupWork,
		Short:   "Write the ranked list, pictures of its top and the network for other programs",
		Long: "Write what a project found for other programs and other people: the ranked list as a table, regions for DS9, or the trained network. Several may be " +
			"asked for at once. The list is the one that the program ranks by, of the engine if one runs, else worked out from the project's files; nothing is trained for it.\n\n" +
			"The columns of --list are rank (in the whole ranking, 1 is the best), id, score, score_fast and score_deep where there are these rankings, label, bookmark, tags, source and path. " +
			"Control characters in names are written as \\u001b, but in Parquet.\n\n" +
			"A run capsule is a zip with the settings, the journals of labels, what each training was of, the network, versions, hashes and the list; not the images. " +
			"`anomalymatch replay` derives the ranking from it again.\n\n" +
			"The network of --onnx runs in ONNX Runtime and many other programs. Its input \"pixels\" is uint8 [images, size, size, channels], " +
			"at the size and with the channels that the network was trained with, three are RGB; its outputs are \"score\" [images], the probability of anomaly that `anomalymatch score` gives, " +
			"\"logits\" [images, 2], normal and anomaly, and \"features\" [images, 1280].",
		Example: `anomalymatch export rings --list ranked.fits
anomalymatch export rings --list best.vot --regions best.reg --top 0.5%
anomalymatch export rings --list found.csv --filter anomaly
anomalymatch export rings --capsule rings.zip
anomalymatch export rings --onnx first.onnx --cycle 1`,
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			line := progress.New(os.Stderr)
			made, err := out.write(cmd.Context(), p, line)
			line.Clear()
			if err != nil && exitCode(err) != exitBadInputs {
				return err
			}
			if asJSON {
				if !out.ofList() && out.capsule == "" { // the network alone, as scripts know it
					return printJSON(cmd, made.Network)
				}
				return errors.Join(printJSON(cmd, made), err)
			}
			made.print(cmd.OutOrStdout())
			return err
		},
	}
	out.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// exportedNetwork is the network in `export --json`.
type exportedNetwork struct {
	Project  string   `json:"project"`
	File     string   `json:"file"`
	Cycle    int      `json:"cycle"`
	Step     int      `json:"step"`
	Size     int      `json:"size"`     // pixels a side
	Channels int      `json:"channels"` // of an image
	Outputs  []string `json:"outputs"`
	Bytes    int64    `json:"bytes"`
}

func exportONNX(p *session.Project, file string, cycle int) (exportedNetwork, error) {
	state, info, err := trainedIn(p, cycle)
	if err != nil {
		return exportedNetwork{}, err
	}
	made := exportedNetwork{Project: p.Dir, File: file, Cycle: info.Cycle, Step: info.RunStep, Size: info.Size, Channels: info.Channels, Outputs: []string{nn.OutputScore, nn.OutputLogits, nn.OutputFeatures}}
	what := "channels as the project's sources give them"
	if info.Channels == 3 {
		what = "RGB"
	}
	about := fmt.Sprintf("%s, cycle %d. pixels: uint8 [images, %d, %d, %d], %s. score: probability of anomaly.", nn.Architecture, info.Cycle, info.Size, info.Size, info.Channels, what)
	b, err := state.Scoring().ONNX(info.Size, about, map[string]string{
		"architecture": nn.Architecture, "version": anomalymatch.Version, "size": strconv.Itoa(info.Size), "channels": strconv.Itoa(info.Channels), "cycle": strconv.Itoa(info.Cycle), "step": strconv.Itoa(info.RunStep),
	}, made.Outputs...)
	if err != nil {
		return exportedNetwork{}, err
	}
	made.Bytes = int64(len(b))
	err = atomicfile.Replace(file, func(w io.Writer) error {
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
