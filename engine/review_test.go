package engine

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/duplicates"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
)

// list asks for a whole list.
func (p *project) ask(in *rpc.RankingRequest) *rpc.RankingReply {
	p.t.Helper()
	in.Limit = 1000
	r, err := p.Ranking(p.t.Context(), in)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// labelSome labels the rare images but the last few, and n normal ones.
func (p *project) labelSome(n, keep int) {
	p.t.Helper()
	var rare, rest []string
	for name, anomaly := range p.truth {
		if anomaly {
			rare = append(rare, name)
		} else {
			rest = append(rest, name)
		}
	}
	slices.Sort(rare)
	slices.Sort(rest)
	for _, name := range rare[:len(rare)-keep] {
		p.say("sky/"+name, label.Anomaly)
	}
	for _, name := range rest[:n] {
		p.say("sky/"+name, label.Normal)
	}
}

// fitted waits for the fast ranking that knows all labels, and for the near-duplicates.
func (p *project) fitted() *rpc.Status {
	p.t.Helper()
	s := p.until("the fast ranking", func(s *rpc.Status) bool {
		p.e.mu.Lock()
		defer p.e.mu.Unlock()
		return s.RankedBy == "fast" && idle(s) && p.e.fast != nil && p.e.fast.labels == p.e.status.LabelsVersion
	})
	<-p.e.folded
	return s
}

// copyOf writes an image of the sky once more, before the engine starts.
func (p *project) copyOf(name, as string) {
	p.t.Helper()
	sky := p.opt.Sources[0].Path
	b, err := os.ReadFile(filepath.Join(sky, name))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sky, as), b, 0o666); err != nil {
		p.t.Fatal(err)
	}
}

func TestStrategiesFromNothingToLabels(t *testing.T) {
	p := newProject(t)
	p.start()
	// While nothing is known, and while only novelty is, some strategies have nothing to go by and say so.
	p.until("novelty", func(s *rpc.Status) bool { return s.RankedBy == "novelty" && idle(s) })
	top := p.ask(&rpc.RankingRequest{})
	for strategy, picks := range map[string]string{"": "top", "top": "top", "uncertain": "top", "diverse": "diverse", "mixed": "mixed", "random": "random"} {
		if r := p.ask(&rpc.RankingRequest{Strategy: strategy}); r.Strategy != picks || r.Total != 60 {
			t.Errorf("%q before any label: %q picks %d images", strategy, r.Strategy, r.Total)
		}
	}
	if got := ids(p.ask(&rpc.RankingRequest{Strategy: "uncertain"})); !slices.Equal(got, ids(top)) {
		t.Error("uncertain falls back to another order than top")
	}
	for _, bad := range []*rpc.RankingRequest{{Strategy: "best"}, {Strategy: "similar"}, {Strategy: "similar", Like: "sky/nosuch.jpg"}} {
		if _, err := p.Ranking(t.Context(), bad); err == nil {
			t.Errorf("%v was answered", bad)
		}
	}

	random := ids(p.ask(&rpc.RankingRequest{Strategy: "random"}))
	p.labelSome(10, 3)
	p.fitted()
	if r := p.ask(&rpc.RankingRequest{By: "novelty"}); r.RankedBy != "novelty" {
		t.Errorf("novelty, asked for beside labels, is %q", r.RankedBy)
	}
	labelled := ids(p.ask(&rpc.RankingRequest{Filter: "labelled"}))
	want := slices.DeleteFunc(random, func(id string) bool { return slices.Contains(labelled, id) })
	if got := ids(p.ask(&rpc.RankingRequest{Strategy: "random"})); !slices.Equal(got, want) {
		t.Error("labelling reshuffled the random order")
	}
	sorted := func(r *rpc.RankingReply) []string { s := ids(r); slices.Sort(s); return s }
	all := sorted(p.ask(&rpc.RankingRequest{}))
	for _, strategy := range []string{"uncertain", "diverse", "mixed", "random"} {
		r := p.ask(&rpc.RankingRequest{Strategy: strategy})
		if r.Strategy != strategy || !slices.Equal(sorted(r), all) {
			t.Errorf("%s: %q picks %d of %d images", strategy, r.Strategy, len(r.Items), len(all))
		}
		// Page by page it is the same list.
		var pages []string
		for from := int64(0); from < r.Total; from += 7 {
			page, err := p.Ranking(t.Context(), &rpc.RankingRequest{Strategy: strategy, Offset: from, Limit: 7})
			if err != nil {
				t.Fatal(err)
			}
			for k, i := range page.Items {
				if i.Rank != from+int64(k) {
					t.Errorf("%s: rank %d at place %d", strategy, i.Rank, from+int64(k))
				}
			}
			pages = append(pages, ids(page)...)
		}
		if !slices.Equal(pages, ids(r)) {
			t.Errorf("%s: pages are another list", strategy)
		}
	}
	if got := ids(p.ask(&rpc.RankingRequest{Offset: 1000})); len(got) != 0 {
		t.Errorf("beyond the end: %v", got)
	}

	// Similar, and neighbours, begin with the same images.
	like := labelled[0]
	similar := ids(p.ask(&rpc.RankingRequest{Strategy: "similar", Like: like, Filter: "all"}))
	near, err := p.Neighbours(t.Context(), &rpc.NeighboursRequest{Id: like, Limit: 5})
	if err != nil || len(near.Neighbours) != 5 || similar[0] != like {
		t.Fatalf("%d neighbours, %v; most similar to %s is %s", len(near.GetNeighbours()), err, like, similar[0])
	}
	for k, n := range near.Neighbours {
		if n.Id != similar[k+1] || k > 0 && n.Similarity > near.Neighbours[k-1].Similarity || n.Similarity >= 1 {
			t.Errorf("neighbour %d is %v, the list has %s", k, n, similar[k+1])
		}
	}
	near, err = p.Neighbours(t.Context(), &rpc.NeighboursRequest{Id: like, Limit: 100, Labelled: true})
	if err != nil || len(near.Neighbours) != 12 {
		t.Errorf("%d labelled neighbours of 13 labelled images, %v", len(near.GetNeighbours()), err)
	}
	for _, n := range near.Neighbours {
		if n.Label == "" {
			t.Errorf("%s is not labelled", n.Id)
		}
	}
	if _, err := p.Neighbours(t.Context(), &rpc.NeighboursRequest{Id: "nosuch"}); err == nil {
		t.Error("neighbours of an image that is not there")
	}
	if near, err := p.Neighbours(t.Context(), &rpc.NeighboursRequest{Id: "sky/broken.jpg"}); err != nil || len(near.Neighbours) != 0 {
		t.Errorf("neighbours of an unreadable file: %v, %v", near, err)
	}
	if r := p.ask(&rpc.RankingRequest{Strategy: "similar", Like: "sky/broken.jpg"}); r.Strategy != "top" {
		t.Errorf("similar to an unreadable file: %q", r.Strategy)
	}
}

func TestTheSettingsStrategyIsTheQueues(t *testing.T) {
	p := newProject(t)
	p.opt.Config.Queue.Strategy = "random"
	p.start()
	p.until("images", idle)
	if r := p.ask(&rpc.RankingRequest{}); r.Strategy != "random" {
		t.Errorf("the queue is picked by %q", r.Strategy)
	}
	if r := p.ask(&rpc.RankingRequest{Filter: "all"}); r.Strategy != "top" {
		t.Errorf("all images are picked by %q", r.Strategy)
	}
}

func TestDuplicatesFoldAndContradict(t *testing.T) {
	p := newProject(t)
	for k := range 3 {
		p.copyOf("g000007.jpg", fmt.Sprintf("copy%d.jpg", k))
	}
	p.start()
	p.until("novelty", func(s *rpc.Status) bool { return s.RankedBy == "novelty" && idle(s) })
	<-p.e.folded
	s := p.until("near-duplicates", func(s *rpc.Status) bool { return s.Duplicates > 0 })
	if s.Duplicates != 4 {
		t.Errorf("%d images are near-duplicates, want the four", s.Duplicates)
	}
	members := func(r *rpc.NeighboursReply, err error) (n int) {
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range r.Neighbours {
			if i.Id == "sky/g000007.jpg" || strings.HasPrefix(i.Id, "sky/copy") {
				n++
			}
		}
		return n
	}
	if n := members(p.Neighbours(t.Context(), &rpc.NeighboursRequest{Id: "sky/g000001.jpg", Limit: 100})); n != 1 {
		t.Errorf("%d near-duplicates of one image are neighbours of another one", n)
	}
	plain, folded := p.ask(&rpc.RankingRequest{}), p.ask(&rpc.RankingRequest{Fold: true})
	if plain.Total != 63 || folded.Total != 60 {
		t.Errorf("%d images, %d folded", plain.Total, folded.Total)
	}
	var head *rpc.Item
	for _, i := range folded.Items {
		if len(i.Duplicates) > 0 {
			if head != nil {
				t.Errorf("%s and %s are both folded", head.Id, i.Id)
			}
			head = i
		}
	}
	if head == nil || len(head.Duplicates) != 3 || slices.Contains(head.Duplicates, head.Id) {
		t.Fatalf("folded into %v", head)
	}
	// The best of them stands for the others; labelled ones are no longer among them.
	p.say(head.Id, label.Anomaly)
	again := p.ask(&rpc.RankingRequest{Fold: true, Also: []string{head.Id}})
	if again.Total != 60 || len(again.Also[0].Duplicates) != 0 {
		t.Errorf("after a label of one: %d images, %v", again.Total, again.Also)
	}
	for _, id := range head.Duplicates {
		p.say(id, label.Normal)
	}
	// One anomaly, contradicted by three copies of it, and nothing else.
	p.fitted()
	if n := members(p.Neighbours(t.Context(), &rpc.NeighboursRequest{Id: "sky/g000001.jpg", Labelled: true})); n != 2 {
		t.Errorf("%d near-duplicates with two labels are neighbours, want one of each label", n)
	}
	audit := p.ask(&rpc.RankingRequest{Filter: "audit"})
	if audit.Total != 4 {
		t.Errorf("the audit of four contradictions has %d", audit.Total)
	}
	for _, i := range audit.Items {
		if other := map[string]string{"anomaly": "normal", "normal": "anomaly"}[i.Label]; i.Why != "its near-duplicate is labelled "+other {
			t.Errorf("%v", i)
		}
	}
	noNaN(t, p.ask(&rpc.RankingRequest{Filter: "all"}))

	// They are read, not found again, at the next start.
	p.stop()
	path := filepath.Join(p.opt.Dir, "embeddings", "duplicates-32.json")
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	p.until("near-duplicates", func(s *rpc.Status) bool { return s.Duplicates == 4 })
	if now, err := os.Stat(path); err != nil || !now.ModTime().Equal(st.ModTime()) {
		t.Errorf("the file of near-duplicates was written again, %v", err)
	}
	emb := p.e.emb
	of := fmt.Sprintf("%s, %s, %d px, %08x", emb.Pool, emb.Network, emb.Size, emb.CRC)
	if _, ok := duplicates.Read(path, of, emb.Rows); !ok {
		t.Error("the file is not of these embeddings")
	}
}

func noNaN(t *testing.T, r *rpc.RankingReply) {
	t.Helper()
	for _, i := range r.Items {
		if s := float64(i.Score); math.IsNaN(s) || math.IsInf(s, 0) {
			t.Errorf("%s scores %v by %s", i.Id, s, r.RankedBy)
		}
	}
}

func TestWrongLabelsAreAudited(t *testing.T) {
	p := newProject(t)
	p.start()
	p.until("novelty", func(s *rpc.Status) bool { return s.RankedBy == "novelty" && idle(s) })
	if r := p.ask(&rpc.RankingRequest{Filter: "audit"}); r.Total != 0 {
		t.Errorf("an audit of nothing: %v", r.Items)
	}
	p.labelSome(30, 0)
	p.fitted()
	before := p.ask(&rpc.RankingRequest{Filter: "audit"}).Total
	wrong := p.ask(&rpc.RankingRequest{Filter: "anomaly"}).Items[0].Id
	p.say(wrong, label.Normal)
	p.fitted()
	audit := p.ask(&rpc.RankingRequest{Filter: "audit"})
	at := slices.IndexFunc(audit.Items, func(i *rpc.Item) bool { return i.Id == wrong })
	if at < 0 || !strings.HasPrefix(audit.Items[at].Why, "scored 0.") || !strings.HasSuffix(audit.Items[at].Why, " without its label") {
		t.Errorf("a wrong label among %d + 1 doubts: %v", before, audit.Items)
	}
	// The worst first. Who that is, the head decides: on so few images a right label may be doubted more (see the tests of audit).
	worst := float32(1)
	for _, i := range audit.Items {
		doubt := i.Score
		if i.Label == "anomaly" {
			doubt = 1 - i.Score
		}
		if doubt > worst {
			t.Errorf("%s is doubted more than what stands before it: %v", i.Id, audit.Items)
		}
		worst = doubt
	}
}

func TestReviewSaysWhatIsLeft(t *testing.T) {
	p := newProject(t)
	review := func() *rpc.ReviewReply {
		r, err := p.Review(t.Context(), &rpc.ReviewRequest{By: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	p.start()
	p.until("novelty", func(s *rpc.Status) bool { return s.RankedBy == "novelty" && idle(s) })
	if r := review(); r.Advice != "label" || r.Looked != 0 || r.Precision.Known || r.InTop.Known {
		t.Errorf("before any label: %v", r)
	}
	// Imported labels are no looks.
	if err := p.labels.Append("test", label.ImportedUID+"1", []label.Change{{ID: "sky/g000000.jpg", To: label.Normal}, {ID: "sky/g000001.jpg", To: label.Normal}}); err != nil {
		t.Fatal(err)
	}
	p.e.takeLabels()
	if r := review(); r.Advice != "label" || !strings.Contains(r.Reason, "no anomaly") || r.Looked != 0 {
		t.Errorf("normals only: %v", r)
	}
	p.labelSome(20, 2)
	p.fitted()
	r := review()
	if r.Looked < 22 || r.Found != 4 || !r.Precision.Known || r.Precision.Low >= r.Precision.Value || r.Top != 24 {
		t.Errorf("after 24 labels: %v", r)
	}
	if !r.InTop.Known || !r.InPool.Known || r.InPool.High < r.InTop.Value || math.IsNaN(r.InPool.Value+r.InTop.Value) {
		t.Errorf("what is left: %v", r)
	}
	if other, _ := p.Review(t.Context(), &rpc.ReviewRequest{By: "another"}); other.Looked != 0 || other.InPool.Value != r.InPool.Value {
		t.Errorf("to another writer: %v", other)
	}
	// Many at once get the same answer, and an engine that ends answers.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if again := review(); again.InPool.Value != r.InPool.Value {
				t.Errorf("another answer at the same time: %v", again)
			}
		})
	}
	wg.Wait()
	p.stop()
	review()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Review(ctx, &rpc.ReviewRequest{}); err == nil {
		t.Error("answered somebody who had left")
	}
}

// Pools that teach nothing: one class only, few images, images that are all the same.
func TestPoolsThatTeachNothing(t *testing.T) {
	drawn := func(n int, of func(i int) color.Gray) func(p *project) {
		return func(p *project) {
			dir := filepath.Join(p.opt.Dir, "drawn")
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				m := image.NewGray(image.Rect(0, 0, 32, 32))
				for k := range m.Pix {
					m.Pix[k] = of(i).Y
				}
				f, err := os.Create(filepath.Join(dir, fmt.Sprintf("i%03d.png", i)))
				if err != nil {
					t.Fatal(err)
				}
				if err := png.Encode(f, m); err != nil {
					t.Fatal(err)
				}
				f.Close()
			}
			p.opt.Sources = []dataset.NamedSource{{Name: "sky", Path: dir}}
		}
	}
	black := func(int) color.Gray { return color.Gray{} }
	for name, c := range map[string]struct {
		pool   func(p *project)
		labels map[int]label.Value
	}{
		"all black":            {drawn(30, black), map[int]label.Value{0: label.Anomaly, 1: label.Normal, 2: label.Normal, 3: label.Anomaly}},
		"all black, no labels": {drawn(30, black), nil},
		"one image":            {drawn(1, black), map[int]label.Value{0: label.Anomaly}},
		"three images":         {drawn(3, func(i int) color.Gray { return color.Gray{uint8(80 * i)} }), map[int]label.Value{0: label.Anomaly, 1: label.Normal}},
		"black but one":        {drawn(30, func(i int) color.Gray { return color.Gray{uint8(i / 29 * 200)} }), map[int]label.Value{29: label.Anomaly, 1: label.Normal}},
		"anomalies only":       {drawn(30, func(i int) color.Gray { return color.Gray{uint8(8 * i)} }), map[int]label.Value{0: label.Anomaly, 1: label.Anomaly}},
		"normals only":         {drawn(30, func(i int) color.Gray { return color.Gray{uint8(8 * i)} }), map[int]label.Value{0: label.Normal, 1: label.Normal}},
		"all are anomalies":    {drawn(2, func(i int) color.Gray { return color.Gray{uint8(80 * i)} }), map[int]label.Value{0: label.Anomaly, 1: label.Anomaly}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			c.pool(p)
			p.start()
			p.until("novelty", func(s *rpc.Status) bool { return s.RankedBy == "novelty" && idle(s) })
			<-p.e.folded
			for i, v := range c.labels {
				p.say(fmt.Sprintf("sky/i%03d.png", i), v)
			}
			anomalies := slices.Contains(slices.Collect(mapValues(c.labels)), label.Anomaly)
			if anomalies && name != "all are anomalies" && name != "one image" {
				p.fitted()
			}
			n := p.ask(&rpc.RankingRequest{Filter: "all"}).Total
			for _, strategy := range []string{"top", "uncertain", "diverse", "mixed", "random", "similar"} {
				for _, fold := range []bool{false, true} {
					r := p.ask(&rpc.RankingRequest{Filter: "all", Strategy: strategy, Like: "sky/i000.png", Fold: fold})
					noNaN(t, r)
					if !fold && r.Total != n || r.Total == 0 {
						t.Errorf("%s: %d images of %d", strategy, r.Total, n)
					}
				}
			}
			if r := p.ask(&rpc.RankingRequest{}); r.Cut > n || r.Total != n-int64(len(c.labels)) {
				t.Errorf("%d to review and %d candidates of %d images", r.Total, r.Cut, n)
			}
			near, err := p.Neighbours(t.Context(), &rpc.NeighboursRequest{Id: "sky/i000.png"})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range near.Neighbours {
				if math.IsNaN(n.Similarity) {
					t.Errorf("neighbour %v", n)
				}
			}
			r, err := p.Review(t.Context(), &rpc.ReviewRequest{})
			if err != nil || r.Reason == "" || math.IsNaN(r.InPool.Value+r.InPool.High+r.InTop.Value+r.InTop.High) {
				t.Errorf("review %v, %v", r, err)
			}
			p.ask(&rpc.RankingRequest{Filter: "audit"})
			if s, _ := p.GetStatus(t.Context(), nil); s.Error != "" {
				t.Errorf("status says %q", s.Error)
			}
		})
	}
}

func mapValues(m map[int]label.Value) func(func(label.Value) bool) {
	return func(yield func(label.Value) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// TestSamePictures: what is stored twice, in two sources, is one cell and is told, also where there are no embeddings.
func TestSamePictures(t *testing.T) {
	p := newProject(t)
	sky, other := p.opt.Sources[0].Path, filepath.Join(p.opt.Dir, "other")
	if err := os.Mkdir(other, 0o777); err != nil {
		t.Fatal(err)
	}
	for k := 1; k <= 3; k++ {
		b, err := os.ReadFile(filepath.Join(sky, fmt.Sprintf("g%06d.jpg", k)))
		if err == nil {
			err = os.WriteFile(filepath.Join(other, fmt.Sprintf("x%d.jpg", k)), b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p.opt.Sources = append(p.opt.Sources, dataset.NamedSource{Name: "other", Path: other})
	pool, err := dataset.OpenPool(t.Context(), filepath.Join(p.opt.Dir, "index"), p.opt.Sources, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pool.Len() { // as any pass does
		pool.Image(t.Context(), i)
	}
	if _, err := pool.Same(t.Context()); err != nil {
		t.Fatal(err)
	}
	pool.Close()
	check := func(when string) {
		t.Helper()
		p.start()
		p.until(when, func(s *rpc.Status) bool { return s.Duplicates == 6 && idle(s) && s.Embedded != p.opt.ReadOnly })
		r, err := p.Ranking(t.Context(), &rpc.RankingRequest{Filter: "all", Limit: 1000, Fold: true})
		if err != nil {
			t.Fatal(err)
		}
		pairs := 0
		for _, it := range r.Items {
			for _, d := range it.Duplicates {
				a, b := filepath.Base(it.Id), filepath.Base(d)
				if a[len(a)-5:] != b[len(b)-5:] {
					t.Errorf("%s: %s and %s are one cell", when, it.Id, d)
				}
				pairs++
			}
		}
		if pairs != 3 {
			t.Errorf("%s: %d pairs", when, pairs)
		}
		told := make(chan string, 10)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		p.e.subscribe(ctx, func(ev *rpc.Event) error {
			if text := ev.GetNotice().GetText(); strings.Contains(text, "the same in") {
				told <- text
				cancel()
			}
			return nil
		})
		select {
		case text := <-told:
			if want := `3 pictures are the same in "other" and "sky": `; !strings.HasPrefix(text, want) {
				t.Errorf("%s: told %q, want %q…", when, text, want)
			}
		default:
			t.Errorf("%s: nobody was told", when)
		}
		p.stop()
	}
	p.opt.ReadOnly = true
	check("without embeddings")
	p.opt.ReadOnly = false
	check("with embeddings")
}
