package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// disk writes files below one folder so that each is there whole or not at all, and is on disk when the call returns.
type disk struct {
	dir string
	// step runs one act on the disk. Tests put a wrapper here that fails before or after the act.
	step func(name string, do func() error) error
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
		if err := d.step("write "+f.path, func() error { return writeSynced(d.temp(f), f.data) }); err != nil {
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
		if err := d.step("sync "+dir, func() error { return syncDir(filepath.Join(d.dir, dir)) }); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) temp(f file) string {
	return filepath.Join(d.dir, tempDir, strings.ReplaceAll(f.path, "/", "-"))
}

// mkdirs makes a folder and those above it, each durable before anything is put into it.
func (d *disk) mkdirs(dir string) error {
	full := filepath.Join(d.dir, dir)
	if _, err := os.Stat(full); err == nil || dir == "." {
		return err
	}
	if err := d.mkdirs(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := d.step("mkdir "+dir, func() error { return os.Mkdir(full, 0o755) }); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return d.step("sync above "+dir, func() error { return syncDir(filepath.Dir(full)) })
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

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
