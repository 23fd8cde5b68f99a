package parallel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
)

// count gives the numbers below n, and err behind them where it is one.
func count(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

// worker squares; it fails from its call number fails on, where that is set.
type worker struct {
	name  string
	fails int
	calls atomic.Int32
}

func (w *worker) do(n int) (int, error) {
	if c := int(w.calls.Add(1)); w.fails > 0 && c >= w.fails {
		return 0, fmt.Errorf("%s is gone", w.name)
	}
	return n * n, nil
}

func collect(seq iter.Seq2[int, error]) (out []int, err error) {
	for v, e := range seq {
		if e != nil {
			return out, e
		}
		out = append(out, v)
	}
	return out, nil
}

func squares(n int) (out []int) {
	for i := range n {
		out = append(out, i*i)
	}
	return out
}

func TestInOrder(t *testing.T) {
	source := errors.New("the disk is gone")
	for name, tt := range map[string]struct {
		fails []int // of each worker
		err   error // of the things
		want  string
	}{
		"one":                        {fails: []int{0}},
		"four":                       {fails: []int{0, 0, 0, 0}},
		"one of two fails at once":   {fails: []int{1, 0}},
		"three of four fail midway":  {fails: []int{3, 0, 5, 9}},
		"two of three fail together": {fails: []int{4, 4, 0}},
		"the only one fails":         {fails: []int{7}, want: "is gone"},
		"all fail":                   {fails: []int{2, 5, 3}, want: "is gone"},
		"the things fail":            {fails: []int{0, 0}, err: source, want: source.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 200
			var workers []*worker
			for i, f := range tt.fails {
				workers = append(workers, &worker{name: fmt.Sprint("worker ", i), fails: f})
			}
			var waits Waits
			got, err := collect(InOrder(t.Context(), workers, count(n, tt.err), (*worker).do, &waits))
			if tt.want == "" {
				if err != nil || !slices.Equal(got, squares(n)) {
					t.Fatalf("%d squares, %v", len(got), err)
				}
			} else if err == nil || err.Error() != tt.want && !errors.Is(err, tt.err) && !slices.Contains([]string{"worker 0 is gone", "worker 1 is gone", "worker 2 is gone"}, err.Error()) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if !slices.Equal(got, squares(len(got))) {
				t.Errorf("out of order: %v", got)
			}
			if tt.err != nil && len(got) != n {
				t.Errorf("%d of %d things before the error", len(got), n)
			}
			for i, w := range workers {
				if f := tt.fails[i]; f > 0 && int(w.calls.Load()) > f {
					t.Errorf("worker %d was asked again after it failed", i)
				}
			}
			if waits.Things < 0 || waits.Workers < 0 {
				t.Errorf("waits %+v", waits)
			}
		})
	}
}

// TestInOrderHoldsBack: what is begun stays bounded while one worker hangs.
func TestInOrderHoldsBack(t *testing.T) {
	release := make(chan struct{})
	var begun atomic.Int32
	things := func(yield func(int, error) bool) {
		for i := range 1000 {
			begun.Add(1)
			if i == ahead*2 { // the first that there is no room for
				close(release)
			}
			if !yield(i, nil) {
				return
			}
		}
	}
	got, err := collect(InOrder(t.Context(), []int{0, 1}, things, func(_, n int) (int, error) {
		if n == 0 {
			<-release
			if b := begun.Load(); b > ahead*2+1 {
				t.Errorf("%d were begun", b)
			}
		}
		return n * n, nil
	}, nil))
	if err != nil || !slices.Equal(got, squares(1000)) {
		t.Errorf("%d squares, %v", len(got), err)
	}
}

func TestInOrderEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for v, err := range InOrder(ctx, []int{0, 1, 2}, count(1<<40, nil), func(_, n int) (int, error) { return n * n, nil }, nil) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			break
		}
		if v != n*n {
			t.Fatalf("%d, want %d", v, n*n)
		}
		if n++; n == 50 {
			cancel()
		}
	}
	if n < 50 {
		t.Errorf("%d", n)
	}
	for v := range InOrder(t.Context(), []int{0, 1}, count(1<<40, nil), func(_, n int) (int, error) { return n, nil }, nil) {
		if v == 10 {
			break // and nothing is left running: the loop returns after its goroutines
		}
	}
	defer func() {
		if r := recover(); r != "odd" {
			t.Errorf("recovered %v", r)
		}
	}()
	for range InOrder(t.Context(), []int{0, 1}, count(100, nil), func(_, n int) (int, error) {
		if n == 40 {
			panic("odd")
		}
		return n, nil
	}, nil) {
	}
	t.Error("the panic got lost")
}
