package login

import (
	"cmp"
	"crypto/sha256"
	"sync"
	"time"

	"domicile"
)

// Limits of proofs that other nodes hand over.
const (
	proofLife  = 3 * time.Minute  // since the front made its nonce: a login takes two at most
	proofAhead = 15 * time.Second // that a front's clock may be ahead of ours
	maxProofs  = 1 << 16
)

// started is when this process began.
var started = time.Now()

// proofs has each proof taken once, so that a front that keeps one cannot log in again with it. It forgets when a process ends: what a
// process before could have taken is therefore refused. The zero value is ready; safe for concurrent use.
type proofs struct {
	began time.Time // of the process; zero = started

	mu   sync.Mutex
	used map[[sha256.Size]byte]time.Time // guarded by mu: until when it must be remembered
}

// take takes the proof of a credential. Nothing is wrong with one that holds a password. Unavailable: the client should try again.
func (p *proofs) take(c Credential, now time.Time) error {
	if c.Exchange == "" {
		return nil
	}
	said, err := parseExchange(c.Exchange)
	if err != nil || said.bound { // who is bound to the front's channel is not at home there
		return domicile.E("login", domicile.Invalid, "no exchange that a front may hand over")
	}
	if said.made.Before(cmp.Or(p.began, started).Add(proofAhead)) || now.Sub(said.made) > proofLife || said.made.Sub(now) > proofAhead {
		return domicile.E("login", domicile.Unavailable, "the exchange is too old, or from before this node's start, or the clocks differ")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := sha256.Sum256([]byte(c.Exchange))
	if _, again := p.used[key]; again {
		return domicile.E("login", domicile.Invalid, "the proof was used already")
	}
	if p.used == nil {
		p.used = map[[sha256.Size]byte]time.Time{}
	}
	if len(p.used) >= maxProofs {
		for k, until := range p.used {
			if now.After(until) {
				delete(p.used, k)
			}
		}
		if len(p.used) >= maxProofs {
			return domicile.E("login", domicile.Unavailable, "too many proofs")
		}
	}
	p.used[key] = said.made.Add(proofLife + time.Second)
	return nil
}

// Take takes the proof in a credential that another node hands over, once, for whichever service: a proof does not say for which it was made.
// Invalid, or Unavailable; nil for a password.
func (c *Checker) Take(cred Credential) error { return c.proofs.take(cred, time.Now()) }
