package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"domicile"
)

// maxKeyFile bounds what is read of a key file; real ones have under 200 bytes.
const maxKeyFile = 4096

// createSecret writes a file that must not exist yet, for its owner only, and returns when it is on disk.
func createSecret(op, path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return domicile.E(op, domicile.Exist, path+" exists already; a key file is never overwritten, move it away first")
	}
	if err != nil {
		return domicile.W(op, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(path) // half a key is worse than none
		return domicile.W(op, err)
	}
	return nil
}

// replaceSecret puts data in the place of a file, whole and on disk, for the owner of the file before, or if there was none for
// whoever runs this: a tool that root runs must not take a node's key away from the node.
func replaceSecret(op, path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return domicile.W(op, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o600), keepOwner(f, path), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return domicile.W(op, err)
}

// keepOwner gives f to the owner of the file at path.
func keepOwner(f *os.File, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if was, ok := info.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(was.Uid), int(was.Gid))
	}
	return nil
}

// readSecret reads a key file, and refuses one that anyone but its owner may read.
func readSecret(op, path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, domicile.E(op, domicile.NotExist, path+" does not exist")
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, domicile.E(op, domicile.Invalid, path+" is not a key file")
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, domicile.E(op, domicile.Invalid,
			fmt.Sprintf("%s may be read by others (mode %04o); run chmod 600 on it, and replace the key if it has been exposed", path, perm))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return data, nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes a folder for its owner only, and those above it that are missing, all durable.
func makeDir(dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := syncDir(parent); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil // a folder that we may not read is none that we made dir in
}
