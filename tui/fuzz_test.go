package tui

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi/kitty"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/pages/gallery"
	"anomalymatch/tui/review"
	"anomalymatch/tui/tuitest/fake"
)

var (
	events = flag.Int("events", 0, "how many events TestAnyEvents makes; 0: as many as take some seconds")
	seed   = flag.Uint64("seed", 0, "of TestAnyEvents; 0: another one each time")
)

// TestAnyEvents gives the screen whatever a terminal, a person, a cat and a dying engine can give it. Nothing may panic or break the
// screen; a label is made by a label key alone, of the picture under the cursor that is on screen; and in the end the journal holds
// what the keys said, step by step, and the screen shows that.
//
//	go test ./tui -run TestAnyEvents -events 1000000 -timeout 2h
func TestAnyEvents(t *testing.T) {
	n := *events
	if n == 0 {
		if n = 10_000; testing.Short() || raceEnabled {
			n = 3000
		}
	}
	from := *seed
	if from == 0 {
		from = uint64(time.Now().UnixNano())
	}
	total := tally{}
	for sitting := uint64(0); total.events < n; sitting++ {
		synctest.Test(t, func(t *testing.T) {
			f := &fuzz{t: t, seed: from + sitting, dice: rand.New(rand.NewPCG(from+sitting, 7)), model: map[string]string{}, marks: map[string]map[string]bool{}, tally: &total}
			f.sit(min(5000, n-total.events))
		})
		if t.Failed() {
			return
		}
		if *events > 0 && sitting%20 == 0 {
			t.Logf("%d events, %d label steps, %d undone or done again", total.events, total.steps, total.undone)
		}
	}
	t.Logf("%d events in sittings from seed %d on: %d keys, %d label steps, %d of them undone or done again, %d labels written, %d frames looked at",
		total.events, from, total.keys, total.steps, total.undone, total.written, total.frames)
	if total.events > 2000 && (total.steps-total.undone < total.events/100 || total.undone == 0) {
		t.Errorf("only %d label steps in %d events: this tests little", total.steps, total.events)
	}
}

type tally struct{ events, keys, steps, undone, written, frames int }

// writes tells whether an action may change a label or a mark. An action that does and is not here fails the test.
func writes(id string) bool {
	switch id {
	case "anomaly", "normal", "skip", "clear", "rest-normal", "bookmark", "undo", "redo", "cancel-job":
		return true
	}
	if slices.Contains(slices.Collect(maps.Values(confirmed)), id) {
		return true
	}
	return strings.HasPrefix(id, "tag-")
}

// confirmed are answers of boxes that asked first, by their types: a label key for many images, and a label taken back.
var confirmed = map[string]string{"gallery.Bulk": "yes, all of them", "labels.takeBack": "yes, take it back"}

// change is one image's, and step what one key did. mark is empty for labels.
type change struct{ id, mark, from, to string }

func (c change) String() string { return fmt.Sprintf("%.24q %s%q→%q", c.id, c.mark, c.from, c.to) }

type step []change

func (s step) inverse() step {
	var out step
	for _, c := range slices.Backward(s) {
		out = append(out, change{c.id, c.mark, c.to, c.from})
	}
	return out
}

// fuzz is one sitting of it.
type fuzz struct {
	*stage
	t    *testing.T
	seed uint64
	dice *rand.Rand
	*tally

	images       []string                   // of the pool
	model        map[string]string          // labels that the keys have made
	marks        map[string]map[string]bool // and marks
	steps        []step                     // all that the journal must hold
	done, undone []step                     // for undo
	recent       []string                   // events

	was    situation
	last   string // key
	lastAt time.Time
	lost   bool // the person chose to leave without what is not saved
	dead   bool
	loosen func() // lets held labels go
	chosen bool   // several pictures may be selected
}

// situation is what a label may come from, as it was before a message.
type situation struct {
	action   string // that the message may cause; empty: none
	selected review.Item
	blocked  string
	shown    []review.Item // in the list
	cursor   int
	waiting  int
}

func (f *fuzz) fail(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("seed %d: %s\nthe last events: %s", f.seed, fmt.Sprintf(format, args...), strings.Join(f.recent, " "))
}

func (f *fuzz) note(what string) {
	if f.recent = append(f.recent, what); len(f.recent) > 60 {
		f.recent = f.recent[len(f.recent)-60:]
	}
}

var hostile = []string{"g/\x1b[31mred\x1b[2J.png", "g/two\nlines\t.png", "g/txt.\u202egnp", "g/" + string(rune(0x10eeee)) + "\u0305.png", "g/漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字.png",
	"g/" + strings.Repeat("long/", 800), "g/👩‍👩‍👧‍👦 e\u0301.png", "nodir.png", "//", "g/\u200f\u2066abc\u2069.png"}

// sit makes n events, ends everything in order and compares.
func (f *fuzz) sit(n int) {
	d := f.dice
	f.loosen = func() {}
	opt := fake.Options{Images: 20 + d.IntN(300), Groups: d.IntN(5), Size: 1 + d.IntN(24), Step: time.Duration(1+d.IntN(30)) * time.Millisecond, Steps: 20,
		Names: hostile[:d.IntN(len(hostile)+1)], Ponder: time.Duration(d.IntN(200)) * time.Millisecond, Offer: d.IntN(4) == 0}
	if d.IntN(3) == 0 {
		opt.Bad = map[string]string{"galaxies/img-00013.png": "not a JPEG: \x1b[2J starts with \xff\xfe", hostile[0]: strings.Repeat("x", 4000)}
	}
	if d.IntN(4) == 0 {
		opt.Embed, opt.Closer = time.Second, time.Second
	}
	if d.IntN(3) == 0 {
		opt.Slow = time.Duration(d.IntN(40)) * time.Millisecond
	}
	e := fake.New(opt)
	f.images = e.All()
	systems := &fake.Systems{}
	systems.Report(fake.Cluster(time.Now()), nil)
	f.stage = newStage(f.t, e, 60+d.IntN(200), 16+d.IntN(60), func(o *Options) {
		o.Config.TUI.Images = []string{"auto", "auto", "kitty", "halfblocks"}[d.IntN(4)]
		if d.IntN(2) == 0 {
			o.Jobs = systems
		}
		if d.IntN(8) == 0 {
			o.Project = hostile[0]
		}
	})
	defer f.close()
	f.before, f.after, f.answer = f.look, f.compare, f.terminalAnswers
	defer func() {
		if r := recover(); r != nil {
			f.t.Fatalf("seed %d: panic: %v\nthe last events: %s\n%s", f.seed, r, strings.Join(f.recent, " "), debug.Stack())
		}
	}()
	f.pass(2 * time.Second)
	for i := 0; i < n && !f.left; i++ {
		f.events++
		f.event()
		f.drain()
		switch d.IntN(8) {
		case 0:
			f.pass(time.Duration(d.IntN(15)) * time.Millisecond)
		case 1, 2, 3:
			f.pass(time.Duration(50+d.IntN(250)) * time.Millisecond)
		case 4:
			if d.IntN(30) == 0 {
				f.pass(time.Duration(d.IntN(20)) * time.Second)
			}
		}
		if d.IntN(6) == 0 {
			f.frames++
			if why := f.whole(); why != "" {
				f.fail("%s", why)
			}
		}
	}
	if !f.left {
		f.settle()
	}
	f.written += len(f.journal())
	if got := f.engine.Labels(); !f.lost && !maps.Equal(got, f.model) {
		f.fail("labels on disk %v, the keys said %v", got, f.model)
	}
	if !f.lost {
		f.compareJournal()
	}
}

// settle lets the engine live, and everything come to its end.
func (f *fuzz) settle() {
	f.note("settle")
	f.engine.FailLabels("")
	f.loosen()
	if f.dead {
		f.engine.Live()
	}
	f.pass(2 * time.Minute)
	if f.left {
		return
	}
	d := f.app.env.Desk
	if n := d.Waiting(); n != 0 {
		f.fail("%d labels are still not saved", n)
	}
	for _, it := range d.List().Items {
		if l, mark := d.Label(it); string(l) != f.model[it.ID] || mark != review.Saved {
			f.fail("%q is shown as %q (mark %d), the keys said %q", it.ID, l, mark, f.model[it.ID])
		}
	}
	if why := f.whole(); why != "" {
		f.fail("%s", why)
	}
}

func (f *fuzz) journal() []*rpc.LabelEvent {
	r, err := f.engine.History(context.Background(), &rpc.HistoryRequest{By: "ann", Limit: 1 << 30})
	if err != nil {
		f.fail("%v", err)
	}
	return r.GetEvents()
}

// compareJournal compares the journal with what the keys did: the same steps in the same order, each written once.
func (f *fuzz) compareJournal() {
	all := f.journal()
	for i, s := range f.steps {
		if len(all) < len(s) {
			f.fail("the journal ends before %v, step %d of %d", s, i, len(f.steps))
		}
		var got step
		for _, ev := range all[:len(s)] {
			if ev.GetUid() != all[0].GetUid() {
				f.fail("step %d, %v, is written in two, after %v: the journal goes on with %v", i, s, f.steps[max(0, i-2):i], all[:min(len(all), len(s)+3)])
			}
			c := ev.GetChange()
			got = append(got, change{c.GetId(), c.GetMark(), c.GetFrom(), c.GetTo()})
		}
		if !same(got, s) {
			f.fail("the journal has %v, the key made %v, as step %d of %d", got, s, i, len(f.steps))
		}
		all = all[len(s):]
	}
	if len(all) > 0 {
		f.fail("the journal has %d events that no key made", len(all))
	}
}

// same compares steps, whatever the order of their images.
func same(a, b step) bool {
	order := func(s step) step {
		s = slices.Clone(s)
		slices.SortFunc(s, func(x, y change) int { return strings.Compare(x.id+x.mark, y.id+y.mark) })
		return s
	}
	return slices.Equal(order(a), order(b))
}

// look notes before a message what a label could come from.
func (f *fuzz) look(m tea.Msg) {
	a := f.app
	f.was = situation{waiting: a.env.Desk.Waiting(), cursor: a.env.Desk.List().Cursor}
	switch m := m.(type) {
	case tea.KeyPressMsg:
		name, now := pressed(m), time.Now()
		held := m.IsRepeat || !a.repeats && name == f.last && now.Sub(f.lastAt) < 50*time.Millisecond
		f.last, f.lastAt = name, now
		b, known := a.env.Common.Keys.Match(name)
		if known && len(a.stack) == 0 && !a.tooSmall() && (!held || b.ID == "undo" || b.ID == "redo") { // many steps may be taken back by holding a key down
			f.was.action = b.ID
		}
	case dialogs.Run:
		f.was.action = m.ID
	case gallery.Bulk: // confirmed
		if f.was.action = string(m.Label); m.Label == review.None {
			f.was.action = "clear"
		}
	default:
		f.was.action = confirmed[fmt.Sprintf("%T", m)]
	case quitMsg:
		f.lost = f.lost || a.env.Desk.Waiting() > 0
	}
	if f.was.action == "" {
		return
	}
	f.was.selected, _ = a.env.Desk.List().Selected()
	f.was.blocked = a.page.Blocked()
	f.was.shown = slices.Clone(a.env.Desk.List().Items)
	if f.was.action == "select" {
		f.chosen = true
	}
}

// compare finds out what a message has done to the labels, and whether it may.
func (f *fuzz) compare(m tea.Msg) {
	d := f.app.env.Desk
	var did step
	for _, image := range f.images {
		it := review.Item{ID: image, Label: review.Label(f.model[image])}
		for _, m := range review.Marks {
			if f.marks[image][m] {
				it.Marks = append(it.Marks, m)
			}
		}
		if now, _ := d.Label(it); string(now) != f.model[image] {
			did = append(did, change{image, "", f.model[image], string(now)})
		}
		if now := d.Marks(it); !slices.Equal(now, it.Marks) {
			for _, m := range review.Marks {
				if was, is := f.marks[image][m], slices.Contains(now, m); was != is {
					did = append(did, change{image, m, map[bool]string{true: "on"}[was], map[bool]string{true: "on"}[is]})
				}
			}
		}
	}
	if d.Waiting() <= f.was.waiting {
		if len(did) > 0 {
			f.fail("%T changed what the screen knows, without a step: %v", m, did)
		}
		return
	}
	id := f.was.action
	if !writes(id) {
		f.fail("%T %v, for the program %q, has labelled something", m, m, id)
	}
	switch id {
	case "undo":
		if len(f.done) == 0 || !same(did, f.done[len(f.done)-1].inverse()) {
			f.fail("undo did %v, of the steps %v", did, f.done[max(0, len(f.done)-3):])
		}
		f.undone, f.done = append(f.undone, f.done[len(f.done)-1]), f.done[:len(f.done)-1]
		f.tally.undone++
	case "redo":
		if len(f.undone) == 0 || !same(did, f.undone[len(f.undone)-1]) {
			f.fail("redo did %v, of the steps undone %v", did, f.undone[max(0, len(f.undone)-3):])
		}
		f.done, f.undone = append(f.done, f.undone[len(f.undone)-1]), f.undone[:len(f.undone)-1]
		f.tally.undone++
	default:
		f.check(id, did)
		f.done, f.undone = append(f.done, did), nil
		if len(f.done) > 1000 { // as far back as undo goes
			f.done = f.done[1:]
		}
	}
	for _, c := range did {
		if c.mark != "" {
			if f.marks[c.id] == nil {
				f.marks[c.id] = map[string]bool{}
			}
			f.marks[c.id][c.mark] = c.to == "on"
		} else if f.model[c.id] = c.to; c.to == "" {
			delete(f.model, c.id)
		}
	}
	f.steps = append(f.steps, did)
	f.tally.steps++
}

// check tells whether a label key may have done this.
func (f *fuzz) check(id string, did step) {
	to := map[string]string{"anomaly": "anomaly", "normal": "normal", "skip": "skip", "clear": "", "rest-normal": "normal"}[id]
	switch {
	case id == confirmed["labels.takeBack"] || id == "cancel-job":
		if len(did) != 1 {
			f.fail("%s did %v", id, did)
		}
		return
	case id == confirmed["gallery.Bulk"]:
		for _, c := range did {
			if c.mark != "" || c.to != did[0].to || !f.chosen {
				f.fail("%s did %v", id, did)
			}
		}
		return
	}
	may := map[string]bool{}
	group := func(it review.Item) []string { return append([]string{it.ID}, it.Duplicates...) }
	for i, it := range f.was.shown {
		on := i == f.was.cursor
		switch {
		case id == "rest-normal":
			on = i >= f.was.cursor
		case f.chosen:
			on = true
		}
		if on {
			for _, image := range group(it) {
				may[image] = true
			}
		}
	}
	if mark, tag := strings.CutPrefix(id, "tag-"); tag || id == "bookmark" {
		if !tag {
			mark = id
		}
		for _, c := range did {
			if c.mark != mark || !f.chosen && c.id != f.was.selected.ID {
				f.fail("%s did %v, with %q under the cursor", id, did, f.was.selected.ID)
			}
		}
		return
	}
	if f.was.blocked != "" {
		f.fail("%s labelled %v although %s", id, did, f.was.blocked)
	}
	for _, c := range did {
		if c.mark != "" || c.to != to || !may[c.id] || id == "rest-normal" && c.from != "" {
			f.fail("%s labelled %q from %q to %q, with %q under the cursor", id, c.id, c.from, c.to, f.was.selected.ID)
		}
	}
}

// terminalAnswers sends the terminal's answers soon, late, wrong, or never.
func (f *fuzz) terminalAnswers(msgs ...tea.Msg) {
	for _, m := range msgs {
		if g, ok := m.(uv.KittyGraphicsEvent); ok {
			switch f.dice.IntN(30) {
			case 0:
				continue // lost
			case 1:
				g.Payload = []byte("ENOENT:\x1b[2J no such thing")
			case 2:
				g.Options.ID += f.dice.IntN(300) - 150
			}
			m = g
		}
		late := time.Duration(f.dice.IntN(60)) * time.Millisecond
		if f.dice.IntN(50) == 0 {
			late = time.Duration(f.dice.IntN(10)) * time.Second
		}
		go func() { time.Sleep(late); f.msgs <- m }()
	}
}

// event makes one.
func (f *fuzz) event() {
	d := f.dice
	give := func(m tea.Msg) {
		if what := fmt.Sprintf("%T", m); strings.Contains(what, "Key") || strings.Contains(what, "Size") {
			f.note(strings.TrimPrefix(fmt.Sprintf("%T %.40q", m, fmt.Sprint(m)), "tea."))
		} else {
			f.note(what)
		}
		f.update(m)
	}
	word := func() string {
		n := d.IntN(12)
		if d.IntN(40) == 0 {
			n = 9000
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(d.IntN(256))
		}
		return string(b)
	}
	at := func() tea.Mouse {
		return tea.Mouse{X: d.IntN(f.w+3) - 1, Y: d.IntN(f.h+3) - 1, Button: tea.MouseButton(d.IntN(12)), Mod: tea.KeyMod(d.IntN(8))}
	}
	switch n := d.IntN(1000); {
	case n < 700:
		f.key(give)
	case n < 740: // any key
		k := tea.KeyPressMsg{Code: rune(d.IntN(0x300)), Mod: tea.KeyMod(d.IntN(16)), IsRepeat: d.IntN(2) == 0}
		if d.IntN(2) == 0 {
			k.Text = word()
		}
		if d.IntN(4) == 0 {
			k.Code, k.BaseCode = rune(0x400+d.IntN(0x100)), rune(d.IntN(0x80))
		}
		give(k)
	case n < 760:
		give(tea.KeyReleaseMsg{Code: rune('a' + d.IntN(26))})
	case n < 780:
		give(tea.PasteStartMsg{})
		give(tea.PasteMsg{Content: word()})
		give(tea.PasteEndMsg{})
	case n < 800:
		give(tea.PasteMsg{Content: "axaxX" + word()})
	case n < 850:
		m := at()
		give(tea.MouseClickMsg(m))
		if d.IntN(2) == 0 {
			give(tea.MouseReleaseMsg(m))
			give(tea.MouseClickMsg(m))
		}
	case n < 870:
		give(tea.MouseWheelMsg(at()))
	case n < 880:
		give(tea.MouseMotionMsg(at()))
	case n < 905:
		switch d.IntN(6) {
		case 0:
			give(tea.WindowSizeMsg{Width: d.IntN(4), Height: d.IntN(4)})
		case 1:
			give(tea.WindowSizeMsg{Width: d.IntN(600), Height: d.IntN(300)})
		default:
			give(tea.WindowSizeMsg{Width: 60 + d.IntN(200), Height: 16 + d.IntN(60)})
		}
	case n < 915:
		give([]tea.Msg{tea.FocusMsg{}, tea.BlurMsg{}}[d.IntN(2)])
	case n < 960: // garbage for answers
		give([]tea.Msg{
			uv.KittyGraphicsEvent{Options: kitty.Options{ID: d.IntN(400) - 50}, Payload: []byte([]string{"OK", "", "EINVAL", word()}[d.IntN(4)])},
			uv.KittyGraphicsEvent{Options: kitty.Options{ID: 15}, Payload: []byte("OK")},
			tea.TerminalVersionMsg{Name: []string{"kitty(0.41.0)", "tmux 3.5a", "", "kitty(", "ghostty 1.1", word()}[d.IntN(6)]},
			uv.CellSizeEvent{Width: d.IntN(50) - 5, Height: d.IntN(100) - 5},
			uv.CellSizeEvent{Width: 10, Height: 20},
			uv.PrimaryDeviceAttributesEvent{62, d.IntN(100)},
			uv.PrimaryDeviceAttributesEvent(nil),
			tea.ColorProfileMsg{Profile: colorprofile.Profile(d.IntN(7))},
			tea.KeyboardEnhancementsMsg{Flags: d.IntN(32)},
			uv.UnknownCsiEvent(word()), uv.UnknownApcEvent(word()), uv.UnknownDcsEvent(word()), uv.UnknownEvent(word()),
			uv.ModeReportEvent{}, tea.BackgroundColorMsg{}, tea.CapabilityMsg{Content: word()}, tea.ClipboardMsg{Content: "aaxx" + word()},
			uv.MultiEvent{uv.UnknownEvent("x")}, tea.CursorPositionMsg{X: d.IntN(300), Y: -1}, nil,
		}[d.IntN(20)])
	default:
		f.trouble()
	}
}

// key presses one of the table's keys, or one of a box.
func (f *fuzz) key(give func(tea.Msg)) {
	d := f.dice
	f.keys++
	table := keys.Table()
	name := ""
	page := f.app.page.Name()
	switch n := d.IntN(100); {
	case len(f.app.stack) > 0 && n < 25: // back to where labels are given
		name = "esc"
	case page != "gallery" && page != "single" && n < 25:
		name = "f2"
	case n < 40:
		name = []string{"a", "x", "space", "d", "X", "u", "ctrl+r", "v", "u", "u", "ctrl+r"}[d.IntN(11)]
	case n < 55:
		name = []string{"left", "right", "up", "down", "]", "[", "l", "h"}[d.IntN(8)]
	case n < 62:
		name = []string{"esc", "esc", "f2", "enter", "y", "n", "r", "tab"}[d.IntN(8)]
	default:
		b := table[d.IntN(len(table))]
		if b.ID == "quit" && d.IntN(4) > 0 || len(b.Keys) == 0 {
			return
		}
		name = b.Keys[d.IntN(len(b.Keys))]
	}
	k := keyPress(name)
	give(k)
	switch d.IntN(20) {
	case 0: // held
		k.IsRepeat = true
		give(k)
		give(k)
	case 1: // held in a terminal that does not say so
		f.pass(time.Duration(20+d.IntN(30)) * time.Millisecond)
		if !f.left {
			give(k)
		}
	}
}

// trouble is what an engine can do.
func (f *fuzz) trouble() {
	d, e := f.dice, f.engine
	n := d.IntN(10)
	f.note(fmt.Sprintf("trouble-%d", n))
	switch n {
	case 0:
		if !f.dead {
			e.Die()
			f.dead = true
		}
	case 1, 2, 3:
		if f.dead {
			e.Live()
			f.dead = false
		}
	case 4:
		e.FailLabels("the disk is full: \x1b[2J")
	case 5, 6:
		e.FailLabels("")
	case 7:
		f.loosen()
		release := e.HoldLabels()
		f.loosen = func() { release(); f.loosen = func() {} }
	case 8:
		f.loosen()
	case 9:
		e.Rerank([]string{"novelty", "fast", "joint"}[d.IntN(3)], d.Uint64())
	}
}
