package keys

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"domicile"
)

// What a first release kept: a file for each account, named after it, that holds the key sealed under one from the root key.

const accountHeader = "domicile-account-key-v1\n"

// firstFiles names the accounts of which there is such a file.
func (r *Ring) firstFiles() (ids []domicile.AccountID, err error) {
	names, err := os.ReadDir(r.dir)
	for _, n := range names {
		if id := domicile.AccountID(n.Name()); validID(id) && n.Type().IsRegular() {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// firstKeys reads those keys. One that does not open stops the upgrade: nothing may be lost without being told.
func (r *Ring) firstKeys() (map[domicile.AccountID][]byte, error) {
	const op = "take over the account keys of a first release"
	ids, err := r.firstFiles()
	if err != nil {
		return nil, domicile.W(op, err)
	}
	wrap, list := newBox(r.secret.derive("wrap")), make(map[domicile.AccountID][]byte)
	for _, id := range ids {
		path := filepath.Join(r.dir, string(id))
		data, err := readSecret(op, path)
		if err != nil {
			return nil, err
		}
		if len(bytes.Trim(data, "\x00")) == 0 {
			continue // destroyed, and a crash came before it was removed
		}
		sealed, ok := bytes.CutPrefix(data, []byte(accountHeader))
		key, err := wrap.Open(sealed, []byte("account-key/"+string(id)))
		if !ok || err != nil || len(key) != keySize {
			return nil, domicile.E(op, domicile.Invalid, path+" does not open under this region's root key, or is damaged. If it is, move it out of the folder: the mail of that account cannot be read")
		}
		list[id] = key
	}
	return list, nil
}

// putFirst makes the book of a first release's keys.
func (r *Ring) putFirst(list map[domicile.AccountID][]byte) error {
	number, wrap, err := r.wraps.next(0)
	if err != nil {
		return err
	}
	return r.put(func(f *os.File) error { return writeKeys(f, number, true, wrap, list) })
}

// destroyFirst destroys a first release's files, each of which has its key in the book by now.
func (r *Ring) destroyFirst() error {
	ids, err := r.firstFiles()
	for _, id := range ids {
		if err == nil {
			err = errors.Join(err, destroyFile(filepath.Join(r.dir, string(id))))
		}
	}
	return domicile.W("destroy the account keys of a first release", err)
}
