//go:build !turbojpeg || !cgo

package turbo

// Available says whether this program was built with libjpeg-turbo.
const Available = false

// Decoder decodes nothing.
type Decoder struct{}

// New returns a decoder.
func New() *Decoder { return nil }

// Decode refuses.
func (*Decoder) Decode(pix, b []byte, eighths int) (w, h int, ok bool) { return 0, 0, false }
