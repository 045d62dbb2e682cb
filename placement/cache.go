package placement

import (
	"container/list"
	"sync"
	"time"

	"domicile"
)

// goneLife is how long the registrar's "does not exist" is believed: only long enough to carry a burst of the same
// question, as a name may be claimed at any moment.
const goneLife = time.Second

// cache remembers what registrars said, at most size names, the longest unused forgotten first. What it remembers of a
// name also guards against a registrar that goes back to an older record.
type cache struct {
	mu    sync.Mutex
	size  int
	order *list.List // of *entry, the last used in front
	names map[NameDigest]*list.Element
}

type entry struct {
	name     NameDigest
	record   *Ownership // the last one verified, nil if none
	verified time.Time  // when it was asked for
	gone     bool       // the registrar has since said that the name does not exist
	answered time.Time  // when the last answer, of either kind, was asked for
}

func newCache(size int) *cache {
	return &cache{size: size, order: list.New(), names: map[NameDigest]*list.Element{}}
}

// get returns the entry of a name, nil if there is none. c.mu is held.
func (c *cache) get(name NameDigest) *entry {
	el := c.names[name]
	if el == nil {
		return nil
	}
	c.order.MoveToFront(el)
	return el.Value.(*entry)
}

// touch returns the entry of a name, made if absent. c.mu is held.
func (c *cache) touch(name NameDigest) *entry {
	if e := c.get(name); e != nil {
		return e
	}
	e := &entry{name: name}
	c.names[name] = c.order.PushFront(e)
	if c.order.Len() > c.size {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.names, last.Value.(*entry).name)
	}
	return e
}

// fresh answers from memory if the last answer is young enough.
func (c *cache) fresh(name NameDigest, now time.Time, life time.Duration) (loc Location, known bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.get(name)
	switch {
	case e == nil:
		return Location{}, false, nil
	case e.gone && within(e.answered, now, min(life, goneLife)):
		return Location{}, true, domicile.E("lookup", domicile.NotExist, "the registrar knows no such name")
	case !e.gone && e.record != nil && within(e.answered, now, life):
		return location(*e.record), true, nil
	}
	return Location{}, false, nil
}

// stale answers from memory when the registrar cannot be asked.
func (c *cache) stale(name NameDigest, now time.Time, usable time.Duration) (Location, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.get(name)
	if e == nil || e.gone || e.record == nil || !within(e.verified, now, usable) {
		return Location{}, false
	}
	loc := location(*e.record)
	loc.Stale = true
	return loc, true
}

// seen returns the last verified record of a name, for as long as nobody else can have the name: a name given up
// right after it was seen rests in quarantine that long.
func (c *cache) seen(name NameDigest, now time.Time) *Ownership {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.get(name)
	if e == nil || !within(e.verified, now, DefaultQuarantine) {
		return nil
	}
	return e.record
}

func (c *cache) put(o Ownership, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.touch(o.Name)
	e.record, e.verified, e.answered, e.gone = &o, asked, asked, false
}

func (c *cache) gone(name NameDigest, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.touch(name)
	e.gone, e.answered = true, asked
}

// expire makes the next question be asked anew; what was seen stays known.
func (c *cache) expire(name NameDigest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.get(name); e != nil {
		e.answered = time.Time{}
	}
}

// within reports whether now is less than life after t. A clock that went back finds nothing fresh.
func within(t, now time.Time, life time.Duration) bool {
	return !t.IsZero() && !now.Before(t) && now.Sub(t) < life
}
