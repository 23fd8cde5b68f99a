package parquet

import (
	"bytes"
	"context"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func FuzzParquet(f *testing.F) {
	for _, b := range arraytest.Samples(f, ".parquet", 16<<10) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		arraytest.Bounded(t, b, func(o array.Options) (array.Images, error) {
			m, err := Open(bytes.NewReader(b), int64(len(b)), o)
			if err != nil {
				return nil, err
			}
			return m, nil
		})
		table, err := OpenTable(bytes.NewReader(b), int64(len(b)), arraytest.Limits)
		if err != nil {
			return
		}
		for _, c := range table.Columns() {
			n := 0
			for v, err := range c.Values(context.Background(), 0) {
				if n++; err != nil || n == 100 {
					break
				}
				_, _ = v.String(), v.Bytes()
				v.Float()
			}
		}
	})
}
