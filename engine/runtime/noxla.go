//go:build !cgo || noxla || !linux

package runtime

import (
	"errors"

	"github.com/gomlx/compute"
)

const hasXLA = false

func openXLA(string, string) (compute.Backend, error) {
	return nil, errors.New("this program was built without XLA")
}
