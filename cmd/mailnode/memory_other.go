//go:build !linux

package main

// machineMemory is not known: a limit is what node.toml or GOMEMLIMIT says.
func machineMemory() int64 { return 0 }
