package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

func statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status PROJECT",
		GroupID: groupWork,
		Short:   "Tell what a project's engine does and what there is",
		Args:    exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			s, err := projectStatus(cmd.Context(), p)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, s)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), s.text())
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// report is `status --json`.
type report struct {
	Project         string        `json:"project"`
	Name            string        `json:"name"`
	PID             int           `json:"pid"` // 0: no engine runs on this machine
	Host            string        `json:"host,omitempty"`
	Job             string        `json:"job,omitempty"`     // of a batch system, "slurm 1234"
	EndsAt          *time.Time    `json:"ends_at,omitempty"` // when the batch system ends the job
	State           string        `json:"state"`             // stopped, queued, idle, indexing, embedding, training, scoring, installing
	Detail          string        `json:"detail"`
	Backend         string        `json:"backend"`
	Version         string        `json:"version"` // of the engine
	Step            int64         `json:"step"`
	Steps           int64         `json:"steps"`
	ImagesPerSecond float64       `json:"images_per_second"`
	Remaining       *float64      `json:"remaining_seconds"` // null: not known
	Images          *int64        `json:"images"`            // that can be read; null: not listed yet
	Bad             int64         `json:"bad"`
	Candidates      int64         `json:"candidates"`
	Duplicates      int64         `json:"duplicates"` // images that are near-duplicates of another one; 0 where no engine runs
	Anomalies       int64         `json:"anomalies"`
	Normals         int64         `json:"normals"`
	Skipped         int64         `json:"skipped"`
	Cycle           int32         `json:"cycle"`
	RankedBy        string        `json:"ranked_by"`
	RankedAt        *time.Time    `json:"ranked_at"`
	Embedded        bool          `json:"embedded"`
	Offer           *runtimeOffer `json:"runtime_offer,omitempty"`
	Error           string        `json:"error"`
	RSS             float64       `json:"host_rss_mib"`
	ReadOnly        bool          `json:"read_only"`
}

type runtimeOffer struct {
	Kind     string `json:"kind"`
	Download int64  `json:"download_bytes"`
	Disk     int64  `json:"disk_bytes"`
}

// projectStatus asks the engine, or looks into the project's files if none runs. It starts none.
func projectStatus(ctx context.Context, p *session.Project) (report, error) {
	c, err := finder(p).Dial(ctx, p.Dir)
	if errors.Is(err, rpc.ErrNotRunning) {
		return filesStatus(ctx, p)
	}
	if q := (*rpc.QueuedError)(nil); errors.As(err, &q) {
		r, err := filesStatus(ctx, p)
		r.State, r.Job, r.Detail = "queued", q.Job, q.State
		return r, err
	}
	if err != nil {
		return report{}, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	hello, err := c.Hello(ctx, &rpc.HelloRequest{})
	var s *rpc.Status
	if err == nil {
		s, err = c.GetStatus(ctx, &rpc.StatusRequest{})
	}
	switch {
	case grpcstatus.Code(err) == codes.Unavailable: // it ended just now
		return filesStatus(ctx, p)
	case err != nil:
		return report{}, said(err)
	}
	r := engineStatus(s)
	r.Project, r.Name, r.Host, r.ReadOnly = p.Dir, p.Name, hello.GetHost(), p.ReadOnly
	return r, nil
}

func engineStatus(s *rpc.Status) report {
	r := report{PID: int(s.GetPid()), State: s.GetState(), Detail: s.GetDetail(), Backend: s.GetBackend(), Version: s.GetVersion(), Step: s.GetStep(), Steps: s.GetSteps(),
		ImagesPerSecond: s.GetImagesPerSecond(), Bad: s.GetBad(), Candidates: s.GetProjectImages(), Duplicates: s.GetDuplicates(), Anomalies: s.GetAnomalies(), Normals: s.GetNormals(),
		Skipped: s.GetSkipped(), Cycle: s.GetCycle(), RankedBy: s.GetRankedBy(), Embedded: s.GetEmbedded(), Error: s.GetError(), RSS: s.GetHostRssMib()}
	if left := s.GetRemainingSeconds(); left >= 0 {
		r.Remaining = &left
	}
	if n := s.GetPool(); s.GetState() != "indexing" {
		r.Images = &n
	}
	if ms := s.GetRankedAtUnixMs(); ms > 0 {
		at := time.UnixMilli(ms).UTC()
		r.RankedAt = &at
	}
	r.Job = s.GetJob()
	if ms := s.GetEndsAtUnixMs(); ms > 0 {
		at := time.UnixMilli(ms).UTC()
		r.EndsAt = &at
	}
	if o := s.GetOffer(); o != nil {
		r.Offer = &runtimeOffer{o.GetKind(), o.GetDownloadBytes(), o.GetDiskBytes()}
	}
	return r
}

// filesStatus is what the project's files tell.
func filesStatus(ctx context.Context, p *session.Project) (report, error) {
	r := report{Project: p.Dir, Name: p.Name, State: "stopped", ReadOnly: p.ReadOnly}
	labels, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return r, err
	}
	for _, v := range labels.Current() {
		switch v {
		case label.Anomaly:
			r.Anomalies++
		case label.Normal:
			r.Normals++
		case label.Skip:
			r.Skipped++
		}
	}
	pool, err := p.ListedPool(ctx)
	if err != nil {
		return r, ctx.Err() // a missing disk does not hide the rest
	}
	defer pool.Close()
	r.Bad = int64(len(pool.Bad()))
	images := int64(pool.Len() - len(pool.Unusable()))
	r.Images = &images
	if h, _, found := score.Latest(p.Sub("scores"), pool.Hash()); found {
		r.Cycle, r.RankedBy, r.RankedAt = int32(h.Cycle), "deep", &h.Made
	}
	return r, nil
}

// text is the report for people.
func (r report) text() string {
	var b strings.Builder
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, common.Clean(text))
		}
	}
	row("project", r.Project)
	switch r.State {
	case "stopped":
		row("engine", "not running on this machine")
	case "queued":
		row("engine", "waits in a queue · "+r.Detail)
	default:
		row("engine", fmt.Sprintf("%s · pid %d on %s", progress.Job(r.job(), nil), r.PID, r.Host))
	}
	job := r.Job
	if r.EndsAt != nil {
		job += " · " + common.Left(max(0, time.Until(*r.EndsAt).Seconds()))
	}
	row("job", job)
	row("backend", r.Backend)
	if r.Images == nil {
		row("images", "not listed yet")
	} else {
		images := common.Count(*r.Images)
		if r.Bad > 0 {
			images += ", " + common.Plural(r.Bad, "file") + " that cannot be read"
		}
		row("images", images)
	}
	row("labels", fmt.Sprintf("%d anomaly, %d normal, %d skip", r.Anomalies, r.Normals, r.Skipped))
	if r.Cycle > 0 {
		row("cycles", fmt.Sprint(r.Cycle))
	}
	if r.RankedAt != nil {
		row("ranked", strings.TrimSpace("by "+r.RankedBy+", "+common.Age(time.Now(), *r.RankedAt)))
	}
	if r.ReadOnly {
		row("folder", "cannot be written: labels and training are not kept")
	}
	if r.Offer != nil {
		row("faster", fmt.Sprintf("`anomalymatch runtime install %s` (%s)", r.Offer.Kind, common.Bytes(r.Offer.Download)))
	}
	row("error", r.Error)
	return b.String()
}

func (r report) job() *rpc.Status {
	left := -1.0
	if r.Remaining != nil {
		left = *r.Remaining
	}
	return &rpc.Status{State: r.State, Detail: r.Detail, Step: r.Step, Steps: r.Steps, ImagesPerSecond: r.ImagesPerSecond, RemainingSeconds: left}
}
