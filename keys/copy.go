package keys

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"domicile"
)

const copyHeader = "domicile-keys-copy-v1\n"

// CopyTo writes the data folder's secret and all its account keys, none of them sealed: to a stream that is, see Period.SealTo.
// Changes wait meanwhile. Damaged keys stop it (domicile.Invalid), so that nobody trusts a copy without them.
func (r *Ring) CopyTo(w io.Writer) error {
	const op = "copy the account keys"
	r.change.Lock()
	defer r.change.Unlock()
	if err := r.Check(); err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString(copyHeader)
	out.Write(r.secret.key)
	for id, at := range r.book.places {
		key, ok, err := r.book.key(r.wrap, at)
		if err != nil || !ok {
			return errors.Join(domicile.W(op, err), domicile.E(op, domicile.Invalid, "an account key has been damaged on disk"))
		}
		out.WriteByte(byte(len(id)))
		out.WriteString(string(id))
		out.Write(key)
	}
	out.WriteByte(0)
	return domicile.W(op, out.Flush())
}

// RestoreCopy puts what CopyTo wrote into the empty data folder dir, under this root key and a new wrapping key, and returns when it
// is on disk. It reads rd to its end, which must be there: what is cut or has more behind it is domicile.Invalid. Wrapping keys of
// another folder of the same secret, of which this one may be the copy, stay until the first key is destroyed here.
func (r *Root) RestoreCopy(dir string, rd io.Reader) error {
	const op = "restore the account keys"
	if err := r.apart(dir); err != nil {
		return err
	}
	secret, list, err := parseCopy(rd)
	if err != nil {
		return domicile.W(op, err)
	}
	s := r.secret(secret, dir)
	ring := &Ring{dir: filepath.Join(dir, ringName), wraps: s.wrapping(), step: do}
	if err := errors.Join(makeDir(ring.dir), makeDir(s.wraps)); err != nil {
		return domicile.W(op, err)
	}
	number, wrap, err := ring.wraps.next(0)
	if err != nil {
		return domicile.W(op, err)
	}
	err = ring.put(func(f *os.File) error { return writeKeys(f, number, false, wrap, list) })
	if err == nil {
		err = r.putSecret(secret, dir)
	}
	return domicile.W(op, err)
}

// ReadCopy reads what Ring.CopyTo wrote to its end, and returns the secret of the folder that it is of, which opens what is sealed under that and no account, and
// how many accounts it has. Nothing is written.
func (r *Root) ReadCopy(rd io.Reader) (s *Secret, accounts int, err error) {
	secret, list, err := parseCopy(rd)
	if err != nil {
		return nil, 0, domicile.W("read a copy of the account keys", err)
	}
	return r.secret(secret, ""), len(list), nil
}

// parseCopy reads what CopyTo wrote.
func parseCopy(rd io.Reader) (secret []byte, list map[domicile.AccountID][]byte, err error) {
	bad := domicile.E("read a copy of account keys", domicile.Invalid, "it is cut or damaged, or of a newer release")
	in := bufio.NewReaderSize(rd, 64<<10)
	head := make([]byte, len(copyHeader)+keySize)
	if _, err := io.ReadFull(in, head); err != nil || !bytes.HasPrefix(head, []byte(copyHeader)) {
		return nil, nil, errors.Join(bad, err)
	}
	list = make(map[domicile.AccountID][]byte)
	for {
		size, err := in.ReadByte()
		if err != nil {
			return nil, nil, errors.Join(bad, err)
		}
		if size == 0 {
			break
		}
		entry := make([]byte, int(size)+keySize)
		if _, err := io.ReadFull(in, entry); err != nil {
			return nil, nil, errors.Join(bad, err)
		}
		id := domicile.AccountID(entry[:size])
		if _, twice := list[id]; twice || !validID(id) {
			return nil, nil, bad
		}
		list[id] = entry[size:]
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return nil, nil, errors.Join(bad, err)
	}
	return head[len(copyHeader):], list, nil
}

// ForgetCopy destroys the wrapping key of a folder that RestoreCopy made and that nobody uses: its account keys cannot be opened any more. Those of other
// folders stay.
func (r *Root) ForgetCopy(dir string) error {
	const op = "forget a copy of the account keys"
	s, err := r.Open(dir)
	if err != nil {
		return domicile.W(op, err)
	}
	b, err := openBook(filepath.Join(dir, ringName, bookName))
	if err != nil {
		return domicile.W(op, err)
	}
	return domicile.W(op, errors.Join(b.file.Close(), s.wrapping().destroy(func(number uint64) bool { return number == b.number })))
}
