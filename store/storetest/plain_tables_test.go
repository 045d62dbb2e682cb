package storetest

import (
	"bytes"
	"slices"

	"domicile"
	"domicile/store"
)

func (p *plain) Table(name string) (store.Table, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == "" || len(name) > store.MaxTableName {
		return nil, plainError(domicile.Invalid, "not a table's name")
	}
	return &plainTable{p, name}, nil
}

type plainTable struct {
	p    *plain
	name string
}

// change replaces one record by what fn makes of it, nil for none.
func (t *plainTable) change(key string, fn func(old []byte) (new []byte, ok bool)) (bool, error) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.p.closed {
		return false, plainError(domicile.Unavailable, "closed")
	}
	if key == "" || len(key) > store.MaxTableKey {
		return false, plainError(domicile.Invalid, "not a key")
	}
	new, ok := fn(t.p.tables[t.name][key])
	if len(new) > store.MaxRecord {
		return false, plainError(domicile.TooLarge, "a value has at most 64 KiB")
	}
	if !ok {
		return false, nil
	}
	if t.p.tables[t.name] == nil {
		t.p.tables[t.name] = map[string][]byte{}
	}
	if t.p.tables[t.name][key] = new; new == nil {
		delete(t.p.tables[t.name], key)
	}
	return true, t.p.write("tables", "", t.p.tables)
}

func (t *plainTable) Put(key string, value []byte) error {
	_, err := t.change(key, func([]byte) ([]byte, bool) { return append([]byte{}, value...), true })
	return err
}

func (t *plainTable) CompareAndSwap(key string, old, new []byte) (bool, error) {
	return t.change(key, func(now []byte) ([]byte, bool) {
		if new != nil {
			new = append([]byte{}, new...)
		}
		if t.p.bug == "swaps without comparing" {
			return new, true
		}
		return new, (now == nil) == (old == nil) && bytes.Equal(now, old)
	})
}

func (t *plainTable) Get(key string) ([]byte, bool, error) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	v, ok := t.p.tables[t.name][key]
	return bytes.Clone(v), ok, nil
}

func (t *plainTable) Each(fn func(key string, value []byte) error) error {
	t.p.mu.Lock()
	all := map[string][]byte{}
	var keys []string
	for k, v := range t.p.tables[t.name] {
		all[k] = bytes.Clone(v)
		keys = append(keys, k)
	}
	t.p.mu.Unlock()
	slices.Sort(keys)
	for _, k := range keys {
		if err := fn(k, all[k]); err != nil {
			return err
		}
	}
	return nil
}
