package fast

import (
	"fmt"
	"os"
)

// Subset gives Create the embeddings of a pool of only some images of this one, in that pool's order, so that it finds them done: the
// rows are the same whatever else is in a pool. dir has no embeddings yet; key is that pool's.
func (e *Embeddings) Subset(dir string, key Key, images []int) error {
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		err = e.subset(base(dir, key)+".f16.part", key, images)
	}
	if err != nil {
		return fmt.Errorf("embeddings could not be kept: %w", err)
	}
	return nil
}

func (e *Embeddings) subset(path string, key Key, images []int) error {
	part, err := openPart(path, key)
	if err != nil {
		return err
	}
	defer part.Close()
	row := make([]byte, rowBytes)
	for _, i := range images[min(part.rows, len(images)):] {
		from := emptyRow
		if e.raw(i, row) {
			from = row
		}
		if err := part.add(from); err != nil {
			return err
		}
	}
	return part.flush()
}
