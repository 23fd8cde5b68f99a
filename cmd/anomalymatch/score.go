package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/engine/score/shards"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func scoreCommand() *cobra.Command {
	var images []string
	var out, by, on string
	var top, parts int
	var anyway, asJSON bool
	cmd := &cobra.Command{
		Use:     "score PROJECT",
		GroupID: groupWork,
		Short:   "Score the pool, or other images, and write the ranked list",
		Long: "Score every image of the pool with what was trained last, and write the ranked list. Where nothing was trained yet the fast ranking, " +
			"or novelty, is written. With --images other images are scored, which need not belong to the project; they are read as those of the project are (stretch, channels). " +
			"Images that are unlike those of the training, such as with permuted channels, another stretch or of another survey, are scored with --anyway only. " +
			"With --shards the pool is scored in parts that are kept, here and without an engine: a run that is cut off goes on where it was; with --cluster " +
			"a batch system makes the parts, several at once, on machines that see the project folder, the images and this program at the same places. The columns of a file are id, score, label and rank (1 is the best).",
		Example: `anomalymatch score rings --top 50
anomalymatch score rings --out ranked.parquet
anomalymatch score rings --images /data/next-night --out next.csv
anomalymatch score rings --cluster leo --shards 20`,
		Args: projectAndImages(&images),
		RunE: func(cmd *cobra.Command, args []string) error {
			if top < 0 {
				return usage("--top is a number of images, 0 or more")
			}
			if out != "" {
				if _, err := score.Format(out); err != nil {
					return usage("--out %w", err)
				}
			}
			if !slices.Contains([]string{"", "deep", "fast", "joint", "novelty"}, by) {
				return usage("--by is deep, fast, joint or novelty")
			}
			sharded := cmd.Flags().Changed("shards")
			switch {
			case !sharded && on != "":
				return usage("--cluster needs --shards N: how many parts the pool is scored in")
			case !sharded:
			case parts < 1 || parts > shards.MaxShards:
				return usage("--shards is 1 to %d", shards.MaxShards)
			case len(images) > 0:
				return usage("--shards is for the pool of the project, not for other images")
			case by != "" && by != "deep":
				return usage("--shards scores with the trained network: --by %s goes without", by)
			}
			if !cmd.Flags().Changed("top") && out == "" {
				top = 20
			}
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			line := progress.New(os.Stderr)
			defer line.Clear()
			var list rankedList
			switch {
			case len(images) > 0:
				list, err = scoreOthers(cmd.Context(), p, images, anyway, line)
			case sharded:
				wanted := top
				if out != "" {
					wanted = -1
				}
				run := runner(runHere)
				if on != "" {
					if run, err = runOn(p, on); err != nil {
						return err
					}
				}
				list, err = scoreShards(cmd.Context(), p, parts, wanted, anyway, run, line)
			default:
				list, err = scorePool(cmd.Context(), p, by, anyway, line)
			}
			if err != nil {
				return err
			}
			line.Clear()
			if out != "" {
				if err := score.Export(out, list.rows, list.RankedBy); err != nil {
					return err
				}
				list.Out = out
			}
			list.Top = list.rows[:min(top, len(list.rows))]
			if asJSON {
				err = printJSON(cmd, list)
			} else {
				err = list.print(cmd.OutOrStdout())
			}
			return errors.Join(err, list.badImages(line))
		},
	}
	cmd.Flags().StringArrayVarP(&images, "images", "i", nil, "score the images of this folder instead of the pool; can be given several times")
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the whole list to a .csv or .parquet file")
	cmd.Flags().IntVar(&top, "top", 0, "print the best of the list (default 20, with --out 0)")
	cmd.Flags().StringVar(&by, "by", "", "ranking of the pool: deep, fast, joint or novelty (default: deep if something was trained)")
	cmd.Flags().IntVar(&parts, "shards", 0, "score the pool in this many parts")
	cmd.Flags().StringVar(&on, "cluster", "", "have the batch system of this profile make the parts, [cluster.NAME] in the settings")
	cmd.Flags().BoolVar(&anyway, "anyway", false, "score images that are unlike those of the training; for the pool this is remembered until the next training")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagDirname("images")
	_ = cmd.MarkFlagFilename("out", "csv", "parquet")
	return cmd
}

// projectAndImages wants PROJECT, and takes what follows it for more of --images if that was given: --images A B C.
func projectAndImages(images *[]string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 && len(*images) > 0 {
			*images = append(*images, args[1:]...)
			args = args[:1]
		}
		return exactly("PROJECT")(cmd, args)
	}
}

// rankedList is what `score` made; its public part is `score --json`.
type rankedList struct {
	Project  string      `json:"project"`
	RankedBy string      `json:"ranked_by"`
	Backend  string      `json:"backend"`
	Images   int         `json:"images"`            // scored
	Bad      int         `json:"bad"`               // that cannot be read
	Changed  int         `json:"changed,omitempty"` // since the list was made; scored as they were read
	Out      string      `json:"out,omitempty"`
	Top      []score.Row `json:"top"`

	rows []score.Row
	bad  []dataset.BadImage
}

// scorePool has the engine score the pool and takes the ranking.
func scorePool(ctx context.Context, p *session.Project, by string, anyway bool, line *progress.Line) (rankedList, error) {
	files, err := fixmatch.Checkpoints(p.Sub("checkpoints"))
	if err != nil {
		return rankedList{}, err
	}
	if anyway && len(files) > 0 {
		if err := accept(ctx, p, line); err != nil {
			return rankedList{}, err
		}
	}
	f, err := follow(ctx, p, line)
	if err != nil {
		return rankedList{}, err
	}
	defer f.Close()
	trained := len(files) > 0
	switch {
	case by == "deep" && !trained:
		return rankedList{}, fmt.Errorf("nothing was trained yet: `anomalymatch train %s` first", asWord(p.Dir))
	case trained && (by == "" || by == "deep" || by == "joint"):
		by = cmp.Or(by, "deep")
		err = f.job(ctx, func(ctx context.Context) (*rpc.JobReply, error) { return f.client.Score(ctx, &rpc.ScoreRequest{}) }, "scoring")
		if err != nil {
			return rankedList{}, err
		}
	}
	if by != "deep" && !f.status.GetEmbedded() && !p.ReadOnly { // nothing is embedded where it cannot be kept
		err := f.started(ctx, func(s *rpc.Status) bool { return s.GetEmbedded() || s.GetState() == "idle" && s.GetError() != "" })
		if err != nil && !errors.Is(err, errIdle) {
			return rankedList{}, err
		}
		if why := f.status.GetError(); why != "" && !f.status.GetEmbedded() {
			return rankedList{}, errors.New(why)
		}
	}
	if f.status.GetEmbedded() {
		if err := f.ranked(ctx, by); err != nil {
			return rankedList{}, err
		}
	}
	list, err := f.ranking(ctx, by)
	if err != nil {
		return rankedList{}, err
	}
	list.Project, list.Backend = p.Dir, runtime.Part(runtime.Infer, f.status.GetBackend())
	pool, err := p.ListedPool(ctx)
	if err != nil {
		return list, err
	}
	defer pool.Close()
	list.takeBad(pool)
	return list, nil
}

// ranked waits until the engine has the ranking; the last step to it is a fit of about a second. Where it stays out, such as the
// fast one without labels, another one will have to do.
func (f *follower) ranked(ctx context.Context, by string) error {
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); {
		r, err := f.client.Ranking(ctx, &rpc.RankingRequest{By: by, Filter: "all", Limit: 1})
		switch got := r.GetRankedBy(); {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return said(err)
		case got == by, by == "" && got != "order", by == "fast" && got == "novelty":
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// ranking takes a whole ranking. It begins again when the ranking changed in between.
func (f *follower) ranking(ctx context.Context, by string) (rankedList, error) {
	const page, tries = 50_000, 5
	for range tries {
		var list rankedList
		var version uint64
		for {
			r, err := f.client.Ranking(ctx, &rpc.RankingRequest{By: by, Filter: "all", Offset: int64(len(list.rows)), Limit: page})
			if err != nil && ctx.Err() != nil {
				return list, ctx.Err()
			}
			if err != nil {
				return list, said(err)
			}
			if len(list.rows) > 0 && r.GetVersion() != version {
				break
			}
			version, list.RankedBy = r.GetVersion(), r.GetRankedBy()
			for _, it := range r.GetItems() {
				list.rows = append(list.rows, score.Row{ID: it.GetId(), Score: it.GetScore(), Label: it.GetLabel(), Rank: it.GetRank() + 1})
			}
			if len(r.GetItems()) == 0 || int64(len(list.rows)) >= r.GetTotal() {
				list.Images = len(list.rows)
				return list, nil
			}
		}
	}
	return rankedList{}, errors.New("the ranking changes faster than it can be read, because somebody labels: try again")
}

// accept has the engine score the pool although it is unlike what was trained on.
func accept(ctx context.Context, p *session.Project, line *progress.Line) error {
	_, info, _, found, err := fixmatch.Latest(p.Sub("checkpoints"))
	if err != nil || !found || info.Print == nil {
		return err
	}
	pool, err := p.OpenPool(ctx, func(n int64) { line.Set(progress.Listing(n)) })
	if err != nil {
		return err
	}
	defer pool.Close()
	return fixmatch.Accept(ctx, p.Sub("checkpoints"), info, pool)
}

// alike says why images must not be scored without --anyway, or nil.
func alike(ctx context.Context, p *session.Project, info fixmatch.Info, pool *dataset.Pool, anyway bool, line *progress.Line) error {
	if anyway {
		return nil
	}
	line.Set("comparing the images with those of the training")
	odd, err := fixmatch.Unlike(ctx, p.Sub("checkpoints"), info, pool)
	if odd != nil {
		err = fmt.Errorf("%w. If their scores are wanted all the same: --anyway", odd)
	}
	return err
}

// readLike has sources read as the project's are, where these are all read in one way.
func readLike(p *session.Project, sources []session.Source) {
	for _, s := range p.Sources {
		if s.Reading != p.Sources[0].Reading {
			return
		}
	}
	for i := range sources {
		if len(p.Sources) > 0 {
			sources[i].Reading = p.Sources[0].Reading
		}
	}
}

// scoreOthers scores images that are not the project's, in this process.
func scoreOthers(ctx context.Context, p *session.Project, folders []string, anyway bool, line *progress.Line) (rankedList, error) {
	sources, err := session.SourcesOf(folders)
	if err != nil {
		return rankedList{}, err
	}
	state, info, damaged, found, err := fixmatch.Latest(p.Sub("checkpoints"))
	if err != nil {
		return rankedList{}, err
	}
	for _, d := range damaged {
		line.Say("warning: " + d)
	}
	if !found {
		return rankedList{}, fmt.Errorf("nothing was trained yet, and other images need a trained network: `anomalymatch train %s` first", asWord(p.Dir))
	}
	readLike(p, sources)
	index, err := os.MkdirTemp("", "anomalymatch-*")
	if err != nil {
		return rankedList{}, err
	}
	defer os.RemoveAll(index)
	others := &session.Project{Sources: sources, Config: p.Config}
	pool, err := dataset.OpenPool(ctx, index, others.NamedSources(), others.Limits(), func(n int64) { line.Set(progress.Listing(n)) })
	if err != nil {
		return rankedList{}, err
	}
	defer pool.Close()
	if err := alike(ctx, p, info, pool, anyway, line); err != nil {
		return rankedList{}, err
	}
	line.Set("starting the runtime")
	o, err := runtime.Open(runtime.Infer, p.Config.Engine.Runtime)
	if err != nil {
		return rankedList{}, err
	}
	if o.Note != "" {
		line.Say("warning: " + o.Note)
	}
	model, err := nn.NewModel(o, state.Scoring())
	if err != nil {
		return rankedList{}, err
	}
	defer model.Close()
	model.Warn = func(text string) { line.Say("warning: " + text) }
	line.Set("compiling the network")
	meter := progress.Meter{}
	scores, err := score.Pool(ctx, pool, model, score.Options{
		Size: info.Size, Batch: score.Fit(model, score.Memory(), p.Config.Model.ScoreBatch, info.Size, pool.Len()), Workers: cmp.Or(p.Config.Images.DecodeWorkers, goruntime.GOMAXPROCS(0)),
		Progress: func(done, total int) { line.Set(meter.Job("scoring", done, total)) }})
	if err != nil {
		return rankedList{}, err
	}
	list := rankedList{Project: p.Dir, RankedBy: "deep", Backend: model.Backend()}
	for place, i := range score.Order(scores) {
		list.rows = append(list.rows, score.Row{ID: pool.ID(int(i)), Score: scores[i], Rank: int64(place + 1)})
	}
	list.Images = len(list.rows)
	list.takeBad(pool)
	return list, nil
}

// print shows the best of the list and where the rest is.
func (l rankedList) print(w io.Writer) error {
	if len(l.Top) > 0 {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "rank\tscore\tlabel\tid")
		for _, r := range l.Top {
			fmt.Fprintf(table, "%d\t%s\t%s\t%s\n", r.Rank, common.Score(r.Score), cmp.Or(common.Clean(r.Label), "–"), common.Clean(r.ID))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s by the %s ranking", common.Plural(l.Images, "image"), common.Clean(l.RankedBy))
	if l.Out != "" {
		text += " in " + common.Clean(l.Out)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// badImages lists the images that could not be used.
func (l rankedList) badImages(line *progress.Line) error {
	if len(l.bad) == 0 {
		return nil
	}
	sayBad(line, l.bad)
	var text []string
	if l.Bad > 0 {
		text = append(text, common.Plural(l.Bad, "file")+" could not be used and "+map[bool]string{true: "has", false: "have"}[l.Bad == 1]+" no score")
	}
	if l.Changed > 0 {
		text = append(text, common.Plural(l.Changed, "image")+" changed since the list was made: scored again after the next start")
	}
	return badInputs("%s", strings.Join(text, "; "))
}

// sayBad lists images and files that cannot be used, the first of them.
func sayBad(line *progress.Line, bad []dataset.BadImage) {
	for _, b := range bad[:min(len(bad), listed)] {
		line.Say(strings.TrimSpace(b.ID + " " + b.Reason))
	}
	if more := len(bad) - listed; more > 0 {
		line.Say(fmt.Sprintf("and %d more", more))
	}
}

// takeBad takes in what could not be used of the pool, and what changed.
func (l *rankedList) takeBad(pool *dataset.Pool) {
	l.bad, l.Bad, l.Changed = pool.Bad(), 0, 0
	for _, b := range l.bad {
		if b.Changed {
			l.Changed++
		} else {
			l.Bad++
		}
	}
}
