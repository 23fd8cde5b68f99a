// Package jobs is the page of the engine and the batch systems: where the engine runs and what it writes to its log, where it could be started as
// a job, and the jobs of the project.
package jobs

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"anomalymatch/tui/batch"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
)

const name = "jobs"

// Page is the jobs page.
type Page struct {
	env    *pages.Env
	link   *link.Link
	host   string // of the engine as the person named it; empty: this machine
	w, h   int
	cursor string // key of the selected row
	at     int    // where it was
	up     int    // lines that the log is scrolled up from its end
	seen   int    // lines of the log that came until now
}

// New makes the page; host is the other machine that the person named.
func New(env *pages.Env, l *link.Link, host string) *Page {
	return &Page{env: env, link: l, host: common.Clean(host)}
}

// Name is the page's name.
func (p *Page) Name() string { return name }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h }

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return keys.Hinted(p.env.Common.Keys.Pick("open", "cancel-job", "down", "pages", "back", "help", "quit"),
		map[string]string{"open": "start the engine there", "down": "select"})
}

// Blocked is never asked: labels are given elsewhere.
func (p *Page) Blocked() string { return "" }

// row is what can be selected.
type row struct {
	profile *batch.Profile
	job     *batch.Job
}

func (r row) key() string {
	switch {
	case r.profile != nil:
		return "profile " + r.profile.Name
	case r.job != nil:
		return "job " + r.job.Cluster + " " + jobID(r.job)
	}
	return ""
}

func jobID(j *batch.Job) string {
	if j.Task != nil {
		return fmt.Sprintf("%s_%d", j.ID, *j.Task)
	}
	return j.ID
}

func (p *Page) rows() (all []row) {
	b := p.env.Board
	for i := range b.Profiles {
		all = append(all, row{profile: &b.Profiles[i]})
	}
	for i := range b.Jobs {
		all = append(all, row{job: &b.Jobs[i]})
	}
	return all
}

// selected is the row under the cursor, which stays on what it is on while rows come and go.
func (p *Page) selected() (r row, at int) {
	all := p.rows()
	if len(all) == 0 {
		return row{}, -1
	}
	for i, r := range all {
		if r.key() == p.cursor {
			return r, i
		}
	}
	at = min(p.at, len(all)-1)
	return all[at], at
}

// Refuse tells why the selected row is nothing to start the engine by, or to cancel.
func (p *Page) Refuse(id string) string {
	switch {
	case id == "open":
		return p.whyNotStart()
	case id == "cancel-job":
		return p.whyNotCancel()
	case (id == "next-page" || id == "previous-page") && p.logRoom() > 0:
		return ""
	case len(p.rows()) == 0:
		return pages.Still(id)
	}
	return ""
}

// under is what is under the cursor; both are nil where there is nothing.
func (p *Page) under() (*batch.Profile, *batch.Job) {
	r, _ := p.selected()
	return r.profile, r.job
}

// whyNotStart tells why the engine cannot be started by what is selected; empty: it can.
func (p *Page) whyNotStart() string {
	b := p.env.Board
	profile, job := p.under()
	switch {
	case job != nil:
		return p.env.Common.Keys.Label("cancel-job") + " cancels a job; the engine is started by a profile"
	case profile == nil:
		return "there is no profile to start the engine by"
	}
	return p.why(*profile, b.Doing)
}

func (p *Page) why(profile batch.Profile, doing string) string {
	switch {
	case doing != "":
		return "wait: " + doing
	case profile.Host != "":
		return "this batch system is on " + profile.Host + ": open the project there, with -H " + profile.Host
	}
	if j := p.engineJob(); j != nil && j.Cluster == profile.Name && j.State != "ending" {
		return "the engine is job " + j.ID + " there already"
	}
	return ""
}

// whyNotCancel tells why what is selected cannot be cancelled; empty: it can.
func (p *Page) whyNotCancel() string {
	_, job := p.under()
	switch {
	case job == nil:
		return "select a job to cancel it"
	case p.env.Board.Doing != "":
		return "wait: " + p.env.Board.Doing
	case !job.Live() && job.State != "unknown":
		return "this job is over"
	}
	return ""
}

// engineJob is the newest job that is the engine, waiting or running.
func (p *Page) engineJob() *batch.Job {
	b := p.env.Board
	for i, j := range b.Jobs {
		if j.Kind == "engine" && j.Live() {
			return &b.Jobs[i]
		}
	}
	return nil
}

// Update moves the cursor, asks and orders.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	if came := p.env.Monitor.LogNew; came != p.seen {
		if p.up > 0 { // what is read stays where it is
			p.up += came - p.seen
		}
		p.seen = came
	}
	switch msg := msg.(type) {
	case pages.Wheeled:
		p.scroll(map[bool]int{true: -3, false: 3}[msg.Down])
	case pages.Pressed:
		return p, p.press(msg.ID)
	case start:
		return p, p.env.Board.Start(msg.profile)
	case cancel:
		return p, p.env.Board.Cancel(msg.cluster, msg.id)
	}
	return p, nil
}

func (p *Page) press(id string) tea.Cmd {
	all := p.rows()
	_, at := p.selected()
	to := at
	switch id {
	case "open":
		return p.askStart()
	case "cancel-job":
		return p.askCancel()
	case "up", "left":
		to = at - 1
	case "down", "right":
		to = at + 1
	case "previous-page", "next-page":
		by := 10
		if room := p.logRoom(); room > 0 { // where it is on screen it is what pages
			by = room - 2
		}
		if id == "previous-page" {
			by = -by
		}
		if p.logRoom() == 0 {
			to = at + by
			break
		}
		p.scroll(-by)
	case "first":
		to = 0
	case "last":
		to = len(all) - 1
	}
	if len(all) > 0 {
		p.at = max(0, min(to, len(all)-1))
		p.cursor = all[p.at].key()
	}
	return nil
}

// scroll moves the log up by some lines, or down.
func (p *Page) scroll(up int) {
	p.up = max(0, min(p.up+up, len(p.env.Monitor.Log)-p.logRoom()+1))
}

// abreast is the width from which on engine and profiles stand beside the jobs.
const abreast, side = 112, 44

// View draws the engine, the profiles and the jobs, and the log below. Where they do not fit, what is around the cursor.
func (p *Page) View() string {
	w := p.w - 4
	room := p.logRoom()
	h := p.h
	if room > 0 {
		h -= room + 1
	}
	lines := common.Lines(p.top(w, h), w, h)
	if room > 0 {
		lines = append(append(lines, ""), p.log(w, room)...)
	}
	return pages.Margin(common.Lines(lines, w, p.h), 2)
}

// The log has at least leastLog lines with its heading, or is left out; on tall screens at least usualLog, however long the lists are.
const leastLog, usualLog, tall = 5, 10, 36

// logRoom is the number of lines for the log: what the rest leaves. 0: none.
func (p *Page) logRoom() int {
	left := p.h - 1 - len(p.all(p.w-4))
	if p.h >= tall {
		left = max(left, usualLog)
	}
	if left < leastLog {
		return 0
	}
	return left
}

// log is the end of the engine's log, or a part further up: h lines of w cells.
func (p *Page) log(w, h int) []string {
	e, st := p.env, p.env.Styles
	lines := e.Monitor.Log
	note := ""
	up := max(0, min(p.up, len(lines)-(h-1)))
	if len(lines) > h-1 {
		note = e.Common.Keys.Label("previous-page") + " " + e.Common.Keys.Label("next-page") + " scroll"
	}
	if up > 0 {
		note = common.Plural(up, "line") + " below · " + note
	}
	out := []string{components.Section(st, "Log", note, w)}
	switch {
	case e.Monitor.LogWhy != "":
		for _, l := range common.Wrap(e.Monitor.LogWhy, w) {
			out = append(out, st.Dim.Render(l))
		}
		return common.Lines(out, w, h)
	case len(lines) == 0:
		return common.Lines(append(out, st.Dim.Render("…")), w, h)
	}
	to := len(lines) - up
	for _, l := range lines[max(0, to-(h-1)):to] {
		style := st.Text
		switch {
		case strings.Contains(l, "level=ERROR"), strings.Contains(l, "level=WARN"):
			style = st.Warn
		case strings.Contains(l, "level=INFO"):
			style = st.Dim
		}
		out = append(out, style.Render(common.Cut(l, w)))
	}
	return common.Lines(out, w, h)
}

// all is everything but the log, as high as it is.
func (p *Page) all(w int) []string { return p.top(w, 1<<20) }

// top is engine, profiles and jobs in at most h lines.
func (p *Page) top(w, h int) (lines []string) {
	switch {
	case p.env.Board.None():
		return append([]string{""}, p.engine(w)...)
	case p.env.Board.Known && len(p.rows()) == 0:
		lines = append(append([]string{""}, p.engine(w)...), "")
		return append(lines, p.example(w)...)
	case w >= abreast:
		left, profileAt := p.profiles(side)
		engine := append(append([]string{""}, p.engine(side)...), "")
		left = append(engine, around(left, profileAt, h-len(engine))...)
		right, jobAt := p.jobs(w - side - 4)
		right = append([]string{""}, around(right, jobAt, h-1)...)
		high := min(h, max(len(left), len(right)))
		return pages.Beside(4, common.Lines(left, side, high), common.Lines(right, w-side-4, high))
	}
	lines = append(append([]string{""}, p.engine(w)...), "")
	list, profileAt := p.profiles(w)
	jobs, jobAt := p.jobs(w)
	at := profileAt
	if jobAt.to > 0 {
		at = span{jobAt.from + len(list) + 1, jobAt.to + len(list) + 1}
	}
	list = append(append(list, ""), jobs...)
	return append(lines, around(list, at, h-len(lines))...)
}

// span is the lines [from, to) of the selected row; to 0: it is not among them.
type span struct{ from, to int }

// around is h lines of a list in which a span can be seen; the first where they all can.
func around(lines []string, s span, h int) []string {
	if h <= 0 {
		return nil
	}
	top := 0
	if s.to > h {
		top = min(s.from, s.to-h)
	}
	top = max(0, min(top, len(lines)-h))
	return lines[top:min(len(lines), top+h)]
}

// engine is the block about where the engine runs.
func (p *Page) engine(w int) []string {
	e, st, b, s := p.env, p.env.Styles, p.env.Board, p.env.Monitor.Status
	state, why := p.link.State()
	note := ""
	if state == link.Connected {
		note = common.Clean(s.GetBackend())
	}
	out := []string{components.Section(st, "Engine", note, w)}
	field := func(name, value string) {
		for i, l := range common.Wrap(value, max(10, w-11)) {
			if i > 0 {
				name = ""
			}
			out = append(out, components.Field(st, name, l, w))
		}
	}
	now := e.Now()
	job := p.engineJob()
	switch waiting := b.Waiting(); {
	case b.Engine != nil:
		where := b.Engine.Host
		if b.Engine.Here {
			where = "this machine, " + b.Engine.Host
			if p.host != "" {
				where = p.host
			}
		}
		switch {
		case job != nil:
			where += ", job " + job.ID + " on " + job.Cluster
		case b.Engine.Job != "":
			where += ", job " + b.Engine.Job
		}
		field("runs on", where)
		since := b.Engine.Since
		if !since.IsZero() {
			field("since", common.Clock(now, since)+", "+common.Age(now, since))
		}
		var ends time.Time
		if ms := s.GetEndsAtUnixMs(); ms > 0 && state == link.Connected {
			ends = time.UnixMilli(ms)
		} else if job != nil && job.End != nil {
			ends = *job.End
		}
		if ends.After(now) {
			left := common.Seconds(ends.Sub(now).Seconds()) + ", until " + common.Clock(now, ends)
			style := st.Section.Value
			if ends.Sub(now) < 10*time.Minute {
				left, style = "! "+left, st.Warn
			}
			line := st.Section.Key.Render(common.Fit("time left", 11)) + style.Render(left)
			if room := w - common.Width(line) - 2; room >= 8 && !since.IsZero() && since.Before(now) {
				line += "  " + components.Progress(st, now.Sub(since).Seconds()/ends.Sub(since).Seconds(), min(room, 24))
			}
			out = append(out, common.Fit(line, w))
		}
		if state == link.Connected {
			field("does", p.doing())
		}
	case waiting != nil:
		field("waits as", "job "+waiting.ID+" on "+waiting.Cluster+onNode(waiting.Node))
		field("because", reason(*waiting))
		if at := waiting.Start; at != nil && at.After(now) {
			field("starts", "thought to in "+common.Seconds(at.Sub(now).Seconds())+", "+common.Clock(now, *at))
		}
		if n, _ := e.Desk.Undelivered(); n > 0 {
			field("meanwhile", common.Plural(n, "label")+" on this machine, delivered when it runs")
		}
	case b.Known && state == link.Lost && why != "":
		field("runs on", "no machine just now")
		field("because", why)
	case b.Known && state != link.Connected:
		field("runs on", "no machine just now")
	case s.GetJob() != "" && (b.Known || b.None()):
		field("runs on", "job "+common.Clean(s.GetJob()))
	case b.None() && state != link.Connected:
		field("runs on", "no machine just now")
		if why != "" {
			field("because", why)
		}
	case b.None():
		field("runs on", cmp.Or(p.host, "this machine"))
		field("does", p.doing())
	case b.Known:
		field("runs on", "a machine that does not say its name")
	default:
		field("runs on", "…")
	}
	return out
}

// doing is what the engine does, in words.
func (p *Page) doing() string {
	m := p.env.Monitor
	doing := m.Doing()
	if doing == "" {
		return "nothing just now"
	}
	if share, known := m.Progress(); known {
		doing += " " + common.Percent(share)
	}
	return doing
}

func onNode(node string) string {
	if node == "" {
		return ""
	}
	return " on " + node
}

func reason(j batch.Job) string {
	switch {
	case j.Reason != "":
		return j.Reason
	case j.State == "pending":
		return "nobody says why"
	}
	return "it is " + j.State + " and does not answer yet"
}

// profiles are those by which the engine can be started.
func (p *Page) profiles(w int) (out []string, at span) {
	st, b := p.env.Styles, p.env.Board
	out = append(out, components.Section(st, "Start the engine as a job", "", w))
	if len(b.Profiles) == 0 {
		text := "no profile in the settings, a [cluster.NAME] of config.toml, names a batch system"
		if !b.Known {
			text = "…"
		}
		for _, l := range common.Wrap(text, w) {
			out = append(out, st.Dim.Render(l))
		}
		return out, span{}
	}
	name := 0
	for _, c := range b.Profiles {
		name = max(name, min(20, common.Width(c.Name)))
	}
	selected, _ := p.under()
	for i := range b.Profiles {
		c := &b.Profiles[i]
		mark, style := p.env.Marker(c == selected)
		why := p.why(*c, "")
		if why != "" && c != selected {
			style = st.Dim
		}
		begin := len(out)
		out = append(out, common.Fit(mark+style.Render(common.Fit(c.Name, name))+"  "+st.Dim.Render(common.Cut(terms(*c), w-name-4)), w))
		if c != selected {
			continue
		}
		says, say := st.Dim, p.env.Common.Keys.Label("open")+" starts it there"
		if why != "" {
			says, say = st.Warn, why
		}
		for _, l := range common.Wrap(say, max(10, w-2)) {
			out = append(out, "  "+says.Render(l))
		}
		at = span{begin, len(out)}
		if i == 0 {
			at.from = 0 // with the heading
		}
	}
	return out, at
}

// terms are a profile in words.
func terms(c batch.Profile) string {
	parts := []string{c.Scheduler}
	if c.Partition != "" {
		parts = append(parts, c.Partition)
	}
	switch {
	case c.GPUs == 1:
		parts = append(parts, "1 GPU")
	case c.GPUs > 1:
		parts = append(parts, fmt.Sprintf("%d GPUs", c.GPUs))
	default:
		parts = append(parts, "no GPU")
	}
	if c.Time != "" {
		parts = append(parts, c.Time)
	}
	return strings.Join(parts, " · ")
}

// sign is a state as a sign and in colour.
func (p *Page) sign(state string) string {
	st := p.env.Styles
	switch state {
	case "running":
		return st.Good.Render("●")
	case "pending", "suspended", "preempted":
		return st.Warn.Render("○")
	case "ending":
		return st.Warn.Render("◐")
	case "done":
		return st.Dim.Render("✓")
	case "failed", "timeout":
		return st.Error.Render("✗")
	}
	return st.Dim.Render("–")
}

// jobs are those of the project.
func (p *Page) jobs(w int) (out []string, at span) {
	st, b := p.env.Styles, p.env.Board
	note := ""
	switch wait := b.Waits(); {
	case b.Doing != "":
		note = b.Doing + "…"
	case wait > 3*time.Second:
		note = "asked " + common.Seconds(wait.Seconds()) + " ago, no answer yet"
	case !b.At.IsZero():
		note = common.Age(p.env.Now(), b.At)
	}
	out = append(out, components.Section(st, "Jobs", note, w))
	if b.Why != "" {
		for _, l := range common.Wrap(b.Why, w) {
			out = append(out, st.Warn.Render(l))
		}
	}
	if len(b.Jobs) == 0 {
		text := "none was submitted, or nothing is known of them any more"
		switch {
		case !b.Known && b.Why == "":
			text = "asking…"
		case b.Why != "":
			return out, span{}
		}
		return append(out, st.Dim.Render(common.Cut(text, w))), span{}
	}
	id, name, kind := 0, 0, 0
	for _, j := range b.Jobs {
		id, name, kind = max(id, min(14, common.Width(jobID(&j)))), max(name, min(16, common.Width(j.Cluster))), max(kind, min(10, common.Width(kindOf(j))))
	}
	_, selected := p.under()
	for i := range b.Jobs {
		j := &b.Jobs[i]
		mark, style := p.env.Marker(j == selected)
		words := st.Text
		if !j.Live() && j != selected {
			style, words = st.Dim, st.Dim
		}
		head := mark + p.sign(j.State) + " " + style.Render(common.Fit(jobID(j), id)+"  "+common.Fit(j.Cluster, name)+"  "+common.Fit(kindOf(*j), kind)) + "  "
		indent := common.Width(head)
		age := ""
		if w >= 90 {
			age = "  " + common.Age(p.env.Now(), j.Submitted)
		}
		room := max(12, w-indent-common.Width(age))
		text := []string{common.Cut(stands(*j, p.env.Now()), room)}
		if j == selected {
			text = common.Wrap(stands(*j, p.env.Now()), room)
		}
		begin := len(out)
		for k, l := range text {
			if k == 0 {
				out = append(out, common.Ends(head+words.Render(l), st.Dim.Render(age), w))
			} else {
				out = append(out, common.Blank(indent)+words.Render(l))
			}
		}
		out = append(out, p.shards(j, w, 4)...)
		if j == selected {
			at = span{begin, len(out)}
		}
	}
	return out, at
}

func kindOf(j batch.Job) string {
	if j.Kind == "score" {
		return "scoring"
	}
	return j.Kind
}

// shards is how far a scoring in parts is, and who works on it.
func (p *Page) shards(j *batch.Job, w, indent int) (out []string) {
	st, s := p.env.Styles, j.Shards
	if s == nil || s.Images <= 0 {
		return nil
	}
	share := float64(s.Scored) / float64(s.Images)
	head := common.Blank(indent) + components.Progress(st, share, min(16, max(4, w/7))) + " " + common.Percent(share) + "  "
	room := w - common.Width(head)
	text := ""
	for try := range 3 {
		write := common.Count[int]
		if try > 0 {
			write = common.Short[int]
		}
		parts := []string{write(s.Scored) + " of " + write(s.Images) + " images", fmt.Sprintf("%s of %s shards", write(s.Done), write(s.Shards))}
		if s.Speed > 0 && try < 2 { // the nodes say it, too
			parts = append(parts, write(int(s.Speed+0.5))+"/s")
		}
		if s.Speed > 0 {
			parts = append(parts, common.Left(float64(s.Images-s.Scored)/s.Speed))
		}
		if text = strings.Join(parts, " · "); common.Width(text) <= room {
			break
		}
	}
	out = append(out, common.Fit(head+st.Dim.Render(common.Cut(text, room)), w))
	line := ""
	for i, n := range s.Nodes {
		node := n.Name
		if n.Speed > 0 {
			node += " " + common.Count(int(n.Speed+0.5)) + "/s"
		}
		if line != "" {
			node = " · " + node
		}
		const most, more = 2, " and 999 more" // lines
		room := w - indent
		if len(out) == most && i < len(s.Nodes)-1 {
			room -= len(more)
		}
		if common.Width(line+node) > room && line != "" {
			if len(out) == most {
				line += fmt.Sprintf(" and %d more", len(s.Nodes)-i)
				break
			}
			out = append(out, common.Blank(indent)+st.Dim.Render(line))
			line, node = "", strings.TrimPrefix(node, " · ")
		}
		line += node
	}
	if line != "" {
		out = append(out, common.Blank(indent)+st.Dim.Render(line))
	}
	return out
}

// stands says how a job stands, or how many tasks of an array stand how.
func stands(j batch.Job, now time.Time) string {
	if len(j.Tasks) > 0 {
		var parts []string
		for _, t := range j.Tasks {
			part := common.Count(t.N) + " " + t.State
			if t.Reason != "" && t.State != "done" {
				part += " (" + t.Reason + ")"
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, " · ")
	}
	text := j.State
	if j.Live() {
		text += onNode(j.Node)
	}
	switch {
	case j.State == "pending" && j.Start != nil && j.Start.After(now):
		text += " until about " + common.Clock(now, *j.Start)
	case j.State == "running" && j.End != nil && j.End.After(now):
		text += ", " + common.Left(j.End.Sub(now).Seconds())
	}
	if j.Reason != "" {
		text += ": " + j.Reason
	}
	return text
}

// example says how a profile is written where there is none.
func (p *Page) example(w int) (out []string) {
	st := p.env.Styles
	out = append(out, components.Section(st, "Jobs", "", w))
	para := func(style lipgloss.Style, text string) {
		for _, l := range common.Wrap(text, min(w, 92)) {
			out = append(out, style.Render(l))
		}
	}
	if why := p.env.Board.Why; why != "" {
		para(st.Warn, why)
	}
	host := ""
	text := "On a cluster the engine can be a job of the batch system, on a node with a GPU, while you label here. Nothing says yet how to ask for one. Write a profile into "
	if p.host != "" {
		host = fmt.Sprintf("host = %q\n", p.host)
	}
	para(st.Text, text+p.env.Settings+", with a name of your own:")
	out = append(out, "")
	for l := range strings.Lines("[cluster.leo]\n" + host + "partition = \"gpu\"\ntime = \"8:00:00\"\n") {
		out = append(out, common.Blank(4)+st.Accent.Render(common.Clean(strings.TrimSpace(l))))
	}
	out = append(out, "")
	para(st.Dim, "It appears here by itself. docs/cluster.md tells the rest: accounts, modules, other batch systems than Slurm.")
	return out
}
