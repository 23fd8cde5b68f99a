// Package arraytest has what the tests of the readers of arrays share.
package arraytest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/engine/dataset/array"
)

// Sample is an entry of the manifest of sample files.
type Sample struct {
	Path  string
	N     int
	SHA   string   // of all values of all images, little endian
	JPEGs []string // SHA-256 of each encoded image
}

// Shared returns a file of the samples in shared/data/formats beside the repository, and what the manifest says of it. Without the
// folder the test is skipped, except in CI.
func Shared(t testing.TB, name string) Sample {
	t.Helper()
	dir := filepath.FromSlash("../../../../shared/data/formats") // tests run in engine/dataset/PACKAGE
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if errors.Is(err, os.ErrNotExist) {
		if os.Getenv("CI") != "" {
			t.Fatal("shared/data/formats is not there, and CI must have it")
		}
		t.Skip("shared/data/formats is not there: nothing to compare with")
	}
	var all map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	var entry struct {
		N      int             `json:"n"`
		Shape  []int           `json:"shape"`
		SHA256 json.RawMessage `json:"sha256"`
		JPEG   []string        `json:"jpeg_sha256"`
	}
	if err := json.Unmarshal(all[name], &entry); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s := Sample{Path: filepath.Join(dir, name), N: entry.N, JPEGs: entry.JPEG}
	json.Unmarshal(entry.SHA256, &s.SHA)
	return s
}

// Hash reads all images of values and hashes them in order.
func Hash(t testing.TB, m array.Images) string {
	t.Helper()
	h := sha256.New()
	for i := range m.Len() {
		image, err := m.Read(context.Background(), i)
		if err != nil {
			t.Fatalf("image %d %v", i, err)
		}
		h.Write(image.Pixels.Bytes())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Names lists the names of all images.
func Names(t testing.TB, m array.Images) (out []string) {
	t.Helper()
	for e, err := range m.Entries(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Name)
	}
	if len(out) != m.Len() {
		t.Fatalf("%d entries of %d images", len(out), m.Len())
	}
	return out
}
