package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/bench"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

// reviewFlags are what `bench review` was asked for.
type reviewFlags struct {
	images, pool, method, runtime, work  string
	labels                               []string
	size, step, looks, iterations, seeds int
	seed                                 int64
	asJSON                               bool
}

func benchReviewCommand() *cobra.Command {
	var f reviewFlags
	cmd := &cobra.Command{
		Use:   "review --images DIR --pool pool.csv --labels labels.csv",
		Short: "How many images a person must look at to find the anomalies",
		Long: "As a person works, with no oracle: look at the top of the list, label what is there with the truth, train, and again. pool.csv has the columns " +
			"filename,truth and labels.csv filename,label, each anomaly or normal.\n\n" +
			"--labels none starts without labels: the list is the untrained one until an anomaly is found. --labels one starts from a single anomaly, " +
			"drawn from labels.csv if --labels names that too, else from pool.csv.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.images, "images", "", "folder of the images")
	flags.StringVar(&f.pool, "pool", "", "CSV filename,truth")
	flags.StringArrayVar(&f.labels, "labels", nil, "CSV filename,label to start from; none or one")
	flags.StringVar(&f.method, "method", "fixmatch", "fixmatch, fast, best or joint (best and fixmatch)")
	flags.StringVar(&f.work, "work", "", "folder that keeps the embeddings for the next run")
	flags.IntVar(&f.size, "size", 0, "pixels a side; best embeds at fast.size of the settings (default: the settings')")
	flags.IntVar(&f.step, "step", 20, "images looked at between two trainings")
	flags.IntVar(&f.looks, "looks", 600, "images looked at")
	flags.IntVar(&f.iterations, "iterations", 100, "training steps of the network each time")
	flags.Int64Var(&f.seed, "seed", 42, "of everything random")
	seedsFlag(cmd, &f.seeds)
	runtimeFlag(cmd, &f.runtime)
	jsonFlag(cmd, &f.asJSON)
	return cmd
}

func seedsFlag(cmd *cobra.Command, to *int) {
	cmd.Flags().IntVar(to, "seeds", 1, "runs: --seed and those after it, which start from as many labels drawn anew from the truth")
}

func checkSeeds(n int) error {
	if n < 1 || n > 1000 {
		return usage("--seeds is 1 to 1000")
	}
	return nil
}

// start is the file of labels, "" if none is named, and what is known at the start.
func (f *reviewFlags) start() (file, known string, err error) {
	for _, v := range f.labels {
		to := &file
		if v == bench.KnownNone || v == bench.KnownOne {
			to = &known
		}
		if *to != "" {
			return "", "", usage("--labels is one CSV file, and none or one beside it")
		}
		*to = v
	}
	if file == "" && known == "" {
		return "", "", usage("--labels is missing: a CSV file filename,label, or none, or one")
	}
	return file, known, nil
}

func (f *reviewFlags) run(cmd *cobra.Command) error {
	labels, known, err := f.start()
	switch {
	case f.images == "":
		return usage("--images is missing")
	case f.pool == "":
		return usage("--pool is missing")
	case err != nil:
		return err
	case !slices.Contains(bench.Methods, f.method):
		return usage("--method is one of %s", strings.Join(bench.Methods, ", "))
	case f.step < 1 || f.looks < 1 || f.iterations < 1:
		return usage("--step, --looks and --iterations are 1 or more")
	}
	if err := checkSeeds(f.seeds); err != nil {
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
		if f.work, err = os.MkdirTemp("", "anomalymatch-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(f.work)
	}
	p, err := bench.OpenPool(cmd.Context(), f.images, f.pool, labels, filepath.Join(f.work, "index"))
	if err != nil {
		return err
	}
	defer p.Images.Close()
	line := progress.New(os.Stderr)
	opt := bench.Options{Config: cfg, Method: f.method, Dir: f.work, Progress: benchProgress(line)}
	runs, err := bench.Seeds(p, opt, f.seeds, func(p *bench.Pool, opt bench.Options) (*bench.Review, error) {
		return bench.Looks(cmd.Context(), p, bench.ReviewOptions{Options: opt, Step: f.step, Looks: f.looks, Known: known})
	})
	line.Clear()
	if err != nil {
		return err
	}
	return printReviews(cmd, f.asJSON, runs)
}

// printReviews writes one document, or a table.
func printReviews(cmd *cobra.Command, asJSON bool, runs []*bench.Review) error {
	mean := bench.MeanOfReviews(runs)
	switch {
	case asJSON && len(runs) == 1:
		return printJSON(cmd, runs[0])
	case asJSON:
		return printJSON(cmd, bench.Many[*bench.Review, bench.ReviewMean]{Runs: runs, Mean: mean})
	}
	out := cmd.OutOrStdout()
	r := runs[0]
	fmt.Fprintf(out, "method %s at %d px on %s, %s, %d + %d labels at the start, %s anomalies to find\n", r.Method, r.Size, common.Clean(r.Backend),
		seedsOf(r.Seed, len(runs)), r.Labels.Anomaly, r.Labels.Normal, plusMinus(mean.Total, "%.0f", 1))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "looked at\tfound")
	decimals := "%.0f"
	if len(runs) > 1 {
		decimals = "%.1f"
	}
	for _, row := range mean.Found {
		fmt.Fprintf(table, "%s\t%s\n", common.Count(row.Looks), plusMinus(row.Stat, decimals, 1))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, to := range []struct {
		share string
		bench.LooksMean
	}{{"half", mean.LooksToHalf}, {"90%", mean.LooksTo90}} {
		of := ""
		if len(runs) > 1 {
			of = fmt.Sprintf(" (reached in %d of %s)", to.Reached, common.Plural(len(runs), "run"))
		}
		looks := "not reached"
		if to.Reached > 0 {
			looks = plusMinus(to.Stat, "%.0f", 1)
		}
		if _, err := fmt.Fprintf(out, "looks to %s: %s%s\n", to.share, looks, of); err != nil {
			return err
		}
	}
	return nil
}

// printProtocols writes several runs of the protocol.
func printProtocols(cmd *cobra.Command, asJSON bool, runs []*bench.Report) error {
	mean := bench.MeanOfProtocols(runs)
	if asJSON {
		return printJSON(cmd, bench.Many[*bench.Report, bench.ProtocolMean]{Runs: runs, Mean: mean})
	}
	out := cmd.OutOrStdout()
	r := runs[0]
	fmt.Fprintf(out, "method %s at %d px on %s, %s\n", r.Method, r.Size, common.Clean(r.Backend), seedsOf(r.Seed, len(runs)))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "cycle\tlabels\tAUROC\tAUPRC\ttop 1%: precision")
	for k, c := range mean.Cycles {
		l := r.Cycles[k].Labels
		fmt.Fprintf(table, "%d\t%d + %d\t%s\t%s\t%s\n", c.Cycle, l.Anomaly, l.Normal, stat(c.AUROC), stat(c.AUPRC), plusMinus(c.Precision["1"], "%.1f%%", 100))
	}
	return table.Flush()
}

func seedsOf(first int64, n int) string {
	if n == 1 {
		return fmt.Sprintf("seed %d", first)
	}
	return fmt.Sprintf("seeds %d to %d", first, first+int64(n)-1)
}

// plusMinus writes mean ± deviation, times scale; the mean alone where all values are the same.
func plusMinus(s bench.Stat, format string, scale float64) string {
	switch {
	case s.Mean == nil:
		return "–"
	case s.SD == nil || *s.SD == 0:
		return fmt.Sprintf(format, *s.Mean*scale)
	}
	return fmt.Sprintf(format+" ± "+format, *s.Mean*scale, *s.SD*scale)
}
