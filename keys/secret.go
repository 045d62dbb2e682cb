package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"domicile"
)

const (
	SecretName   = "region.secret" // in a data folder
	secretHeader = "domicile-region-secret-v1\n"
	tempPrefix   = ".new-"
)

// Secret is the random secret of one data folder, from which hangs all that is sealed in it. It rests in the folder, in the
// file region.secret, sealed under the root key, so that another root key can take its place (Rotate) and nothing else is
// rewritten. Safe for concurrent use.
type Secret struct {
	key   []byte
	dir   string // the data folder
	wraps string
	owner string // the root key: what is written beside it belongs to whose it is
}

// LoadSecret reads the root key at path and opens the secret of the data folder dir under it.
func LoadSecret(path, dir string) (*Secret, error) {
	root, err := LoadRoot(path)
	if err != nil {
		return nil, err
	}
	return root.Open(dir)
}

// Open opens the secret of the data folder dir, which exists and which no other process uses. An empty folder gets a new
// secret, on disk on return. In a folder that a first release wrote everything hangs from the root key itself; its
// secret is made of that root key, once, so that all stays as it is. A secret that was sealed under another root key,
// or altered, is domicile.Invalid.
func (r *Root) Open(dir string) (*Secret, error) {
	const op = "open the region's secret"
	if err := r.apart(dir); err != nil {
		return nil, err
	}
	s, err := r.readSecret(filepath.Join(dir, SecretName))
	if domicile.KindOf(err) != domicile.NotExist {
		return s, err
	}
	if err := removeTemps(dir, os.Remove); err != nil {
		return nil, domicile.W(op, err)
	}
	used, err := hasFolders(dir)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, ringName, bookName)); err == nil {
		return nil, domicile.E(op, domicile.Invalid, filepath.Join(dir, SecretName)+" is missing: put it back, or restore a backup")
	}
	key := bytes.Clone(r.key)
	if !used {
		rand.Read(key)
	}
	return r.secret(key, dir), r.putSecret(key, dir)
}

// OpenCopy opens what is sealed in a copy of a part of a data folder: file is the copy of region.secret beside it. Where there is
// none, the copy is taken for one of a first release's folder. Nothing is written.
func (r *Root) OpenCopy(file string) (*Secret, error) {
	s, err := r.readSecret(file)
	if domicile.KindOf(err) == domicile.NotExist {
		return r.secret(bytes.Clone(r.key), filepath.Dir(file)), nil
	}
	return s, err
}

func (r *Root) secret(key []byte, dir string) *Secret {
	return &Secret{key: key, dir: dir, wraps: r.wraps(), owner: r.path}
}

// apart refuses a root key whose wrapping keys would lie in the data folder: a copy of the folder would then be a copy of them.
func (r *Root) apart(dir string) error {
	wraps, err := filepath.EvalSymlinks(r.wraps())
	if errors.Is(err, fs.ErrNotExist) {
		wraps, err = filepath.EvalSymlinks(filepath.Dir(r.path))
	}
	inside, err2 := filepath.EvalSymlinks(dir)
	rel, err3 := filepath.Rel(inside, wraps)
	if err := errors.Join(err, err2, err3); err != nil {
		return domicile.W("open the region's secret", err)
	}
	if filepath.IsLocal(rel) {
		return domicile.E("open the region's secret", domicile.Invalid, r.wraps()+" lies within the data folder; the root key and what is beside it must lie outside")
	}
	return nil
}

func (r *Root) readSecret(file string) (*Secret, error) {
	const op = "open the region's secret"
	data, _, err := readSmall(op, file) // a copied folder may have other modes, and it is sealed
	if err != nil {
		return nil, err
	}
	sealed, ok := bytes.CutPrefix(data, []byte(secretHeader))
	if !ok {
		return nil, domicile.E(op, domicile.Invalid, file+" is damaged, or of a newer release")
	}
	key, err := r.box("secret").Open(sealed, []byte(SecretName))
	if err != nil || len(key) != keySize {
		return nil, domicile.E(op, domicile.Invalid, file+" does not open under this root key: it is another's, or it was sealed anew by mailctl keys rotate, or is damaged")
	}
	return r.secret(key, filepath.Dir(file)), nil
}

// putSecret seals a secret under the root key into its file, whole and on disk.
func (r *Root) putSecret(key []byte, dir string) error {
	const op = "seal the region's secret"
	sealed, err := r.box("secret").Seal(key, []byte(SecretName))
	if err != nil {
		return domicile.W(op, err)
	}
	return resealSecret(op, filepath.Join(dir, SecretName), append([]byte(secretHeader), sealed...))
}

// CheckFolder says what would keep a node from opening the keys of the data folder dir, without writing anything: the folder's secret,
// and where it holds account keys their wrapping key, and whether a new wrapping key could be made.
func (r *Root) CheckFolder(dir string) error {
	const op = "check the keys of the data folder"
	s, err := r.OpenCopy(filepath.Join(dir, SecretName))
	if err != nil {
		return err
	}
	const write, search = 2, 1
	at := r.wraps()
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		at = filepath.Dir(at)
	}
	if err := syscall.Access(at, write|search); err != nil {
		return domicile.E(op, domicile.Invalid, fmt.Sprintf("%s must be a folder that the node can write in: its keys are replaced at each erasure (%v)", r.wraps(), err))
	}
	b, err := openBook(filepath.Join(dir, ringName, bookName))
	if domicile.KindOf(err) == domicile.NotExist {
		return nil
	} else if err != nil {
		return err
	}
	if b.number > 0 {
		_, err = s.wrapping().open(b.number)
	}
	return errors.Join(err, b.file.Close())
}

// hasFolders reports whether parts of a node have been at work in dir: each has a folder.
func hasFolders(dir string) (bool, error) {
	names, err := os.ReadDir(dir)
	for _, n := range names {
		if n.IsDir() && n.Name() != "lost+found" {
			return true, err
		}
	}
	return false, err
}

// derive returns the key for one purpose.
func (s *Secret) derive(purpose string) []byte { return derive(s.key, purpose) }

// id names the secret without telling it.
func (s *Secret) id() string { return hex.EncodeToString(s.derive("id")[:8]) }

// Box returns the AEAD of one purpose ("audit", "journal", "cases"). Boxes of different purposes, and of different
// secrets, cannot open each other's records. It fits audit.Sealer.
func (s *Secret) Box(purpose string) *Box { return newBox(s.derive("box/" + purpose)) }

// OpenFrom opens a stream that a first release sealed under the root key itself, for one purpose ("backup").
func (r *Root) OpenFrom(purpose string, rd io.Reader, associated []byte) (io.Reader, error) {
	return newAccountKey(derive(r.key, "stream/"+purpose)).openFrom(rd, associated, nil)
}
