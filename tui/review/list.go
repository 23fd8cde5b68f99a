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
	alike      Label    // theirs when they were folded in, that of the image then; it may have got another one by itself since
	Marks      []string // "bookmark", "1" to "9", as the engine last said
	Why        string   // of the audit: what speaks against the label
}

// group is the image and its near-duplicates, each as an image of its own.
func (it Item) group() []Item {
	out := []Item{it}
	for _, id := range it.Duplicates {
		out = append(out, Item{ID: id, Label: it.alike})
	}
	return out
}

// List is the images under review in their order on screen. Of a long list it holds a window: those around the cursor.
type List struct {
	Items    []Item
	Base     int64 // place in the whole list of the first of Items, from 0
	Offset   int64 // images before Items as the engine counts them: those labelled meanwhile have left its queue; 0 at the list's true start
	Cursor   int   // index of the selected image; 0 in an empty list
	High     int   // highest index the cursor has been at: up to here the order never changes
	Version  uint64
	RankedBy string
	RankedAt time.Time
	Strategy string // what picked the candidates
	Total    int64  // images that match the filter
	Cut      int64  // candidates of the queue
	More     bool   // the engine has images behind the last one
}

// window is how many images a list keeps on either side of the cursor when it gives up those farther away; it does so when there
// are twice as many.
const window = 2048

// Place is where in the whole list the cursor is, from 0.
func (l *List) Place() int64 { return l.Base + int64(l.Cursor) }

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

// Kept is how many images from the top of the window stay where they are: those looked at.
func (l *List) Kept() int {
	if len(l.Items) == 0 {
		return 0
	}
	return min(len(l.Items), max(l.High, l.Cursor)+1)
}

// trim gives up what is far from the cursor. member tells what is still in the engine's list.
func (l *List) trim(member func(Item) bool) {
	if l.Cursor > 2*window {
		n := l.Cursor - window
		l.Base, l.Offset = l.Base+int64(n), l.Offset+count(l.Items[:n], member)
		l.Items = slices.Clone(l.Items[n:])
		l.Cursor, l.High = l.Cursor-n, l.High-n
	}
	if len(l.Items)-l.Cursor > 2*window {
		l.Items = slices.Clone(l.Items[:l.Cursor+window])
		l.High, l.More = min(l.High, len(l.Items)-1), true
	}
}

// prepend puts images before the window, which the engine's list has from place offset on.
func (l *List) prepend(before []Item, offset int64) {
	have := make(map[string]bool, len(l.Items))
	for _, it := range l.Items {
		have[it.ID] = true
	}
	before = slices.DeleteFunc(before, func(it Item) bool { return have[it.ID] })
	n := len(before)
	l.Items = append(before, l.Items...)
	l.Cursor, l.High = l.Cursor+n, l.High+n
	l.Base, l.Offset = max(l.Base-int64(n), offset), offset
	if offset == 0 { // what was before it and is not there any more leaves no holes
		l.Base = 0
	}
}

func count(its []Item, member func(Item) bool) (n int64) {
	for _, it := range its {
		if member(it) {
			n++
		}
	}
	return n
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
			kept.Duplicates, kept.alike = nil, it.alike
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

// Refresh returns old with the newest scores, labels and near-duplicates of those in also, each in its place. One that got another label by itself
// stands no longer for the others.
func Refresh(old, also []Item) []Item {
	at := make(map[string]Item, len(also))
	for _, it := range also {
		at[it.ID] = it
	}
	out := slices.Clone(old)
	for i := range out {
		if it, ok := at[out[i].ID]; ok {
			out[i] = it
		}
	}
	return out
}

func items(in []*rpc.Item) []Item {
	out := make([]Item, 0, len(in))
	for _, it := range in {
		out = append(out, Item{ID: it.GetId(), Score: it.GetScore(), Rank: it.GetRank(), Label: Label(it.GetLabel()), Duplicates: it.GetDuplicates(), alike: Label(it.GetLabel()), Why: it.GetWhy(), Marks: it.GetMarks()})
	}
	return out
}
