// Package styles holds every colour and text attribute of the screen in one struct. Colour is never the only sign of anything:
// whatever a style says is also said by a letter, a mark or a word.
package styles

import (
	"image/color"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
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

// The themes. Text has 4.5:1 and more against the background it is meant for, in contrast 7:1 (WCAG 2.1), and the colours of anomaly,
// normal, skip and accent stay apart for protan, deutan and tritan eyes; a test works both out.
var (
	dark = palette{dim: c("#969eb2"), faint: c("#868ea2"), accent: c("#5b9bf8"), anomaly: c("#f59b35"), normal: c("#3cf2b8"),
		skip: c("#bf8bb0"), err: c("#ff7a8c"), warn: c("#e8c15a"), bar: c("#5b78bd"), ink: c("#000000")}
	light = palette{dim: c("#545a66"), faint: c("#626775"), accent: c("#0d2f77"), anomaly: c("#8a3f00"), normal: c("#1a776b"),
		skip: c("#8a25bf"), err: c("#b3123b"), warn: c("#7a5200"), bar: c("#5c7cc0"), ink: c("#ffffff")}
	contrast = palette{dim: c("#d8d8d8"), faint: c("#b8b8b8"), accent: c("#83a5ff"), anomaly: c("#fba63a"), normal: c("#d0fef3"),
		skip: c("#c698b8"), err: c("#ff8f8f"), warn: c("#ffff60"), bar: c("#8fa8ff"), ink: c("#000000")}
)

func c(hex string) color.Color { return lipgloss.Color(hex) }

// Ask asks the terminal what its background is; the answer is a tea.BackgroundColorMsg, if one comes. The Linux console prints what it does not
// know, older tmuxes do not know it but may let the question through.
func Ask(env func(string) string) tea.Cmd {
	switch term := env("TERM"); {
	case term == "linux", term == "dumb", term == "":
		return nil
	case env("TMUX") != "":
		return tea.Batch(tea.RequestBackgroundColor, tea.Raw(ansi.TmuxPassthrough(ansi.RequestBackgroundColor)))
	}
	return tea.RequestBackgroundColor
}

// Bright tells what the environment says of the background before the terminal has answered: COLORFGBG is "text;background", by numbers of
// the palette, in the terminals that set it.
func Bright(env func(string) string) bool {
	v := env("COLORFGBG")
	background := v[strings.LastIndexByte(v, ';')+1:]
	return background == "7" || background == "15"
}

// Theme is the setting with auto made out; bright: the background is light.
func Theme(setting string, bright bool) string {
	switch {
	case setting != "auto":
		return setting
	case bright:
		return "light"
	}
	return "dark"
}

// Ground is what a theme wants the terminal's own colours to be while it is on screen; nil: as they are.
func Ground(theme string, noColor bool) (background, text color.Color) {
	if theme == "contrast" && !noColor {
		return c("#000000"), c("#ffffff")
	}
	return nil, nil
}

// New makes the styles of a theme, "dark", "light" or "contrast", any other is dark; without colour they are made of bold, faint and
// reverse alone.
func New(theme string, noColor bool) Styles {
	p := dark
	switch theme {
	case "light":
		p = light
	case "contrast":
		p = contrast
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
