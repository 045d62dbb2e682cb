package bolt

import (
	"sync"

	"domicile"
)

// sections keeps opened sections of search blocks in memory: those that were used since half of the room was last filled, and those of the half before.
type sections struct {
	mu         sync.Mutex
	young, old map[sectionID][]byte // guarded by mu
	bytes      int                  // guarded by mu; of young
	clears     int                  // guarded by mu
}

type sectionID struct {
	acct  domicile.AccountID
	owner string
}

const sectionsRoom = 64 << 20

func (c *sections) get(acct domicile.AccountID, owner string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := sectionID{acct, owner}
	b, ok := c.young[id]
	if !ok {
		if b, ok = c.old[id]; ok {
			c.add(id, b)
		}
	}
	return b, ok
}

// age is to be asked for before a section is read that is put.
func (c *sections) age() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clears
}

// put keeps a section, unless clear came since it was read: its account may have been erased.
func (c *sections) put(age int, acct domicile.AccountID, owner string, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age == c.clears {
		c.add(sectionID{acct, owner}, b)
	}
}

func (c *sections) add(id sectionID, b []byte) {
	if c.bytes += len(b); c.young == nil || c.bytes > sectionsRoom/2 {
		c.old, c.young, c.bytes = c.young, map[sectionID][]byte{}, len(b)
	}
	c.young[id] = b
}

// clear forgets all, as when an account is erased.
func (c *sections) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old, c.bytes, c.clears = nil, nil, 0, c.clears+1
}
