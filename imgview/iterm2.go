package imgview

import (
	"encoding/base64"
	"fmt"
	"image"
	"image/draw"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
	xiterm2 "github.com/charmbracelet/x/ansi/iterm2"
)

// iterm2 draws pictures at the cursor as iTerm2's inline images, which WezTerm, mintty and VS Code show too. The terminal scales the
// picture to the box; the box's aspect is that of what is sent, so that all of them put it in the same place.
// https://iterm2.com/documentation-images.html
//
// go-termimg's encoder is not used: it sends JPEG, whose blocks show in faint galaxies, gives the size in pixels, which are not those
// of the screen where that is dense, and reads the environment for tmux each time.
type iterm2 struct{}

func (iterm2) name() string { return "iterm2" }

func (iterm2) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	b := img.Bounds()
	if b.Empty() {
		return encoded{}, errNoPixels
	}
	if cell.X <= 0 || cell.Y <= 0 {
		cell = image.Pt(10, 20)
	}
	boxW, boxH := min(cols, maxBox)*cell.X, min(rows, maxBox)*cell.Y
	w, h := fit(b, boxW, boxH, 1)
	// Smaller than its box, a picture is sent as it is, on a canvas that is as much smaller than the box.
	shrink := min(1, max(float64(b.Dx())/float64(w), float64(b.Dy())/float64(h)))
	scaled := func(n int) int { return max(1, int(float64(n)*shrink+0.5)) }
	canvas := image.NewNRGBA(image.Rect(0, 0, scaled(boxW), scaled(boxH))) // its margins are transparent
	w, h = min(scaled(w), canvas.Rect.Dx()), min(scaled(h), canvas.Rect.Dy())
	at := image.Pt((canvas.Rect.Dx()-w)/2, (canvas.Rect.Dy()-h)/2)
	small := flatten(img, w, h)
	draw.Draw(canvas, small.Rect.Add(at), small, image.Point{}, draw.Src)
	var picture image.Image = canvas
	if small.Rect.Size() == canvas.Rect.Size() {
		picture = thin(small)
	}
	return inFull(picture)
}

func (iterm2) paint(_ int, wire []byte, cols, rows int) string {
	return ansi.ITerm2(xiterm2.File{
		Size: int64(len(wire)), Width: xiterm2.Cells(min(cols, maxBox)), Height: xiterm2.Cells(min(rows, maxBox)),
		IgnoreAspectRatio: true, Inline: true, DoNotMoveCursor: true, Content: []byte(base64.StdEncoding.EncodeToString(wire)),
	})
}

// wipe: text that is written over the picture takes its place.
func (iterm2) wipe(int) string { return "" }

// kittyDirect is kitty's protocol without placeholders: the picture is drawn at the cursor, and stays until it is taken away.
type kittyDirect struct{}

func (kittyDirect) name() string { return "kitty-direct" }

func (kittyDirect) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	return iterm2{}.encode(img, cols, rows, cell) // on a canvas of the box's aspect: c= and r= stretch
}

func (kittyDirect) paint(slot int, wire []byte, cols, rows int) string {
	return strings.Join(transmit(wire, 0, "a=T", "f=100", "t=d", "q=2", "C=1", "p=1", "i="+strconv.Itoa(slot),
		fmt.Sprintf("c=%d", min(cols, maxBox)), fmt.Sprintf("r=%d", min(rows, maxBox))), "")
}

func (kittyDirect) wipe(slot int) string { return kittyStore{}.erase(slot) }
