package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/session"
)

// TestStartPage: what the start page looks at and makes, on real folders.
func TestStartPage(t *testing.T) {
	home := t.TempDir()
	for name, sub := range map[string]string{"HOME": "", "XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_RUNTIME_DIR": ""} {
		t.Setenv(name, filepath.Join(home, sub))
	}
	ctx := context.Background()
	images := filepath.Join(home, "sky")
	if _, err := synth.Write(images, 20, synth.Params{Seed: 1, Size: 32, Rare: 0.1}, nil); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"empty/x.txt": "x", "broken/a.png": "no picture"} {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}

	look := lookAt(ctx, images, home, 6)
	if look.Images != 20 || look.More || len(look.Pictures) != 6 || look.Err != "" || look.Place != images+"-project" {
		t.Errorf("sky: %d images, more %v, %d pictures, %q, place %s", look.Images, look.More, len(look.Pictures), look.Err, look.Place)
	}
	if look := lookAt(ctx, filepath.Join(home, "empty"), images, 6); look.Images != 0 || look.Err == "" || look.Place != filepath.Join(images, "empty") {
		t.Errorf("empty: %+v", look)
	}
	if look := lookAt(ctx, filepath.Join(home, "broken"), home, 6); look.Images != 1 || !strings.Contains(look.Err, "none of those tried") {
		t.Errorf("broken: %+v", look)
	}
	if got := placeFor(images, images); got != filepath.Join(home, "sky-project") {
		t.Errorf("a project would be made among its images: %s", got)
	}

	if _, err := createProject(ctx, filepath.Join(home, "b"), filepath.Join(home, "broken"), func(int64) {}); err == nil || !strings.Contains(err.Error(), "can be read") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(home, "b")); err == nil {
		t.Error("a project without images is left behind")
	}
	dir, err := createProject(ctx, "~/deep/rings", images, func(int64) {})
	if err != nil || dir != filepath.Join(home, "deep", "rings") {
		t.Fatalf("%s, %v", dir, err)
	}
	if recent := session.Recent(); len(recent) != 1 || recent[0] != dir {
		t.Errorf("recent: %q", recent)
	}
	if a := aboutProject(ctx, dir); !a.Known || a.Images != 20 || a.Engine != "" || a.Err != "" {
		t.Errorf("%+v", a)
	}
	if a := aboutProject(ctx, images); a.Known || !strings.Contains(a.Err, "is no project") {
		t.Errorf("%+v", a)
	}
	for _, there := range []session.There{{Host: "leo", Project: "a"}, {Host: "juno", Project: "b"}, {Host: "leo", Project: "a"}} {
		session.RememberThere(there)
	}
	if got := knownHosts(""); len(got) != 2 || got[0] != "leo" || got[1] != "juno" {
		t.Errorf("hosts: %q", got)
	}
}
