package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/agreement"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/label"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func labelsMerge() *cobra.Command {
	var by string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "merge PROJECT FILE|FOLDER…",
		Short: "Bring in what other people labelled, and see how all agree",
		Long: "Bring the journals of other people (WRITER.jsonl of the labels folder of another copy of the project; of a folder all that are in it) into this project. " +
			"Every line is checked before anything is written, and nothing that is here is changed: a journal that is here already is only made longer, and one that went " +
			"another way is refused. Of an image that several people labelled the newest label is in force.\n\nA CSV filename,label needs --by NAME; its labels count as given " +
			"now, so that they are the newest. An engine that runs sees all of it within seconds.",
		Args: atLeast("PROJECT", "FILE|FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := session.FindLabelFiles(args[1:])
			if err != nil {
				return err
			}
			if len(files.CSVs) > 0 && strings.TrimSpace(by) == "" {
				return usage("whose labels are in %s? Say so with --by NAME", asWord(files.CSVs[0]))
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
			m, err := mergeLabels(p, pool, files, by, line)
			if err != nil && exitCode(err) != exitBadInputs {
				return err
			}
			_, labels, failed := openLabels(p.Dir)
			if failed != nil {
				return failed
			}
			m.Agreement = agreementOf(labels.History("", 0))
			if asJSON {
				return errors.Join(printJSON(cmd, m), err)
			}
			return errors.Join(m.print(cmd.OutOrStdout()), err)
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who gave the labels of a CSV")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func labelsAgreement() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "agreement PROJECT",
		Short: "How the people of a project agree, and on which images they do not",
		Long: "How the people of a project agree: the labels of each, and of each two the images that both labelled anomaly or normal, how many of them alike, and Cohen's kappa " +
			"(1: full agreement, 0: what chance gives). Then the images that they label differently, and which label is in force.",
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, labels, err := openLabels(args[0])
			if err != nil {
				return err
			}
			a := agreementOf(labels.History("", 0))
			if asJSON {
				return printJSON(cmd, a)
			}
			return a.print(cmd.OutOrStdout(), math.MaxInt)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// merged is `labels merge --json`.
type merged struct {
	Files     []mergedFile `json:"files"`
	Agreement agreed       `json:"agreement"`
}

type mergedFile struct {
	File     string `json:"file"`
	Writer   string `json:"writer"`
	State    string `json:"state"`    // new, longer, known: of a journal; csv
	Events   int    `json:"events"`   // in the file
	Added    int    `json:"added"`    // of them, new here
	Unknown  int    `json:"unknown"`  // images that are not in this project
	Replaced int    `json:"replaced"` // of a CSV: labels in force that it says otherwise about
}

func (f mergedFile) String() string {
	text := fmt.Sprintf("%s of %s", common.Plural(f.Added, "event"), common.Clean(f.Writer))
	switch f.State {
	case "known":
		text = "nothing new of " + common.Clean(f.Writer)
	case "csv":
		text = fmt.Sprintf("%s of %s", common.Plural(f.Added, "label"), common.Clean(f.Writer))
		if f.Replaced > 0 {
			text += fmt.Sprintf(", %d in place of another label", f.Replaced)
		}
	}
	if f.Unknown > 0 {
		text += "; " + common.Plural(f.Unknown, "image") + " not in this project"
	}
	return text
}

func (m merged) print(out io.Writer) error {
	for _, f := range m.Files {
		fmt.Fprintln(out, f)
	}
	fmt.Fprintln(out)
	return m.Agreement.print(out, listed)
}

// mergeLabels brings files into the project: journals first, which either all fit or none is taken.
func mergeLabels(p *session.Project, pool *dataset.Pool, files session.LabelFiles, by string, line *progress.Line) (merged, error) {
	m := merged{Files: []mergedFile{}}
	known := func(id string) bool { _, ok := pool.Find(id); return ok }
	journals, err := session.MergeJournals(p.Sub("labels"), files.Journals, known)
	for _, j := range journals {
		m.Files = append(m.Files, mergedFile{File: j.Path, Writer: j.Writer, State: j.Standing.String(), Events: j.Events, Added: j.Added, Unknown: j.Unknown})
	}
	if err != nil {
		return m, err
	}
	var bad error
	for _, file := range files.CSVs {
		f, err := mergeCSV(p, pool, file, by, line)
		if err != nil && exitCode(err) != exitBadInputs {
			return m, err
		}
		bad = errors.Join(bad, err)
		m.Files = append(m.Files, f)
	}
	if bad != nil {
		return m, badInputs("%s", sentence(bad))
	}
	return m, nil
}

// mergeCSV takes the labels of a CSV as those of a writer. Bad lines are listed and left out.
func mergeCSV(p *session.Project, pool *dataset.Pool, file, by string, line *progress.Line) (mergedFile, error) {
	out := mergedFile{File: file, Writer: by, State: "csv"}
	read, err := readLabels(file, session.LabelOptions{Threshold: session.UsualThreshold})
	rows, bad := read.Rows, read.Bad
	if err != nil {
		return out, err
	}
	store, err := journal.Open(p.Sub("labels"), by)
	if err != nil {
		return out, err
	}
	plan := session.PlanOpinions(rows, pool.Match, pool.ID, session.Own(store.History(by, 0), by), store.Current())
	if err := errors.Join(store.Append(by, label.ImportedUID+rand.Text(), plan.Changes), store.Close()); err != nil {
		return out, err
	}
	out.Events, out.Added, out.Replaced = len(rows), len(plan.Changes), plan.Replaced
	return out, sayBadRows(file, append(bad, plan.Bad...), line)
}

// agreed is `labels agreement --json`.
type agreed struct {
	Writers   []agreedWriter   `json:"writers"`
	Pairs     []agreedPair     `json:"pairs"`
	Conflicts []agreedConflict `json:"conflicts"` // the one with the newest label first
}

type agreedWriter struct {
	Name      string    `json:"name"`
	Events    int       `json:"events"`
	Anomalies int       `json:"anomalies"` // the newest labels of this writer
	Normals   int       `json:"normals"`
	Skipped   int       `json:"skipped"`
	Last      time.Time `json:"last"`
}

type agreedPair struct {
	A      string    `json:"a"`
	B      string    `json:"b"`
	Both   int       `json:"both"` // images that both labelled anomaly or normal
	Agree  int       `json:"agree"`
	Kappa  *float64  `json:"kappa"`  // Cohen's; null where it says nothing
	Counts [2][2]int `json:"counts"` // rows: a's label, columns: b's; anomaly, normal
}

type agreedConflict struct {
	ID       string      `json:"id"`
	Label    label.Value `json:"label"` // in force
	Opinions []opinion   `json:"opinions"`
}

type opinion struct {
	By    string      `json:"by"`
	Label label.Value `json:"label"`
	Time  time.Time   `json:"time"`
}

func agreementOf(events []journal.Event) agreed {
	r := agreement.Of(events)
	a := agreed{Writers: []agreedWriter{}, Pairs: []agreedPair{}, Conflicts: []agreedConflict{}}
	for _, w := range r.Writers {
		a.Writers = append(a.Writers, agreedWriter(w))
	}
	for _, p := range r.Pairs {
		pair := agreedPair{A: p.A, B: p.B, Both: p.Both(), Agree: p.Agree(), Counts: p.Counts}
		if k := p.Kappa(); !math.IsNaN(k) {
			pair.Kappa = &k
		}
		a.Pairs = append(a.Pairs, pair)
	}
	for _, c := range r.Conflicts {
		conflict := agreedConflict{ID: c.ID, Label: c.Label}
		for _, o := range c.Opinions {
			conflict.Opinions = append(conflict.Opinions, opinion(o))
		}
		a.Conflicts = append(a.Conflicts, conflict)
	}
	return a
}

// print writes the tables, and at most so many conflicts.
func (a agreed) print(out io.Writer, most int) error {
	if len(a.Writers) == 0 {
		_, err := fmt.Fprintln(out, "nobody has labelled anything yet")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, w := range a.Writers {
		fmt.Fprintf(table, "%s\t%d anomaly\t%d normal\t%d skip\t%s\n", common.Clean(w.Name), w.Anomalies, w.Normals, w.Skipped, w.Last.Local().Format(time.DateTime))
	}
	for _, p := range a.Pairs {
		kappa := "kappa –"
		if p.Kappa != nil {
			kappa = fmt.Sprintf("kappa %.2f", *p.Kappa)
		}
		fmt.Fprintf(table, "%s and %s\t%d of %d alike\t%s\n", common.Clean(p.A), common.Clean(p.B), p.Agree, p.Both, kappa)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(a.Pairs) == 0 {
		fmt.Fprintln(out, "no image was labelled by two people")
	}
	for _, c := range a.Conflicts[:min(len(a.Conflicts), most)] {
		var said []string
		for _, o := range c.Opinions {
			said = append(said, fmt.Sprintf("%s %s", common.Clean(o.By), o.Label))
		}
		force := string(c.Label)
		if force == "" {
			force = "no label"
		}
		fmt.Fprintf(out, "%s: %s; in force: %s\n", common.Clean(c.ID), strings.Join(said, ", "), force)
	}
	if more := len(a.Conflicts) - most; more > 0 {
		fmt.Fprintf(out, "and %s: `anomalymatch labels agreement` lists all\n", common.Plural(more, "more conflict"))
	}
	return nil
}
