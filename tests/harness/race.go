//go:build race

package harness

// raceFlag makes the nodes watch for data races as well when the tests do.
const raceFlag = "-race"

// Race reports whether tests and nodes watch for data races, which takes time and memory.
const Race = true
