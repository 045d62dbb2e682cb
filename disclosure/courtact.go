package disclosure

import (
	"context"

	"domicile"
	"domicile/region"
)

// Stay enters a court's stay with its paper. From then on nothing of the case leaves, also not the rest of a delivery
// that is under way.
func (e *Engine) Stay(ctx context.Context, who region.Peer, id string, document []byte) (Answer, error) {
	return e.courtAct(ctx, who, id, document, "stay", func(c *caseRecord) (string, error) {
		if !c.open() || c.Info.State == stateStayed {
			return "", wrongState("stay a case", c, "one that is open and not stayed")
		}
		c.StayedIn = c.Info.State
		return stateStayed, nil
	})
}

// Lift ends a stay: the case goes on where it was.
func (e *Engine) Lift(ctx context.Context, who region.Peer, id string, document []byte) (Answer, error) {
	return e.courtAct(ctx, who, id, document, "lift", func(c *caseRecord) (string, error) {
		if c.Info.State != stateStayed {
			return "", wrongState("lift a stay", c, "a stayed one")
		}
		back := c.StayedIn
		c.StayedIn = ""
		return back, nil
	})
}

// Withdraw ends a case for good, at its issuer's wish. What was delivered before cannot be called back from here.
func (e *Engine) Withdraw(ctx context.Context, who region.Peer, id string, document []byte) (Answer, error) {
	return e.courtAct(ctx, who, id, document, "withdraw", func(c *caseRecord) (string, error) {
		if !c.open() {
			return "", wrongState("withdraw a case", c, "one that is open")
		}
		return stateWithdrawn, nil
	})
}

// open reports whether something may still happen to a case. A delivered one may be delivered again, and so be stayed.
func (c *caseRecord) open() bool {
	switch c.Info.State {
	case stateRefused, stateWithdrawn:
		return false
	}
	return true
}

// courtAct records an act that comes with a paper. The paper is kept sealed, its digest is in the leaf's private part.
func (e *Engine) courtAct(ctx context.Context, who region.Peer, id string, document []byte, name string, apply func(*caseRecord) (string, error)) (Answer, error) {
	by, err := e.officer(who)
	if err != nil {
		return Answer{}, err
	}
	if len(document) == 0 || len(document) > maxDocument {
		return Answer{}, domicile.E(name+" a case", domicile.Invalid, "the court's paper is needed, at most 15 MiB")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.take(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	state, err := apply(c)
	if err != nil {
		return Answer{}, err
	}
	digest := digestOf(document)
	if err := e.saveFile(id, name+"-"+digest[:16], document); err != nil {
		return Answer{}, err
	}
	if state == stateStayed || state == stateWithdrawn {
		e.stopped[id] = true // also if it cannot be recorded now
	}
	if err := e.step(ctx, c, act{state: state, by: by, kind: "order." + name, note: name, private: map[string]string{"document_sha256": digest}}); err != nil {
		return Answer{}, err
	}
	if c.unfinished() { // a lift found it on its way to its decision
		e.todo[id] = true
	}
	return e.answer(c)
}

// halted says why nothing of a case may leave now, or nil: a court's act entered here. Safe without e.mu held.
func (e *Engine) halted(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped[id] {
		return domicile.Refuse("act on a case", domicile.Stayed, ruleCourt, "a stay or withdrawal was entered")
	}
	return nil
}
