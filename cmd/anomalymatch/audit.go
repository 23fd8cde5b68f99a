package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func labelsAudit() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "audit PROJECT",
		Short: "List labels that are worth a second look, the worst first",
		Long: "List labels that are worth a second look, the worst first: those that differ from a near-duplicate's, and those with which the fast ranking " +
			"strongly disagrees when it knows all labels but that one. The project's engine does it; it is started if none runs, and goes on running.",
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			f, err := follow(cmd.Context(), p, progress.New(os.Stderr))
			if err != nil {
				return err
			}
			defer f.Close()
			a, err := audit(cmd.Context(), f)
			if err != nil {
				return err
			}
			a.Project = p.Dir
			if asJSON {
				return printJSON(cmd, a)
			}
			return a.print(cmd.OutOrStdout())
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// audited is `labels audit --json`.
type audited struct {
	Project   string  `json:"project"`
	Anomalies int64   `json:"anomalies"` // labels that were looked through
	Normals   int64   `json:"normals"`
	Doubts    []doubt `json:"doubts"` // the worst first
}

type doubt struct {
	ID    string   `json:"id"`
	Label string   `json:"label"`
	Score *float32 `json:"score"` // of a model that does not know the label; null: there is none
	Why   string   `json:"why"`
}

func audit(ctx context.Context, f *follower) (audited, error) {
	ready := func(s *rpc.Status) bool { return s.GetEmbedded() || s.GetState() == "idle" && s.GetError() != "" }
	if !ready(f.status) {
		if err := f.until(ctx, ready); err != nil {
			if ctx.Err() != nil {
				return audited{}, cancelled("the audit is cancelled")
			}
			return audited{}, err
		}
	}
	f.line.Clear()
	if s := f.status; !s.GetEmbedded() {
		return audited{}, errors.New(s.GetError())
	}
	a := audited{Anomalies: f.status.GetAnomalies(), Normals: f.status.GetNormals(), Doubts: []doubt{}}
	const page = 1000
	for {
		r, err := f.client.Ranking(ctx, &rpc.RankingRequest{Filter: "audit", Offset: int64(len(a.Doubts)), Limit: page})
		if err != nil {
			return audited{}, said(err)
		}
		for _, i := range r.GetItems() {
			d := doubt{ID: i.GetId(), Label: i.GetLabel(), Why: i.GetWhy()}
			if s := i.GetScore(); !math.IsNaN(float64(s)) {
				d.Score = &s
			}
			a.Doubts = append(a.Doubts, d)
		}
		if len(r.GetItems()) == 0 || int64(len(a.Doubts)) >= r.GetTotal() {
			return a, nil
		}
	}
}

func (a audited) print(out io.Writer) error {
	if len(a.Doubts) == 0 {
		text := fmt.Sprintf("nothing speaks against any of %s", common.Plural(a.Anomalies+a.Normals, "label"))
		if a.Anomalies < 2 || a.Normals < 2 {
			text = fmt.Sprintf("nothing to go by: an audit needs two anomalies and two normal images, there are %d and %d", a.Anomalies, a.Normals)
		}
		_, err := fmt.Fprintln(out, text)
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range a.Doubts {
		fmt.Fprintf(table, "%s\t%s\t%s\n", common.Clean(d.Label), common.Clean(d.Why), common.Clean(d.ID))
	}
	return table.Flush()
}
