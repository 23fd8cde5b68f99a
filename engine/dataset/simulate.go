package dataset

import "crypto/sha256"

// Simulate keeps the list of n images in dir as OpenPool keeps it, for benchmarks: nobody looks whether they exist. image tells the id and the
// encoded size of each, in ascending order of ids.
func Simulate(dir string, sources []NamedSource, n int, image func(i int) (id string, size int64)) error {
	h := indexHeader{Sources: sources, Images: n}
	hash, row := sha256.New(), []byte(nil)
	for i := range n {
		id, size := image(i)
		h.Bytes += len(id)
		row = append(append(row[:0], id...), 0)
		hash.Write(le.AppendUint64(row, uint64(size)))
	}
	h.Hash = hash.Sum(nil)
	return h.write(dir, false, func(i int) listedImage {
		id, size := image(i)
		return listedImage{id: id, size: size}
	})
}
