package storetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"

	"domicile"
	"domicile/store"
)

func (r *Rig) table(name string) store.Table {
	r.T.Helper()
	t, err := r.Table(name)
	r.no(err)
	return t
}

func tables(r *Rig) {
	t, other := r.table("ledger"), r.table("names")
	_, ok, err := t.Get("k")
	r.no(err)
	r.same("absent", ok, false)
	r.no(t.Each(func(string, []byte) error { return errors.New("nothing is there") }))
	r.no(t.Put("k", []byte("v")))
	r.no(t.Put("empty", nil))
	r.no(t.Put("a", bytes.Repeat([]byte("x"), store.MaxRecord)))
	r.is(domicile.TooLarge, t.Put("a", make([]byte, store.MaxRecord+1)))
	r.is(domicile.Invalid, t.Put("", nil))
	r.is(domicile.Invalid, t.Put(strings.Repeat("k", store.MaxTableKey+1), nil))
	for _, name := range []string{"", strings.Repeat("n", store.MaxTableName+1)} {
		_, err = r.Table(name)
		r.is(domicile.Invalid, err)
	}
	_, ok, err = other.Get("k")
	r.no(err)
	r.same("another table", ok, false)
	r.Reopen()
	t = r.table("ledger")
	v, ok, err := t.Get("k")
	r.no(err)
	r.same("got", []any{string(v), ok}, []any{"v", true})
	v, ok, err = t.Get("empty")
	r.no(err)
	r.same("empty is not absent", []any{len(v), v != nil, ok}, []any{0, true, true})

	for _, step := range []struct {
		old, new []byte
		want     bool
	}{
		{nil, []byte("x"), false}, {[]byte("no"), []byte("x"), false}, {[]byte("v"), []byte("w"), true},
		{[]byte("w"), nil, true}, {[]byte("w"), nil, false}, {[]byte{}, []byte("x"), false},
		{nil, nil, true}, {nil, []byte{}, true}, {[]byte{}, []byte("z"), true},
	} {
		did, err := t.CompareAndSwap("k", step.old, step.new)
		r.no(err)
		r.same("swap", did, step.want)
	}
	var keys []string
	r.no(t.Each(func(key string, value []byte) error {
		keys = append(keys, key)
		return t.Put("from within", value) // no transaction is held
	}))
	r.same("in order", keys, []string{"a", "empty", "k"})
	mine := errors.New("mine")
	if err := t.Each(func(string, []byte) error { return mine }); !errors.Is(err, mine) {
		r.T.Fatal("the function's error is lost")
	}
}

func tablesAtOnce(r *Rig) {
	t := r.table("counters")
	r.no(t.Put("n", make([]byte, 8)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				for {
					old, _, err := t.Get("n")
					if err != nil {
						r.T.Error(err)
						return
					}
					runtime.Gosched() // the others swap in between, however quick the disk is
					did, err := t.CompareAndSwap("n", old, binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(old)+1))
					if err != nil {
						r.T.Error(err)
						return
					}
					if did {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	v, _, err := t.Get("n")
	r.no(err)
	r.same("no swap lost", binary.BigEndian.Uint64(v), 80)
}
