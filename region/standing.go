package region

import (
	"context"
	"time"

	"domicile"
	"domicile/placement"
)

// standingKey is what a standing permit is for. Those that carry a case are opened for one call.
type standingKey struct {
	class domicile.EgressClass
	party placement.Party
	to    domicile.Region
}

// refusal is remembered for a while, so that a peer who asks again and again does not fill log and journal.
type refusal struct {
	err   error
	until time.Time
}

const maxStanding = 4096

// standingFor returns the standing permit of a class to a destination, opening it if it is the first.
func (g *Guard) standingFor(ctx context.Context, k standingKey) (*permit, error) {
	if p, err, ok := g.standingKnown(k); ok {
		return p, err
	}
	g.opening.Lock()
	defer g.opening.Unlock()
	if p, err, ok := g.standingKnown(k); ok {
		return p, err
	}
	given, err := g.openStanding(ctx, k, "")
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		if domicile.KindOf(err) == domicile.Refused && len(g.refused) < maxStanding {
			g.refused[k] = refusal{err, g.now().Add(refusalMemory)}
		}
		return nil, err
	}
	g.standing[k] = given
	return given, nil
}

func (g *Guard) standingKnown(k standingKey) (*permit, error, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.standing[k]; p != nil && p.state.Load() != permitClosed {
		return p, nil, true
	}
	r, ok := g.refused[k]
	if ok && g.now().Before(r.until) {
		g.burst.counted++
		return nil, r.err, true
	}
	delete(g.refused, k)
	if len(g.standing) >= maxStanding {
		return nil, domicile.E("open a standing permit", domicile.Unavailable, "too many are open"), true
	}
	return nil, nil, false
}

// openStanding asks for a standing permit of the size that the table gives its class.
func (g *Guard) openStanding(ctx context.Context, k standingKey, caseID string) (*permit, error) {
	p, err := g.Permit(ctx, Request{Crossing: placement.Crossing{Class: k.class, Kind: placement.Standing, From: g.region, Party: k.party,
		To: k.to, Case: caseID, Ceiling: max(1, placement.Ceiling(k.class, placement.Standing))}})
	if err != nil {
		return nil, err
	}
	p.p.state.Store(permitUsed)
	return p.p, nil
}

// message lets one message of n bytes out under a standing permit.
func (p *permit) message(n int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.state.Load() == permitClosed:
		return refusePermit(domicile.PermitSpent, "the standing permit is closed")
	case p.guard.journal.broken.Load():
		return unwritten("use a standing permit", nil)
	case n > p.req.Ceiling:
		return refusePermit(domicile.PermitExceeded, "one message is larger than a standing permit of its class allows")
	}
	p.sent += n
	p.count++
	return nil
}

// total returns the record of a standing permit so far, and whether it carried something since the last.
func (p *permit) total() (Record, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.recordLocked(recTotal)
	changed := p.count != p.told
	p.told = p.count
	return r, changed
}
