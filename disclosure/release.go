package disclosure

import (
	"context"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"

	"domicile"
	"domicile/placement"
	"domicile/region"
)

// Release puts the leaf "disclosure.released", with the digests of archive and manifest, into the log, asks the cosigners,
// and releases the case once that leaf's receipt carries the quorum of the catalog. Otherwise the error is Unavailable
// with the reason QuorumNotReached, the leaf stays, and a later call asks again. Idempotent.
func (e *Engine) Release(ctx context.Context, who region.Peer, id string) (Production, error) {
	by, err := e.officer(who)
	if err != nil {
		return Production{}, err
	}
	if err := e.cfg.Clock(ctx); err != nil {
		return Production{}, err
	}
	if err := e.recordRelease(ctx, by, id); err != nil {
		return Production{}, err
	}
	if _, err := e.cfg.Cosign(ctx); err != nil { // what counts is the receipt
		e.log.Info("not all cosigners answered", "case", id)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, _, err := e.leaving(ctx, id, "release a production", stateQuorum, stateReleased, stateDelivered)
	if err != nil {
		return Production{}, err
	}
	if c.Info.State == stateQuorum {
		if err := e.quorum(c); err != nil {
			return Production{}, err
		}
		if err := e.step(ctx, c, act{state: stateReleased, by: by}); err != nil {
			return Production{}, err
		}
	}
	return e.production(c)
}

// recordRelease appends the leaf of a sealed case's release.
func (e *Engine) recordRelease(ctx context.Context, by, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, _, err := e.leaving(ctx, id, "release a production", stateSealed, stateQuorum, stateReleased, stateDelivered)
	if err != nil || c.Info.State != stateSealed {
		return err
	}
	return e.step(ctx, c, act{state: stateQuorum, by: by, kind: "disclosure.released", public: map[string]string{
		"archive_sha256": c.Archive.SHA256, "manifest_sha256": c.Archive.Manifest, "rule": c.Info.Rule,
		"bundle": c.Record.BundleHash}, private: map[string]string{"facts": c.Record.FactsHash}})
}

// leaving loads a case of which something is about to leave: in one of the states, not stayed, its status valid now.
// Call under e.mu.
func (e *Engine) leaving(ctx context.Context, id, op string, states ...string) (*caseRecord, *order, error) {
	c, err := e.take(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	ok := false
	for _, s := range states {
		ok = ok || c.Info.State == s
	}
	switch {
	case c.Info.State == stateStayed || e.stopped[id]:
		return nil, nil, domicile.Refuse(op, domicile.Stayed, ruleCourt, "a stay or withdrawal was entered")
	case !ok:
		return nil, nil, wrongState(op, c, "one that is collected and sealed, or released")
	}
	text, err := e.readFile(id, "token")
	if err != nil {
		return nil, nil, err
	}
	k := e.checker()
	o, f := k.authenticate(text)
	if f == nil {
		f = k.inForce()
	}
	if f == nil {
		f = k.status(o)
	}
	if f != nil {
		return nil, nil, domicile.Refuse(op, f.Code, f.Rule, f.Detail)
	}
	return c, o, nil
}

// releaseLeaf is the leaf of a case's release.
func (c *caseRecord) releaseLeaf() (uint64, bool) {
	for _, s := range c.Info.History {
		if s.State == stateQuorum {
			return s.Leaf, true
		}
	}
	return 0, false
}

// quorum verifies the receipt of a release as a stranger would.
func (e *Engine) quorum(c *caseRecord) error {
	const op = "release a production"
	leaf, ok := c.releaseLeaf()
	if !ok {
		return wrongState(op, c, "one whose release is recorded")
	}
	receipt, err := e.parts.log.Receipt(leaf, false)
	if err != nil {
		return domicile.W(op, err)
	}
	if err := e.parts.verify(receipt, e.cfg.Catalog().Pins()); err != nil {
		return &domicile.Error{Op: op, Kind: domicile.Unavailable, Reason: domicile.QuorumNotReached, Rule: ruleRelease,
			Detail: "the release is recorded, and waits for cosigners that no single state can compel: release again once they are within reach", Err: err}
	}
	return nil
}

// Deliver sends the released archive to w under a sealed permit of class disclosure. It may be repeated; the guard
// records each time. A stay cuts it off.
func (e *Engine) Deliver(ctx context.Context, who region.Peer, id string, w io.Writer) error {
	const op = "deliver a production"
	by, err := e.officer(who)
	if err != nil {
		return err
	}
	if err := e.cfg.Clock(ctx); err != nil {
		return err
	}
	c, o, err := e.deliverable(ctx, id)
	if err != nil {
		return err
	}
	digest, err := hex.DecodeString(c.Archive.SHA256)
	if err != nil {
		return domicile.W(op, err)
	}
	f, err := os.Open(filepath.Join(e.dir(id), archiveFile))
	if err != nil {
		return domicile.W(op, err)
	}
	defer f.Close()
	permit, err := e.parts.guard.Permit(ctx, region.Request{Digest: [32]byte(digest), Crossing: placement.Crossing{
		Class: domicile.Disclosure, Kind: placement.Sealed, Party: placement.ToAuthority, From: e.cfg.Region,
		Account: c.Account, Home: e.cfg.Region, Case: id, Released: true, Ceiling: c.Archive.Bytes}})
	if err != nil {
		return domicile.W(op, err)
	}
	defer permit.Close()
	if err := e.parts.guard.Send(permit, &gated{e: e, id: id, o: o, w: w}, f); err != nil {
		return domicile.W(op, err)
	}
	return e.delivered(ctx, by, id)
}

// deliverable loads a case that may be delivered now. The quorum is verified once more, from the log.
func (e *Engine) deliverable(ctx context.Context, id string) (*caseRecord, *order, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, o, err := e.leaving(ctx, id, "deliver a production", stateReleased, stateDelivered)
	if err != nil {
		return nil, nil, err
	}
	if _, err := e.recipient(o); err != nil {
		return nil, nil, err
	}
	return c, o, e.quorum(c)
}

func (e *Engine) delivered(ctx context.Context, by, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.take(ctx, id)
	if err != nil || c.Info.State != stateReleased {
		return err
	}
	return e.step(ctx, c, act{state: stateDelivered, by: by, public: map[string]string{"archive_sha256": c.Archive.SHA256}})
}

// recheckBytes is after how many bytes of a delivery the status lists are read again.
const recheckBytes = 16 << 20

// gated lets bytes through until a stay is entered, or a status list shows one.
type gated struct {
	e    *Engine
	id   string
	o    *order
	w    io.Writer
	sent int64 // since the status lists were read
}

func (g *gated) Write(b []byte) (int, error) {
	if err := g.e.halted(g.id); err != nil {
		return 0, err
	}
	if g.sent += int64(len(b)); g.sent > recheckBytes {
		if err := g.e.statusNow(g.o); err != nil {
			return 0, err
		}
		g.sent = 0
	}
	return g.w.Write(b)
}
