package login

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"domicile/store"
)

// Limits of what is remembered of right passwords.
const (
	rightLife = 5 * time.Minute // not longer for being used: the hash in memory is a fast one
	maxRight  = 1 << 16
)

// right remembers, for a short time, which passwords were right, as digests under a key of this process. What an account's record says
// now is part of the digest, so that one that has changed, or that came back from elsewhere, is not remembered. The zero value is ready; safe for concurrent use.
type right struct {
	mu    sync.Mutex
	key   []byte                          // guarded by mu until it is made
	until map[[sha256.Size]byte]time.Time // guarded by mu
}

// known says whether a password was right a short time ago. The lookup is by a keyed digest, whose bits a guesser does not know: its time tells nothing.
func (r *right) known(a store.Account, password string, now time.Time) bool {
	d := r.digest(a, password)
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[d])
}

// note remembers a right password, and if there is no room forgets others, old ones first.
func (r *right) note(a store.Account, password string, now time.Time) {
	d := r.digest(a, password)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.until) >= maxRight {
		r.makeRoom(now)
	}
	r.until[d] = now.Add(rightLife)
}

// makeRoom looks at some of them, in the map's order, which is random enough, and forgets one at least. r.mu is held.
func (r *right) makeRoom(now time.Time) {
	looked := 0
	for d, until := range r.until {
		if looked == 0 || !now.Before(until) {
			delete(r.until, d)
		}
		if looked++; looked == 64 {
			return
		}
	}
}

func (r *right) digest(a store.Account, password string) (d [sha256.Size]byte) {
	r.mu.Lock()
	if r.key == nil {
		r.key, r.until = make([]byte, sha256.Size), map[[sha256.Size]byte]time.Time{}
		rand.Read(r.key)
	}
	m := hmac.New(sha256.New, r.key)
	r.mu.Unlock()
	for _, part := range []string{string(a.ID), a.Password, string(a.State), password} {
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		m.Write([]byte(part))
	}
	m.Write(binary.BigEndian.AppendUint64(nil, a.Epoch))
	return [sha256.Size]byte(m.Sum(nil))
}
