package jobs

import (
	"cmp"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/pages"
)

// What the questions of the page answer with.
type (
	start  struct{ profile string }
	cancel struct{ cluster, id string }
)

// askStart asks whether the engine shall be a job by the selected profile, and says what becomes of the present one.
func (p *Page) askStart() tea.Cmd {
	profile, _ := p.under()
	if profile == nil {
		return nil
	}
	b := p.env.Board
	text := "The engine is submitted as a job on " + profile.Name + ". "
	switch waiting := b.Waiting(); {
	case b.Engine != nil && b.Engine.Here && b.Engine.Job == "":
		text = "The engine on " + cmp.Or(p.host, "this machine") + " keeps its training and ends; then it is submitted as a job on " + profile.Name + ". "
	case b.Engine != nil:
		text = "The engine on " + b.Engine.Host + " keeps its training and ends; then it is submitted as a job on " + profile.Name + ". "
	case waiting != nil:
		text = "Job " + waiting.ID + " on " + waiting.Cluster + ", which waits, is cancelled; the engine is submitted on " + profile.Name + " instead. "
	}
	return p.env.Wish(pages.Ask{Dialog: dialogs.Confirm{Common: p.env.Common, Title: "Start the engine as a job?",
		Text:    text + "While the job waits, pictures that are here can be labelled; labels are kept on this machine and delivered when it runs.",
		Choices: []dialogs.Choice{{Keys: []string{"y", "enter"}, Does: "start it", Answer: pages.For{Page: name, Msg: start{profile.Name}}}, {Keys: []string{"n"}, Does: "leave all as it is"}}}})
}

// askCancel asks whether the selected job shall end.
func (p *Page) askCancel() tea.Cmd {
	_, job := p.under()
	if job == nil {
		return nil
	}
	text := "Its tasks end; the parts that are there are kept, and the same command goes on with them."
	switch {
	case job.Kind == "engine" && job.State == "running":
		text = "The engine in it keeps its training and ends. This screen then starts one where it was opened, and the training goes on there."
	case job.Kind == "engine":
		text = "It leaves the queue. This screen then starts the engine where it was opened."
	case job.Kind != "score":
		text = "It is ended, and does not come back."
	}
	return p.env.Wish(pages.Ask{Dialog: dialogs.Confirm{Common: p.env.Common, Title: "Cancel job " + job.ID + " on " + job.Cluster + "?", Text: text,
		Choices: []dialogs.Choice{{Keys: []string{"y"}, Does: "cancel it", Answer: pages.For{Page: name, Msg: cancel{job.Cluster, job.ID}}}, {Keys: []string{"n"}, Does: "let it be"}}}})
}
