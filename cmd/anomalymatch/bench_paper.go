package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/plots"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/bench"
	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"

	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// paperFlags are what `bench paper` was asked for.
type paperFlags struct {
	layout                                 bench.Layout
	setting, method, runtime, against, out string
	work                                   string
	seeds, cycles, iterations, size        int
	seed                                   int64
	asJSON                                 bool
}

func benchPaperCommand() *cobra.Command {
	var f paperFlags
	cmd := &cobra.Command{
		Use:   "paper --images DIR",
		Short: "The paper's table and curves on a data set of yours",
		Long: "The paper's experiment on a data set whose classes are known: each class is the anomaly in turn, with several seeds; the table is of " +
			"the ranking after the last cycle. Two settings: miniimagenet (as many anomalies as are 1% of the pool; 5 of them and 495 others " +
			"labelled at the start) and galaxymnist (all images of the class; 10 and 30). After each cycle but the last an oracle labels the 10 " +
			"highest-scoring anomalies and the 10 highest-scoring others.\n\n" +
			"Layout folders: an image's folder is its class, DIR/CLASS/*.jpg or .png.\n\n" +
			"Layout pool: DIR/pool.csv, or --pool CSV, with filename,class or with filename,truth (anomaly or normal: one class to look for).\n\n" +
			"Layout galaxyzoo: the Galaxy Zoo challenge's DIR/training_solutions_rev1.csv, or --pool CSV, with GalaxyID and vote shares; anomaly " +
			"is a galaxy with more votes for odd (Class6.1) than --threshold; its image is GalaxyID.jpg. The setting is galaxymnist if none is named.\n\n" +
			"Figures and curves leave out the labelled images. --against draws another program's points beside the detection curve: a CSV with the " +
			"columns inspected,found. Values that are all at most 1 are shares of the images and of the anomalies; otherwise they are counts of images.\n\n" +
			"A full run takes hours: what is done is kept in --work, and the same command goes on where it was cut off.",
		Example: `# three classes of a folder of folders, on the frozen network alone
anomalymatch bench paper --images miniimagenet --classes koala,goose,jellyfish --method fast
# the Galaxy Zoo challenge beside another program's detection curve
anomalymatch bench paper --images galaxyzoo --threshold 0.9 --against theirs.csv`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.layout.Images, "images", "", "folder of the data set")
	flags.StringVar(&f.layout.Kind, "layout", "auto", "auto, folders, pool or galaxyzoo")
	flags.StringVar(&f.layout.Table, "pool", "", "CSV that says the classes (default: the one in --images)")
	flags.Float64Var(&f.layout.Threshold, "threshold", 0.9, "share of votes for odd above which a galaxy is an anomaly, usually 0.7 to 0.95")
	flags.StringSliceVar(&f.layout.Classes, "classes", nil, "look for these classes alone: a,b,c")
	flags.StringVar(&f.setting, "setting", "", "miniimagenet or galaxymnist (default: as the layout says)")
	flags.StringVar(&f.method, "method", "fixmatch", "fixmatch, fast, best or joint (best and fixmatch)")
	flags.IntVar(&f.seeds, "seeds", 3, "runs of each class")
	flags.Int64Var(&f.seed, "seed", 42, "of the first run; the next ones count on")
	flags.IntVar(&f.cycles, "cycles", 3, "rounds of training")
	flags.IntVar(&f.iterations, "iterations", 100, "training steps a round")
	flags.IntVar(&f.size, "size", 0, "pixels a side (default: the settings')")
	flags.StringVar(&f.against, "against", "", "CSV inspected,found of another program")
	flags.StringVar(&f.out, "out", "paper", "folder for the pictures")
	flags.StringVar(&f.work, "work", "", "folder that keeps finished runs and embeddings (default: work in --out)")
	runtimeFlag(cmd, &f.runtime)
	jsonFlag(cmd, &f.asJSON)
	return cmd
}

// check is what can be said before anything is read.
func (f *paperFlags) check() error {
	switch {
	case f.layout.Images == "":
		return usage("--images is missing: the folder of the data set")
	case f.layout.Kind == "folders" && f.layout.Table != "":
		return usage("--layout folders needs no --pool")
	case !slices.Contains([]string{"auto", "folders", "pool", "galaxyzoo"}, f.layout.Kind):
		return usage("--layout is auto, folders, pool or galaxyzoo")
	case !(f.layout.Threshold > 0 && f.layout.Threshold < 1):
		return usage("--threshold is a share of votes between 0 and 1, usually 0.7 to 0.95")
	case !slices.Contains(bench.Methods, f.method):
		return usage("--method is one of %s", strings.Join(bench.Methods, ", "))
	case f.seeds < 1 || f.seeds > 1000 || f.cycles < 1 || f.iterations < 1:
		return usage("--seeds, --cycles and --iterations are 1 or more")
	case f.seed < 0:
		return usage("--seed is 0 or more")
	}
	if _, err := f.settingOf(""); f.setting != "" && err != nil {
		return err
	}
	return nil
}

// settingOf is the setting asked for, or that of the layout.
func (f *paperFlags) settingOf(layout string) (bench.Setting, error) {
	name := f.setting
	switch {
	case name != "":
	case layout == "galaxyzoo":
		name = "galaxymnist"
	default:
		name = "miniimagenet"
	}
	for _, s := range bench.Settings() {
		if s.Name == name {
			return s, nil
		}
	}
	return bench.Setting{}, usage("--setting is miniimagenet or galaxymnist")
}

// paperJSON is the document of --json.
type paperJSON struct {
	*bench.PaperReport
	Against *againstJSON `json:"against,omitempty"`
	Plots   []string     `json:"plots"`
}

// againstJSON is another program's curve as shares.
type againstJSON struct {
	File      string    `json:"file"`
	Counts    bool      `json:"counts"` // as it was written
	Inspected []float64 `json:"inspected"`
	Found     []float64 `json:"found"`
}

func (f *paperFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	cfg, err := benchConfig(f.runtime, func(c *anomalymatch.Config) {
		c.Seed, c.FixMatch.Iterations = f.seed, f.iterations
		sizes(c, f.method, f.size)
	})
	if err != nil {
		return err
	}
	if f.work == "" {
		f.work = filepath.Join(f.out, "work")
	}
	for _, dir := range []string{f.out, f.work} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return fmt.Errorf("the results have no place: %w", err)
		}
	}
	line := progress.New(os.Stderr)
	defer line.Clear()
	line.Set("listing the images")
	d, err := bench.OpenDataSet(cmd.Context(), f.layout, filepath.Join(f.work, "index"))
	if err != nil {
		return err
	}
	defer d.Close()
	if d.LeftOut > 0 {
		line.Say(leftOut(d))
	}
	setting, err := f.settingOf(d.Layout)
	if err != nil {
		return err
	}
	against, err := f.points(d, setting)
	if err != nil {
		return err
	}
	report, err := bench.Paper(cmd.Context(), d, bench.PaperOptions{
		Options: bench.Options{Config: cfg, Method: f.method, Cycles: f.cycles, Dir: f.work, Progress: benchProgress(line)},
		Setting: setting, Seeds: f.seeds, Say: line.Say,
	})
	line.Clear()
	var part *bench.Unfinished
	switch {
	case errors.As(err, &part) && errors.Is(err, context.Canceled):
		return cancelled("cut off: %d of %d runs are done and kept in %q; the same command goes on with the others", part.Done, part.All, f.work)
	case err != nil:
		return err
	}
	pictures, err := plots.WritePNG(f.out, report, against)
	if err != nil {
		return err
	}
	if f.asJSON {
		doc := paperJSON{PaperReport: report, Plots: pictures}
		if against != nil {
			doc.Against = &againstJSON{against.Name, against.Counts, against.X, against.Y}
		}
		err = printJSON(cmd, doc)
	} else {
		err = printPaper(cmd.OutOrStdout(), report, against, cfg.TUI.Theme)
		fmt.Fprintf(cmd.OutOrStdout(), "pictures: %s\n", common.Clean(strings.Join(pictures, ", ")))
	}
	if err == nil && d.LeftOut > 0 {
		return badInputs("%s", leftOut(d))
	}
	return err
}

func leftOut(d *bench.DataSet) string {
	if d.Layout == "folders" {
		return fmt.Sprintf("%s left out; the first: %s", common.Plural(d.LeftOut, "image"), d.Why)
	}
	return fmt.Sprintf("%s of the table left out, which name no image; the first: %s", common.Plural(d.LeftOut, "row"), d.Why)
}

// points reads the other program's detection curve.
func (f *paperFlags) points(d *bench.DataSet, s bench.Setting) (*plots.Points, error) {
	if f.against == "" {
		return nil, nil
	}
	anomalies, others := d.Counts(d.Anomalies[0], s)
	p, err := bench.ReadPoints(f.against, anomalies+others, anomalies)
	if err != nil {
		return nil, err
	}
	for _, class := range d.Anomalies[1:] {
		if a, o := d.Counts(class, s); p.Counts && (a != anomalies || o != others) {
			return nil, fmt.Errorf("%s has counts, which are of one pool, and the classes' pools differ: write shares, or choose one class with --classes", filepath.Base(f.against))
		}
	}
	return &plots.Points{Points: p, Name: filepath.Base(f.against)}, nil
}

// printPaper writes the table and the charts; colours only where the terminal has them.
func printPaper(w io.Writer, r *bench.PaperReport, against *plots.Points, theme string) error {
	fmt.Fprintf(w, "setting %s (%d + %d labels), method %s at %d px on %s, %s, %s\n\n", r.Setting.Name, r.Setting.Anomalies, r.Setting.Normals, r.Method, r.Size,
		common.Clean(strings.Join(r.Backends, " and ")), common.Plural(r.Cycles, "cycle"), common.Plural(len(r.Seeds), "seed"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "anomaly\timages\tof them\tAUROC\tAUPRC\ttop 1%: precision\trecall\ttop 0.1%: precision\trecall")
	row := func(name, images, anomalies string, f bench.Figures) {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", common.Cut(common.Clean(name), 30), images, anomalies,
			stat(f.AUROC), stat(f.AUPRC), stat(f.Precision["1"]), stat(f.Recall["1"]), stat(f.Precision["0.1"]), stat(f.Recall["0.1"]))
	}
	for _, c := range r.Classes {
		row(c.Class, common.Count(c.Images), common.Count(c.Anomalies), c.Figures)
	}
	if len(r.Classes) > 1 {
		row("mean ± over classes", "", "", r.Mean.OverClasses)
		row("mean ± over seeds", "", "", r.Mean.OverSeeds)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n\n", plots.Found(r))
	width := 80
	if file, ok := w.(*os.File); ok {
		if cells, _, err := term.GetSize(int(file.Fd())); err == nil && cells >= 40 {
			width = min(cells, 140)
		}
	}
	colours := colorprofile.NewWriter(w, os.Environ())
	for _, line := range plots.Terminal(styles.New(theme, os.Getenv("NO_COLOR") != ""), r, against, width) {
		if _, err := fmt.Fprintln(colours, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// stat is 0.961 ± 0.012.
func stat(s bench.Stat) string {
	switch {
	case s.Mean == nil:
		return "–"
	case s.SD == nil:
		return fmt.Sprintf("%.3f", *s.Mean)
	}
	return fmt.Sprintf("%.3f ± %.3f", *s.Mean, *s.SD)
}
