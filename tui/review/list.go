// Package review is a person's sitting at the list: what is looked at, what was said about it, what is already on disk.
package review

import (
	"slices"
	"time"

	"anomalymatch/engine/rpc"
)

// Label is what a person said about an image, in the words of the wire.
type Label string

// The labels.
const (
	None    Label = ""
	Anomaly Label = "anomaly"
	Normal  Label = "normal"
	Skip    Label = "skip"
)

// Letter is the label's sign on screen: A, N, S; empty for none.
func (l Label) Letter() string {
	switch l {
	case Anomaly:
		return "A"
	case Normal:
		return "N"
	case Skip:
		return "S"
	}
	return ""
}

// Item is one image of the list.
type Item struct {
	ID    string
	Score float32 // in [0,1]; NaN: not known
	Rank  int64   // 0-based in the ranking it came with; < 0: not known
	Label Label   // as the engine last said

	Duplicates []string // near-duplicates folded into this cell: what is said about it is said about them
	Why        string   // of the audit: what speaks against the label
}

// group is the image and its near-duplicates, each as an image of its own.
func (it Item) group() []Item {
	out := []Item{it}
	for _, id := range it.Duplicates {
		out = append(out, Item{ID: id, Label: it.Label})
	}
	return out
}

// List is the images under review in their order on screen.
type List struct {
	Items    []Item
	Cursor   int // index of the selected image; 0 in an empty list
	High     int // highest index the cursor has been at: up to here the order never changes
	Version  uint64
	RankedBy string
	RankedAt time.Time
	Strategy string // what picked the candidates
	Total    int64  // images that match the filter
	Cut      int64  // candidates of the queue
	More     bool   // the engine has images behind the last one
}

// Move puts the cursor on image i, or on the nearest there is.
func (l *List) Move(i int) {
	l.Cursor = max(0, min(i, len(l.Items)-1))
	l.High = max(l.High, l.Cursor)
}

// Selected is the image under the cursor.
func (l *List) Selected() (Item, bool) {
	if l.Cursor < 0 || l.Cursor >= len(l.Items) {
		return Item{}, false
	}
	return l.Items[l.Cursor], true
}

// Index finds an image; -1 when it is not in the list.
func (l *List) Index(id string) int {
	for i := range l.Items {
		if l.Items[i].ID == id {
			return i
		}
	}
	return -1
}

// Kept is how many images from the top stay where they are: those looked at.
func (l *List) Kept() int {
	if len(l.Items) == 0 {
		return 0
	}
	return min(len(l.Items), max(l.High, l.Cursor)+1)
}

// Merge follows a newer ranking: the first kept images of old stay in their places, with the newest scores and labels where the
// ranking has them; behind them comes fresh in its order without those, and without near-duplicates of an unlabelled one of them
// that the ranking now puts first: the cell looked at stands for them. The list ends after most images, but never before the last
// kept one; most ≤ 0: no end.
func Merge(old []Item, kept int, fresh []Item, most int) []Item {
	kept = max(0, min(kept, len(old)))
	out := make([]Item, kept, kept+len(fresh))
	copy(out, old)
	at, folded := make(map[string]int, kept), map[string]int{}
	for i, it := range out {
		at[it.ID] = i
		if it.Label == None {
			for _, alike := range it.group() {
				folded[alike.ID] = i
			}
		}
	}
	for _, it := range fresh {
		if i, looked := at[it.ID]; looked {
			out[i] = it
			continue
		}
		group := it.group()
		if k := slices.IndexFunc(group, func(alike Item) bool { _, ok := folded[alike.ID]; return ok }); k >= 0 {
			kept := &out[folded[group[k].ID]]
			kept.Duplicates = nil
			for _, alike := range group {
				if alike.ID != kept.ID {
					kept.Duplicates = append(kept.Duplicates, alike.ID)
				}
			}
			continue
		}
		if most > 0 && len(out) >= max(most, kept) {
			continue // the rest may still bring news of kept ones
		}
		at[it.ID] = len(out) // the same id twice is shown once
		out = append(out, it)
	}
	return out
}

// Refresh returns old with the newest scores and labels of those in also, each in its place. Images asked for one by one come
// without their near-duplicates: those known stay.
func Refresh(old, also []Item) []Item {
	at := make(map[string]Item, len(also))
	for _, it := range also {
		at[it.ID] = it
	}
	out := slices.Clone(old)
	for i := range out {
		if it, ok := at[out[i].ID]; ok {
			if len(it.Duplicates) == 0 {
				it.Duplicates = out[i].Duplicates
			}
			out[i] = it
		}
	}
	return out
}

func items(in []*rpc.Item) []Item {
	out := make([]Item, 0, len(in))
	for _, it := range in {
		out = append(out, Item{ID: it.GetId(), Score: it.GetScore(), Rank: it.GetRank(), Label: Label(it.GetLabel()), Duplicates: it.GetDuplicates(), Why: it.GetWhy()})
	}
	return out
}
