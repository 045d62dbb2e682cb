package segment

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync flushes a file's bytes and its size, and leaves its times.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
