package settings

import (
	"testing"

	"anomalymatch"
)

// Each setting says from when on it counts.
func TestEffects(t *testing.T) {
	docs, _ := anomalymatch.Docs()
	for _, d := range docs {
		if effect(d.Key) == "" {
			t.Errorf("%s counts from when on?", d.Key)
		}
	}
	if effect("keys.train") == "" || effect("cluster.leo.gpus") == "" || effect("images.decode_workers") == effect("images.max_file_mib") {
		t.Error("a table hides its keys, or a key its table")
	}
}

// What is shown of a value and typed again is the same value.
func TestShownAndWritten(t *testing.T) {
	docs, _ := anomalymatch.Docs()
	for _, d := range docs {
		for _, v := range append([]string{d.Default}, d.Words...) {
			if got := written(d, shown(d, v)); got != v {
				t.Errorf("%s = %s is shown as %s, which is written %s", d.Key, v, shown(d, v), got)
			}
		}
		if d.Key == "fast.regularisation" && (written(d, "6") != "6.0" || written(d, " 1e-3 ") != "1e-3") {
			t.Errorf("numbers: %s, %s", written(d, "6"), written(d, "1e-3"))
		}
	}
	d := anomalymatch.Doc{Key: "keys.train"}
	if got := written(d, " ctrl+t  f5 "); got != `["ctrl+t", "f5"]` || shown(d, got) != "ctrl+t f5" || written(d, "") != "[]" {
		t.Errorf("keys: %s", got)
	}
}
