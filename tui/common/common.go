// Package common is what every page and component of the screen is given: styles, keys, clock and log, and the few functions
// that make text fit.
package common

import (
	"log/slog"
	"time"

	"anomalymatch/tui/keys"
	"anomalymatch/tui/styles"
)

// Kind is how loud a word on the hint line is, and how long it stays.
type Kind int

// The kinds.
const (
	Flash   Kind = iota // an outcome: a second
	Info                // why a key did nothing: two seconds
	Note                // news: five seconds
	Warning             // something went wrong: eight seconds
)

// Saying is a sentence on the hint line.
type Saying struct {
	Kind  Kind
	Text  string // safe to draw
	Until time.Time
}

// Common is shared by all pages. It is changed only in Update.
type Common struct {
	Styles styles.Styles
	Keys   keys.Map
	Now    func() time.Time
	Log    *slog.Logger
	Said   Saying
}

// Say puts a sentence on the hint line. An outcome does not push a warning away that was just said.
func (c *Common) Say(k Kind, text string) {
	now := c.Now()
	if k < c.Said.Kind && c.Said.Kind >= Note && c.Said.Until.Sub(now) > c.Said.Kind.stays()-2*time.Second {
		return
	}
	c.Said = Saying{Kind: k, Text: text, Until: now.Add(k.stays())}
}

func (k Kind) stays() time.Duration {
	switch k {
	case Flash:
		return time.Second
	case Info:
		return 2 * time.Second
	case Note:
		return 5 * time.Second
	}
	return 8 * time.Second
}
