//go:build !cgo || !linux

package runtime

const hasONNX = false

func loadONNX(string) error { return errBuiltWithoutONNX }

// Session is a network in ONNX Runtime, which this program was built without.
type Session struct{}

// NewSession is an error here.
func NewSession([]byte, string, ...string) (*Session, error) { return nil, errBuiltWithoutONNX }

// Run is an error here.
func (s *Session) Run([]uint8, []int, ...[]float32) error { return errBuiltWithoutONNX }

// Close does nothing here.
func (s *Session) Close() {}
