package score

import (
	"encoding/hex"
	"math"

	"anomalymatch/engine/dataset"
)

// missing is the score of an image that is yet to be scored: a NaN, so that it is ranked nowhere, with bits of its own.
var missing = math.Float32frombits(0x7fc0_0e11)

// IsMissing tells an image that is yet to be scored from one that cannot be.
func IsMissing(s float32) bool { return math.Float32bits(s) == math.Float32bits(missing) }

// Missing lists the images that are yet to be scored.
func Missing(scores []float32) (images []int) {
	for i, s := range scores {
		if IsMissing(s) {
			images = append(images, i)
		}
	}
	return images
}

// Carry makes the score files of the list that was in use before those of a new one of n images: images that stayed keep their scores, the others
// are missing. Files of other lists stay as they are. Done twice it changes nothing.
func Carry(dir string, before *dataset.Before, hash [32]byte, n int) error {
	for _, path := range Files(dir) {
		h, was, err := read(path)
		if err != nil || h.Pool != hex.EncodeToString(before.Hash[:]) || len(was) != before.Images {
			continue
		}
		now := make([]float32, n)
		at := 0
		skip := func(to int) {
			for ; at < to; at++ {
				now[at] = missing
			}
		}
		for _, k := range before.Kept {
			skip(k.To)
			at += copy(now[k.To:], was[k.From:k.From+k.N])
		}
		skip(n)
		h.Pool = hex.EncodeToString(hash[:])
		if err := Write(dir, h, now); err != nil {
			return err
		}
	}
	return nil
}
