package engine

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/rpc"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// table writes a CSV about the first n images of the project: their place in the order of ids, another number, whether that is even.
func (p *project) table(n int) meta.File {
	p.t.Helper()
	var text strings.Builder
	text.WriteString("file,n,other,kind,ra,dec,\x1b[2J\n")
	all, err := os.ReadDir(filepath.Join(p.opt.Dir, "sky"))
	if err != nil {
		p.t.Fatal(err)
	}
	for i, f := range all[:n] {
		fmt.Fprintf(&text, "%s,%d,%d,%s,%d,-%d.5,\x1b]0;x\x07\n", f.Name(), i, (i*37)%61, []string{"even", "odd"}[(i*37)%61%2], i, i)
	}
	file := filepath.Join(p.opt.Dir, "table.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return meta.File{Path: file}
}

func TestMetadata(t *testing.T) {
	p := newProject(t)
	file := p.table(50)
	p.opt.Metadata = []meta.File{file}
	p.start()
	p.until("columns", func(s *rpc.Status) bool { return s.Columns == 7 })
	all := ids(p.ask(&rpc.RankingRequest{Filter: "all", Sort: "id", Limit: 1000}))

	got := p.ask(&rpc.RankingRequest{Filter: "all", Sort: "id", Where: "n >= 10 and n < 20 or kind is missing", Limit: 1000})
	if want := append(slices.Clone(all[10:20]), all[50:]...); got.Total != int64(len(want)) || !slices.Equal(ids(got), want) {
		t.Errorf("where: %v, want %v", ids(got), want)
	}
	// The queue's cut is of what is left, and a label takes an image out of it.
	queue := p.ask(&rpc.RankingRequest{Where: "kind == 'odd'"})
	if _, err := p.Label(t.Context(), &rpc.LabelRequest{Uid: "1", By: "ann", Changes: []*rpc.LabelChange{{Id: queue.Items[0].Id, To: "normal"}}}); err != nil {
		t.Fatal(err)
	}
	if after := p.ask(&rpc.RankingRequest{Where: "kind == 'odd'"}); after.Total != queue.Total-1 || slices.Contains(ids(after), queue.Items[0].Id) {
		t.Errorf("after a label %d of %d", after.Total, queue.Total)
	}
	for _, down := range []bool{false, true} {
		r := p.ask(&rpc.RankingRequest{Filter: "all", Sort: "column", Column: "OTHER", Descending: down, Limit: 1000})
		var want []string
		for v := range 61 {
			if down {
				v = 60 - v
			}
			for i := range 50 {
				if (i*37)%61 == v {
					want = append(want, all[i])
				}
			}
		}
		if got := ids(r); !slices.Equal(got[:50], want) || len(got) != len(all) {
			t.Errorf("sorted, descending %v: %v, want %v", down, got, want)
		}
	}
	for _, bad := range []*rpc.RankingRequest{{Where: "n <"}, {Where: "m < 1"}, {Where: "kind < 1"}, {Sort: "column"}, {Sort: "column", Column: "m"}} {
		if _, err := p.Ranking(t.Context(), bad); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if f, err := p.Find(t.Context(), &rpc.FindRequest{List: &rpc.RankingRequest{Filter: "all", Where: "n == 7"}, Match: path.Base(all[7]), From: -1}); err != nil || f.Matches != 1 {
		t.Errorf("%v, %v", f, err)
	}

	d, err := p.Describe(t.Context(), &rpc.DescribeRequest{Id: all[3]})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, f := range d.Metadata {
		told[f.Name] = f.Value
	}
	if told["n"] != "3" || told["other"] != fmt.Sprint(3*37%61) || told["dec"] != "-3.5" || told["[2J"] != "\x1b]0;x\x07" || d.Place.GetRa() != 3 || d.Place.GetDec() != -3.5 {
		t.Errorf("%v, %v", told, d.Place)
	}
	if d, err := p.Describe(t.Context(), &rpc.DescribeRequest{Id: all[55]}); err != nil || len(d.Metadata) != 0 || d.Place != nil {
		t.Errorf("%v, %v", d, err)
	}
	m, err := p.Service.Metadata(t.Context(), nil)
	if err != nil || len(m.Columns) != 7 || m.Columns[1].Name != "n" || m.Columns[1].Type != "int" || m.Columns[6].Quoted != "`[2J`" || len(m.Tables) != 1 || m.Tables[0].Matched != 50 {
		t.Errorf("%v, %v", m, err)
	}

	// The command line writes other columns beside a running engine, or takes them away.
	p.table(20)
	p.e.mu.Lock()
	pool := p.e.pool
	p.e.mu.Unlock()
	if _, err := meta.Build(t.Context(), p.e.dir("index"), pool, []meta.File{file}, nil); err != nil {
		t.Fatal(err)
	}
	p.until("the new columns", func(*rpc.Status) bool {
		m, err := p.Service.Metadata(t.Context(), nil)
		return err == nil && len(m.Tables) == 1 && m.Tables[0].Matched == 20
	})
	if got := p.ask(&rpc.RankingRequest{Filter: "all", Where: "n > 0"}); got.Total != 19 {
		t.Errorf("%d of the new columns", got.Total)
	}
	if err := os.Remove(filepath.Join(p.e.dir("index"), meta.Name)); err != nil {
		t.Fatal(err)
	}
	p.until("no columns", func(s *rpc.Status) bool { return s.Columns == 0 })
	p.stop()

	// Made anew at the start, where the table changed; one that is no table is said.
	p.table(30)
	p.start()
	p.until("columns", func(s *rpc.Status) bool { return s.Columns == 7 })
	if got := p.ask(&rpc.RankingRequest{Filter: "all", Where: "n > 0"}); got.Total != 29 { // the first one is broken, which is found out sooner or later
		t.Errorf("%d", got.Total)
	}
	p.stop()
	if err := os.WriteFile(file.Path, []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.start()
	var said string
	for _, ev := range p.heard(10 * time.Second) {
		if n := ev.GetNotice(); n != nil && strings.Contains(n.Text, "metadata is not shown") {
			said = n.Text
		}
	}
	if !strings.Contains(said, "table.csv") {
		t.Error("a table that cannot be read is not told")
	}
}

// heard are the events until a notice comes, or for so long.
func (p *project) heard(most time.Duration) (events []*rpc.Event) {
	ctx, cancel := context.WithTimeout(p.t.Context(), most)
	defer cancel()
	_ = p.e.subscribe(ctx, func(ev *rpc.Event) error {
		events = append(events, ev)
		if ev.GetNotice() != nil && strings.Contains(ev.GetNotice().Text, "metadata") {
			cancel()
		}
		return nil
	})
	return events
}
