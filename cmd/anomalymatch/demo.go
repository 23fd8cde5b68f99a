package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/bench"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/truth"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/session"

	"github.com/spf13/cobra"
)

// demoImages is the size of the sky that a person looks at.
const demoImages = 2000

func demoCommand() *cobra.Command {
	var headless, asJSON bool
	var images int
	var seed int64
	var want, pictures string
	cmd := &cobra.Command{
		Use:     "demo",
		GroupID: groupWork,
		Short:   "Try it on synthetic galaxies with rare ones among them",
		Long: "Draw a sky of synthetic galaxies, one or two in a hundred of them rare (rings, mergers, lens arcs), and open it as a project. " +
			"With --headless an oracle, which looks for rings, labels instead of a person: three cycles of training, then the figures.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if images < 0 || images > 1_000_000 || seed < 0 {
				return usage("--images is up to 1000000, --seed 0 or more")
			}
			if err := checkImages("--pictures", pictures); err != nil {
				return err
			}
			if headless {
				return demoHeadless(cmd, images, seed, want, asJSON)
			}
			if asJSON {
				return usage("--json goes with --headless")
			}
			if !terminal() {
				return errors.New("the demo needs a terminal; `anomalymatch demo --headless` works without one")
			}
			dir, err := demoProject(images, seed)
			if err != nil {
				return err
			}
			return openProject(cmd.Context(), dir, pictures)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&headless, "headless", false, "no terminal: an oracle labels, and the figures are printed")
	f.IntVar(&images, "images", 0, "how many galaxies (default: 2000, headless as many as the runtime can handle in minutes)")
	f.Int64Var(&seed, "seed", 42, "of the sky and of the training")
	imagesFlag(cmd, "pictures", &pictures)
	runtimeFlag(cmd, &want)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// demoProject makes the project where the person's data is kept, or finds the one made before, labels and all.
func demoProject(images int, seed int64) (string, error) {
	if images == 0 {
		images = demoImages
	}
	data, err := dataDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(data, "demo", fmt.Sprintf("seed-%d-images-%d", seed, images))
	project, sky, drawn := filepath.Join(dir, "project"), filepath.Join(dir, "sky"), filepath.Join(dir, "drawn")
	p := synth.Defaults()
	p.Seed = uint64(seed)
	line := progress.New(os.Stderr)
	defer line.Clear()
	if _, err := os.Stat(drawn); err != nil {
		var meter progress.Meter
		if _, err := synth.Write(sky, images, p, func(done int) { line.Set(meter.Job("drawing galaxies", done, images)) }); err != nil {
			return "", fmt.Errorf("the demo's galaxies could not be drawn: %w", err)
		}
		if err := os.WriteFile(drawn, nil, 0o666); err != nil { // whole, whatever cuts it off
			return "", err
		}
	}
	if _, err := session.Open(project); err != nil {
		if _, err := session.Create(project, session.Options{Images: []string{sky}, Name: "demo"}); err != nil {
			return "", err
		}
	}
	known := filepath.Join(project, truth.Name) // the scores page measures the ranking by it
	if _, err := os.Stat(known); err != nil {
		if err := atomicfile.Write(known, func(w io.Writer) error { return synth.Truth(w, images, p) }); err != nil {
			return "", err
		}
	}
	return project, nil
}

func demoHeadless(cmd *cobra.Command, images int, seed int64, want string, asJSON bool) error {
	cfg, err := benchConfig(want, func(c *anomalymatch.Config) { c.Seed = seed })
	if err != nil {
		return err
	}
	line := progress.New(os.Stderr)
	defer line.Clear()
	if o := runtime.Offer(); o != nil && o.Kind == "cpu" && cfg.Engine.Runtime != "go" {
		line.Say(fmt.Sprintf("getting the XLA runtime, %d MB; `--runtime go` goes without", o.DownloadBytes/1e6))
		var meter progress.Meter
		err := runtime.Install(cmd.Context(), o.Kind, "", func(done, total int64) {
			line.Set(meter.Job("runtime, bytes", int(done), int(total)))
		})
		switch {
		case cmd.Context().Err() != nil:
			return cmd.Context().Err()
		case err != nil && cfg.Engine.Runtime == "xla":
			return err
		case err != nil:
			line.Say(err.Error())
			line.Say("going on with the Go backend")
		}
	}
	dir, err := os.MkdirTemp("", "anomalymatch-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := bench.Demo(cmd.Context(), dir, images, cfg, benchProgress(line))
	line.Clear()
	if err != nil {
		return err
	}
	if err := printReport(cmd, asJSON, r, &r.Report); err != nil || asJSON {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d galaxies, %d of them rings, in %.0f s (%s)\n", r.Images, r.Anomalies, r.Seconds, r.Setting)
	return err
}

// dataDir is where a person's large files lie: $XDG_DATA_HOME/anomalymatch, or the same in ~/.local/share.
func dataDir() (string, error) {
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "anomalymatch"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("there is no home folder to keep the demo in; set XDG_DATA_HOME")
	}
	return filepath.Join(home, ".local", "share", "anomalymatch"), nil
}
