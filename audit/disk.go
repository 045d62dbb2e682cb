package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// disk writes files below one folder so that each is there whole or not at all, and is on disk when the call returns.
type disk struct {
	dir string
	// step runs one act on the disk. Tests put a wrapper here that fails before or after the act.
	step func(name string, do func() error) error
	// known are the folders that are durable for sure. One that a crash left is not: it is there, but its name may not be
	// on disk. Only the holder of the log's turn writes.
	known map[string]bool
}

func newDisk(dir string, step func(string, func() error) error) *disk {
	return &disk{dir: dir, step: step, known: map[string]bool{".": true}}
}

func runStep(_ string, do func() error) error { return do() }

// file is one file to be written: a slash path below the folder.
type file struct {
	path string
	data []byte
}

const tempDir = "tmp"

// put writes files, replacing older ones: all into temporary files first, then renamed in order, then each folder
// flushed once.
func (d *disk) put(files ...file) error {
	dirs := make(map[string]bool)
	for _, f := range files {
		if err := d.mkdirs(filepath.Dir(f.path)); err != nil {
			return err
		}
		if err := d.writeTemp(f); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := d.step("rename "+f.path, func() error { return os.Rename(d.temp(f), filepath.Join(d.dir, f.path)) }); err != nil {
			return err
		}
		dirs[filepath.Dir(f.path)] = true
	}
	for dir := range dirs {
		if err := d.sync("sync "+dir, filepath.Join(d.dir, dir)); err != nil {
			return err
		}
	}
	return nil
}

// writeTemp writes and flushes the temporary file of f.
func (d *disk) writeTemp(f file) error {
	out, err := os.OpenFile(d.temp(f), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	err = d.step("write "+f.path, func() error { _, err := out.Write(f.data); return err })
	if err == nil {
		err = d.step("flush "+f.path, out.Sync)
	}
	return errors.Join(err, out.Close())
}

func (d *disk) temp(f file) string {
	return filepath.Join(d.dir, tempDir, strings.ReplaceAll(f.path, "/", "-"))
}

// mkdirs makes a folder and those above it, each durable before anything is put into it.
func (d *disk) mkdirs(dir string) error {
	if d.known[dir] {
		return nil
	}
	if err := d.mkdirs(filepath.Dir(dir)); err != nil {
		return err
	}
	full := filepath.Join(d.dir, dir)
	if err := d.step("mkdir "+dir, func() error { return mkdir(full) }); err != nil {
		return err
	}
	if err := d.sync("sync above "+dir, filepath.Dir(full)); err != nil {
		return err
	}
	d.known[dir] = true
	return nil
}

// sync flushes a folder. Its error is errNames: names that were seen may be lost, and no later flush brings them back.
func (d *disk) sync(step, dir string) error {
	if err := d.step(step, func() error { return syncDir(dir) }); err != nil {
		return fmt.Errorf("%w: %w", errNames, err)
	}
	return nil
}

var errNames = errors.New("which names are on disk is not known")

func mkdir(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// makeRoot makes the folder that a log or witness lives in, and those above it that are missing, all durable.
func makeRoot(dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, os.ErrNotExist) && parent != dir {
		if err := makeRoot(parent); err != nil {
			return err
		}
	}
	if err := mkdir(dir); err != nil {
		return err
	}
	if err := syncDir(parent); !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil // a folder that we may not read is none that we made dir in
}

// clean makes the folder for temporary files and empties it of what a crash left.
func (d *disk) clean() error {
	temp := filepath.Join(d.dir, tempDir)
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	return os.Mkdir(temp, 0o700)
}

func (d *disk) read(path string) ([]byte, error) { return os.ReadFile(filepath.Join(d.dir, path)) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
