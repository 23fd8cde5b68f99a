package describe

import (
	"context"
	"slices"
	"testing"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/link"
	"anomalymatch/tui/tuitest/fake"
)

func TestOnlyWhatIsLookedAtIsAskedFor(t *testing.T) {
	e := fake.New(fake.Options{})
	t.Cleanup(e.Die)
	c, err := e.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := link.New(t.Context(), c, "dev", func(ctx context.Context) (rpc.EngineClient, error) { return e.Dial(ctx) })
	teller := New(k)
	top := e.Top(3)
	if teller.Look(top[0], Version{}) != nil {
		t.Error("there is nobody to ask")
	}
	k.Update(k.Init()()) // greeted
	passed := teller.Look(top[0], Version{})
	rests := teller.Look(top[1], Version{})
	if passed == nil || rests == nil || teller.Look(top[1], Version{}) != nil {
		t.Fatal("each image is looked at once")
	}
	if teller.Update(passed()) != nil {
		t.Error("asked about an image that was passed by")
	}
	ask := teller.Update(rests())
	if ask == nil {
		t.Fatal("not asked")
	}
	late := ask()
	again := teller.Look(top[1], Version{Labels: 1}) // a label was given meanwhile
	if teller.Update(late); told(teller, top[1]) != nil {
		t.Error("an answer about older labels was taken")
	}
	teller.Update(run(teller, again))
	if d := told(teller, top[1]); d == nil || len(d.Facts) == 0 || told(teller, top[0]) != nil {
		t.Errorf("told %v", d)
	}
	if got := e.AskedDescribe(); !slices.Equal(got, []string{top[1], top[1]}) {
		t.Errorf("asked about %q", got)
	}

	teller.Update(run(teller, teller.Look("galaxies/none.png", Version{Labels: 1})))
	if d, why := teller.Of("galaxies/none.png"); d != nil || why != "no such image in the project" {
		t.Errorf("%v, %q", d, why)
	}
	if told(teller, top[1]) != nil {
		t.Error("the image before is still told of")
	}
}

// run waits for the rest and returns the answer.
func run(t *Teller, rests tea.Cmd) tea.Msg { return t.Update(rests())() }

func told(t *Teller, id string) *rpc.DescribeReply { d, _ := t.Of(id); return d }
