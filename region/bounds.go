package region

import (
	"sync"
	"time"

	"domicile"
)

// Bounds of what one region (or witness) may ask of a node, whoever of its nodes calls. Past them a call is answered "busy"
// before anything is done, which its caller takes for Unavailable and repeats later.
const (
	maxCallsEach  = maxCalls / 2 // answered at once
	callsASecond  = 1000         // of one method, on average
	callsAtOnce   = 3000         // that came one after another without a rest
	noticesMinute = 30           // order notices: each may open a case, which a person reads
	noticesAtOnce = 60
)

// bounds counts calls. The number of its entries is that of the catalog's owners and this node's methods.
type bounds struct {
	now func() time.Time

	mu      sync.Mutex
	running map[domicile.Region]int   // guarded by mu
	spare   map[boundKey]*spareTokens // guarded by mu
}

type boundKey struct {
	from   domicile.Region
	method string
}

// spareTokens is a token bucket.
type spareTokens struct {
	left float64
	at   time.Time
}

// refill adds what came since the last look, at rate tokens a second, up to most.
func (s *spareTokens) refill(most, rate float64, now time.Time) {
	s.left = min(most, s.left+rate*max(0, now.Sub(s.at).Seconds()))
	s.at = now
}

func newBounds(now func() time.Time) *bounds {
	return &bounds{now: now, running: map[domicile.Region]int{}, spare: map[boundKey]*spareTokens{}}
}

// enter counts a call in, or returns false. Each call that entered leaves.
func (b *bounds) enter(from domicile.Region, method string, class domicile.EgressClass) bool {
	most, rate := float64(callsAtOnce), float64(callsASecond)
	if class == domicile.OrderNotice {
		most, rate = noticesAtOnce, float64(noticesMinute)/60
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k, now := boundKey{from, method}, b.now()
	s := b.spare[k]
	if s == nil {
		s = &spareTokens{most, now}
		b.spare[k] = s
	}
	s.refill(most, rate, now)
	if s.left < 1 || b.running[from] >= maxCallsEach {
		return false
	}
	s.left--
	b.running[from]++
	return true
}

func (b *bounds) leave(from domicile.Region) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[from]--; b.running[from] == 0 {
		delete(b.running, from)
	}
}
