package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"domicile"
)

// noCoreDumps keeps keys and mail in memory from being written to disk at a crash.
func noCoreDumps() error {
	return domicile.W("turn core dumps off", syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}))
}

// lock makes this process the only one that uses a data folder, until it ends.
func lock(dir string) (release func() error, err error) {
	const op = "lock the data folder"
	f, err := os.OpenFile(filepath.Join(dir, "node.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, domicile.E(op, domicile.Unavailable, "another node uses "+dir+" already; stop it first")
		}
		return nil, domicile.W(op, err)
	}
	return f.Close, nil
}
