//go:build !race

package tui

const raceEnabled = false

// RaceEnabled is for the tests outside the package.
const RaceEnabled = raceEnabled
