//go:build !linux && !darwin

package doctor

import "errors"

func lookAt(string) (fileSystem, error) { return fileSystem{}, errors.ErrUnsupported }
