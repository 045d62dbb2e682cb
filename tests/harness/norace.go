//go:build !race

package harness

const raceFlag = "-race=false"

// Race reports whether tests and nodes watch for data races, which takes time and memory.
const Race = false
