// Package settings is the page of the settings: every key of config.toml with its value, where that comes from, and its help.
package settings

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/internal/say"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
)

// Options say where settings come from and go to.
type Options struct {
	Config *anomalymatch.Config // as this program uses it
	Host   string               // of the engine; empty: this machine
	// Save writes a setting into the person's own file, value as TOML writes it, empty: without it; it returns what holds then. nil: they
	// cannot be changed here.
	Save func(key, value string) (anomalymatch.Config, error)
	// Own lists the keys that the person's own file names; nil: that is not known.
	Own func() ([]string, error)
}

// Set is the wish to change a setting: value as TOML writes it, empty: back to the default.
type Set struct{ Key, Value string }

// Answer is what came of a wish, or of asking. The root gives it to Take whatever page is on screen.
type Answer struct {
	req    uint64
	set    Set // Key empty: it was asked only
	reply  *rpc.SettingsReply
	own    []string
	Config *anomalymatch.Config // what holds in this program from now on; nil: what did before
	why    string               // it did not work
}

// Filter shows only settings that hold a text.
type Filter struct{ Text string }

// profile asks for the name of a new one.
type profile struct{ name string }

// row is a line of the list: a heading or a setting.
type row struct {
	heading bool
	name    string // of the table, or the last part of the key
	help    string
	doc     anomalymatch.Doc // Key is the row's own
}

// Page is the settings page.
type Page struct {
	env    *pages.Env
	link   *link.Link
	opt    Options
	w, h   int
	cursor string // key of the selected row
	at     int    // where it was
	top    int
	filter string
	shown  bool

	req    uint64
	asking bool
	values map[string]*rpc.Setting // of the engine; nil: not known
	file   string                  // of the project
	mine   map[string]string       // of this program
	own    []string                // keys of the person's file
	why    string                  // why the engine's are not known

	docs   []anomalymatch.Doc
	tables map[string]string
	all    []row // that are listed
}

// New makes the page.
func New(env *pages.Env, l *link.Link, opt Options) *Page {
	p := &Page{env: env, link: l, opt: opt}
	p.docs, p.tables = anomalymatch.Docs()
	p.Reload()
	return p
}

// Name is the page's name.
func (p *Page) Name() string { return "settings" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h }

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return keys.Hinted(p.env.Common.Keys.Pick("open", "cancel-job", "search", "pages", "back", "help", "quit"),
		map[string]string{"open": "change", "cancel-job": "default"})
}

// Blocked is never asked: labels are given elsewhere.
func (p *Page) Blocked() string { return "" }

// Owns: the page is searched itself, and the way back is first that from what was found.
func (p *Page) Owns(id string) bool { return id == "search" || id == "back" && p.filter != "" }

// Refuse tells why the selected setting cannot be changed.
func (p *Page) Refuse(id string) string {
	r, at := p.selected()
	if at < 0 {
		return pages.Still(id)
	}
	if id != "open" && id != "cancel-job" {
		return ""
	}
	switch {
	case r.doc.Key == newProfile && id == "cancel-job":
		return "this is no setting"
	case personal(r.doc.Key) && p.opt.Save == nil:
		return "your settings cannot be changed from here"
	case !personal(r.doc.Key) && p.values == nil:
		return "the engine has not told its settings yet"
	case !personal(r.doc.Key) && p.link.Client() == nil:
		return "the engine is not connected"
	case id == "cancel-job" && !p.set(r.doc.Key):
		return r.doc.Key + " is not set " + map[bool]string{true: "in your file", false: "in this project"}[personal(r.doc.Key)]
	}
	return ""
}

// Watch asks for the settings when the page comes on screen.
func (p *Page) Watch(shown bool) tea.Cmd {
	came := shown && !p.shown
	p.shown = shown
	if came {
		p.asking = false
	}
	if !shown || p.asking || p.values != nil && !came {
		return nil
	}
	if p.link.Client() == nil && !came {
		return nil // as soon as there is an engine
	}
	return p.ask(Set{})
}

// Connected forgets what another engine told.
func (p *Page) Connected() { p.values, p.asking = nil, false }

// ask changes a setting, or only asks how all stand.
func (p *Page) ask(set Set) tea.Cmd {
	p.req++
	p.asking = true
	a := Answer{req: p.req, set: set}
	client, ctx, save, own := p.link.Client(), p.link.Context(), p.opt.Save, p.opt.Own
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		var err error
		switch {
		case set.Key == "":
		case personal(set.Key):
			var c anomalymatch.Config
			if c, err = save(set.Key, set.Value); err == nil {
				a.Config = &c
			}
		default:
			if a.reply, err = client.SetSetting(ctx, &rpc.SetSettingRequest{Key: set.Key, Value: set.Value}); err == nil {
				a.why = common.Clean(a.reply.GetError())
			}
		}
		if err == nil && a.reply == nil && client != nil {
			if a.reply, err = client.Settings(ctx, &rpc.SettingsRequest{}); err != nil && personal(set.Key) {
				err = nil // it is saved all the same
			}
		}
		if own != nil && err == nil {
			a.own, err = own()
		}
		if err != nil {
			a.why = link.Reason(err)
		}
		return a
	}
}

// Take takes what came of asking or changing, and says how a change went.
func (p *Page) Take(a Answer) {
	if a.reply != nil && a.req == p.req {
		p.values = map[string]*rpc.Setting{}
		for _, s := range a.reply.GetSettings() {
			p.values[s.GetKey()] = s
		}
		p.file = common.Clean(a.reply.GetFile())
	}
	if a.req == p.req {
		p.asking, p.why = false, ""
		if a.own != nil || a.why == "" {
			p.own = a.own
		}
	}
	switch {
	case a.set.Key == "":
		p.why = a.why
	case a.why != "":
		p.env.Say(common.Warning, a.why)
	case a.set.Value == "":
		p.env.Say(common.Note, a.set.Key+" is no longer set · counts "+effect(a.set.Key))
	default:
		p.env.Say(common.Note, a.set.Key+" = "+common.Clean(a.set.Value)+" · counts "+effect(a.set.Key))
	}
}

// newProfile is the row that makes a profile of a batch system.
const newProfile = "cluster"

// listed makes the lines of the list.
func (p *Page) listed() (all []row) {
	add := func(table string, help string, list []row) {
		var some []row
		for _, r := range list {
			if p.filter == "" || contains(r.doc.Key, p.filter) || contains(r.help, p.filter) {
				some = append(some, r)
			}
		}
		if len(some) > 0 {
			all = append(append(all, row{heading: true, name: table, help: help}), some...)
		}
	}
	for i := 0; i < len(p.docs); {
		table := tableOf(p.docs[i].Key)
		var list []row
		for ; i < len(p.docs) && tableOf(p.docs[i].Key) == table; i++ {
			list = append(list, setting(p.docs[i]))
		}
		if table == "" {
			add("general", "", list)
			continue
		}
		add(table, p.tables[table], list)
		if table != "cluster.NAME" {
			continue
		}
		for _, name := range p.opt.Config.Profiles() {
			var own []row
			for _, r := range list {
				d := r.doc
				d.Key = anomalymatch.Key([]string{"cluster", name, r.name})
				own = append(own, setting(d))
			}
			add("cluster "+name, "a batch system of yours", own)
		}
		add("cluster, another", "", []row{{name: "new profile", help: "A profile says how one batch system is used. Each begins as cluster.NAME is.", doc: anomalymatch.Doc{Key: newProfile}}})
	}
	var actions []row
	for _, b := range keys.Table() {
		actions = append(actions, row{name: b.ID, help: up(b.Does) + ".", doc: anomalymatch.Doc{Key: anomalymatch.Key([]string{"keys", b.ID}), Kind: reflect.Slice, Default: anomalymatch.TOML(append([]string{}, b.Keys...)),
			Allowed: "keys with blanks between them, such as ctrl+t f5; none: no key"}})
	}
	add("keys", p.tables["keys"], actions)
	return all
}

func setting(d anomalymatch.Doc) row {
	return row{name: d.Key[strings.LastIndex(d.Key, ".")+1:], help: d.Help, doc: d}
}

func tableOf(key string) string { return key[:max(0, strings.LastIndex(key, "."))] }

func contains(s, text string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(text))
}

func up(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// value is a setting's value as TOML writes it, and where that comes from; empty while it is not known.
func (p *Page) value(d anomalymatch.Doc) (value, from string) {
	if !personal(d.Key) {
		s := p.values[d.Key]
		switch {
		case s == nil:
			return "", ""
		case s.GetOwn():
			return s.GetValue(), "project"
		case s.GetValue() != d.Default && p.opt.Host != "":
			return s.GetValue(), p.opt.Host
		case s.GetValue() != d.Default:
			return s.GetValue(), "your file"
		}
		return s.GetValue(), "default"
	}
	value = d.Default
	if name, ok := strings.CutPrefix(d.Key, "keys."); ok {
		for _, b := range p.env.Common.Keys.Pick(name) {
			value = anomalymatch.TOML(append([]string{}, b.Keys...))
		}
	} else if v, ok := p.mine[d.Key]; ok {
		value = v
	}
	switch {
	case slices.Contains(p.own, d.Key):
		return value, "your file"
	case value != d.Default && !strings.HasPrefix(d.Key, "keys."):
		return value, "project"
	}
	return value, "default"
}

// Reload reads the settings of this program again.
func (p *Page) Reload() {
	p.mine = p.opt.Config.Values()
	p.all = p.listed()
}

// find shows only what holds a text.
func (p *Page) find(text string) {
	p.filter, p.top = strings.TrimSpace(text), 0
	p.all = p.listed()
}

// set tells whether the file that a setting is changed in names it.
func (p *Page) set(key string) bool {
	if personal(key) {
		return slices.Contains(p.own, key)
	}
	return p.values[key].GetOwn()
}

// selected is the setting under the cursor.
func (p *Page) selected() (row, int) {
	all := p.all
	for i, r := range all {
		if !r.heading && r.doc.Key == p.cursor {
			return r, i
		}
	}
	for i := min(p.at, len(all)-1); i >= 0 && i < len(all); i++ {
		if !all[i].heading {
			return all[i], i
		}
	}
	for i := len(all) - 1; i >= 0; i-- {
		if !all[i].heading {
			return all[i], i
		}
	}
	return row{}, -1
}

// Update moves, and asks for values.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	switch msg := msg.(type) {
	case Filter:
		p.find(msg.Text)
	case Set:
		return p, p.ask(msg)
	case profile:
		return p, p.ask(Set{anomalymatch.Key([]string{"cluster", msg.name, "scheduler"}), `"slurm"`})
	case pages.Wheeled:
		p.move(map[bool]int{true: 3, false: -3}[msg.Down])
	case pages.Clicked:
		if all, i := p.all, p.top+msg.Y; msg.Y < p.list() && i < len(all) && !all[i].heading {
			p.cursor, p.at = all[i].doc.Key, i
			if msg.Again && p.Refuse("open") == "" {
				return p, p.change()
			}
		}
	case pages.Pressed:
		switch msg.ID {
		case "up":
			p.move(-1)
		case "down":
			p.move(+1)
		case "next-page":
			p.move(max(1, p.list()-1))
		case "previous-page":
			p.move(-max(1, p.list()-1))
		case "first":
			p.move(-1 << 20)
		case "last":
			p.move(1 << 20)
		case "search":
			return p, p.env.Wish(pages.Ask{Dialog: dialogs.NewPrompt(dialogs.Prompt{Common: p.env.Common, Title: "Find a setting", Help: "a part of its name or of its help; empty shows all",
				Answer: func(text string) tea.Msg { return Filter{text} }, Live: func(text string) tea.Msg { return Filter{text} }}, p.filter)})
		case "back":
			p.find("")
		case "open":
			return p, p.change()
		case "cancel-job":
			r, _ := p.selected()
			return p, p.ask(Set{Key: r.doc.Key})
		}
	}
	return p, nil
}

// move puts the cursor so many settings further; headings are passed over.
func (p *Page) move(by int) {
	all := p.all
	_, at := p.selected()
	if at < 0 {
		return
	}
	step := 1
	if by < 0 {
		step = -1
	}
	for n := by * step; n > 0; n-- {
		next := at + step
		for next >= 0 && next < len(all) && all[next].heading {
			next += step
		}
		if next < 0 || next >= len(all) {
			break
		}
		at = next
	}
	p.cursor, p.at = all[at].doc.Key, at
}

// change asks for another value: what has two is turned over, what has a few is picked, all else is typed.
func (p *Page) change() tea.Cmd {
	r, _ := p.selected()
	d := r.doc
	value, _ := p.value(d)
	switch {
	case d.Key == newProfile:
		return p.env.Wish(pages.Ask{Dialog: dialogs.NewPrompt(dialogs.Prompt{Common: p.env.Common, Title: "A new profile", Help: "its name, as --cluster NAME uses it",
			Check: func(text string) string {
				if text = strings.TrimSpace(text); text == "" {
					return "letters, digits and _ . , : @ / + -"
				}
				return sentence(anomalymatch.Check(anomalymatch.Key([]string{"cluster", text, "scheduler"}), `"slurm"`))
			},
			Answer: func(text string) tea.Msg { return profile{strings.TrimSpace(text)} }}, "")})
	case d.Kind == reflect.Bool:
		return p.ask(Set{d.Key, map[bool]string{true: "false", false: "true"}[value == "true"]})
	case len(d.Words) > 0:
		return p.env.Wish(pages.Ask{Dialog: dialogs.NewPick(p.env.Common, d.Key, func() []dialogs.Group {
			g := dialogs.Group{Title: "counts " + effect(d.Key)}
			for i, w := range d.Words {
				note := ""
				if w == d.Default {
					note = "the default"
				}
				g.Options = append(g.Options, dialogs.Option{Key: fmt.Sprint(i + 1), Name: shown(d, w), Text: note, Current: w == value, Answer: Set{d.Key, w}})
			}
			return []dialogs.Group{g}
		})})
	}
	return p.env.Wish(pages.Ask{Dialog: dialogs.NewPrompt(dialogs.Prompt{Common: p.env.Common, Title: d.Key, Help: up(d.Allowed) + " · default " + shown(d, d.Default) + " · counts " + effect(d.Key),
		Check:  func(text string) string { return p.check(d, written(d, text)) },
		Answer: func(text string) tea.Msg { return Set{d.Key, written(d, text)} }}, shown(d, value))})
}

// check tells in a sentence why a value will not do.
func (p *Page) check(d anomalymatch.Doc, value string) string {
	if err := anomalymatch.Check(d.Key, value); err != nil {
		return common.Clean(err.Error())
	}
	if name, ok := strings.CutPrefix(d.Key, "keys."); ok {
		other := maps.Clone(p.opt.Config.Keys)
		if other == nil {
			other = map[string][]string{}
		}
		other[name] = list(value)
		_, err := keys.Load(keys.Table(), other)
		return up(sentence(err))
	}
	return ""
}

func sentence(err error) string {
	if err == nil {
		return ""
	}
	return say.Plain(common.Clean(strings.TrimPrefix(err.Error(), "[keys] in config.toml: ")))
}

// list reads a list of texts as TOML writes it.
func list(value string) (out []string) {
	all, _ := anomalymatch.Value(value).([]any)
	for _, v := range all {
		text, _ := v.(string)
		out = append(out, text)
	}
	return out
}

// shown is a value as a person reads and types it: text without quotes, keys with blanks between them.
func shown(d anomalymatch.Doc, value string) string {
	switch {
	case d.Kind == reflect.String:
		if text, ok := anomalymatch.Value(value).(string); ok {
			return common.Clean(text)
		}
	case strings.HasPrefix(d.Key, "keys."):
		return common.Clean(strings.Join(list(value), " "))
	}
	return common.Clean(value)
}

// written is what a person typed as TOML writes it.
func written(d anomalymatch.Doc, text string) string {
	text = strings.TrimSpace(text)
	switch {
	case d.Kind == reflect.String:
		return anomalymatch.TOML(text)
	case strings.HasPrefix(d.Key, "keys."):
		return anomalymatch.TOML(append([]string{}, strings.Fields(text)...))
	case d.Kind == reflect.Float64 && text != "" && strings.Trim(text, "-0123456789") == "":
		return text + ".0"
	}
	return text
}

// about is how many lines the help takes; list is how many are left for the list.
func (p *Page) about() int {
	if p.h < 12 {
		return 0
	}
	return min(7, max(5, p.h/4))
}

func (p *Page) list() int { return max(1, p.h-p.about()) }

// View draws the list, and below it the help of the selected setting.
func (p *Page) View() string {
	st := p.env.Styles
	all := p.all
	sel, at := p.selected()
	room := p.list()
	if at >= 0 {
		first := at
		for first > 0 && all[first-1].heading { // a heading is seen with its first setting
			first--
		}
		p.top = max(0, min(p.top, first, len(all)-room))
		p.top = max(p.top, at-room+1)
	}
	const from = 10
	name := min(30, max(18, p.w/4))
	var lines []string
	for i, r := range all[min(p.top, len(all)):min(len(all), p.top+room)] {
		if r.heading {
			lines = append(lines, " "+components.Section(st, r.name, r.help, p.w-2))
			continue
		}
		marker, style := "   ", st.Text
		if p.top+i == at {
			marker, style = " "+st.Cell.Marker.Render("▸")+" ", st.Strong
		}
		value, where := p.value(r.doc)
		text := shown(r.doc, value)
		switch {
		case r.doc.Key == newProfile:
			text, where = "", ""
		case value == "" && p.why != "":
			text = "?"
		case value == "":
			text = "…"
		case text == "":
			text = "–"
		}
		valueStyle, fromStyle := st.Accent, st.Text
		if where == "default" {
			valueStyle, fromStyle = st.Text, st.Faint
		}
		lines = append(lines, marker+style.Render(common.Fit(common.Clean(r.name), name))+"  "+valueStyle.Render(common.Fit(text, min(40, max(4, p.w-name-from-8))))+"  "+fromStyle.Render(common.Fit(where, from)))
	}
	if len(all) == 0 {
		lines = append(lines, "", " "+st.Dim.Render(common.Cut("no setting has “"+common.Clean(p.filter)+"” in its name or help · "+p.env.Common.Keys.Label("search")+" looks for another", p.w-2)))
	}
	lines = common.Lines(lines, p.w, room)
	if p.about() > 0 {
		lines = append(lines, common.Lines(p.help(sel, at, len(all)), p.w, p.about())...)
	}
	return pages.Join(lines)
}

// help is what is said of the selected setting.
func (p *Page) help(r row, at, n int) []string {
	st := p.env.Styles
	note := ""
	if p.filter != "" {
		note = "only “" + common.Clean(p.filter) + "” · " + p.env.Common.Keys.Label("back") + " shows all"
	}
	if at < 0 {
		return []string{" " + components.Section(st, "settings", note, p.w-2)}
	}
	if note == "" && r.doc.Allowed != "" {
		note = r.doc.Allowed
	}
	out := []string{" " + components.Section(st, r.doc.Key, note, p.w-2)}
	room := p.about() - 2
	for i, l := range common.Wrap(r.help, p.w-4) {
		if i == room {
			break
		}
		out = append(out, "  "+st.Text.Render(l))
	}
	if r.doc.Key == newProfile {
		return out
	}
	counts, kept := "counts "+effect(r.doc.Key), p.file
	switch {
	case personal(r.doc.Key):
		kept = p.env.Settings
	case p.why != "":
		counts, kept = p.why, ""
	}
	for len(out) < p.about()-1 {
		out = append(out, "")
	}
	w := p.w - 4
	if left := w - common.Width(counts) - 3; kept != "" && left > 12 {
		return append(out, "  "+st.Dim.Render(common.Ends(counts, common.CutLeft(kept, left), w)))
	}
	return append(out, "  "+st.Dim.Render(common.Cut(counts, w)))
}
