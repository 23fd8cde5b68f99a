// Package common is what every page and component of the screen is given: styles, keys, clock and log, and the few functions
// that make text fit.
package common

import (
	"log/slog"
	"time"

	"anomalymatch/tui/keys"
	"anomalymatch/tui/styles"
)

// Common is shared by all pages. It is changed only in Update.
type Common struct {
	Styles styles.Styles
	Keys   keys.Map
	Now    func() time.Time
	Log    *slog.Logger
}
