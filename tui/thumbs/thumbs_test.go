package thumbs

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/display"
	"anomalymatch/tui/link"
	"anomalymatch/tui/tuitest/fake"
)

func TestDecode(t *testing.T) {
	good := fake.Galaxy(1, 8, false)
	huge := bytes.Clone(good) // claims 60000×60000
	binary.BigEndian.PutUint32(huge[16:], 60000)
	binary.BigEndian.PutUint32(huge[20:], 60000)
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	for _, c := range []struct {
		name  string
		thumb *rpc.Thumb
		fails string
	}{
		{"picture", &rpc.Thumb{Png: good}, ""},
		{"error", &rpc.Thumb{Error: "no \x1b[2J JPEG"}, "no ␛[2J JPEG"},
		{"nothing", &rpc.Thumb{}, "sent no picture"},
		{"not PNG", &rpc.Thumb{Png: []byte("GIF89a")}, "sent no picture"},
		{"cut off", &rpc.Thumb{Png: good[:len(good)/2]}, "damaged"},
		{"huge", &rpc.Thumb{Png: huge}, "60000 × 60000"},
	} {
		p := decode(c.thumb, 8, display.Settings{})
		if c.fails == "" && (p.Err != "" || p.Img == nil) || c.fails != "" && (!strings.Contains(p.Err, c.fails) || p.Img != nil) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(fake.Galaxy(1, 8, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := decode(&rpc.Thumb{Png: b}, 8, display.Settings{}); (p.Img == nil) == (p.Err == "") {
			t.Fatalf("%+v: a picture or a reason", p)
		}
	})
}

// desk runs a loader's commands one after the other.
type runner struct {
	t *testing.T
	l *Loader
	e *fake.Engine
}

func start(t *testing.T, opt fake.Options) runner {
	opt.Size = 8
	e := fake.New(opt)
	t.Cleanup(e.Die)
	c, err := e.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := link.New(t.Context(), c, "dev", func(ctx context.Context) (rpc.EngineClient, error) { return e.Dial(ctx) })
	k.Update(k.Init()()) // greeted
	if k.Client() == nil {
		t.Fatal("not connected")
	}
	return runner{t, New(k), e}
}

// run follows a command until it has no next one.
func (r runner) run(cmd tea.Cmd) {
	for cmd != nil {
		cmd, _ = r.l.Update(cmd())
	}
}

func reqs(px int, ids ...string) []Request {
	var out []Request
	for _, id := range ids {
		out = append(out, Request{id, px})
	}
	return out
}

func TestPicturesComeInOrderAndOnce(t *testing.T) {
	r := start(t, fake.Options{})
	top := r.e.Top(4)
	r.run(r.l.Want(reqs(64, top[2], top[0], top[2], top[1])))
	if got := strings.Join(r.e.Asked(), " "); got != strings.Join([]string{top[2], top[0], top[1]}, " ") {
		t.Errorf("asked for %s", got)
	}
	for _, id := range top[:3] {
		if p, ok := r.l.Get(id); !ok || p.Img == nil {
			t.Errorf("%s: %+v", id, p)
		}
	}
	if cmd := r.l.Want(reqs(512, top[:3]...)); cmd != nil {
		t.Error("a cut-out's own size is all there is, and it was asked for again")
	}
}

func TestPageTurnGivesUpTheOldPage(t *testing.T) {
	r := start(t, fake.Options{Slow: 20 * time.Millisecond})
	top := r.e.Top(40)
	old := r.l.Want(reqs(64, top[:20]...))
	first := old().(arrived)
	if cmd := r.l.Want(reqs(64, top[:20]...)); cmd != nil {
		t.Error("asked again for what is under way")
	}
	fresh := r.l.Want(reqs(64, top[20:]...))
	if fresh == nil {
		t.Fatal("the new page was not asked for")
	}
	if cmd, changed := r.l.Update(first); cmd != nil || changed {
		t.Error("a picture of the page before was taken")
	}
	r.run(fresh)
	if _, ok := r.l.Get(top[39]); !ok {
		t.Error("the new page did not come")
	}
	if n := len(r.e.Asked()); n > 25 {
		t.Errorf("%d pictures were made, 20 are wanted: the old request was not ended", n)
	}
}

func TestOneThatBreaksTheStreamDoesNotStopTheOthers(t *testing.T) {
	bad := "galaxies/img-00001.png"
	r := start(t, fake.Options{Bad: map[string]string{bad: "not UTF-8: \xff"}}) // cannot be sent
	ids := reqs(64, "galaxies/img-00000.png", bad, "galaxies/img-00002.png")
	r.run(r.l.Want(ids))
	r.run(r.l.Want(ids))
	if p, _ := r.l.Get(bad); p.Err == "" {
		t.Errorf("%+v", p)
	}
	if p, ok := r.l.Get("galaxies/img-00002.png"); !ok || p.Img == nil {
		t.Errorf("%+v", p)
	}
	if cmd := r.l.Want(ids); cmd != nil {
		t.Error("asked for ever")
	}
	r.l.Forget()
	if cmd := r.l.Want(ids); cmd == nil {
		t.Error("ctrl+l should ask again")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	l := New(link.New(t.Context(), nil, "", nil))
	p := decode(&rpc.Thumb{Png: fake.Galaxy(1, 512, false)}, 512, display.Settings{})
	for i := range 200 { // 1 MiB each
		p.ID = string(rune('a' + i))
		l.put(p)
	}
	if l.used > budget || l.order.Len() != len(l.byID) || l.order.Len() < 90 {
		t.Errorf("%d bytes in %d pictures", l.used, l.order.Len())
	}
	if _, ok := l.Get(string(rune('a' + 199))); !ok {
		t.Error("the newest is gone")
	}
}

// Brightness, contrast, inversion and colour map are done here, to what is here; stretch and band are asked for.
func TestPicturesFollowTheLook(t *testing.T) {
	r := start(t, fake.Options{})
	top := r.e.Top(3)
	want := reqs(64, top[1], top[0], top[2])
	r.run(r.l.Want(want))
	plain, _ := r.l.Get(top[1])
	r.l.Seen(plain)

	r.l.Look(display.Settings{Invert: true})
	cmd := r.l.Want(want)
	if cmd == nil {
		t.Fatal("nothing follows")
	}
	if got := cmd().(dyed).pic.ID; got != top[1] {
		t.Errorf("%s follows first, want the most wanted %s", got, top[1])
	}
	if r.l.Want(want) != nil {
		t.Error("what is under way was begun again")
	}
	r.run(cmd)
	inverted, _ := r.l.Get(top[1])
	if len(r.e.Asked()) != 3 || inverted.Key() == plain.Key() || inverted.Before == nil || inverted.Before.Key() != plain.Key() {
		t.Errorf("asked %d times; key %s before %v", len(r.e.Asked()), inverted.Key(), inverted.Before)
	}
	at := func(p Picture) uint32 { v, _, _, _ := p.Img.At(3, 3).RGBA(); return v >> 8 }
	if at(plain)+at(inverted) != 255 {
		t.Errorf("%d is not %d inverted", at(inverted), at(plain))
	}

	// One that was never seen is not what the next one replaces.
	r.l.Look(display.Settings{Contrast: 3})
	r.run(r.l.Want(want))
	if p, _ := r.l.Get(top[1]); p.Before == nil || p.Before.Key() != plain.Key() {
		t.Errorf("replaces %v", p.Before)
	} else if r.l.Seen(p); true {
		if p, _ = r.l.Get(top[1]); p.Before != nil {
			t.Error("what is not needed any more is kept")
		}
	}

	// Another change while pictures follow the one before.
	r.l.Look(display.Settings{Brightness: 1})
	old := r.l.Want(want)
	r.l.Look(display.Settings{Brightness: 2})
	if next, changed := r.l.Update(old()); next != nil || changed {
		t.Error("a picture of the settings before was taken")
	}
	r.run(r.l.Want(want))

	r.l.Look(display.Settings{Brightness: 2, Stretch: "log"})
	r.run(r.l.Want(want))
	p, _ := r.l.Get(top[1])
	if got := r.e.Looks(); len(got) != 6 || got[5] != "log/0" || p.Shown != (display.Settings{Brightness: 2, Stretch: "log"}) {
		t.Errorf("asked for %q, shown %+v", got, p.Shown)
	}
	used := 0
	for e := r.l.order.Front(); e != nil; e = e.Next() {
		used += e.Value.(Picture).bytes()
	}
	if used != r.l.used {
		t.Errorf("%d bytes are counted, %d are there", r.l.used, used)
	}
}
