package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"domicile"
)

// maxKeyFile bounds what is read of a key file; real ones have under 200 bytes.
const maxKeyFile = 4096

// createSecret writes a file that must not exist yet, for its owner only, and returns when it is on disk.
func createSecret(op, path string, data []byte) error { return createSecretFor(op, path, data, path) }

// createSecretFor gives the file to the owner of the one at like: a tool that root runs must not make what the node cannot read.
func createSecretFor(op, path string, data []byte, like string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return domicile.E(op, domicile.Exist, path+" exists already; a key file is never overwritten, move it away first")
	}
	if err != nil {
		return domicile.W(op, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = errors.Join(giveTo(f, like), f.Sync())
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

// replaceSecret puts data in the place of a file, whole and on disk, for the owner of the file before, or if there was none of the
// folder: a tool that root runs must not take a node's key away from the node.
func replaceSecret(op, path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return domicile.W(op, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o600), ownAs(f, path), f.Sync(), f.Close())
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
	if err != nil {
		return err
	}
	if was, ok := info.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(was.Uid), int(was.Gid))
	}
	return nil
}

// resealSecret is replaceSecret for a file of which the bytes of before must not be left: it overwrites them behind the change.
func resealSecret(op, path string, data []byte) error {
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return replaceSecret(op, path, data)
	} else if err != nil {
		return domicile.W(op, err)
	}
	defer old.Close()
	if err := replaceSecret(op, path, data); err != nil {
		return err
	}
	return domicile.W(op, zero(old))
}

// zero replaces the bytes of a file by zeros, on disk when it returns.
func zero(f *os.File) error {
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, info.Size()), 0)
	}
	if err != nil {
		return err
	}
	return f.Sync()
}

// destroyFile replaces the bytes of a file by zeros, then unlinks it. A crash in between leaves zeros, which open nothing.
func destroyFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return syncDir(filepath.Dir(path)) // an earlier unlink may not be durable yet
	}
	if err != nil {
		return err
	}
	if err := errors.Join(zero(f), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Remove(path), syncDir(filepath.Dir(path)))
}

// removeTemps has remove take away what a crash left half written in dir.
func removeTemps(dir string, remove func(string) error) error {
	names, err := os.ReadDir(dir)
	for _, n := range names {
		if strings.HasPrefix(n.Name(), tempPrefix) {
			err = errors.Join(err, remove(filepath.Join(dir, n.Name())))
		}
	}
	return err
}

// ownAs gives f to the owner of the file that it replaces, or of the folder where there is none.
func ownAs(f *os.File, path string) error {
	err := keepOwner(f, path)
	if errors.Is(err, fs.ErrNotExist) {
		return giveTo(f, filepath.Dir(path))
	}
	return err
}

// giveTo gives what root makes to the owner of what is at path. Others make files of their own.
func giveTo(f *os.File, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return keepOwner(f, path)
}

func giveFolder(dir, path string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(giveTo(d, path), d.Close())
}

// readSecret reads a key file, and refuses one that anyone but its owner may read.
func readSecret(op, path string) ([]byte, error) {
	data, perm, err := readSmall(op, path)
	if err == nil && perm&0o077 != 0 {
		return nil, domicile.E(op, domicile.Invalid,
			fmt.Sprintf("%s may be read by others (mode %04o); run chmod 600 on it, and replace the key if it has been exposed", path, perm))
	}
	return data, err
}

// readSmall reads a file of the size of a key file, and its mode.
func readSmall(op, path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, domicile.E(op, domicile.NotExist, path+" does not exist")
	}
	if err != nil {
		return nil, 0, domicile.W(op, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, domicile.W(op, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, 0, domicile.E(op, domicile.Invalid, path+" is not a key file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	return data, info.Mode().Perm(), domicile.W(op, err)
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes a folder for its owner only, and those above it that are missing, all durable. What root makes belongs to the owner of the
// folder above, see giveTo.
func makeDir(dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := giveFolder(dir, parent); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := syncDir(parent); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil // a folder that we may not read is none that we made dir in
}
