package residence

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"domicile"
)

// memTable is a Table in memory, in which nothing may be rewritten. The call numbered failAt fails; with reached, after
// it was done (its answer is lost).
type memTable struct {
	minimised bool // rows may be made less
	mu        sync.Mutex
	rows      map[string]string
	calls     int
	failAt    int
	reached   bool
}

func (m *memTable) step(act func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.calls != m.failAt || m.reached {
		act()
	}
	if m.calls == m.failAt {
		return errors.New("disk")
	}
	return nil
}

func (m *memTable) Get(key string) (value []byte, ok bool, err error) {
	err = m.step(func() {
		var s string
		if s, ok = m.rows[key]; ok {
			value = []byte(s)
		}
	})
	return value, ok && err == nil, err
}

func (m *memTable) Put(key string, value []byte) error { panic("the ledger rewrites " + key) }

func (m *memTable) CompareAndSwap(key string, old, new []byte) (swapped bool, err error) {
	if old != nil && !m.minimised || new == nil {
		panic("the ledger rewrites " + key)
	}
	err = m.step(func() {
		if was, ok := m.rows[key]; !ok && old == nil || ok && old != nil && was == string(old) {
			m.rows[key], swapped = string(new), true
		}
	})
	return swapped && err == nil, err
}

func (m *memTable) Each(fn func(key string, value []byte) error) error {
	m.mu.Lock()
	rows := maps.Clone(m.rows)
	m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if err := fn(k, []byte(rows[k])); err != nil {
			return err
		}
	}
	return nil
}

// bench is a ledger with a clock, a log and a table.
type bench struct {
	*Ledger
	table *memTable
	mu    sync.Mutex
	now   time.Time
	log   []string // act and account of each entry that was recorded
	full  error    // of the log
}

func open(t testing.TB) *bench {
	b := &bench{table: &memTable{rows: map[string]string{}}, now: start}
	b.reopen(t)
	return b
}

func (b *bench) reopen(t testing.TB) {
	l, err := Open(Config{Region: "eu-ireland", Table: b.table, Now: b.clock, Record: func(_ context.Context, e Entry) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.full == nil {
			b.log = append(b.log, string(e.Act)+" "+string(e.Account))
		}
		return b.full
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.Ledger = l
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bench) declare(t testing.TB, a domicile.AccountID, c domicile.Country) {
	t.Helper()
	err := b.Declare(ctx, Declaration{Account: a, Country: c, Evidence: []Evidence{{Kind: Statement, Country: c}}}, ops1)
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) request(t testing.TB, a domicile.AccountID) Change {
	t.Helper()
	c, err := b.Request(ctx, Request{Account: a, Country: "US", Evidence: toUS}, ops1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
