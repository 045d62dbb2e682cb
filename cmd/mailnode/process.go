package main

import (
	"syscall"

	"domicile"
)

// noCoreDumps keeps keys and mail in memory from being written to disk at a crash.
func noCoreDumps() error {
	return domicile.W("turn core dumps off", syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}))
}
