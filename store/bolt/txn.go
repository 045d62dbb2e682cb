package bolt

import (
	"bytes"
	"slices"

	"github.com/tidwall/btree"
	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// item is a key of the index that bbolt does not have yet. A nil value is a deletion.
type item struct {
	key   string
	value []byte
}

// pending is the part of the index that is durable in the log and not in bbolt yet. Once others can see it, nobody changes it: the writer
// works on a copy, which shares what it does not touch.
type pending = btree.Map[string, []byte]

// pendingDegree is half of what a node holds at most. A group that is alone copies the nodes that it changes, a dozen for one message: small ones are less to copy.
const pendingDegree = 16

func newPending() *pending { return btree.NewMap[string, []byte](pendingDegree) }

// txn is a consistent view of the index: what is pending over what bbolt has. That of a job also writes; it belongs to one goroutine.
type txn struct {
	top    *pending // the newest
	frozen *pending // on its way into bbolt; may be nil
	db     *bbolt.Bucket
	w      *changes // nil if it only reads
}

// changes is what a job wrote since its last part, and what was there before.
type changes struct {
	group  *segment.Group
	size   int               // of the group before the job,
	lsn    uint64            // and its LSN
	order  []string          // keys in the order of their first change
	value  map[string][]byte // the last value; nil = deleted
	bytes  int
	writes int
	moved  int64 // bytes that compaction wrote anew

	touched store.Hint // mailboxes whose numbers changed,
	wide    bool       // and more than a hint names: many of them, or what a mailbox is called

	// Of a job that shares its group:
	undo []undo

	// Of one that runs alone, which may write its act in parts:
	parts *parts
}

type undo struct {
	before item
	had    bool
}

// touch notes a mailbox whose numbers change.
func (c *changes) touch(id domicile.MailboxID) {
	switch {
	case c.wide || slices.Contains(c.touched, id):
	case len(c.touched) == store.MaxHint:
		c.wide = true
	default:
		c.touched = append(c.touched, id)
	}
}

// hint is what those who watch are told of an act.
func (c *changes) hint() store.Hint {
	if c.wide {
		return nil
	}
	return c.touched
}

// get returns nil if the key is absent. The bytes are valid until the end of the txn, and may not be changed.
func (tx *txn) get(key []byte) []byte {
	k := string(key)
	if value, ok := tx.top.Get(k); ok {
		return value
	}
	if tx.frozen != nil {
		if value, ok := tx.frozen.Get(k); ok {
			return value
		}
	}
	return tx.db.Get(key)
}

// set writes a value, nil to delete.
func (tx *txn) set(key, value []byte) {
	w := tx.w
	if w.parts.failed() != nil {
		return // all of it is given up
	}
	k := string(key)
	before, had := tx.top.Set(k, value)
	if w.writes++; w.parts == nil {
		w.undo = append(w.undo, undo{item{k, before}, had})
	}
	if _, again := w.value[k]; !again {
		w.order = append(w.order, k)
	}
	w.value[k] = value
	if w.bytes += len(key) + len(value); w.parts != nil && w.bytes >= w.parts.size {
		w.part()
	}
}

// rollback takes back what a job wrote that shares its group.
func (tx *txn) rollback() {
	for i := len(tx.w.undo) - 1; i >= 0; i-- {
		if u := tx.w.undo[i]; u.had {
			tx.top.Set(u.before.key, u.before.value)
		} else {
			tx.top.Delete(u.before.key)
		}
	}
}

// scanner walks the keys with a prefix, in order, over all layers.
type scanner struct {
	tx     *txn
	prefix []byte
	layers []layer
	writes int // of the job when the layers were placed
	key    []byte
	value  []byte
}

// layer is one ordered source. key is nil at its end.
type layer struct {
	key, value []byte
	next       func() (key, value []byte)
}

// seek places the scanner at the first key of its prefix that is not before prefix+from, and says whether there is one.
func (tx *txn) scan(prefix []byte) *scanner { return &scanner{tx: tx, prefix: prefix} }

func (s *scanner) seek(from []byte) bool {
	start := append(bytes.Clone(s.prefix), from...)
	s.layers = s.layers[:0]
	for _, p := range []*pending{s.tx.top, s.tx.frozen} {
		if p != nil && p.Len() > 0 {
			s.addPending(p, start)
		}
	}
	c := s.tx.db.Cursor()
	k, v := c.Seek(start)
	s.layers = append(s.layers, layer{k, v, c.Next})
	if s.tx.w != nil {
		s.writes = s.tx.w.writes
	}
	return s.settle()
}

func (s *scanner) addPending(p *pending, start []byte) {
	it := p.Iter()
	read := func(ok bool) (k, v []byte) {
		if !ok {
			return nil, nil
		}
		return []byte(it.Key()), it.Value()
	}
	k, v := read(it.Seek(string(start)))
	if k == nil || !bytes.HasPrefix(k, s.prefix) {
		return
	}
	s.layers = append(s.layers, layer{k, v, func() ([]byte, []byte) { return read(it.Next()) }})
}

// settle takes the smallest key; the upper layer hides the lower ones, and a deletion hides them all.
func (s *scanner) settle() bool {
	for {
		best := -1
		for i := range s.layers {
			if k := s.layers[i].key; k != nil && (best < 0 || bytes.Compare(k, s.layers[best].key) < 0) {
				best = i
			}
		}
		if best < 0 || !bytes.HasPrefix(s.layers[best].key, s.prefix) {
			s.key, s.value = nil, nil
			return false
		}
		key, value := s.layers[best].key, s.layers[best].value
		for i := range s.layers {
			if l := &s.layers[i]; i == best || l.key != nil && len(s.layers) > 1 && bytes.Equal(l.key, key) {
				l.key, l.value = l.next()
			}
		}
		if value != nil {
			s.key, s.value = key, value
			return true
		}
	}
}

// next goes to the next key. What the job wrote meanwhile is seen.
func (s *scanner) next() bool {
	if s.tx.w != nil && s.writes != s.tx.w.writes {
		return s.seek(append(bytes.Clone(s.key[len(s.prefix):]), 0))
	}
	return s.settle()
}
