// Package testdata finds the folder of real images and reference figures that lies beside a checkout and is never part of it.
package testdata

import (
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the path of sub in the folder `shared` beside the checkout. Without that folder the test is skipped, and in
// CI (CI is set) it fails.
func Shared(t testing.TB, sub string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
	p := filepath.Join(filepath.Dir(dir), "shared", sub)
	if _, err := os.Stat(p); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("shared/%s is not beside the checkout: CI needs it", sub)
		}
		t.Skipf("shared/%s is not beside the checkout: real data not tested", sub)
	}
	return p
}
