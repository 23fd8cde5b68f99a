package say

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func TestPlain(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.ENOSPC: "disk is full", syscall.EDQUOT: "share of the disk", syscall.EROFS: "read-only, have", syscall.EIO: "have it looked at", syscall.ESTALE: "try again",
	} {
		err := fmt.Errorf("the scores could not be kept: %w", &fs.PathError{Op: "write", Path: "/p/x", Err: errno})
		text := Plain(err.Error())
		if !strings.Contains(text, want) || !strings.Contains(text, "/p/x") || strings.Count(text, Disk(err)) != 1 {
			t.Errorf("%v is said as %q", errno, text)
		}
		if again := Plain(text); again != text {
			t.Errorf("said twice it is %q", again)
		}
	}
	if text := "no such file or directory"; Plain(text) != text || Disk(syscall.ENOENT) != "" {
		t.Error("other errors are changed")
	}
}
