package parquet

import (
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func TestShrinks(t *testing.T) {
	for name, b := range arraytest.Samples(t, ".parquet", 64<<10) {
		if _, err := Open(&arraytest.Cut{}, 0, array.Options{}); err == nil {
			t.Error("an empty file was opened")
		}
		switch name {
		case "table.parquet", "table_plain.parquet", "hf_brotli_1.0.parquet":
			continue // refused
		}
		arraytest.Shrinks(t, b, func(r *arraytest.Cut, o array.Options) (array.Images, error) {
			m, err := Open(r, int64(r.N), o)
			if err != nil {
				return nil, err
			}
			return m, nil
		})
	}
}
