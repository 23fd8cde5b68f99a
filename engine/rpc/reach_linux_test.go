package rpc

import "testing"

func TestMount(t *testing.T) {
	for _, tt := range []struct {
		line, at, options string
		ok                bool
	}{
		{"98 29 0:52 / /data\\040one rw,noatime shared:1 - nfs4 nas:/data rw,vers=4.2,local_lock=none", "/data one", "rw,noatime,rw,vers=4.2,local_lock=none", true},
		{"29 1 8:1 / / rw - ext4 /dev/sda1 rw,errors=remount-ro", "/", "rw,rw,errors=remount-ro", true},
		{"", "", "", false},
		{"29 1 8:1 / / rw - ext4", "", "", false},
	} {
		at, options, ok := mount(tt.line)
		if at != tt.at || options != tt.options || ok != tt.ok {
			t.Errorf("%q: %q, %q, %v", tt.line, at, options, ok)
		}
	}
	if !within("/a/b", "/") || !within("/a", "/a") || within("/ab", "/a") {
		t.Error("what is below what")
	}
	if o := mountOptions("/proc/self"); !o["rw"] && !o["ro"] {
		t.Errorf("options of /proc: %v", o)
	}
	if !reaches(t.TempDir()) {
		t.Error("a local file system should be taken for one whose locks hold")
	}
}
