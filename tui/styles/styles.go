// Package styles holds every colour and text attribute of the screen in one struct. Colour is never the only sign of anything:
// whatever a style says is also said by a letter, a mark or a word.
package styles

import (
	"image/color"

	"charm.land/lipgloss/v2"
)

// Styles is what the screen is drawn with, in groups by where it is used.
type Styles struct {
	Text, Strong, Dim, Faint, Accent, Error, Warn, Good lipgloss.Style

	Header struct {
		Project, Page, Current, Count lipgloss.Style
	}
	Cell struct {
		Frame, Marker, Number, Score, Note lipgloss.Style // of the selected picture: Frame and Marker
	}
	Badge struct {
		Anomaly, Normal, Skip, Pending, Unsaved lipgloss.Style
	}
	Section struct {
		Title, Rule, Key, Value lipgloss.Style
	}
	Chart struct {
		Axis, Line, Second, Bar, Anomaly, Normal, Skip lipgloss.Style
	}
	Bar struct {
		Done, Rest lipgloss.Style
	}
	Status struct {
		Idle, Busy, Gone, Value, Quiet lipgloss.Style
	}
	Hint struct {
		Key, Does, Flash, Warn lipgloss.Style
	}
	Dialog struct {
		Frame, Title, Text, Key lipgloss.Style
	}
}

type palette struct {
	dim, faint, accent, anomaly, normal, skip, err, warn, bar, ink color.Color
}

var (
	dark = palette{dim: c("#8b93a7"), faint: c("#4b5263"), accent: c("#7aa2f7"), anomaly: c("#ff9e64"), normal: c("#73c9b5"),
		skip: c("#a9a1d6"), err: c("#f7768e"), warn: c("#e0af68"), bar: c("#4a5f94"), ink: c("#16161e")}
	light = palette{dim: c("#5c6370"), faint: c("#b4b8c2"), accent: c("#2e5fc9"), anomaly: c("#b4500f"), normal: c("#0f766e"),
		skip: c("#6b4fb8"), err: c("#c02942"), warn: c("#8f5e15"), bar: c("#8aa5dd"), ink: c("#ffffff")}
)

func c(hex string) color.Color { return lipgloss.Color(hex) }

// New makes the styles of a theme, "dark" or "light"; without colour they are made of bold, faint and reverse alone.
func New(theme string, noColor bool) Styles {
	p := dark
	if theme == "light" {
		p = light
	}
	fg := func(col color.Color) lipgloss.Style {
		if noColor {
			return lipgloss.NewStyle()
		}
		return lipgloss.NewStyle().Foreground(col)
	}
	badge := func(col color.Color) lipgloss.Style {
		if noColor {
			return lipgloss.NewStyle().Bold(true).Reverse(true)
		}
		return lipgloss.NewStyle().Bold(true).Foreground(p.ink).Background(col)
	}
	text, strong := lipgloss.NewStyle(), lipgloss.NewStyle().Bold(true)
	dim, faint := fg(p.dim), fg(p.faint)
	if noColor {
		faint = lipgloss.NewStyle().Faint(true)
	}

	var s Styles
	s.Text, s.Strong, s.Dim, s.Faint, s.Accent = text, strong, dim, faint, fg(p.accent)
	s.Error, s.Warn, s.Good = fg(p.err).Bold(true), fg(p.warn), fg(p.normal)

	s.Header.Project, s.Header.Page = strong, dim
	s.Header.Current, s.Header.Count = fg(p.accent).Bold(true).Underline(noColor), text

	s.Cell.Frame, s.Cell.Marker = fg(p.accent), fg(p.accent).Bold(true)
	s.Cell.Number, s.Cell.Score, s.Cell.Note = dim, text, faint

	s.Badge.Anomaly, s.Badge.Normal, s.Badge.Skip = badge(p.anomaly), badge(p.normal), badge(p.skip)
	s.Badge.Pending, s.Badge.Unsaved = dim, s.Error

	s.Section.Title, s.Section.Rule, s.Section.Key, s.Section.Value = fg(p.accent).Bold(true), faint, dim, text

	s.Chart.Axis, s.Chart.Line, s.Chart.Second, s.Chart.Bar = faint, fg(p.accent), fg(p.warn), fg(p.bar)
	s.Chart.Anomaly, s.Chart.Normal, s.Chart.Skip = fg(p.anomaly).Bold(true), fg(p.normal).Bold(true), fg(p.skip).Bold(true)

	s.Bar.Done, s.Bar.Rest = fg(p.accent), faint
	s.Status.Idle, s.Status.Busy, s.Status.Gone = fg(p.normal), fg(p.accent), s.Error
	s.Status.Value, s.Status.Quiet = text, dim

	s.Hint.Key, s.Hint.Does, s.Hint.Flash, s.Hint.Warn = fg(p.accent), dim, strong, fg(p.warn).Bold(true)
	s.Dialog.Frame, s.Dialog.Title, s.Dialog.Text, s.Dialog.Key = fg(p.accent), strong, text, fg(p.accent).Bold(true)
	return s
}

// Label is the style of a label's badge.
func (s Styles) Label(letter string) lipgloss.Style {
	switch letter {
	case "A":
		return s.Badge.Anomaly
	case "N":
		return s.Badge.Normal
	}
	return s.Badge.Skip
}
