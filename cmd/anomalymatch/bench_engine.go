package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/cmd/anomalymatch/internal/screenbench"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"

	"github.com/spf13/cobra"
)

// labelPace is how often the person of `bench engine` looks at an image and labels it.
const labelPace = 200 * time.Millisecond

// answerGoal is what a label and a picture may take while the engine is at work, at the 99th percentile.
const answerGoal = 50 // ms

// answers is what was measured while the engine was in one state.
type answers struct {
	State string              `json:"state"`
	Thumb screenbench.Latency `json:"thumbnail"`       // of an image that nobody looked at before
	Page  screenbench.Latency `json:"page_of_12"`      // such thumbnails, asked for at once; until the last is there
	Label screenbench.Latency `json:"label_to_answer"` // it is on the disk then
}

// answersReport is `bench engine --json`.
type answersReport struct {
	Images  int       `json:"images"`
	GoalMS  float64   `json:"goal_p99_ms"` // of a thumbnail and of a label
	States  []answers `json:"states"`
	Backend string    `json:"backend"`
}

func benchEngineCommand() *cobra.Command {
	var images, n int
	var seed uint64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "How long labels and pictures take while the engine embeds, trains and scores",
		Long: "Draw synthetic galaxies, start the engine of a project of them, and be a person who looks at an image and labels it five times a second, and every two seconds " +
			"turns to a page of twelve: while the engine computes embeddings, while it has nothing to do, while it trains and while it scores. " +
			"The times run from the call to the answer, over the engine's socket.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if images < 500 || images > 1_000_000 || n < 20 {
				return usage("--images is 500 to 1000000, --n 20 or more")
			}
			dir, err := os.MkdirTemp("", "anomalymatch-bench-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			line := progress.New(os.Stderr)
			defer line.Clear()
			r, err := benchEngine(cmd.Context(), dir, images, n, seed, line)
			if err != nil {
				return err
			}
			line.Clear()
			if asJSON {
				return printJSON(cmd, r)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%-10s %6s   %-24s %-24s %s\n", "engine", "n", "thumbnail p50 p99 max ms", "page of 12", "label")
			for _, s := range r.States {
				three := func(l screenbench.Latency) string { return fmt.Sprintf("%.1f %.1f %.1f", l.P50, l.P99, l.Max) }
				fmt.Fprintf(out, "%-10s %6d   %-24s %-24s %s\n", s.State, s.Label.N, three(s.Thumb), three(s.Page), three(s.Label))
			}
			_, err = fmt.Fprintf(out, "goal: thumbnail and label p99 below %.0f ms\n", r.GoalMS)
			return err
		},
	}
	cmd.Flags().IntVar(&images, "images", 5000, "galaxies")
	cmd.Flags().IntVar(&n, "n", 200, "labels in each state, as far as it lasts")
	cmd.Flags().Uint64Var(&seed, "seed", 42, "of the galaxies and of the order in which they are looked at")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func benchEngine(ctx context.Context, dir string, images, n int, seed uint64, line *progress.Line) (r *answersReport, err error) {
	params := synth.Defaults()
	params.Seed = seed
	var meter progress.Meter
	sky := filepath.Join(dir, "sky")
	if _, err := synth.Write(sky, images, params, func(done int) { line.Set(meter.Job("drawing galaxies", done, images)) }); err != nil {
		return nil, err
	}
	p, err := session.Create(filepath.Join(dir, "project"), session.Options{Images: []string{sky}, Size: 64})
	if err != nil {
		return nil, err
	}
	f, err := follow(ctx, p, line)
	if err != nil {
		return nil, err
	}
	defer func() {
		f.Close()
		if _, e := stopEngine(context.WithoutCancel(ctx), p); err == nil && !errors.Is(e, rpc.ErrNotRunning) {
			err = e
		}
	}()
	person, err := newLabeller(ctx, f, seed)
	if err != nil {
		return nil, err
	}
	r = &answersReport{Images: images, GoalMS: answerGoal}
	during := func(state string, order func() (*rpc.JobReply, error)) error {
		if order != nil {
			reply, err := order()
			if err != nil {
				return said(err)
			}
			if !reply.GetStarted() {
				return errors.New(reply.GetReason())
			}
			if err := f.started(ctx, func(s *rpc.Status) bool { return s.GetState() == state }); err != nil {
				return err
			}
		}
		a, err := person.label(ctx, state, n)
		if err == nil && a.Label.N > 0 {
			r.States = append(r.States, a)
		}
		return err
	}
	idle := func() error { return f.until(ctx, func(s *rpc.Status) bool { return s.GetState() == "idle" }) }
	if f.status.GetState() == "idle" { // the embeddings begin a moment later
		if err := f.started(ctx, func(s *rpc.Status) bool { return s.GetState() != "idle" }); err != nil && !errors.Is(err, errIdle) {
			return nil, err
		}
	}
	if err := during("embedding", nil); err != nil {
		return nil, err
	}
	if f.status.GetState() != "idle" {
		if err := idle(); err != nil {
			return nil, err
		}
	}
	if err := during("idle", nil); err != nil {
		return nil, err
	}
	err = during("training", func() (*rpc.JobReply, error) {
		return f.client.Train(ctx, &rpc.TrainRequest{Iterations: 1_000_000})
	})
	if err != nil {
		return nil, err
	}
	r.Backend = f.status.GetBackend()
	if _, err := f.client.Cancel(ctx, &rpc.CancelRequest{}); err != nil {
		return nil, said(err)
	}
	if err := idle(); err != nil {
		return nil, err
	}
	return r, during("scoring", func() (*rpc.JobReply, error) { return f.client.Score(ctx, &rpc.ScoreRequest{}) })
}

// labeller is a person at a steady pace.
type labeller struct {
	f    *follower
	ids  []string // in the order in which they are looked at
	next int
}

func newLabeller(ctx context.Context, f *follower, seed uint64) (*labeller, error) {
	l := &labeller{f: f}
	for {
		reply, err := f.client.Ranking(ctx, &rpc.RankingRequest{Filter: "all", Offset: int64(len(l.ids)), Limit: 1000, Sort: "id"})
		if err != nil {
			return nil, said(err)
		}
		for _, item := range reply.GetItems() {
			l.ids = append(l.ids, item.GetId())
		}
		if len(reply.GetItems()) == 0 || int64(len(l.ids)) >= reply.GetTotal() {
			break
		}
	}
	rand.New(rand.NewPCG(seed, 2)).Shuffle(len(l.ids), func(i, j int) { l.ids[i], l.ids[j] = l.ids[j], l.ids[i] })
	return l, nil
}

// take is the next n images that nobody looked at yet; the order begins again at its end.
func (l *labeller) take(n int) []string {
	if l.next+n > len(l.ids) {
		l.next = 0
	}
	l.next += n
	return l.ids[l.next-n : l.next]
}

// label looks at up to n images and labels them, a fifth of them anomalies, as long as the engine is in the state.
func (l *labeller) label(ctx context.Context, state string, n int) (answers, error) {
	ctx, stop := context.WithCancel(ctx)
	var left atomic.Bool
	left.Store(l.f.status.GetState() != state)
	watched := make(chan error, 1)
	go func() {
		watched <- l.f.until(ctx, func(s *rpc.Status) bool {
			left.Store(s.GetState() != state)
			return left.Load()
		})
	}()
	var thumb, page, label []time.Duration
	measure := func(to *[]time.Duration, f func() error) error {
		began := time.Now()
		err := f()
		if !left.Load() {
			*to = append(*to, time.Since(began))
		}
		return err
	}
	err := func() error {
		pace := time.NewTicker(labelPace)
		defer pace.Stop()
		for k := 0; k < n && !left.Load(); k++ {
			id := l.take(1)
			if err := measure(&thumb, func() error { return l.look(ctx, id) }); err != nil {
				return err
			}
			change := &rpc.LabelChange{Id: id[0], To: "normal"}
			if k%5 == 0 {
				change.To = "anomaly"
			}
			if err := measure(&label, func() error {
				_, err := l.f.client.Label(ctx, &rpc.LabelRequest{Uid: "bench " + id[0] + state, By: "bench", Changes: []*rpc.LabelChange{change}})
				return err
			}); err != nil {
				return err
			}
			if k%10 == 9 {
				if err := measure(&page, func() error { return l.look(ctx, l.take(12)) }); err != nil {
					return err
				}
			}
			select {
			case <-pace.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}()
	stop()
	if e := <-watched; err == nil && !errors.Is(e, context.Canceled) {
		err = e
	}
	if err != nil {
		return answers{}, said(err)
	}
	return answers{State: state, Thumb: screenbench.Summary(thumb), Page: screenbench.Summary(page), Label: screenbench.Summary(label)}, nil
}

// look asks for thumbnails and waits for all of them.
func (l *labeller) look(ctx context.Context, ids []string) error {
	stream, err := l.f.client.Thumbs(ctx, &rpc.ThumbsRequest{Ids: ids, MaxPx: 128})
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
