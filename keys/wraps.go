package keys

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"domicile"
)

const wrapHeader = "domicile-wrapping-key-v1\n"

// wraps are the wrapping keys of one secret: random, numbered from 1, each in a file of its own beside the root key. The file of
// account keys names the one that it is sealed under. Whatever else is there was in force once, or was to be.
type wraps struct {
	dir, owner, prefix string
	box                *Box // of the secret: a wrapping key alone opens nothing
}

func (s *Secret) wrapping() *wraps {
	return &wraps{dir: s.wraps, owner: s.owner, prefix: "accounts-" + s.id() + "-", box: newBox(s.derive("wrapping"))}
}

func (w *wraps) path(number uint64) string {
	return filepath.Join(w.dir, w.prefix+strconv.FormatUint(number, 10))
}

func (w *wraps) place(number uint64) []byte { return fmt.Appendf(nil, "%s%d", w.prefix, number) }

// numbers lists the wrapping keys that are on disk, destroyed ones of which the names are left included.
func (w *wraps) numbers() ([]uint64, error) {
	names, err := os.ReadDir(w.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []uint64
	for _, n := range names {
		digits, ok := strings.CutPrefix(n.Name(), w.prefix)
		if number, err := strconv.ParseUint(digits, 10, 64); ok && err == nil {
			list = append(list, number)
		}
	}
	return list, err
}

// next makes a wrapping key of a number that no other has or had, durably.
func (w *wraps) next(after uint64) (uint64, *Box, error) {
	const op = "make a wrapping key"
	list, err := w.numbers()
	if err != nil {
		return 0, nil, domicile.W(op, err)
	}
	number, key := slices.Max(append(list, after))+1, make([]byte, keySize)
	rand.Read(key)
	sealed, err := w.box.Seal(key, w.place(number))
	if err != nil {
		return 0, nil, domicile.W(op, err)
	}
	return number, newBox(key), createSecretFor(op, w.path(number), append([]byte(wrapHeader), sealed...), w.owner)
}

// open reads the wrapping key of a number.
func (w *wraps) open(number uint64) (*Box, error) {
	const op = "open the wrapping key"
	data, err := readSecret(op, w.path(number))
	if domicile.KindOf(err) == domicile.NotExist {
		return nil, domicile.E(op, domicile.Invalid, w.path(number)+" is not there. If this data folder is a copy from before an account was erased, its key was destroyed then, "+
			"and the mail in the copy cannot be read; if it came from another machine, carry the folder of that file over too")
	} else if err != nil {
		return nil, err
	}
	sealed, _ := bytes.CutPrefix(data, []byte(wrapHeader))
	key, err := w.box.Open(sealed, w.place(number))
	if err != nil || len(key) != keySize {
		return nil, domicile.E(op, domicile.Invalid, w.path(number)+" is damaged, of a newer release, or of another data folder")
	}
	return newBox(key), nil
}

// destroy overwrites and removes the wrapping keys that which says, on disk when it returns.
func (w *wraps) destroy(which func(number uint64) bool) error {
	list, err := w.numbers()
	for _, number := range list {
		if which(number) {
			err = errors.Join(err, destroyFile(w.path(number)))
		}
	}
	return domicile.W("destroy a wrapping key", err)
}
