package sticky

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/display"
	"anomalymatch/tui/link"
)

// engine refuses every change.
type engine struct {
	rpc.EngineClient
	err   error
	reply string
	asked int
}

func (e *engine) Hello(context.Context, *rpc.HelloRequest, ...grpc.CallOption) (*rpc.HelloReply, error) {
	return &rpc.HelloReply{Version: "dev"}, nil
}

func (e *engine) Watch(context.Context, *rpc.WatchRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[rpc.Event], error) {
	return nil, errors.New("nothing to see")
}

func (e *engine) SetSetting(context.Context, *rpc.SetSettingRequest, ...grpc.CallOption) (*rpc.SettingsReply, error) {
	e.asked++
	return &rpc.SettingsReply{Error: e.reply}, e.err
}

func TestWhyItIsNotKeptIsSaidOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		e    *engine
		said string
		mute bool
	}{
		{"an older engine", &engine{err: status.Error(codes.Unimplemented, "unknown method")}, "", true},
		{"refused", &engine{reply: "project.toml cannot be written: \x1b[2J read-only"}, "not remembered: project.toml cannot be written: ␛[2J read-only", true},
		{"gone", &engine{err: status.Error(codes.Unavailable, "gone")}, "", false}, // later, perhaps
	} {
		now := time.Now()
		common := &common.Common{Now: func() time.Time { return now }}
		k := link.New(t.Context(), c.e, "dev", nil)
		k.Update(k.Init()())
		var shown display.Settings
		d := New(common, k, anomalymatch.Default().Display, func(s display.Settings) { shown = s })
		d.Press("invert", 0)
		if !shown.Invert {
			t.Fatalf("%s: not shown", c.name)
		}
		d.Update(d.keep()())
		now = now.Add(3 * time.Second) // outcomes have been read, warnings not yet
		said, _ := common.Said()
		d.Press("invert", 0)
		again := d.keep()
		if d.Press("colours", 0); c.mute != (d.keep() == nil) || again != nil {
			t.Errorf("%s: tried again %v", c.name, d.keep() != nil)
		}
		if c.e.asked != 1 || c.said != "" && !strings.Contains(said.Text, c.said) || c.said == "" && strings.Contains(said.Text, "remembered") {
			t.Errorf("%s: asked %d times, said %q", c.name, c.e.asked, said.Text)
		}
	}
}

func TestSettingsOfAProject(t *testing.T) {
	want := display.Settings{Stretch: "zscale", Band: 3, Invert: true, Colours: "cubehelix", Brightness: -4, Contrast: 10}
	var list []*rpc.Setting
	for _, v := range values(want) {
		list = append(list, &rpc.Setting{Key: v[0], Value: v[1], Own: true})
	}
	if got := read(display.Settings{}, list); got != want {
		t.Errorf("%+v came back as %+v", want, got)
	}
	for _, set := range list {
		set.Own = false
	}
	if got := read(display.Settings{Stretch: "log"}, list); got != (display.Settings{Stretch: "log"}) {
		t.Errorf("the engine's machine changed them to %+v", got)
	}
	odd := []*rpc.Setting{{Key: "display.stretch", Value: `"sine"`, Own: true}, {Key: "display.brightness", Value: "99", Own: true}, {Key: "display.band", Value: "-1", Own: true}, {Key: "display.colours", Value: "", Own: true}, {Key: "seed", Value: "1", Own: true}}
	if got := read(want, odd); got != want {
		t.Errorf("what cannot be was taken: %+v", got)
	}
	// Every name that the settings allow is one that the screen knows, and the other way round.
	for _, s := range append([]string{""}, display.Stretches...) {
		for _, m := range append([]string{""}, display.Maps...) {
			text := "[display]\nstretch = " + values(display.Settings{Stretch: s})[0][1] + "\ncolours = " + values(display.Settings{Colours: m})[3][1]
			c := anomalymatch.Default()
			if err := c.Overlay("test", []byte(text), nil); err != nil {
				t.Error(err)
			}
		}
	}
}
