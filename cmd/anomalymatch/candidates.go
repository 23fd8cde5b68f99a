package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"

	"anomalymatch"
	"anomalymatch/engine"
	"anomalymatch/engine/export"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/journal"
)

// candidateFilters are what a list can be of.
var candidateFilters = []string{"all", "queue", "labelled", "anomaly", "normal", "skip"}

// topOf is how many images of a list are wanted.
type topOf struct {
	n       int64   // < 0: all
	percent float64 // of the ranked images, where > 0
}

func parseTop(s string) (topOf, error) {
	if s == "all" {
		return topOf{n: -1}, nil
	}
	if p, ok := strings.CutSuffix(s, "%"); ok {
		f, err := strconv.ParseFloat(p, 64)
		if err == nil && f > 0 && f <= 100 {
			return topOf{percent: f}, nil
		}
	} else if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		return topOf{n: n}, nil
	}
	return topOf{}, usage("--top %q is a number of images, a share of them such as 0.5%%, or all", s)
}

// images is the number wanted of a ranking of so many.
func (t topOf) images(ranked int64) int64 {
	switch {
	case t.percent > 0:
		return int64(math.Ceil(float64(ranked) * t.percent / 100))
	case t.n < 0:
		return math.MaxInt64
	}
	return t.n
}

// wantedList says which part of which ranking is exported.
type wantedList struct {
	by, filter string
	top        topOf
}

// rankingOf asks something that ranks: an engine that runs, or one that only looks.
type rankingOf func(context.Context, *rpc.RankingRequest) (*rpc.RankingReply, error)

// projectRanking is the ranking of the engine that runs, and where none does, what an engine would make of the project's files. It starts none, and
// trains nothing. Close it.
func projectRanking(ctx context.Context, p *session.Project) (rankingOf, func(), error) {
	c, err := finder(p).Dial(ctx, p.Dir)
	if err == nil {
		return func(ctx context.Context, in *rpc.RankingRequest) (*rpc.RankingReply, error) {
			return c.Ranking(ctx, in)
		}, func() { c.Close() }, nil
	}
	if q := (*rpc.QueuedError)(nil); !errors.Is(err, rpc.ErrNotRunning) && !errors.As(err, &q) {
		return nil, nil, err
	}
	labels, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return nil, nil, err
	}
	e, done, err := engine.Look(ctx, engine.Options{Dir: p.Dir, Name: p.Name, Sources: p.NamedSources(), Config: p.Config, Labels: labels, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	return e.Service().Ranking, done, nil
}

// errMoved says that the ranking changed while it was read.
var errMoved = errors.New("the ranking changes faster than it can be read, because somebody labels: try again")

// rankedPart takes the part of a project's ranking that is wanted, with the scores of both rankings.
func rankedPart(ctx context.Context, p *session.Project, ask rankingOf, want wantedList) (list export.List, err error) {
	const tries = 5
	for range tries {
		list, err = rankedPartOnce(ctx, p, ask, want)
		if !errors.Is(err, errMoved) {
			break
		}
	}
	return list, err
}

func rankedPartOnce(ctx context.Context, p *session.Project, ask rankingOf, want wantedList) (export.List, error) {
	const page, some = 50_000, 1000 // images a call; those that a call tells of besides
	list := export.List{Project: p.Name, Version: anomalymatch.Version}
	var version uint64
	asked := func(in *rpc.RankingRequest) (*rpc.RankingReply, error) {
		r, err := ask(ctx, in)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Canceled
		case err != nil:
			return nil, said(err)
		case r.GetRankedBy() == "":
			return nil, errors.New("the engine is still listing the images: try again when `anomalymatch status` says how many there are")
		case version != 0 && r.GetVersion() != version:
			return nil, errMoved
		}
		version = r.GetVersion()
		return r, nil
	}
	var limit int64
	for at := int64(0); ; {
		r, err := asked(&rpc.RankingRequest{By: want.by, Filter: "all", Offset: at, Limit: page})
		if err != nil {
			return list, err
		}
		if list.RankedBy = r.GetRankedBy(); want.by != "" && want.by != list.RankedBy {
			return list, noRanking(p, want.by)
		}
		list.Images, limit = r.GetTotal(), want.top.images(r.GetTotal())
		if want.filter == "queue" {
			limit = min(limit, r.GetCut())
		}
		for _, it := range r.GetItems() {
			if c := candidate(it); wants(want.filter, c.Label) && int64(len(list.Candidates)) < limit {
				list.Candidates = append(list.Candidates, c)
			}
		}
		at += int64(len(r.GetItems()))
		if len(r.GetItems()) == 0 || at >= list.Images || int64(len(list.Candidates)) >= limit {
			break
		}
	}
	for _, by := range []string{"fast", "deep"} {
		for from := 0; from < len(list.Candidates); from += some {
			part := list.Candidates[from:min(from+some, len(list.Candidates))]
			r, err := asked(&rpc.RankingRequest{By: by, Filter: "all", Limit: 1, Also: export.List{Candidates: part}.IDs()})
			if err != nil {
				return list, err
			}
			if r.GetRankedBy() != by {
				break
			}
			for k, it := range r.GetAlso() {
				if len(r.GetAlso()) != len(part) || it.GetId() != part[k].ID {
					return list, errMoved
				}
				if by == "fast" {
					part[k].Fast = it.GetScore()
				} else {
					part[k].Deep = it.GetScore()
				}
			}
		}
	}
	return list, nil
}

func candidate(it *rpc.Item) export.Candidate {
	return export.Candidate{ID: it.GetId(), Rank: it.GetRank() + 1, Score: it.GetScore(), Fast: export.NoScore(), Deep: export.NoScore(), Label: label.Value(it.GetLabel()), Marks: it.GetMarks()}
}

// wants says whether a filter lets an image with a label through.
func wants(filter string, v label.Value) bool {
	switch filter {
	case "all":
		return true
	case "queue":
		return v == label.None
	case "labelled":
		return v != label.None
	}
	return string(v) == filter
}

// noRanking says what is missing for a ranking.
func noRanking(p *session.Project, by string) error {
	switch dir := asWord(p.Dir); by {
	case "deep":
		return fmt.Errorf("there is no deep ranking yet: `anomalymatch train %s` makes one", dir)
	case "joint":
		return fmt.Errorf("there is no joint ranking yet: it needs labels, and `anomalymatch train %s`", dir)
	case "fast":
		return fmt.Errorf("there is no fast ranking yet: label at least one anomaly; `anomalymatch score %s` looks at the images", dir)
	default:
		return fmt.Errorf("there is no ranking by %s yet: `anomalymatch score %s` looks at the images", cmp.Or(by, "anything"), dir)
	}
}
