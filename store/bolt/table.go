package bolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"domicile"
	"domicile/store"
)

// table is a named table of the region's own records.
type table struct {
	s    *Store
	name string
	key  []byte // of its bucket
}

// tableRecord is a record as it rests, sealed: its key too, since the index has only a digest of it.
type tableRecord struct {
	Key   string
	Value []byte
}

// Table opens a table; the first write makes it.
func (s *Store) Table(name string) (store.Table, error) {
	if name == "" || len(name) > store.MaxTableName {
		return nil, domicile.E("open table", domicile.Invalid, "a table's name has 1 to 64 bytes")
	}
	return &table{s, name, s.cfg.Sealer.Digest("table", name)}, nil
}

func (t *table) digest(key string) []byte { return t.s.cfg.Sealer.Digest("table key", t.name, key) }

func tablePlace(table, digest []byte) []byte {
	return place("table", string(table), string(digest))
}

func (t *table) open(digest, sealed []byte) (r tableRecord, err error) {
	return r, t.s.openRecord("", sealed, tablePlace(t.key, digest), &r)
}

func (t *table) seal(key string, value []byte) ([]byte, error) {
	plain, err := json.Marshal(tableRecord{key, value})
	if err != nil {
		return nil, err
	}
	return t.s.cfg.Sealer.SealRecord("", plain, tablePlace(t.key, t.digest(key)))
}

// Get returns ok false if there is no such record.
func (t *table) Get(key string) ([]byte, bool, error) {
	var sealed []byte
	digest := t.digest(key)
	err := t.s.view(func(tx *txn) error {
		sealed = bytes.Clone(tx.root(bTables).sub(t.key).Get(digest))
		return nil
	})
	if err != nil || sealed == nil {
		return nil, false, domicile.W("read table", err)
	}
	r, err := t.open(digest, sealed)
	if err != nil {
		return nil, false, domicile.W("read table", err)
	}
	return notNil(r.Value), true, nil
}

// notNil keeps "empty" apart from "absent" for CompareAndSwap.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func checkEntry(key string, value []byte) error {
	if key == "" || len(key) > store.MaxTableKey {
		return domicile.E("table", domicile.Invalid, "a key has 1 to 1024 bytes")
	}
	if len(value) > store.MaxRecord {
		return domicile.E("table", domicile.TooLarge, "a value has at most 64 KiB")
	}
	return nil
}

// Put is durable on return.
func (t *table) Put(key string, value []byte) error {
	if err := checkEntry(key, value); err != nil {
		return domicile.W("write table", err)
	}
	err := t.s.update(context.Background(), "", func(tx *txn) error { return t.put(tx, key, value) })
	return domicile.W("write table", err)
}

func (t *table) put(tx *txn, key string, value []byte) error {
	sealed, err := t.seal(key, value)
	if err != nil {
		return err
	}
	tx.root(bTables).sub(t.key).Put(t.digest(key), sealed)
	return nil
}

// CompareAndSwap writes, or deletes, only if the present value is old.
func (t *table) CompareAndSwap(key string, old, new []byte) (bool, error) {
	if err := checkEntry(key, new); err != nil {
		return false, domicile.W("swap in table", err)
	}
	swapped := false
	err := t.s.update(context.Background(), "", func(tx *txn) error {
		swapped = false
		same, err := t.is(tx, key, old)
		if err != nil || !same {
			return err
		}
		swapped = true
		if new != nil {
			return t.put(tx, key, new)
		}
		tx.root(bTables).sub(t.key).Delete(t.digest(key))
		return nil
	})
	return swapped && err == nil, domicile.W("swap in table", err)
}

// is says whether the present value is want; nil means absent.
func (t *table) is(tx *txn, key string, want []byte) (bool, error) {
	digest := t.digest(key)
	sealed := tx.root(bTables).sub(t.key).Get(digest)
	if sealed == nil || want == nil {
		return sealed == nil && want == nil, nil
	}
	r, err := t.open(digest, sealed)
	return err == nil && bytes.Equal(r.Value, want), err
}

// Each copies the whole table out before the first call.
func (t *table) Each(fn func(key string, value []byte) error) error {
	var sealed []entry
	err := t.s.view(func(tx *txn) error {
		sealed = nil
		return tx.root(bTables).sub(t.key).ForEach(func(k, v []byte) error {
			sealed = append(sealed, cloneEntry(k, v))
			return nil
		})
	})
	records := make([]tableRecord, len(sealed))
	for i, e := range sealed {
		if err == nil {
			records[i], err = t.open(e.key, e.value)
		}
	}
	if err != nil {
		return domicile.W("list table", err)
	}
	slices.SortFunc(records, func(a, b tableRecord) int { return cmp.Compare(a.Key, b.Key) })
	for _, r := range records {
		if err := fn(r.Key, notNil(r.Value)); err != nil {
			return err
		}
	}
	return nil
}
