package engine

import (
	"context"
	"encoding/hex"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestDescribe(t *testing.T) {
	p := newProject(t)
	p.start()
	p.until("embeddings", func(s *rpc.Status) bool { return s.Embedded })
	ctx := context.Background()
	if _, err := p.Describe(ctx, &rpc.DescribeRequest{Id: "sky/none.png"}); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown image: %v", err)
	}
	list, err := p.Ranking(ctx, &rpc.RankingRequest{Filter: "all", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	id := list.Items[3].Id
	d, err := p.Describe(ctx, &rpc.DescribeRequest{Id: id})
	if err != nil {
		t.Fatal(err)
	}
	if fact(d, "size") != "32 × 32 pixels" || !strings.Contains(fact(d, "format"), "3 bands of 8 bits") || !strings.Contains(fact(d, "band 2"), "mean") || fact(d, "changed") == "" {
		t.Errorf("facts %v", d.Facts)
	}
	if !math.IsNaN(float64(d.Fast)) || len(d.Layers) != 0 || len(d.Scores) != 0 || len(d.History) != 0 {
		t.Errorf("before anything was labelled or scored: %v", d)
	}
	if d, err := p.Describe(ctx, &rpc.DescribeRequest{Id: "sky/broken.jpg"}); err != nil || fact(d, "unreadable") == "" {
		t.Errorf("a broken image: %v, %v", d, err)
	}

	// Labels: the shares of the layers add up to the log-odds of the score.
	label := func(id, to string) {
		t.Helper()
		if _, err := p.Label(ctx, &rpc.LabelRequest{Uid: id + to, By: "ann", Changes: []*rpc.LabelChange{{Id: id, To: to}}}); err != nil {
			t.Fatal(err)
		}
	}
	label(list.Items[0].Id, "anomaly")
	label(list.Items[40].Id, "normal")
	label(id, "normal")
	label(id, "anomaly")
	version := p.e.snapshot().LabelsVersion
	p.until("the fast ranking of all labels", func(s *rpc.Status) bool {
		p.e.mu.Lock()
		defer p.e.mu.Unlock()
		return p.e.fast != nil && p.e.fast.by == "fast" && p.e.fast.labels >= version
	})
	checked := 0
	for _, it := range list.Items {
		if it.Id == "sky/broken.jpg" { // the list may be older than what is known of it
			continue
		}
		d, err := p.Describe(ctx, &rpc.DescribeRequest{Id: it.Id})
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Layers) != 8 {
			t.Fatalf("%s: layers %v", it.Id, d.Layers)
		}
		sum := float64(d.Bias)
		for _, l := range d.Layers {
			sum += float64(l.LogOdds)
		}
		f := float64(d.Fast)
		if f < 0.001 || f > 0.999 {
			continue // float32 has too few digits left of such a score for its log-odds
		}
		checked++
		if odds := math.Log(f / (1 - f)); math.Abs(odds-sum) > 1e-4 {
			t.Errorf("%s: the layers add up to %.6f, the score %v has log-odds %.6f", it.Id, sum, f, odds)
		}
	}
	if checked < 10 {
		t.Errorf("only %d images have a score in the middle", checked)
	}

	// Scores of two cycles, and of another pool.
	p.e.mu.Lock()
	pool := p.e.pool
	p.e.mu.Unlock()
	i, _ := pool.Find(id)
	scores := make([]float32, pool.Len())
	for k := range scores {
		scores[k] = float32(k) / float32(len(scores))
	}
	hash := pool.Hash()
	for cycle, pool := range map[int]string{1: hexOf(hash), 2: hexOf(hash), 3: hexOf([32]byte{1})} {
		if cycle == 2 {
			scores[i] = 0.99
		}
		if err := score.Write(filepath.Join(p.opt.Dir, "scores"), score.Header{Pool: pool, Cycle: cycle}, scores); err != nil {
			t.Fatal(err)
		}
		scores[i] = float32(i) / float32(len(scores))
	}
	if d, err = p.Describe(ctx, &rpc.DescribeRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	if len(d.Scores) != 2 || d.Scores[0].Cycle != 1 || d.Scores[0].Score != scores[i] || d.Scores[0].Rank != int64(len(scores)-1-i) || d.Scores[1].Score != 0.99 {
		t.Errorf("scores %v, image %d of %d", d.Scores, i, len(scores))
	}
	if len(d.History) != 2 || d.History[0].Change.To != "normal" || d.History[1].Change.To != "anomaly" || d.History[1].By != "ann" {
		t.Errorf("history %v", d.History)
	}
}

func TestFactsOfOddImages(t *testing.T) {
	nan := math.NaN()
	facts := dataset.Facts{Format: "FITS", Planes: dataset.Planes{W: 2, H: 1, Bands: 3, Type: "32-bit floats"},
		Values: []dataset.Values{{Min: -1.5, Max: 12345.6, Mean: 3}, {Min: nan, Max: nan, Mean: nan, Missing: 2}, {Min: 7, Max: 7, Mean: 7, Missing: 1}}}
	d := &rpc.DescribeReply{Facts: describe(facts)}
	if d.Facts[2].Name != "band 2" || d.Facts[3].Name != "band 3" {
		t.Errorf("what is odd does not come first: %v", d.Facts)
	}
	for name, want := range map[string]string{"format": "FITS, 3 bands of 32-bit floats", "band 1": "-1.5 … 12346, mean 3", "band 2": "none is a finite number", "band 3": "all 7, 1 are no finite number"} {
		if got := fact(d, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func fact(d *rpc.DescribeReply, name string) string {
	for _, f := range d.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func hexOf(hash [32]byte) string { return hex.EncodeToString(hash[:]) }

// collected takes what a stream of thumbnails sends.
type collected struct {
	grpc.ServerStreamingServer[rpc.Thumb]
	ctx    context.Context
	thumbs []*rpc.Thumb
}

func (c *collected) Context() context.Context { return c.ctx }
func (c *collected) Send(t *rpc.Thumb) error  { c.thumbs = append(c.thumbs, t); return nil }

func TestThumbsUnderAStretch(t *testing.T) {
	p := newProject(t)
	p.start()
	p.until("the list", func(s *rpc.Status) bool { return s.Pool > 0 })
	p.e.mu.Lock()
	id := p.e.pool.ID(1)
	p.e.mu.Unlock()
	get := func(stretch string, band int32) (*rpc.Thumb, error) {
		c := &collected{ctx: t.Context()}
		err := p.Thumbs(&rpc.ThumbsRequest{Ids: []string{id}, Stretch: stretch, Band: band}, c)
		if err != nil {
			return nil, err
		}
		return c.thumbs[0], nil
	}
	plain, err := get("", 0)
	if err != nil || plain.Bands != 3 || plain.Error != "" {
		t.Fatalf("%v, %v", plain, err)
	}
	seen := map[string]string{string(plain.Png): "as the network sees it"}
	for _, s := range []string{"linear", "sqrt", "asinh", "log", "zscale", "percentile"} { // the names of the wire
		for _, band := range []int32{0, 2} {
			got, err := get(s, band)
			if err != nil || got.Error != "" {
				t.Fatalf("%s, band %d: %v, %v", s, band, got, err)
			}
			if other, same := seen[string(got.Png)]; same {
				t.Errorf("%s, band %d looks as %s", s, band, other)
			}
			seen[string(got.Png)] = s
		}
	}
	if _, err := get("sine", 0); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an unknown stretch: %v", err)
	}
	if got, err := get("", -4); err != nil || string(got.Png) != string(plain.Png) {
		t.Errorf("a band that cannot be: %v", err)
	}
}
