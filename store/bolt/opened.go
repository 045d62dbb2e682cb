package bolt

import (
	"bytes"
	"maps"
	"sync"
)

// opened keeps the records that were used last, each beside the sealed bytes that it was opened from: what was written since
// is seen by that. The zero value is ready.
type opened[K comparable, V any] struct {
	mu            sync.Mutex
	recent, older map[K]openedRecord[V] // guarded by mu
	forgot        int                   // guarded by mu; how often forget was called
}

type openedRecord[V any] struct {
	sealed []byte
	rec    V
}

const keepOpened = 2048 // in each half

func (o *opened[K, V]) get(key K, sealed []byte) (rec V, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e, ok := o.recent[key]
	if !ok {
		e = o.older[key]
	}
	if e.sealed == nil || !bytes.Equal(e.sealed, sealed) {
		return rec, false
	}
	return e.rec, true
}

// age is to be asked for before a record is opened that is put.
func (o *opened[K, V]) age() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.forgot
}

// forget is for records whose key was destroyed.
func (o *opened[K, V]) forget(gone func(K) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, half := range []map[K]openedRecord[V]{o.recent, o.older} {
		maps.DeleteFunc(half, func(key K, _ openedRecord[V]) bool { return gone(key) })
	}
	o.forgot++
}

// put keeps a record, unless forget came since it was opened: its account may have been erased.
func (o *opened[K, V]) put(age int, key K, sealed []byte, rec V) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if age != o.forgot {
		return
	}
	if o.recent == nil || len(o.recent) >= keepOpened {
		o.recent, o.older = map[K]openedRecord[V]{}, o.recent
	}
	o.recent[key] = openedRecord[V]{sealed, rec}
}
