package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// memory is the use of a process, or of a tree of them, in KiB. RSS counts
// shared pages once per process; PSS splits them between their users.
type memory struct {
	RSS       int64 `json:"rss_kib"`
	PSS       int64 `json:"pss_kib"`
	Processes int   `json:"processes"`
}

func field(file, key string) int64 {
	b, _ := os.ReadFile(file)
	for _, l := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, key); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// processes returns pid, with all its descendants if tree is set.
func processes(pid int, tree bool) []int {
	pids := []int{pid}
	if !tree {
		return pids
	}
	kids := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, d := range dirs {
		p, _ := strconv.Atoi(filepath.Base(filepath.Dir(d)))
		parent := int(field(d, "PPid:"))
		kids[parent] = append(kids[parent], p)
	}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, kids[pids[i]]...)
	}
	return pids
}

// readCPU returns the CPU seconds used so far, with those of ended children.
func readCPU(pid int, tree bool) float64 {
	var ticks float64
	for _, p := range processes(pid, tree) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for i := 11; i < 15 && i < len(f); i++ { // utime stime cutime cstime
			n, _ := strconv.ParseFloat(f[i], 64)
			ticks += n
		}
	}
	return ticks / 100 // USER_HZ
}

// readWritten returns the bytes that a process has caused to be sent to the disk so far, with those of ended children.
func readWritten(pid int, tree bool) (n int64) {
	for _, p := range processes(pid, tree) {
		n += field(fmt.Sprintf("/proc/%d/io", p), "write_bytes:")
	}
	return n
}

// machineCPU returns the CPU seconds used on the whole machine so far, and
// ownCPU those used by this process.
func machineCPU() float64 {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	var ticks float64
	for i, f := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // name, idle, iowait, guest
			continue
		}
		n, _ := strconv.ParseFloat(f, 64)
		ticks += n
	}
	return ticks / 100
}

func ownCPU() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func readMemory(pid int, tree bool) memory {
	pids := processes(pid, tree)
	m := memory{Processes: len(pids)}
	for _, p := range pids {
		m.RSS += field(fmt.Sprintf("/proc/%d/status", p), "VmRSS:")
		m.PSS += field(fmt.Sprintf("/proc/%d/smaps_rollup", p), "Pss:")
	}
	return m
}
