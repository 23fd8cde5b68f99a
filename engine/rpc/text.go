package rpc

import (
	"errors"
	"io/fs"

	"anomalymatch/internal/say"
)

// reason is the cause of a file error with its path cleaned.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return say.Text(pe.Path) + ": " + pe.Err.Error()
	}
	return say.Text(err.Error())
}
