package storetest

import (
	"os"
	"testing"
)

// Main runs the tests of a package with their folders in memory. TestMain calls it. (This package's own stay on the disk: its mutants show where writes take time.)
func Main(m *testing.M) {
	end := InMemory()
	code := m.Run()
	end()
	os.Exit(code)
}

// room is what must be free in memory.
const room = 4 << 30

// InMemory has the temporary folders of this process and its children in memory, where the machine has room there and TMPDIR does not say
// otherwise. An fsync of a sound disk takes long, and teaches nothing: tests fail steps on disk themselves, tests/disk plays a disk that
// forgets, and what a killed process has written stays in memory as on a disk. end removes them.
func InMemory() (end func()) {
	if os.Getenv("TMPDIR") != "" || memory() == "" {
		return func() {}
	}
	dir, err := os.MkdirTemp(memory(), "domicile-test-")
	if err != nil {
		return func() {}
	}
	os.Chmod(dir, 0o711) // mail programs run as users of their own
	os.Setenv("TMPDIR", dir)
	return func() { os.RemoveAll(dir) }
}
