//go:build race

package capsule

const raceDetector = true
