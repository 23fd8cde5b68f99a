package main

import (
	"cmp"
	"encoding/json"
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
	cmd := &cobra.Command{
		Use:   "import PROJECT FILE.csv",
		Short: "Take labels from a CSV filename,label",
		Long: "Take labels from a CSV whose first line is filename,label (or id,label). A name may be an image's id, its path or, where only one image has it, its " +
			"file name; a label is anomaly or 1, normal or 0, skip. Lines that cannot be used are listed and left out. An engine that runs sees the labels within seconds.",
		Args: exactly("PROJECT", "FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			in, err := importLabels(p, pool, args[1], line)
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
			if err := atomicfile.Write(out, write); err != nil {
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
	return json.NewEncoder(w).Encode(all)
}
