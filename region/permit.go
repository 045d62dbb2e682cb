package region

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"domicile"
	"domicile/placement"
)

// Permit lets bytes out once, for the guard that gave it. A nil, zero, spent, closed or borrowed permit lets none out.
// A copy is the same permit.
type Permit struct{ p *permit }

// The states of a permit. It goes forward only.
const (
	permitFresh = iota
	permitUsed
	permitClosed
)

type permit struct {
	guard *Guard
	id    string
	req   Request
	rule  string
	made  time.Time
	state atomic.Int32

	mu    sync.Mutex
	sent  int64     // guarded by mu: bytes let out
	count int64     // guarded by mu: messages of a standing permit
	told  int64     // guarded by mu: count at the last total
	sum   hash.Hash // guarded by mu: of the bytes, nil where they are not one message
}

// spend is the one place where a permit is used up: once, by the guard that gave it, for what it was given for.
// fits holds the crossing against the use.
func (g *Guard) spend(p *Permit, kind placement.PermitKind, fits func(placement.Crossing) bool) (*permit, error) {
	if p == nil || p.p == nil {
		return nil, refusePermit(domicile.NoPermit, "no permit was shown")
	}
	in := p.p
	switch {
	case in.guard != g || g == nil:
		return nil, refusePermit(domicile.PermitForeign, "the permit is another guard's")
	case in.req.Kind != kind || fits != nil && !fits(in.req.Crossing):
		return nil, refusePermit(domicile.PermitForeign, "the permit was given for something else")
	case in.state.Load() != permitFresh:
		return nil, refusePermit(domicile.PermitSpent, "the permit was used or closed")
	case g.now().Sub(in.made) > permitLife:
		in.close()
		return nil, refusePermit(domicile.NoPermit, "the permit died unused after "+permitLife.String())
	case !in.state.CompareAndSwap(permitFresh, permitUsed):
		return nil, refusePermit(domicile.PermitSpent, "the permit was used or closed")
	}
	return in, nil
}

// Writer spends a stream permit and returns w behind a meter: a Write past the ceiling fails with PermitExceeded and sends
// nothing of it. Close records digest and count (it does not close w). Not for concurrent use.
func (g *Guard) Writer(p *Permit, w io.Writer) (io.WriteCloser, error) {
	in, err := g.spend(p, placement.Stream, func(c placement.Crossing) bool { return c.Class != domicile.Relay }) // only Conn.Attach spends those
	if err != nil {
		return nil, err
	}
	in.digestFromHere()
	return &meter{in, w}, nil
}

// Send spends a sealed permit: reads body once to check digest and size, rewinds, then copies it to w. Bytes that are not
// those of the permit are not sent: PermitExceeded.
func (g *Guard) Send(p *Permit, w io.Writer, body io.ReadSeeker) error {
	const op = "send under a sealed permit"
	in, err := g.spend(p, placement.Sealed, nil)
	if err != nil {
		return err
	}
	defer in.close()
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return domicile.W(op, err)
	}
	check := sha256.New()
	n, err := io.Copy(check, io.LimitReader(body, in.req.Ceiling+1))
	if err != nil {
		return domicile.W(op, err)
	}
	if n != in.req.Ceiling || [32]byte(check.Sum(nil)) != in.req.Digest {
		return refusePermit(domicile.PermitExceeded, "these are not the bytes that the permit was given for")
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return domicile.W(op, err)
	}
	in.digestFromHere()
	if _, err := io.Copy(&meter{in, w}, io.LimitReader(body, n)); err != nil {
		return domicile.W(op, err)
	}
	// What changed between the two readings is caught here, and the record holds the digest of what was sent.
	if [32]byte(in.sum.Sum(nil)) != in.req.Digest {
		return refusePermit(domicile.PermitExceeded, "the bytes changed while they were sent")
	}
	return nil
}

// Close ends a permit that was not used, or ends its use. Safe to repeat.
func (p *Permit) Close() error {
	if p == nil || p.p == nil {
		return nil
	}
	return p.p.close()
}

// close writes the end down. It does not wait for the disk: after a crash the record says "unknown, at most N", which
// is true too.
func (p *permit) close() error {
	if p.state.Swap(permitClosed) == permitClosed {
		return nil
	}
	p.guard.forget(p)
	return domicile.W("close a permit", p.guard.journal.enqueue(p.record(recClose), nil))
}

// take lets n more bytes out under a stream or sealed permit.
func (p *permit) take(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Load() != permitUsed {
		return refusePermit(domicile.PermitSpent, "the permit is closed")
	}
	if int64(n) > p.req.Ceiling-p.sent {
		return refusePermit(domicile.PermitExceeded, "more bytes than the permit's ceiling")
	}
	p.sent += int64(n)
	return nil
}

// took corrects take for a write that came to less, and takes what was written into the digest.
func (p *permit) took(b []byte, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent -= int64(len(b) - n)
	if p.sum != nil {
		p.sum.Write(b[:n])
	}
}

// digestFromHere has the bytes of a permit that carries one message hashed.
func (p *permit) digestFromHere() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum = sha256.New()
}

// record describes the permit as of now.
func (p *permit) record(kind string) Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.recordLocked(kind)
}

func (p *permit) recordLocked(kind string) Record {
	c := p.req.Crossing
	r := Record{Type: kind, ID: p.id, Class: c.Class, Kind: c.Kind.String(), Party: string(c.Party), To: c.To,
		Account: c.Account, Home: c.Home, Case: c.Case, Ceiling: c.Ceiling, Rule: p.rule, Bytes: p.sent, Count: p.count}
	if p.sum != nil {
		r.Digest = hex.EncodeToString(p.sum.Sum(nil))
	}
	return r
}

// meter is a writer behind a permit.
type meter struct {
	p *permit
	w io.Writer
}

func (m *meter) Write(b []byte) (int, error) {
	if err := m.p.take(len(b)); err != nil {
		return 0, err
	}
	n, err := m.w.Write(b)
	m.p.took(b, min(max(n, 0), len(b)))
	return n, err
}

func (m *meter) Close() error { return m.p.close() }

func refusePermit(r domicile.Reason, detail string) error {
	return domicile.Refuse("use a permit", r, "egress: one permit, one use", detail)
}
