package disclosure

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"domicile"
)

// Files of a case, in a folder with its id as the name: token, document and parts of the snapshot, each sealed by the
// region's box with "domicile/case/v1", a zero byte, the case's id, a slash and the file's name as associated bytes; and
// production.tar.age, sealed to its authority.

func associated(id, name string) []byte { return []byte("domicile/case/v1\x00" + id + "/" + name) }

// saveFile seals content into a file of the case. It is on disk when saveFile returns; an earlier one is replaced whole.
func (e *Engine) saveFile(id, name string, content []byte) error {
	const op = "keep a file of a case"
	sealed, err := e.parts.box.Seal(content, associated(id, name))
	if err != nil {
		return domicile.W(op, err)
	}
	dir := e.dir(id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return domicile.W(op, err)
	}
	tmp, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return domicile.W(op, err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(sealed); err != nil {
		tmp.Close()
		return domicile.W(op, err)
	}
	return domicile.W(op, keep(tmp, filepath.Join(dir, name)))
}

// keep makes a written temporary file durable under its name.
func keep(tmp *os.File, path string) error {
	err := errors.Join(tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile opens a sealed file of the case; nil if there is none.
func (e *Engine) readFile(id, name string) ([]byte, error) {
	sealed, err := os.ReadFile(filepath.Join(e.dir(id), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, domicile.W("read a file of a case", err)
	}
	out, err := e.parts.box.Open(sealed, associated(id, name))
	return out, domicile.W("read a file of a case", err)
}
