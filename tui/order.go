package tui

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/review"
)

// What the box of o answers with.
type (
	strategyMsg string
	rankingMsg  string
	sortMsg     string
)

// orders is what there is to choose from: strategies, which pick the candidates, rankings, which order the list, and other ways to
// sort it.
func (a *app) orders() []dialogs.Group {
	d, s := a.env.Desk, a.env.Monitor.Status
	strategy := cmp.Or(d.Strategy, d.List().Strategy, "top")
	if strategy == "similar" {
		strategy = "top"
	}
	groups := []dialogs.Group{
		{Title: "What picks the candidates", Options: strategies(s, strategy)},
		{Title: "What orders the list", Options: rankings(s, d.By, a.env.Now(), a.untried())},
	}
	key := 0
	for _, g := range groups {
		for i := range g.Options {
			key++
			g.Options[i].Key = fmt.Sprint(key % 10)
		}
	}
	return append(groups, dialogs.Group{Title: "How it is sorted", Options: sortings(d.View, int(s.GetColumns()))})
}

// What is missing, as reasons.
const (
	unseen = "the images are not embedded yet"
	unsaid = "label an anomaly first"
)

// untried is why there is no deep ranking.
func (a *app) untried() string {
	if a.env.Monitor.Last() != nil {
		return "not scored yet: " + a.env.Common.Keys.Label("score") + " scores"
	}
	return "not trained yet: " + a.env.Common.Keys.Label("train") + " trains"
}

func strategies(s *rpc.Status, now string) []dialogs.Option {
	embedded, learnt := "", ""
	switch {
	case !s.GetEmbedded():
		embedded, learnt = unseen, unseen
	case s.GetFastAtUnixMs() == 0 && s.GetDeepAtUnixMs() == 0:
		learnt = unsaid
	}
	return choices(now, func(id string) tea.Msg { return strategyMsg(id) },
		dialogs.Option{Name: "top", Text: "highest scores: finds the most, soonest"},
		dialogs.Option{Name: "uncertain", Text: "where the model is in doubt: teaches it the most", Why: learnt},
		dialogs.Option{Name: "diverse", Text: "the best, each unlike those before: shows every kind", Why: embedded},
		dialogs.Option{Name: "mixed", Text: "three top, one uncertain, one diverse in turn", Why: embedded},
		dialogs.Option{Name: "random", Text: "drawn blindly: says honestly what is left"})
}

func rankings(s *rpc.Status, by string, now time.Time, untried string) []dialogs.Option {
	fast, deep, joint, novelty := "", "", "", ""
	if s.GetFastAtUnixMs() == 0 {
		fast = unsaid
	}
	if s.GetDeepAtUnixMs() == 0 {
		deep = untried
	}
	joint = cmp.Or(deep, fast)
	if !s.GetEmbedded() {
		fast, novelty = unseen, unseen
		joint = cmp.Or(deep, unseen)
	}
	age := func(ms int64) string {
		if ms == 0 {
			return ""
		}
		return common.Age(now, time.UnixMilli(ms))
	}
	best := "the best there is"
	if r := common.Clean(s.GetRankedBy()); r != "" && r != "order" {
		best += ", just now " + r
	}
	id := by
	if id == "" {
		id = "best"
	}
	return choices(id, func(id string) tea.Msg { return rankingMsg(strings.TrimPrefix(id, "best")) },
		dialogs.Option{Name: "best", Text: best},
		dialogs.Option{Name: "fast", Text: "follows every label at once; made " + age(s.GetFastAtUnixMs()), Why: fast},
		dialogs.Option{Name: "deep", Text: fmt.Sprintf("the trained network, cycle %d; made %s", s.GetCycle(), age(s.GetDeepAtUnixMs())), Why: deep},
		dialogs.Option{Name: "joint", Text: "fast and deep together: what either finds", Why: joint},
		dialogs.Option{Name: "novelty", Text: "what is unlike the rest: to begin, or for surprises", Why: novelty})
}

// choices marks the current one of options and gives each its answer.
func choices(now string, answer func(id string) tea.Msg, options ...dialogs.Option) []dialogs.Option {
	for i := range options {
		options[i].Current = options[i].Name == now
		options[i].Answer = answer(options[i].Name)
	}
	return options
}

// sorts are the ways to sort a list but the ranking's, as the header says them.
var sorts = map[string]string{"worst": "worst first", "id": "by id", "newest": "last labelled first"}

func sortings(v review.View, columns int) []dialogs.Option {
	column := dialogs.Option{Name: "column…", Key: "c", Text: "by a column of the metadata", Current: v.Sort == "column", Answer: askColumnMsg{}}
	switch {
	case column.Current:
		column.Text = sorting(v)
	case columns == 0:
		column.Why = "there is no metadata"
	}
	options := choices(cmp.Or(v.Sort, "ranking"), func(id string) tea.Msg { return sortMsg(strings.TrimPrefix(id, "ranking")) },
		dialogs.Option{Name: "ranking", Key: "r", Text: "the best first"},
		dialogs.Option{Name: "worst", Key: "w", Text: "the ranking the other way round"},
		dialogs.Option{Name: "id", Key: "i", Text: "by the names of the images"},
		dialogs.Option{Name: "newest", Key: "l", Text: "last labelled first"})
	return append(options, column)
}

// pick takes another strategy, in the queue.
func (a *app) pick(strategy string) tea.Cmd {
	a.env.Say(common.Info, map[string]string{
		"top": "candidates: the highest scores", "uncertain": "candidates: where the model is in doubt", "diverse": "candidates: the best, each unlike those before",
		"mixed": "candidates: three top, one uncertain, one diverse in turn", "random": "candidates: drawn blindly"}[strategy])
	d := a.env.Desk
	return d.Choose(review.View{By: d.By, Strategy: strategy, Sort: d.Sort, Column: d.Column, Down: d.Down, Where: d.Where})
}

// rankBy takes another ranking.
func (a *app) rankBy(by string) tea.Cmd {
	a.env.Say(common.Info, "ordering by the "+cmp.Or(by, "best")+" ranking")
	v := a.env.Desk.View
	v.By, v.Like = by, ""
	return a.env.Desk.Choose(v)
}

// sortBy sorts the list in another way; images alike stay the most alike first.
func (a *app) sortBy(sort string) tea.Cmd {
	a.env.Say(common.Info, "sorted: "+cmp.Or(sorts[sort], "best first"))
	v := a.env.Desk.View
	v.Sort, v.Column, v.Down, v.Like = sort, "", false, ""
	return a.env.Desk.Choose(v)
}
