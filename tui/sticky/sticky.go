// Package sticky keeps how pictures are displayed: one choice for all pages, remembered in the project's settings.
package sticky

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/display"
	"anomalymatch/tui/link"
)

// rest is how long nothing is changed before the choice is kept.
const rest = 2 * time.Second

// Display is the choice; it lives in Update.
type Display struct {
	common *common.Common
	link   *link.Link
	show   func(display.Settings) // tells who makes the pictures

	now     display.Settings
	kept    display.Settings // in the project's settings, as far as is known
	chosen  bool             // by a key: what the project says comes too late
	asked   bool             // the project
	presses uint64
	saving  bool
	mute    bool // keeping it does not work, which was said
}

// New begins with the settings of the program; show is called with every change, and now.
func New(c *common.Common, l *link.Link, begin anomalymatch.Display, show func(display.Settings)) *Display {
	d := &Display{common: c, link: l, show: show}
	d.now = display.Settings{Stretch: named(begin.Stretch), Band: begin.Band, Invert: begin.Invert, Colours: named(begin.Colours), Brightness: begin.Brightness, Contrast: begin.Contrast}
	d.kept = d.now
	show(d.now)
	return d
}

// none is how the settings call what the screen has no name for.
const none = "none"

func named(s string) string {
	if s == none {
		return ""
	}
	return s
}

// Settings are those in force.
func (d *Display) Settings() display.Settings { return d.now }

// Press does an action for a picture of so many bands (0: not known), and keeps the choice once no more follows.
func (d *Display) Press(id string, bands int) tea.Cmd {
	to, why := d.now.Press(id, bands)
	if why != "" {
		d.common.Say(common.Info, why)
		return nil
	}
	said := to.String()
	if said == "" {
		said = "as it is"
	}
	d.common.Say(common.Flash, "shown: "+said)
	d.chosen = true
	if to == d.now {
		return nil
	}
	d.now = to
	d.show(to)
	return d.later()
}

type (
	restedMsg struct{ press uint64 }
	keptMsg   struct {
		settings display.Settings
		err      error
	}
	loadedMsg struct{ reply *rpc.SettingsReply }
)

// later keeps the choice if none follows soon.
func (d *Display) later() tea.Cmd {
	d.presses++
	n := d.presses
	return tea.Tick(rest, func(time.Time) tea.Msg { return restedMsg{n} })
}

// Connected asks the project what was chosen in earlier sittings, once.
func (d *Display) Connected() tea.Cmd {
	client, ctx := d.link.Client(), d.link.Context()
	d.saving = false
	if d.asked || client == nil {
		return d.keep()
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		r, err := client.Settings(ctx, &rpc.SettingsRequest{})
		if err != nil { // the settings of this machine hold, then
			return nil
		}
		return loadedMsg{r}
	}
}

// Update takes its own messages.
func (d *Display) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case restedMsg:
		if msg.press == d.presses {
			return d.keep()
		}
	case keptMsg:
		d.saving = false
		switch {
		case msg.err == nil:
			d.kept = msg.settings
			if d.now != d.kept {
				return d.later()
			}
		case status.Code(msg.err) == codes.Unimplemented:
			d.mute = true // an older engine
		case !link.Gone(msg.err) && !d.mute:
			d.mute = true
			d.common.Say(common.Warning, "how pictures are shown is not remembered: "+link.Reason(msg.err))
		}
	case loadedMsg:
		d.asked = true
		found := read(d.kept, msg.reply.GetSettings())
		d.kept = found
		if d.chosen {
			return d.later()
		}
		d.now = found
		d.show(found)
	}
	return nil
}

// Leave keeps what is not kept yet, quickly; nil: there is nothing.
func (d *Display) Leave() tea.Cmd { return d.write(2 * time.Second) }

// keep writes what differs from the project's settings.
func (d *Display) keep() tea.Cmd { return d.write(30 * time.Second) }

func (d *Display) write(within time.Duration) tea.Cmd {
	client, ctx := d.link.Client(), d.link.Context()
	if client == nil || d.saving || d.mute || d.now == d.kept {
		return nil
	}
	d.saving = true
	now, before := d.now, values(d.kept)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		for i, v := range values(now) {
			if v == before[i] {
				continue
			}
			r, err := client.SetSetting(ctx, &rpc.SetSettingRequest{Key: v[0], Value: v[1]})
			if err == nil && r.GetError() != "" {
				err = status.Error(codes.FailedPrecondition, r.GetError())
			}
			if err != nil {
				return keptMsg{now, err}
			}
		}
		return keptMsg{now, nil}
	}
}

// values are the keys of the settings and what they are, as TOML writes it.
func values(s display.Settings) [][2]string {
	text := func(name string) string {
		if name == "" {
			name = none
		}
		return strconv.Quote(name)
	}
	return [][2]string{{"display.stretch", text(s.Stretch)}, {"display.band", fmt.Sprint(s.Band)}, {"display.invert", fmt.Sprint(s.Invert)},
		{"display.colours", text(s.Colours)}, {"display.brightness", fmt.Sprint(s.Brightness)}, {"display.contrast", fmt.Sprint(s.Contrast)}}
}

// read takes over what the project's own settings say; what cannot be is left as it was.
func read(s display.Settings, from []*rpc.Setting) display.Settings {
	name := func(dst *string, value string, known []string) {
		if v := strings.Trim(value, `"'`); v == none || slices.Contains(known, v) {
			*dst = named(v)
		}
	}
	number := func(dst *int, value string, least, most int) {
		if n, err := strconv.Atoi(value); err == nil && n >= least && n <= most {
			*dst = n
		}
	}
	for _, set := range from {
		if !set.GetOwn() { // what the engine's machine says besides has no say over this one's
			continue
		}
		switch v := set.GetValue(); set.GetKey() {
		case "display.stretch":
			name(&s.Stretch, v, display.Stretches)
		case "display.colours":
			name(&s.Colours, v, display.Maps)
		case "display.band":
			number(&s.Band, v, 0, 1000)
		case "display.invert":
			s.Invert = v == "true"
		case "display.brightness":
			number(&s.Brightness, v, -display.Most, display.Most)
		case "display.contrast":
			number(&s.Contrast, v, -display.Most, display.Most)
		}
	}
	return s
}
