package tui

import (
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"anomalymatch/engine/rpc"
	payloads "anomalymatch/internal/hostile"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/tuitest/fake"
)

// spoiler puts payloads behind the texts that an engine says, each text always behind the same one, and knows its own texts when they come back.
type spoiler struct {
	words bool // those that the screen goes by too, such as states and labels

	mu     sync.Mutex
	was    map[string]string // by what became of it
	spoilt int
}

// words are the fields whose texts are of a fixed set.
var words = []string{"state", "label", "from", "to", "by", "ranked_by", "filter", "strategy", "sort", "level", "marks", "mark", "advice", "type", "uid", "stretch", "stretches", "projection",
	"projections", "phase", "kind", "key", "quoted", "channels", "version", "pool_hash"}

func (s *spoiler) say(m proto.Message) { s.each(m.ProtoReflect(), s.spoil) }
func (s *spoiler) hear(m proto.Message) {
	s.each(m.ProtoReflect(), func(_ protoreflect.FieldDescriptor, text string) string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if was, ok := s.was[text]; ok {
			return was
		}
		return text
	})
}

func (s *spoiler) spoil(f protoreflect.FieldDescriptor, text string) string {
	if text == "" || !s.words && slices.Contains(words, string(f.Name())) {
		return text
	}
	h := fnv.New32a()
	h.Write([]byte(text))
	p := payloads.Payloads[int(h.Sum32())%len(payloads.Payloads)].Text
	out := strings.ToValidUTF8(text+p, "\uE0FF") // the wire takes nothing else
	s.mu.Lock()
	defer s.mu.Unlock()
	s.was[out] = text
	s.spoilt++
	return out
}

// each changes all texts of a message, those in messages within it too.
func (s *spoiler) each(m protoreflect.Message, change func(protoreflect.FieldDescriptor, string) string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap():
		case f.IsList():
			for l, i := v.List(), 0; i < l.Len(); i++ {
				switch f.Kind() {
				case protoreflect.StringKind:
					l.Set(i, protoreflect.ValueOfString(change(f, l.Get(i).String())))
				case protoreflect.MessageKind:
					s.each(l.Get(i).Message(), change)
				}
			}
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(change(f, v.String())))
		case f.Kind() == protoreflect.MessageKind:
			s.each(v.Message(), change)
		}
		return true
	})
}

// spoilt is v with payloads behind all texts of the structs and lists in it.
func spoilt(v reflect.Value, n *int) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoilt(v.Elem(), n)
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoilt(v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				spoilt(v.Field(i), n)
			}
		}
	case reflect.String:
		if v.String() != "" {
			v.SetString(v.String() + payloads.Payloads[*n%len(payloads.Payloads)].Text)
			*n++
		}
	}
}

// TestHostileEngine: every text of every message of an engine, and of what the batch systems say, ends in what acts on terminals; then every page, every key. No frame
// holds anything of it raw, nor does what is written past the frames. With words the screen goes by spoilt too there may be little to see, and it still draws.
func TestHostileEngine(t *testing.T) {
	for _, words := range []bool{false, true} {
		t.Run(fmt.Sprintf("words=%v", words), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { hostileEngine(t, words) }) })
	}
}

func hostileEngine(t *testing.T, words bool) {
	sp := &spoiler{words: words, was: map[string]string{}}
	n := 0
	opt := fake.Options{Images: 120, Size: 12, Groups: 2, Step: time.Millisecond, Steps: 20, Past: true, Offer: true, Say: sp.say, Hear: sp.hear,
		Bad:     map[string]string{"galaxies/img-00100.png": "it is truncated", "galaxies/img-00101.png": "no image"},
		Cards:   []*rpc.Gpu{{Name: "H200", UsePercent: 3, MemoryMib: 4, TotalMib: 5}},
		Columns: []*rpc.MetadataColumn{{Name: "mag", Type: "float", Unit: "mag", Quoted: "mag"}, {Name: "class", Type: "text", Quoted: "class"}},
		Known:   func(id, column string) string { return "of " + column },
		Sweep: &rpc.SweepReply{Name: "003", Anomalies: 7, Normals: 30, Best: -1, Verdict: "too few to tell", Runs: []*rpc.SweepRun{{Run: 0, Name: "seed 42", Phase: "done", Done: 50, Total: 50},
			{Run: 1, Name: "seed 43", Phase: "training", Host: "gpu07", Done: 20, Total: 50}}}}
	systems := &fake.Systems{}
	report := fake.Cluster(time.Now())
	spoilt(reflect.ValueOf(&report), &n)
	systems.Report(report, nil)
	s := newStage(t, fake.New(opt), 120, 40, func(o *Options) {
		o.Jobs, o.Project, o.Writer = systems, "mergers"+payloads.Payloads[0].Text, "ann\x1b[2J\u202e"
	})
	defer s.close()
	frames := 0
	clean := func(what string) {
		t.Helper()
		frames++
		err := payloads.Frame(s.app.content(), func(to string) bool {
			return strings.HasPrefix(to, "https://sky.esa.int/") || strings.HasPrefix(to, "https://aladin.cds.unistra.fr/")
		})
		if err == nil {
			if why := s.whole(); why != "" {
				err = errors.New(why)
			}
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", what, err, s.text())
		}
	}
	s.before = func(m tea.Msg) {
		if r, ok := m.(tea.RawMsg); ok {
			if found := payloads.Marks(fmt.Append(nil, r.Msg)); len(found) > 0 {
				t.Errorf("past the frames was written: %v", found)
			}
		}
	}
	s.pass(3 * time.Second)
	clean("at the start")
	if !words {
		s.ready()
		s.press("a", "x", "a", "space", "x", "x", "ctrl+t")
		s.until("the ranking", func() bool { return s.app.env.Monitor.Status.GetDeepAtUnixMs() > 0 })
		s.press("R")
	}
	names := []string{"single", "compare"}
	for _, p := range s.app.tabs {
		names = append(names, p.Name())
	}
	for _, page := range names {
		s.app.stack = nil
		s.app.show(page)
		s.pass(300 * time.Millisecond)
		clean(page)
		for _, b := range keys.Table() {
			if b.ID == "quit" || b.ID == "suspend" {
				continue
			}
			s.app.stack = nil
			s.app.show(page)
			s.pass(50 * time.Millisecond)
			s.press(b.Keys[0])
			clean(b.ID + " on the page " + page)
			if len(s.app.stack) > 0 { // what it opened
				s.press("down")
				clean(b.ID + " on the page " + page + ", its box")
			}
			if s.left {
				return
			}
		}
	}
	for _, p := range payloads.Payloads { // what batch systems and labels fail with
		systems.Report(report, errors.New("squeue: "+p.Text))
		s.engine.FailLabels("the journal " + strings.ToValidUTF8(p.Text, "\uE0FF"))
		s.app.stack = nil
		s.app.show("gallery")
		s.press("a")
		clean("a label fails with " + p.Does)
		s.app.show("jobs")
		s.press("f5")
		s.pass(15 * time.Second)
		clean("the batch system says " + p.Does)
	}
	if sp.spoilt < 1000 || n < 20 || frames < 100 {
		t.Errorf("only %d texts were spoilt, %d of batch systems, %d frames seen", sp.spoilt, n, frames)
	}
}
