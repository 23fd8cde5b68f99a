package duplicates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"anomalymatch/internal/atomicfile"
)

// version of the method: groups of another one are found anew.
const version = 2

// content of a file of groups. Of says what embeddings they were found in.
type content struct {
	Version   int       `json:"version"`
	Threshold float64   `json:"threshold"`
	Of        string    `json:"of"`
	Images    int       `json:"images"`
	Groups    [][]int32 `json:"groups"`
	CRC       uint32    `json:"crc32c"` // CRC-32C of the rest
}

// text is the content as a file holds it, with its checksum.
func (c content) text() []byte {
	c.CRC = 0
	b, _ := json.Marshal(c) // numbers and strings always have a JSON form
	c.CRC = crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	b, _ = json.Marshal(c)
	return append(b, '\n')
}

// parse reads what text wrote; whatever differs by a byte is an error.
func parse(b []byte) (c content, err error) {
	if err := json.Unmarshal(b, &c); err != nil || !bytes.Equal(b, c.text()) {
		return content{}, errors.New("the file is damaged")
	}
	return c, nil
}

// Verify says why a file of groups cannot be believed, or nil.
func Verify(path string) error {
	b, err := os.ReadFile(path)
	if err == nil {
		_, err = parse(b)
	}
	return err
}

// Write keeps groups that were found in the embeddings that of names. The file can be made again.
func Write(path, of string, g *Groups) error {
	c := content{Version: version, Threshold: Threshold, Of: of, Images: len(g.Of), Groups: make([][]int32, 0, len(g.Sets))}
	for id := int32(1); int(id) <= len(g.Sets); id++ {
		c.Groups = append(c.Groups, g.Sets[id])
	}
	err := atomicfile.Write(path, func(w io.Writer) error { _, err := w.Write(c.text()); return err })
	if err != nil {
		return fmt.Errorf("the near-duplicates could not be kept: %w", err)
	}
	return nil
}

// Read reads groups for a pool of n images; false where there are none of these embeddings, or damaged ones.
func Read(path, of string, n int) (*Groups, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	c, err := parse(b)
	if err != nil || c.Version != version || c.Threshold != Threshold || c.Of != of || c.Images != n {
		return nil, false
	}
	seen := make([]bool, n)
	for _, set := range c.Groups {
		if len(set) < 2 || !slices.IsSorted(set) {
			return nil, false
		}
		for _, i := range set {
			if i < 0 || int(i) >= n || seen[i] {
				return nil, false
			}
			seen[i] = true
		}
	}
	return Make(n, c.Groups), true
}
