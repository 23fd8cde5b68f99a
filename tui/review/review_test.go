package review

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/rpc"
)

func list(ids string) []Item {
	var out []Item
	for i, id := range strings.Fields(ids) {
		out = append(out, Item{ID: id, Rank: int64(i)})
	}
	return out
}

func ids(items []Item) string {
	var out []string
	for _, it := range items {
		out = append(out, it.ID)
	}
	return strings.Join(out, " ")
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name, old string
		kept      int
		fresh     string
		most      int
		want      string
	}{
		{name: "first list", fresh: "a b c", want: "a b c"},
		{name: "nothing looked at: all new", old: "a b c", kept: 0, fresh: "c b a", want: "c b a"},
		{name: "the cursor stays", old: "a b c", kept: 1, fresh: "c b a", want: "a c b"},
		{name: "what was looked at stays", old: "a b c d", kept: 3, fresh: "d c b a", want: "a b c d"},
		{name: "labelled ones left the queue and stay on screen", old: "a b c d", kept: 2, fresh: "d e c", want: "a b d e c"},
		{name: "ahead and gone from the ranking", old: "a b c d", kept: 1, fresh: "d", want: "a d"},
		{name: "new ones in between", old: "a b", kept: 1, fresh: "x a y b", want: "a x y b"},
		{name: "ends at the cut", old: "a b", kept: 1, fresh: "c d e f", most: 3, want: "a c d"},
		{name: "the cut never takes what was looked at", old: "a b c d", kept: 4, fresh: "e f", most: 2, want: "a b c d"},
		{name: "twice in the ranking, once on screen", old: "a", kept: 1, fresh: "b b a b", want: "a b"},
		{name: "kept beyond the end", old: "a", kept: 9, fresh: "b", want: "a b"},
		{name: "kept below nothing", old: "a", kept: -1, fresh: "b", want: "b"},
		{name: "empty ranking", old: "a b", kept: 1, want: "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := list(c.old)
			if got := ids(Merge(old, c.kept, list(c.fresh), c.most)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if ids(old) != c.old {
				t.Error("the old list was changed")
			}
		})
	}
}

// groups makes items of "a:b,c d": a stands for b and c too.
func groups(text string) []Item {
	var out []Item
	for _, f := range strings.Fields(text) {
		id, others, _ := strings.Cut(f, ":")
		it := Item{ID: id}
		if others != "" {
			it.Duplicates = strings.Split(others, ",")
		}
		out = append(out, it)
	}
	return out
}

func TestMergeKeepsOneCellForNearDuplicates(t *testing.T) {
	for _, c := range []struct {
		name, old string
		kept      int
		label     Label // of the kept ones
		fresh     string
		want      string
	}{
		{name: "another one of the group is best now: the cell looked at stands for it", old: "a:b,c d", kept: 1, fresh: "b:a,c d", want: "a:b,c d"},
		{name: "the group has grown", old: "a:b d", kept: 1, fresh: "d b:a,c", want: "a:b,c d"},
		{name: "brought back by undo, without its group", old: "a d", kept: 1, fresh: "b:a,c d", want: "a:b,c d"},
		{name: "ahead of the cursor the best one leads", old: "d a:b,c", kept: 1, fresh: "b:a,c d", want: "d b:a,c"},
		{name: "the best is the same, one has left the group", old: "a:b,c", kept: 1, fresh: "a:b", want: "a:b"},
		{name: "a label taken from one of a labelled group brings it back", old: "a:b,c", kept: 1, label: Normal, fresh: "b", want: "a:b,c b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := groups(c.old)
			for i := range c.kept {
				old[i].Label = c.label
			}
			var got []string
			for _, it := range Merge(old, c.kept, groups(c.fresh), 0) {
				text := it.ID
				if len(it.Duplicates) > 0 {
					text += ":" + strings.Join(it.Duplicates, ",")
				}
				got = append(got, text)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestRefreshTakesNearDuplicates(t *testing.T) {
	got := Refresh(groups("a:b,c d:e"), []Item{{ID: "a", Label: Anomaly, Duplicates: []string{"c"}}, {ID: "d", Label: Skip}})
	if !slices.Equal(got[0].Duplicates, []string{"c"}) || got[0].Label != Anomaly || len(got[1].Duplicates) > 0 {
		t.Errorf("%+v", got)
	}
}

func TestMergeBringsNewScores(t *testing.T) {
	old := []Item{{ID: "a", Score: 0.1, Rank: 7}, {ID: "b", Score: 0.2, Rank: 8}}
	fresh := []Item{{ID: "c", Score: 0.9}, {ID: "a", Score: 0.8, Rank: 1}}
	got := Merge(old, 2, fresh, 1)
	if got[0].Score != 0.8 || got[0].Rank != 1 || got[1].Score != 0.2 || len(got) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestRefresh(t *testing.T) {
	old := []Item{{ID: "a", Score: 0.1, Rank: 7}, {ID: "b", Score: 0.2, Rank: 8}}
	got := Refresh(old, []Item{{ID: "c"}, {ID: "b", Score: 0.9, Rank: -1, Label: Normal}})
	if ids(got) != "a b" || !reflect.DeepEqual(got[0], old[0]) || !reflect.DeepEqual(got[1], Item{ID: "b", Score: 0.9, Rank: -1, Label: Normal}) {
		t.Errorf("%+v", got)
	}
	if old[1].Score != 0.2 {
		t.Error("the old list was changed")
	}
}

func FuzzMerge(f *testing.F) {
	f.Add("abc", "cba", 1, 2)
	f.Fuzz(func(t *testing.T, old, fresh string, kept, most int) {
		split := func(s string) []Item {
			var out []Item
			seen := map[rune]bool{}
			for _, r := range s {
				if !seen[r] {
					out = append(out, Item{ID: string(r)})
				}
				seen[r] = true
			}
			return out
		}
		o, n := split(old), split(fresh)
		got := Merge(o, kept, n, most)
		k := max(0, min(kept, len(o)))
		for i := range k {
			if got[i].ID != o[i].ID {
				t.Fatalf("image %d moved", i)
			}
		}
		if most > 0 && len(got) > max(k, most) {
			t.Fatalf("%d images, at most %d", len(got), most)
		}
		seen := map[string]bool{}
		for _, it := range got {
			if seen[it.ID] {
				t.Fatalf("%q twice", it.ID)
			}
			seen[it.ID] = true
		}
	})
}

func TestListMoves(t *testing.T) {
	l := List{Items: list("a b c d")}
	for _, c := range []struct{ to, cursor, high, kept int }{{0, 0, 0, 1}, {2, 2, 2, 3}, {1, 1, 2, 3}, {-5, 0, 2, 3}, {99, 3, 3, 4}} {
		l.Move(c.to)
		if l.Cursor != c.cursor || l.High != c.high || l.Kept() != c.kept {
			t.Errorf("Move(%d): cursor %d, high %d, kept %d", c.to, l.Cursor, l.High, l.Kept())
		}
	}
	var empty List
	empty.Move(3)
	if _, ok := empty.Selected(); ok || empty.Kept() != 0 || empty.Cursor != 0 {
		t.Error("an empty list has a selection")
	}
}

func events(steps ...string) []*rpc.LabelEvent { // "uid id from>to"
	var out []*rpc.LabelEvent
	for _, s := range steps {
		f := strings.Fields(s)
		from, to, _ := strings.Cut(f[2], ">")
		out = append(out, &rpc.LabelEvent{Uid: f[0], Change: &rpc.LabelChange{Id: f[1], From: from, To: to}})
	}
	return out
}

func TestUndo(t *testing.T) {
	say := func(s Step, ok bool) string {
		if !ok {
			return "-"
		}
		var out []string
		for _, c := range s {
			out = append(out, fmt.Sprintf("%s:%s>%s", c.ID, c.From, c.To))
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		name   string
		events []*rpc.LabelEvent
		keys   string // u, r
		want   []string
	}{
		{name: "nothing", keys: "ur", want: []string{"-", "-"}},
		{name: "back and forth", events: events("1 a >anomaly", "2 b >normal"), keys: "uuurrr",
			want: []string{"b:normal>", "a:anomaly>", "-", "a:>anomaly", "b:>normal", "-"}},
		{name: "one step of many, last first", events: events("1 a >normal", "1 b skip>normal"), keys: "u", want: []string{"b:normal>skip a:normal>"}},
		{name: "an undo in the journal is one", events: events("1 a >anomaly", "2 b >normal", "3 b normal>"), keys: "ur", want: []string{"a:anomaly>", "a:>anomaly"}},
		{name: "and can be done again", events: events("1 a >anomaly", "2 a anomaly>"), keys: "r", want: []string{"a:>anomaly"}},
		{name: "undone and done again", events: events("1 a >anomaly", "2 a anomaly>", "3 a >anomaly"), keys: "ru", want: []string{"-", "a:anomaly>"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var u Undo
			u.Seed(c.events)
			var got []string
			for _, k := range c.keys {
				if k == 'u' {
					got = append(got, say(u.Undo()))
				} else {
					got = append(got, say(u.Redo()))
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestAnImageInTwoCellsIsLabelledOnce: undo brings an image back in a cell of its own, while another one stands for it.
func TestAnImageInTwoCellsIsLabelledOnce(t *testing.T) {
	d, _, _ := desk(t, 4, 4)
	d.Give(Normal, groups("a:b b c:b"), 0)
	var ids []string
	for _, c := range d.out[0].changes {
		ids = append(ids, c.ID)
	}
	if got := strings.Join(ids, " "); got != "a b c" {
		t.Errorf("%s are labelled, want a b c", got)
	}
}

// TestALabelOfItsOwnStands: what is said of a cell is not said of a near-duplicate that has got another label by itself since.
func TestALabelOfItsOwnStands(t *testing.T) {
	d, _, _ := desk(t, 4, 4)
	d.Give(Anomaly, groups("b"), 0)
	d.Give(Normal, groups("a:b,c"), 0)
	var ids []string
	for _, c := range d.out[len(d.out)-1].changes {
		ids = append(ids, c.ID)
	}
	if got := strings.Join(ids, " "); got != "a c" {
		t.Errorf("%s are labelled, want a c", got)
	}
	d.Give(Skip, groups("b"), 0) // by itself it can be labelled
	if last := d.out[len(d.out)-1].changes; len(last) != 1 || last[0].From != Anomaly {
		t.Errorf("%v", last)
	}
}

// TestALabelOfTheImageAlone: an image that stands for others was labelled alone, in a list where each is seen; going back to the folded list, a label
// key knows that the others have none.
func TestALabelOfTheImageAlone(t *testing.T) {
	d, _, _ := desk(t, 4, 4)
	l := d.List()
	l.Items = items([]*rpc.Item{{Id: "a", Duplicates: []string{"b"}}})
	d.relabel([]Item{{ID: "a", Label: Normal}})
	d.Give(None, l.Items[:1], 0)
	if c := d.out[0].changes; len(c) != 1 || c[0].ID != "a" || c[0].From != Normal {
		t.Errorf("%v, want a from normal", c)
	}
}
