//go:build race

package tui

// raceEnabled: the race detector makes everything some ten times slower.
const raceEnabled = true

// RaceEnabled is for the tests outside the package.
const RaceEnabled = raceEnabled
