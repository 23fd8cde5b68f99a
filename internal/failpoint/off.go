//go:build !failpoints || !unix

package failpoint

// Hit does nothing.
func Hit(Point) {}

// Torn does nothing.
func Torn(Point, func()) {}
