//go:build !linux && !darwin

package doctor

import "errors"

func fileSystem(string) (fileSystemType, int64, error) {
	return fileSystemType{}, 0, errors.ErrUnsupported
}
