package keys

import "domicile"

// maxCached is how many opened account keys are held in memory, under 2 KiB each.
const maxCached = 4096

// cache holds the account keys that were used last: a new half is filled while the one before still answers, so that a key is
// forgotten when some thousands of others have been used since. Its owner's lock guards it.
type cache struct {
	recent, before map[domicile.AccountID]*accountKey
}

func (c *cache) get(id domicile.AccountID) (*accountKey, bool) {
	k, ok := c.recent[id]
	if !ok {
		if k, ok = c.before[id]; ok {
			c.put(id, k)
		}
	}
	return k, ok
}

func (c *cache) put(id domicile.AccountID, k *accountKey) {
	if len(c.recent) >= maxCached/2 || c.recent == nil {
		c.recent, c.before = make(map[domicile.AccountID]*accountKey), c.recent
	}
	c.recent[id] = k
}

func (c *cache) forget(id domicile.AccountID) {
	delete(c.recent, id)
	delete(c.before, id)
}
