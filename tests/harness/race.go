//go:build race

package harness

// raceFlag makes the nodes watch for data races as well when the tests do.
const raceFlag = "-race"
