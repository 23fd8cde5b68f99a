//go:build unix

package imgview

import (
	"os"

	"golang.org/x/sys/unix"
)

// PixelsOf is an Options.Pixels that asks the system about the terminal f. Over ssh the two systems hand it on.
func PixelsOf(f *os.File) func() (cols, rows, width, height int) {
	return func() (cols, rows, width, height int) {
		ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0, 0, 0, 0
		}
		return int(ws.Col), int(ws.Row), int(ws.Xpixel), int(ws.Ypixel)
	}
}
