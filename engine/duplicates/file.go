package duplicates

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"anomalymatch/internal/atomicfile"
)

// version of the method: groups of another one are found anew.
const version = 1

// content of a file of groups. Of says what embeddings they were found in.
type content struct {
	Version   int       `json:"version"`
	Threshold float64   `json:"threshold"`
	Of        string    `json:"of"`
	Images    int       `json:"images"`
	Groups    [][]int32 `json:"groups"`
}

// Write keeps groups that were found in the embeddings that of names. The file can be made again.
func Write(path, of string, g *Groups) error {
	c := content{Version: version, Threshold: Threshold, Of: of, Images: len(g.Of), Groups: make([][]int32, 0, len(g.Sets))}
	for id := int32(1); int(id) <= len(g.Sets); id++ {
		c.Groups = append(c.Groups, g.Sets[id])
	}
	err := atomicfile.Write(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(c) })
	if err != nil {
		return fmt.Errorf("the near-duplicates could not be kept: %w", err)
	}
	return nil
}

// Read reads groups for a pool of n images; false where there are none of these embeddings, or damaged ones.
func Read(path, of string, n int) (*Groups, bool) {
	b, err := os.ReadFile(path)
	var c content
	if err != nil || json.Unmarshal(b, &c) != nil || c.Version != version || c.Threshold != Threshold || c.Of != of || c.Images != n {
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
