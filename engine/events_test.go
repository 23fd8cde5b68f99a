package engine

import (
	"context"
	"fmt"
	"testing"

	"anomalymatch/engine/rpc"
)

// What is said while nobody is there is heard once, by the next one who comes: the last warnings, in their order.
func TestWarningsWaitForSomebody(t *testing.T) {
	p := newProject(t)
	e := New(p.opt)
	for k := range mostUnheard + 2 {
		e.notice("warning", fmt.Sprint("warning ", k))
		e.notice("info", "no news any more when somebody comes")
	}
	hear := func() (heard []string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		last := ""
		err := e.subscribe(ctx, func(ev *rpc.Event) error {
			switch {
			case last == "" && ev.Status != nil: // it is subscribed
				last = "the last"
				e.notice("info", last)
			case ev.Notice.GetText() == last:
				cancel()
			case ev.Notice != nil:
				heard = append(heard, ev.Notice.Text)
			}
			return nil
		})
		if err != context.Canceled {
			t.Fatal(err)
		}
		return heard
	}
	if got, want := fmt.Sprint(hear()), "[warning 2 warning 3 warning 4 warning 5 warning 6]"; got != want {
		t.Errorf("the first one hears %s, want %s", got, want)
	}
	if got := hear(); len(got) > 0 {
		t.Errorf("the second one hears %q again", got)
	}
}
