package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/dataset/stretch"
	"anomalymatch/engine/truth"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func newCommand() *cobra.Command {
	var opt session.Options
	var labels, known, key string
	var tables []string
	var theirs string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "new PROJECT --images FOLDER",
		GroupID: groupWork,
		Short:   "Make a project on images, which stay where they are",
		Long: "Make a project on images, which stay where they are: folders and containers of them, which are read in one way.\n\n" +
			"With --anomalymatch the settings are those of a config.toml of ESA's AnomalyMatch, or of the folder of one of its sessions: size, stretch, bands, seed, batches and the " +
			"learning of FixMatch. Its images, labels and metadata are taken where they are still there and no flag names others. What has no counterpart is listed.",
		Example: `anomalymatch new rings --images /data/cutouts
anomalymatch new rings --images /data/north --images /data/south --labels known.csv --size 128
anomalymatch new rings --anomalymatch anomaly_match_results/sessions/MyRun_20260511_101500 --images /data/cutouts`,
		Args: projectAndImages(&opt.Images),
		RunE: func(cmd *cobra.Command, args []string) error {
			line := progress.New(os.Stderr)
			var from *fromAnomalyMatch
			if theirs != "" {
				t, err := session.ReadAnomalyMatch(theirs)
				if err != nil {
					return err
				}
				from = &fromAnomalyMatch{t.File, t.Taken, t.Ignored}
				opt.Settings = t.Settings
				if opt.Reading == (dataset.Reading{}) {
					opt.Reading = t.Reading
				}
				if len(opt.Images) == 0 && t.Images != "" {
					opt.Images = []string{t.Images}
				}
				labels = cmp.Or(labels, t.Labels)
				if len(tables) == 0 && t.Metadata != "" {
					tables = []string{t.Metadata}
				}
				from.tell(line)
			}
			p, err := session.Create(args[0], opt)
			if err != nil {
				return err
			}
			made, err := fill(cmd.Context(), p, labels, known, tables, key, line)
			line.Clear()
			if err != nil && exitCode(err) != exitBadInputs {
				return errors.Join(err, p.Discard())
			}
			session.Remember(p.Dir)
			made.AnomalyMatch = from
			if sayBad(line, made.bad); err == nil && made.Bad > 0 {
				err = badInputs("%s cannot be used and %s left out, the project is there", common.Plural(made.Bad, "input"), map[bool]string{true: "is", false: "are"}[made.Bad == 1])
			}
			if asJSON {
				return errors.Join(printJSON(cmd, made), err)
			}
			made.print(cmd)
			return err
		},
	}
	cmd.Flags().StringArrayVarP(&opt.Images, "images", "i", nil, "folder with the images, or a container of them ("+dataset.Containers()+"); can be given several times")
	readingFlags(cmd, &opt.Reading)
	cmd.Flags().StringVar(&labels, "labels", "", "CSV filename,label with what is known already")
	cmd.Flags().StringVar(&theirs, "anomalymatch", "", "config.toml of AnomalyMatch, or the folder of one of its sessions: its settings, and its images and labels where they are there")
	cmd.Flags().StringVar(&known, "truth", "", "CSV filename,truth with what the images really are: nothing is trained on it, the scores page measures by it")
	cmd.Flags().StringArrayVar(&tables, "metadata", nil, "CSV, Parquet or FITS table of what is known of the images, matched by their names; can be given several times")
	cmd.Flags().StringVar(&key, "key", "", "the column of the metadata that names images (default: found by its name)")
	cmd.Flags().IntVar(&opt.Size, "size", 0, "pixels a side that the network sees (default 64)")
	cmd.Flags().BoolVar(&opt.Prepare, "prepare", false, "keep the decoded pixels in the project, so that later passes decode nothing (images.prepare)")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagFilename("labels", "csv")
	_ = cmd.MarkFlagFilename("truth", "csv")
	return cmd
}

// readingFlags are how the files of the images are read; project.toml keeps it with each source.
func readingFlags(cmd *cobra.Command, r *dataset.Reading) {
	f := cmd.Flags()
	f.StringVar(&r.Select, "select", "", "which arrays of a file are the image: HDUs of FITS by number or name (VIS,NIR-Y), an array of HDF5, npz or Zarr")
	f.StringVar(&r.Files, "files", "", "ends of the names of files that are the bands of one object (_VIS.fits,_Y.fits)")
	f.StringVar(&r.Channels, "channels", "", "channels of the network: how many of the first bands (\"5\"), or for each channel a weight of each band (\"1 0 0; 0 1 0; 0 0 1\"); default: three")
	f.StringVar(&r.Stretch, "stretch", "", "how values become grey levels: "+stretch.Names()+" (default: colours as they are, other values by percentile)")
	f.Float64Var(&r.Low, "low", 0, "value that is black; with --high the same for all images")
	f.Float64Var(&r.High, "high", 0, "value that is white")
}

// madeProject is what `new` says.
type madeProject struct {
	Project string    `json:"project"`
	Images  int       `json:"images"`
	Bad     int       `json:"bad"` // files and folders that the listing could not look into
	Labels  *imported `json:"labels,omitempty"`

	Metadata     []meta.Report     `json:"metadata,omitempty"`
	AnomalyMatch *fromAnomalyMatch `json:"anomalymatch,omitempty"`

	bad []dataset.BadImage
}

// fromAnomalyMatch is what became of a config of AnomalyMatch.
type fromAnomalyMatch struct {
	Config  string   `json:"config"`
	Taken   []string `json:"taken"`
	Ignored []string `json:"ignored"`
}

func (f fromAnomalyMatch) tell(line *progress.Line) {
	for _, t := range f.Taken {
		line.Say("taken: " + t)
	}
	for _, t := range f.Ignored {
		line.Say("no counterpart: " + t)
	}
}

// fill lists the images of a new project and takes in the labels that there are.
func fill(ctx context.Context, p *session.Project, labels, known string, tables []string, key string, line *progress.Line) (madeProject, error) {
	pool, err := p.OpenPool(ctx, func(n int64) { line.Set(progress.Listing(n)) })
	if err != nil {
		return madeProject{}, err
	}
	defer pool.Close()
	if err := tryImages(ctx, pool); err != nil {
		return madeProject{}, err
	}
	if known != "" {
		if err := takeTruth(p, pool, known); err != nil {
			return madeProject{}, err
		}
	}
	made := madeProject{Project: p.Dir, Images: pool.Len(), bad: pool.Skipped}
	made.Bad = len(made.bad)
	var bad error
	if len(tables) > 0 {
		said, err := takeMetadata(ctx, p, pool, tables, key, line)
		if err != nil && exitCode(err) != exitBadInputs {
			return made, err
		}
		made.Metadata, bad = said.Tables, err
	}
	if labels != "" {
		in, err := importLabels(p, pool, labels, importAs{LabelOptions: session.LabelOptions{Threshold: session.UsualThreshold}}, line)
		made.Labels = &in
		if err != nil {
			return made, err
		}
	}
	return made, bad
}

// takeTruth keeps a copy of a truth file in the project, if it can be read.
func takeTruth(p *session.Project, pool *dataset.Pool, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("the truth cannot be read: %w", err)
	}
	if _, err := truth.Read(bytes.NewReader(text), pool.Len(), pool.Match); err != nil {
		return fmt.Errorf("%s: %w", common.Clean(file), err)
	}
	return atomicfile.Write(p.Sub(truth.Name), func(w io.Writer) error { _, err := w.Write(text); return err })
}

// tryImages decodes a few images: a folder of other things with the names of images is found now and not when training starts.
func tryImages(ctx context.Context, pool *dataset.Pool) error {
	const tries = 16
	var first error
	n := 0
	for i := 0; i < pool.Len() && n < tries; i += max(1, pool.Len()/tries) {
		_, err := pool.Image(ctx, i)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if first == nil {
			first = err
		}
		n++
	}
	return fmt.Errorf("none of %s tried can be read; the first: %w", common.Plural(n, "image"), first)
}

func (m madeProject) print(cmd *cobra.Command) {
	out := cmd.OutOrStdout()
	dir := common.Clean(m.Project)
	fmt.Fprintf(out, "%s: %s", dir, common.Plural(m.Images, "image"))
	if m.Bad > 0 {
		fmt.Fprintf(out, ", %s that cannot be read", common.Plural(m.Bad, "file"))
	}
	fmt.Fprintln(out)
	for _, r := range m.Metadata {
		fmt.Fprintln(out, told(r, m.Images))
	}
	if m.Labels != nil {
		fmt.Fprintln(out, m.Labels)
	}
	fmt.Fprintf(out, "look and label:  anomalymatch %s\n", dir)
}
