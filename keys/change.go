package keys

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"

	"domicile"
)

// CreateAccountKey makes a key for id and returns when it is on disk. If there is one already it is kept, without error; if that is
// damaged it is domicile.Invalid.
func (r *Ring) CreateAccountKey(id domicile.AccountID) error {
	const op = "create account key"
	if !validID(id) {
		return badID(op)
	}
	r.change.Lock()
	defer r.change.Unlock()
	_, known := r.book.places[id]
	if known || r.book.lost[id] {
		if _, err := r.key(op, id); err != nil {
			return err
		}
	}
	switch {
	case known && !r.doubt:
		return nil
	case r.doubt || r.book.number == 0:
		if err := r.renew(nil); err != nil {
			return domicile.W(op, err)
		}
		if known {
			return nil
		}
	}
	key := make([]byte, keySize)
	rand.Read(key)
	return domicile.W(op, r.append(id, key))
}

// append puts a key behind the others. r.change is held, so that nobody else changes book and wrap.
func (r *Ring) append(id domicile.AccountID, key []byte) error {
	rec, err := record(r.wrap, id, key)
	if err != nil {
		return err
	}
	at := r.book.slots
	err = r.step("append", func() error {
		_, err := r.book.file.WriteAt(rec, at*slot)
		return errors.Join(err, r.book.file.Sync())
	})
	if err != nil {
		r.doubt = true
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.book.places[id], r.book.slots = at, at+1
	return nil
}

// DestroyAccountKey destroys the key of id, as DestroyAccountKeys does.
func (r *Ring) DestroyAccountKey(id domicile.AccountID) error { return r.DestroyAccountKeys(id) }

// DestroyAccountKeys destroys keys: when it returns nil, all that was sealed under them can no longer be read, also from a copy of
// the data folder of before with all that lies beside the root key now; every call for those ids answers domicile.NotExist,
// and a stream that is under way ends with it. No error for an id without a key. After an error they may be readable
// still: ask for the same ids again.
//
// The file is written anew under a new wrapping key, and then the old wrapping key is overwritten: some milliseconds for each 10,000 accounts
// of the region, however many keys are destroyed at once.
func (r *Ring) DestroyAccountKeys(ids ...domicile.AccountID) error {
	const op = "destroy account keys"
	without := make(map[domicile.AccountID]bool)
	for _, id := range ids {
		if !validID(id) {
			return badID(op)
		}
		without[id] = true
	}
	r.change.Lock()
	defer r.change.Unlock()
	if !r.doubt && !r.has(without) {
		return domicile.W(op, r.destroyOld())
	}
	return domicile.W(op, r.renew(without))
}

// has reports whether there is a key of one of the ids, or a record that may be it.
func (r *Ring) has(ids map[domicile.AccountID]bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := len(r.book.damaged) > 0
	for id := range ids {
		_, ok := r.book.places[id]
		found = found || ok
	}
	return found
}

// renew writes the book, without some accounts, under a new wrapping key and destroys all others. r.change is held. What counts is
// the book's name: a crash before it leaves a wrapping key too many, which the next renewal destroys, and a crash after it
// one of before, which the next opening destroys.
func (r *Ring) renew(without map[domicile.AccountID]bool) error {
	r.stale, r.doubt = true, true
	var number uint64
	var wrap *Box
	err := r.step("wrap", func() (err error) { number, wrap, err = r.wraps.next(r.book.number); return err })
	if err != nil {
		return err
	}
	if err := r.put(func(f *os.File) error { return r.book.rewrite(f, r.wrap, wrap, number, without) }); err != nil {
		return err
	}
	b, err := openBook(r.path())
	if err != nil {
		return err
	}
	if err := b.read(wrap); err != nil {
		return errors.Join(err, b.file.Close())
	}
	r.mu.Lock()
	old := r.book
	r.book, r.wrap = b, wrap
	for id := range without {
		r.opened.forget(id)
	}
	r.mu.Unlock()
	r.doubt = false
	return errors.Join(old.file.Close(), r.destroyOld())
}

// destroyOld destroys every wrapping key but the one in force. r.change is held.
func (r *Ring) destroyOld() error {
	if !r.stale {
		return nil
	}
	err := r.step("destroy", func() error { return r.wraps.destroy(func(number uint64) bool { return number != r.book.number }) })
	r.stale = err != nil
	return err
}

// put writes the book whole, and has it in its place, on disk.
func (r *Ring) put(write func(f *os.File) error) error {
	f, err := os.OpenFile(filepath.Join(r.dir, tempPrefix+bookName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = r.step("write", func() error { return errors.Join(write(f), giveTo(f, r.dir), f.Sync()) })
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := r.step("rename", func() error { return os.Rename(f.Name(), r.path()) }); err != nil {
		return err
	}
	return r.step("sync", func() error { return syncDir(r.dir) })
}
