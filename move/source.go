package move

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"domicile"
	"domicile/placement"
	"domicile/region"
	"domicile/residence"
	"domicile/store"
)

// plan makes a row for each approved change that has none. A change within the region needs no move.
func (m *Machine) plan(ctx context.Context) error {
	changes, err := m.cfg.Residence.Changes()
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.State != residence.Approved && c.State != residence.Moving {
			continue
		}
		if err := m.planOne(ctx, c.ID, c.Account); err != nil {
			m.cfg.Logger.Warn("an approved change of residence could not be planned", "change", c.ID, "error", err)
		}
	}
	return nil
}

func (m *Machine) planOne(ctx context.Context, change string, id domicile.AccountID) error {
	unlock, err := m.locks.take(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := m.cfg.Residence.Change(change)
	if err != nil || c.State != residence.Approved && c.State != residence.Moving {
		return err
	}
	number, busy, err := m.attempts(c)
	if err != nil || busy {
		return err
	}
	a, err := m.cfg.Store.Account(ctx, id)
	if domicile.KindOf(err) == domicile.NotExist {
		return nil // it came in with its ledger, and its handover is not done: or it was removed
	}
	if err != nil {
		return err
	}
	to, err := m.cfg.Place(c.To)
	switch {
	case domicile.KindOf(err) == domicile.Refused: // the catalog changed since it was asked for
		_, err := m.cfg.Residence.Returned(ctx, c.ID, m.actor())
		return err
	case err != nil:
		return err
	case to == m.cfg.Region:
		return m.stay(ctx, c)
	case c.State == residence.Moving:
		return nil // the ledger that came with it is ahead of this region's part
	}
	r := row{ID: c.ID, Side: Source, Change: c.ID, Account: id, From: m.cfg.Region, To: to, Country: c.To, Epoch: a.Epoch + 1, Began: m.cfg.Now().UTC()}
	if number > 0 {
		r.ID += "-" + strconv.Itoa(number+1)
	}
	_, err = m.enter(ctx, r, Planned)
	return err
}

// attempts counts the moves of a change so far. busy: one of the account is under way.
func (m *Machine) attempts(c residence.Change) (n int, busy bool, err error) {
	all, err := m.list()
	for _, r := range all {
		busy = busy || r.Account == c.Account && !r.done()
		if r.Side == Source && r.Change == c.ID {
			n++
		}
	}
	return n, busy, err
}

// stay makes a change effective whose new residence this region serves too.
func (m *Machine) stay(ctx context.Context, c residence.Change) error {
	if _, err := m.cfg.Residence.Moving(ctx, c.ID, m.actor()); err != nil {
		return err
	}
	err := m.cfg.Store.UpdateAccount(ctx, c.Account, func(a *store.Account) error { a.Residence = c.To; return nil })
	if err != nil {
		return err
	}
	_, err = m.cfg.Residence.Moved(ctx, c.ID, m.actor())
	return err
}

// stepOut does the next step of a move out of this region.
func (m *Machine) stepOut(ctx context.Context, r row) error {
	r, err := m.recorded(ctx, r)
	if err != nil {
		return err
	}
	switch r.State {
	case Planned:
		return m.freeze(ctx, r)
	case Frozen:
		if err := m.cfg.Quiet(ctx, r.Account); err != nil {
			return err
		}
		return m.advance(ctx, r, func(r row) error { _, err := m.enter(ctx, r, Copying); return err })
	case Copying:
		return m.copy(ctx, r)
	case HandedOver:
		return m.tellHandover(ctx, r)
	case Serving:
		return m.erase(ctx, r)
	case Cancelled:
		return m.tellCancelled(ctx, r)
	}
	return domicile.E("move", domicile.Other, "a row is in a state that this side does not have")
}

// advance runs fn on the row as it is now, if that is still in the state of r, while nobody else changes it.
func (m *Machine) advance(ctx context.Context, r row, fn func(row) error) error {
	unlock, err := m.locks.take(ctx, r.Account)
	if err != nil {
		return err
	}
	defer unlock()
	now, ok, err := m.rows.get(r.key())
	if err != nil {
		return err
	}
	if !ok || now.State != r.State {
		return errStale
	}
	return fn(now)
}

// offer asks the target to take the account; asked again, it says where the import stands.
func (m *Machine) offer(ctx context.Context, r row, a store.Account) (s standing, err error) {
	in := offer{head: head{wireVersion, r.ID}, Change: r.Change, Account: r.Account, Name: m.cfg.Directory.Digest(a.Address), Domain: a.Address.Domain(),
		Country: r.Country, Epoch: r.Epoch}
	return s, m.ask(ctx, r, methodOffer, in, &s)
}

func (m *Machine) ask(ctx context.Context, r row, method string, in, out any) error {
	return m.cfg.Network.Ask(ctx, domicile.Move, r.To, method, in, out)
}

// freeze asks the target first, so that the account is not frozen for a move that it would not take.
func (m *Machine) freeze(ctx context.Context, r row) error {
	a, err := m.cfg.Store.Account(ctx, r.Account)
	if err != nil {
		return err
	}
	if a.State != store.Moving {
		if _, err := m.offer(ctx, r, a); err != nil {
			return err
		}
	}
	if err := m.sent(ctx, r); err != nil {
		return err
	}
	key, err := m.cfg.TokenKey(a)
	if err != nil {
		return err
	}
	return m.advance(ctx, r, func(r row) error {
		a, err := m.cfg.Store.Account(ctx, r.Account)
		if err == nil && a.State != store.Moving { // kept before it is lost
			r.Was = a.State
			err = m.rows.put(r)
		}
		if err != nil {
			return err
		}
		if _, err := m.cfg.Residence.Moving(ctx, r.Change, m.actor()); err != nil {
			return err
		}
		err = m.cfg.Store.UpdateAccount(ctx, r.Account, func(a *store.Account) error {
			if a.State != store.Moving && a.State != r.Was {
				return domicile.E("move", domicile.Conflict, "the account's state was changed meanwhile")
			}
			a.State, a.TokenKey = store.Moving, key
			return nil
		})
		if err != nil {
			return err
		}
		_, err = m.enter(ctx, r, Frozen)
		return err
	})
}

func orUnavailable(err error, detail string) error {
	if err != nil {
		return err
	}
	return domicile.E("move", domicile.Unavailable, detail)
}

// copy brings the ledger and all parts to the target, and then hands over.
func (m *Machine) copy(ctx context.Context, r row) error {
	a, err := m.cfg.Store.Account(ctx, r.Account)
	if err != nil {
		return err
	}
	at, err := m.offer(ctx, r, a)
	if err != nil {
		return err
	}
	if !at.Residence {
		if err := m.sendResidence(ctx, r); err != nil {
			return err
		}
	}
	if err := m.sendParts(ctx, r, at); err != nil {
		return err
	}
	var p prepared
	if err := m.ask(ctx, r, methodPrepare, head{wireVersion, r.ID}, &p); err != nil {
		return err
	}
	return m.handOver(ctx, r, a.Address, p.Ownership)
}

// permit is the one place that says Approved: it has asked the ledger, and no freeze stands against the move.
func (m *Machine) permit(ctx context.Context, r row, body []byte) (*region.Permit, error) {
	c, err := m.cfg.Residence.Change(r.Change)
	if err != nil {
		return nil, err
	}
	frozen, err := m.cfg.Residence.Frozen(r.Account)
	if err != nil {
		return nil, err
	}
	return m.cfg.Guard.Permit(ctx, region.Request{Crossing: placement.Crossing{Class: domicile.Move, Kind: placement.Sealed, From: m.cfg.Region,
		Party: placement.ToRegion, To: r.To, Account: r.Account, Home: m.cfg.Region, Case: r.Change,
		Approved: c.State == residence.Moving && c.Account == r.Account && !frozen, Ceiling: int64(len(body))}, Digest: sha256.Sum256(body)})
}

func (m *Machine) send(ctx context.Context, r row, method string, in any, body []byte, out any) error {
	p, err := m.permit(ctx, r, body)
	if err != nil {
		return err
	}
	defer p.Close()
	return m.cfg.Network.Send(ctx, p, method, in, body, out)
}

func (m *Machine) sendResidence(ctx context.Context, r row) error {
	entries, err := m.cfg.Residence.Carry(r.Account)
	if err != nil {
		return err
	}
	body, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	return m.send(ctx, r, methodResidence, head{wireVersion, r.ID}, body, nil)
}

// handOver is the point from which the account is no longer this region's: when the row with both signatures is on disk.
func (m *Machine) handOver(ctx context.Context, r row, addr domicile.Address, o placement.Ownership) error {
	signed, err := m.cfg.Directory.HandOver(o, addr, r.Account, r.To, r.Epoch)
	if err != nil {
		return err
	}
	return m.advance(ctx, r, func(r row) error {
		if frozen, err := m.cfg.Residence.Frozen(r.Account); err != nil || frozen {
			if frozen {
				err = domicile.Refuse("move", domicile.ResidenceFrozen, "residence/no-flight", "a case freezes the residence")
			}
			return err
		}
		r.Ownership = &signed
		m.mu.Lock()
		m.gone[r.Account] = r // before it is on disk: a write whose outcome is unknown must not be followed by a service
		m.mu.Unlock()
		_, err := m.enter(ctx, r, HandedOver)
		if now, _, look := m.rows.get(r.key()); err != nil && look == nil && now.State.before() { // nothing was written
			m.keep(r.Account)
		}
		return err
	})
}

// keep says that an account is this region's, or nobody's business here.
func (m *Machine) keep(id domicile.AccountID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.gone, id)
}

// tellHandover gives the target the record with which it serves, once the target has cosigned the log with the leaf of the handover:
// if this region is ever restored from a backup of before, the target knows a newer log, and the account is not served twice.
func (m *Machine) tellHandover(ctx context.Context, r row) error {
	if err := m.cfg.Cosign(ctx, r.To); err != nil {
		return err
	}
	var got receipt
	in := handover{head{wireVersion, r.ID}, *r.Ownership, r.Was}
	if err := m.ask(ctx, r, methodHandover, in, &got); err != nil {
		return err
	}
	if _, err := m.cfg.Residence.Moved(ctx, r.Change, m.actor()); err != nil {
		return err
	}
	if a, err := m.cfg.Store.Account(ctx, r.Account); err == nil { // what was said of it until now is of the last epoch
		m.cfg.Directory.Moved(a.Address)
	}
	return m.advance(ctx, r, func(r row) error { _, err := m.enter(ctx, r, Serving); return err })
}

// sent is Unavailable while mail from the account waits to be sent.
func (m *Machine) sent(ctx context.Context, r row) error {
	if m.cfg.Pending == nil {
		return nil
	}
	if waits, err := m.cfg.Pending(ctx, r.Account); err != nil || waits {
		return orUnavailable(err, "mail from the account waits to be sent")
	}
	return nil
}

// erase destroys key and bytes, and then has both logs say so. Mail that was accepted for sending at the very moment of the freeze is
// sealed under that key: it goes first.
func (m *Machine) erase(ctx context.Context, r row) error {
	if err := m.sent(ctx, r); err != nil {
		return err
	}
	if err := m.cfg.Store.DeleteAccount(ctx, r.Account); err != nil && domicile.KindOf(err) != domicile.NotExist {
		return err
	}
	if err := m.cfg.Residence.Minimise(r.Account); err != nil {
		return err
	}
	done := r
	done.State = Erased
	leaf, err := m.leaf(ctx, done, nil)
	if err != nil {
		return err
	}
	var got receipt
	in := erasure{head{wireVersion, r.ID}, leaf.Index, hex.EncodeToString(leaf.Hash[:])}
	if err := m.ask(ctx, r, methodErased, in, &got); err != nil {
		return err
	}
	return m.advance(ctx, r, func(r row) error {
		r.State, r.Changed, r.There, r.Tried = Erased, m.cfg.Now().UTC(), got.Leaf, ""
		if err := m.keepLeaf(&r, leaf); err != nil {
			return err
		}
		m.keep(r.Account)
		return nil
	})
}

// cancel ends a move before its handover: the account serves again where it is, and the change rests anew. The lock of the
// account is held. The target is told behind it.
func (m *Machine) cancel(ctx context.Context, r row, by string) error {
	r.By = by
	r, err := m.enter(ctx, r, Cancelled)
	if err != nil {
		return err
	}
	return m.undo(ctx, r)
}

// undo takes the freeze back. It may be repeated.
func (m *Machine) undo(ctx context.Context, r row) error {
	if r.Was != "" {
		err := m.cfg.Store.UpdateAccount(ctx, r.Account, func(a *store.Account) error {
			if a.State == store.Moving {
				a.State = r.Was
			}
			return nil
		})
		if err != nil && domicile.KindOf(err) != domicile.NotExist {
			return err
		}
	}
	c, err := m.cfg.Residence.Change(r.Change)
	if err != nil || c.State != residence.Approved && c.State != residence.Moving {
		return err // somebody rejected or contested it meanwhile
	}
	_, err = m.cfg.Residence.Returned(ctx, r.Change, m.actor())
	return err
}

// tellCancelled has the target forget what it has.
func (m *Machine) tellCancelled(ctx context.Context, r row) error {
	if err := m.advance(ctx, r, func(r row) error { return m.undo(ctx, r) }); err != nil {
		return err
	}
	if err := m.ask(ctx, r, methodAbandon, head{wireVersion, r.ID}, nil); err != nil {
		return err
	}
	return m.advance(ctx, r, func(r row) error {
		r.Settled, r.Tried = true, ""
		return m.rows.put(r)
	})
}

// Cancel ends a move out of this region before its handover. Idempotent. Refused MovePastHandover afterwards; NotExist if there is
// no such move.
func (m *Machine) Cancel(ctx context.Context, id, by string) (Info, error) {
	const op = "cancel a move"
	r, ok, err := m.rows.get("out/" + id)
	if err == nil && !ok {
		if _, coming, err := m.rows.get("in/" + id); err == nil && coming {
			return Info{}, domicile.Refuse(op, domicile.WrongRegion, "move/losing-region", "operators of the region that the account leaves decide this")
		}
		err = domicile.E("", domicile.NotExist, "there is no move of that id; move ls lists them")
	}
	if err != nil {
		return Info{}, domicile.W(op, err)
	}
	unlock, err := m.locks.take(ctx, r.Account)
	if err != nil {
		return Info{}, domicile.W(op, err)
	}
	defer unlock()
	if r, _, err = m.rows.get(r.key()); err != nil {
		return Info{}, domicile.W(op, err)
	}
	switch {
	case r.State.before():
		err = m.cancel(ctx, r, by)
	case r.State != Cancelled:
		err = domicile.Refuse(op, domicile.MovePastHandover, "move/one-writer", "the account belongs to "+string(r.To)+" since the handover")
	}
	if err != nil {
		return Info{}, domicile.W(op, err)
	}
	m.Wake()
	r, _, err = m.rows.get(r.key())
	return r.info(), domicile.W(op, err)
}

// Freeze keeps an account where it is for a case: fn freezes its residence, and a move that has not been handed over ends. Refused
// ContentStoredAbroad if the handover has been: the case is then the next home's matter.
func (m *Machine) Freeze(ctx context.Context, id domicile.AccountID, fn func() error) error {
	const op = "freeze an account"
	unlock, err := m.locks.take(ctx, id)
	if err != nil {
		return domicile.W(op, err)
	}
	defer unlock()
	if to, _, gone := m.HandedOver(id); gone {
		return domicile.Refuse(op, domicile.ContentStoredAbroad, "move/one-writer", "the account was handed over to "+string(to))
	}
	if err := fn(); err != nil {
		return err
	}
	all, err := m.list()
	if err != nil {
		return domicile.W(op, err)
	}
	for _, r := range all {
		if r.Side == Source && r.Account == id && r.State.before() {
			if err := m.cancel(ctx, r, string(m.cfg.Node)); err != nil {
				return domicile.W(op, err)
			}
			m.Wake()
		}
	}
	return nil
}
