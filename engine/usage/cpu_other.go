//go:build !unix

package usage

import "time"

func processTime() (time.Duration, bool) { return 0, false }
