package main

import (
	"bufio"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory has the garbage collector work harder before the node takes more than its share of the machine, where the kernel would end it.
// Whoever set GOMEMLIMIT knows better.
func limitMemory(wanted int64, log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := memoryLimit(wanted, givenMemory("/", machineMemory())); limit > 0 {
		debug.SetMemoryLimit(limit)
		log.Info("memory", "limit", limit)
	}
}

// memoryLimit is the limit for a node of which so much is wanted, where so much is given; 0 is not known, and none.
func memoryLimit(wanted, given int64) int64 {
	switch {
	case given == 0:
		return wanted
	case wanted == 0:
		return given / 4 * 3 // the maps of files, and what is not Go's, need the rest
	}
	return min(wanted, given)
}

// givenMemory is what this process may take of the machine's memory, in bytes: the least bound of its control groups, and of those that they are in. root
// is where the file system begins.
func givenMemory(root string, machine int64) int64 {
	given := machine
	bound := func(file string) {
		raw, err := os.ReadFile(file)
		if err != nil {
			return
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64) // "max" is none
		if err == nil && n > 0 && (given == 0 || n < given) {
			given = n
		}
	}
	groups, err := os.Open(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return given
	}
	defer groups.Close()
	for lines := bufio.NewScanner(groups); lines.Scan(); {
		_, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			switch controllers {
			case "":
				bound(filepath.Join(root, "sys/fs/cgroup", dir, "memory.max"))
				bound(filepath.Join(root, "sys/fs/cgroup", dir, "memory.high"))
			case "memory": // version 1
				bound(filepath.Join(root, "sys/fs/cgroup/memory", dir, "memory.limit_in_bytes"))
			}
			if dir == "/" {
				break
			}
		}
	}
	return given
}
