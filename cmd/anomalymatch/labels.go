package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/label"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func labelsCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "labels",
		GroupID: groupWork,
		Short:   "Labels as CSV, in and out, and who gave them",
	}, labelsImport(), labelsExport(), labelsHistory(), labelsAudit(), labelsMerge(), labelsAgreement())
}

func labelsImport() *cobra.Command {
	var asJSON bool
	var how importAs
	var as string
	cmd := &cobra.Command{
		Use:   "import PROJECT FILE",
		Short: "Take labels from a CSV filename,label, or from another program",
		Long: "Take labels from a CSV whose first line is filename,label (or id,label). A name may be an image's id, its path or, where only one image has it, its " +
			"file name; a label is anomaly or 1, normal or 0, skip. Lines that cannot be used are listed and left out.\n\n" +
			"Files of other programs are known by what is in them: tables of Astronomaly with scores from 0 to 5 in human_label (--threshold), exports of Label Studio as JSON or " +
			"JSON-MIN (its choices are the same words, or those of --anomaly-choice and --normal-choice), and lists of names without labels, such as AnomalyMatch's best ones as CSV or npy (--as). " +
			"A file that is not understood as a whole changes nothing.\n\n" +
			"An engine that runs sees the labels within seconds.",
		Example: `anomalymatch labels import rings labeled_data.csv
anomalymatch labels import rings ml_scores.csv --threshold 4
anomalymatch labels import rings project-1.json --anomaly-choice "Ring" --normal-choice "Spiral" --normal-choice "Elliptical"
anomalymatch labels import rings top1000.csv --as bookmark`,
		Args: exactly("PROJECT", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch as {
			case "":
			case label.Bookmark:
				how.As, how.bookmark = label.Skip, true
			case string(label.Anomaly), string(label.Normal), string(label.Skip):
				how.As = label.Value(as)
			default:
				return usage("--as %q: must be anomaly, normal, skip or bookmark", as)
			}
			if how.Threshold <= 0 || how.Threshold > 5 {
				return usage("--threshold %v: must be above 0, and 5 at most", how.Threshold)
			}
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			line := progress.New(os.Stderr)
			pool, err := p.OpenPool(cmd.Context(), func(n int64) { line.Set(progress.Listing(n)) })
			line.Clear()
			if err != nil {
				return err
			}
			defer pool.Close()
			in, err := importLabels(p, pool, args[1], how, line)
			if err != nil && exitCode(err) != exitBadInputs {
				return err
			}
			if asJSON {
				return errors.Join(printJSON(cmd, in), err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), in)
			return err
		},
	}
	cmd.Flags().Float64Var(&how.Threshold, "threshold", session.UsualThreshold, "scores of Astronomaly from this one on are anomalies, those below are normal")
	cmd.Flags().StringArrayVar(&how.Anomaly, "anomaly-choice", nil, "choice of Label Studio that means anomaly; can be given several times")
	cmd.Flags().StringArrayVar(&how.Normal, "normal-choice", nil, "choice of Label Studio that means normal; can be given several times")
	cmd.Flags().StringVar(&as, "as", "", "what the images of a list of names are: anomaly, normal, skip or bookmark")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func labelsExport() *cobra.Command {
	var out, format string
	var marks bool
	cmd := &cobra.Command{
		Use:   "export PROJECT",
		Short: "Write the current labels as CSV filename,label or as lines of JSON",
		Long: "Write the current labels as CSV filename,label, one line an image. With --marks it is bookmarks and tags instead: filename,mark, one line a mark, " +
			"which is bookmark or a number from 1 to 9. As lines of JSON (--format jsonl, or a file that ends in .jsonl) each image has a line with its id, label, " +
			"who gave it (by) and when (time), bookmark and tags.",
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format == "" {
				format = "csv"
				if ext := strings.ToLower(filepath.Ext(out)); ext == ".jsonl" || ext == ".ndjson" {
					format = "jsonl"
				}
			}
			switch {
			case format != "csv" && format != "jsonl":
				return usage("--format is csv or jsonl")
			case format == "jsonl" && marks:
				return usage("--marks is of CSV: lines of JSON have labels and marks")
			}
			_, labels, err := openLabels(args[0])
			if err != nil {
				return err
			}
			write := func(w io.Writer) error {
				if format == "jsonl" {
					return session.WriteLabelsJSON(w, labels.Current(), labels.Marks(), labels.History("", 0))
				}
				if marks {
					return session.WriteMarksCSV(w, labels.Marks())
				}
				return session.WriteLabelsCSV(w, labels.Current())
			}
			if out == "" {
				return write(cmd.OutOrStdout())
			}
			if err := atomicfile.Replace(out, write); err != nil {
				return fmt.Errorf("the labels cannot be written: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write instead of standard output")
	cmd.Flags().StringVar(&format, "format", "", "csv or jsonl (default: by the end of --out, else csv)")
	cmd.Flags().BoolVar(&marks, "marks", false, "bookmarks and tags instead of labels")
	_ = cmd.MarkFlagFilename("out", "csv", "jsonl")
	return cmd
}

func labelsHistory() *cobra.Command {
	var by string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "history PROJECT",
		Short: "Who gave which label when, newest last",
		Args:  exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usage("--limit is a number of labels; 0 means all")
			}
			_, labels, err := openLabels(args[0])
			if err != nil {
				return err
			}
			events := labels.History(by, limit)
			if asJSON {
				return printHistoryJSON(cmd.OutOrStdout(), events)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, e := range events {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.Time.Local().Format(time.DateTime), common.Clean(e.By), change(e.Change), common.Clean(e.ID))
			}
			return table.Flush()
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "labels of this writer only")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many, 0 for all; a step is never cut in two")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func openLabels(dir string) (*session.Project, *journal.Journal, error) {
	p, err := session.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	labels, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	return p, labels, err
}

// change is a label event in a word or two.
func change(c label.Change) string {
	if c.Mark != "" {
		what := c.Mark
		if what != label.Bookmark {
			what = "tag " + what
		}
		if c.To == label.None {
			what += " taken away"
		}
		return what
	}
	to := cmp.Or(string(c.To), "cleared")
	if c.From == label.None || c.From == c.To {
		return to
	}
	return to + ", was " + string(c.From)
}

func printHistoryJSON(w io.Writer, events []journal.Event) error {
	type event struct {
		Time time.Time   `json:"time"`
		By   string      `json:"by"`
		UID  string      `json:"uid"`
		ID   string      `json:"id"`
		To   label.Value `json:"label"`
		From label.Value `json:"prev"`
		Mark string      `json:"mark,omitempty"`
	}
	all := make([]event, 0, len(events))
	for _, e := range events {
		all = append(all, event{e.Time, e.By, e.UID, e.ID, e.To, e.From, e.Mark})
	}
	return say.JSON(w, all)
}
