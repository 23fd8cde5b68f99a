// Package labels is the page of the labels: who gave which when, and where people disagree.
package labels

import (
	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
)

// Page is the labels page.
type Page struct {
	env  *pages.Env
	link *link.Link
	w, h int
}

// New makes the page.
func New(env *pages.Env, l *link.Link) *Page { return &Page{env: env, link: l} }

// Name is the page's name.
func (p *Page) Name() string { return "labels" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h }

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding { return p.env.Common.Keys.Pick("pages", "back", "help", "quit") }

// Blocked is never asked: labels are given elsewhere.
func (p *Page) Blocked() string { return "" }

// Refuse: there is nothing to select.
func (p *Page) Refuse(id string) string { return pages.Still(id) }

// Update has nothing to do.
func (p *Page) Update(tea.Msg) (pages.Page, tea.Cmd) { return p, nil }

// View draws the page.
func (p *Page) View() string { return pages.Join(p.env.Centre([]string{"labels"}, p.w, p.h)) }
