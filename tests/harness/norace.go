//go:build !race

package harness

const raceFlag = "-race=false"
