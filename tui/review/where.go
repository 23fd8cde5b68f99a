package review

import (
	"context"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
)

// typing is a text of which the newest is to be asked about, one question at a time.
type typing struct {
	asking bool
	newest string
}

// Chosen is how many images a condition that is being typed chooses of the list, or what is wrong with it.
type Chosen struct {
	Text   string
	Images int64
	Err    error
}

// CountChosen asks how many images of the list a condition chooses: Chosen comes for the newest.
func (d *Desk) CountChosen(text string) tea.Cmd {
	d.where.newest = text
	client, ctx := d.link.Client(), d.link.Context()
	if d.where.asking || client == nil {
		return nil
	}
	if text == "" {
		return func() tea.Msg { return Chosen{} }
	}
	view := d.View
	view.Where = text
	list := view.request(0, 1)
	d.where.asking = true
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		r, err := client.Ranking(ctx, list)
		return Chosen{text, r.GetTotal(), err}
	}
}

func (d *Desk) chosenTyped(m Chosen) tea.Cmd {
	d.where.asking = false
	if m.Text != d.where.newest {
		return d.CountChosen(d.where.newest)
	}
	return nil
}

// Columns asks for the columns of the metadata.
func (d *Desk) Columns() tea.Cmd {
	client, ctx := d.link.Client(), d.link.Context()
	if client == nil {
		return nil
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		r, err := client.Metadata(ctx, &rpc.MetadataRequest{})
		if err != nil {
			return nil
		}
		return Columns(r.GetColumns())
	}
}

// Columns are those of the metadata. Their names are not safe to draw.
type Columns []*rpc.MetadataColumn
