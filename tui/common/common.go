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
	said   [2]Saying // outcomes, and news: an outcome covers news for its second
}

// Say puts a sentence on the hint line.
func (c *Common) Say(k Kind, text string) {
	i := 0
	if k >= Note {
		i = 1
		if old := c.said[1]; old.Kind > k && c.Now().Before(old.Until) {
			return // news do not push a warning away
		}
	}
	c.said[i] = Saying{Kind: k, Text: text, Until: c.Now().Add(k.stays())}
}

// Said is what stands on the hint line now; false: nothing.
func (c *Common) Said() (Saying, bool) {
	now := c.Now()
	for _, s := range c.said {
		if s.Text != "" && now.Before(s.Until) {
			return s, true
		}
	}
	return Saying{}, false
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
