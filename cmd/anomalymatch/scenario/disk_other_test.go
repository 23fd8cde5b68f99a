//go:build unix && !linux

package scenario

import (
	"os"
	"testing"
)

func smallDisk(t *testing.T, _ int) string {
	t.Skip("how to make a small disk is known for Linux only")
	return ""
}

func readOnly(t *testing.T) (string, func()) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("root may write everything")
	}
	return chmod(t)
}
