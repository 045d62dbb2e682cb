package move

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"domicile"
	"domicile/region"
	"domicile/residence"
	"domicile/store"
)

// Register serves the other side's calls, before n is started.
func (m *Machine) Register(n *region.Node) {
	for name, h := range m.handlers() {
		n.Handle(name, domicile.Move, maxReply, h)
	}
}

func (m *Machine) handlers() map[string]region.Handler {
	return map[string]region.Handler{
		methodOffer: func(ctx context.Context, c *region.Call) (any, error) {
			in, err := read[offer](c)
			if err != nil {
				return nil, err
			}
			return m.offered(ctx, c.From.Region, in)
		},
		methodResidence: func(ctx context.Context, c *region.Call) (any, error) {
			in, body, err := readBody[head](c)
			if err != nil {
				return nil, err
			}
			return struct{}{}, m.residence(ctx, c.From.Region, in, body)
		},
		methodPart: func(ctx context.Context, c *region.Call) (any, error) {
			in, body, err := readBody[partHead](c)
			if err != nil {
				return nil, err
			}
			return m.part(ctx, c.From.Region, in, body)
		},
		methodPrepare: func(ctx context.Context, c *region.Call) (any, error) {
			in, err := read[head](c)
			if err != nil {
				return nil, err
			}
			return m.prepare(ctx, c.From.Region, in)
		},
		methodHandover: func(ctx context.Context, c *region.Call) (any, error) {
			in, err := read[handover](c)
			if err != nil {
				return nil, err
			}
			return m.handedOver(ctx, c.From.Region, in)
		},
		methodAbandon: func(ctx context.Context, c *region.Call) (any, error) {
			in, err := read[head](c)
			if err != nil {
				return nil, err
			}
			return struct{}{}, m.abandon(ctx, c.From.Region, in)
		},
		methodErased: func(ctx context.Context, c *region.Call) (any, error) {
			in, err := read[erasure](c)
			if err != nil {
				return nil, err
			}
			return m.erasedThere(ctx, c.From.Region, in)
		},
	}
}

// headed is what every header has.
type headed interface{ base() head }

func (h head) base() head { return h }

// read reads a call's header. Only nodes of regions move accounts.
func read[T headed](c *region.Call) (in T, err error) {
	if c.From.Region == "" || c.From.Operator != "" {
		return in, domicile.Refuse("move", domicile.PeerUnverified, "house/nodes-move", "only nodes of regions move accounts")
	}
	if err := json.Unmarshal(c.Header, &in); err != nil {
		return in, domicile.E("move", domicile.Invalid, "the header is not readable")
	}
	h := in.base()
	if h.V != wireVersion {
		return in, domicile.E("move", domicile.Invalid, "the move is in a format that this node does not read; update it")
	}
	if h.Move == "" || len(h.Move) > 128 || strings.Trim(h.Move, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return in, domicile.E("move", domicile.Invalid, "the id is none of a move")
	}
	return in, nil
}

// readBody reads what follows a header, to its closing frame.
func readBody[T headed](c *region.Call) (in T, body []byte, err error) {
	if in, err = read[T](c); err != nil {
		return in, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(c.Body, maxBody+1))
	switch {
	case err != nil:
		return in, nil, domicile.E("move", domicile.Unavailable, "the call broke off on its way")
	case len(body) > maxBody:
		return in, nil, domicile.E("move", domicile.TooLarge, "more bytes than a part may have")
	}
	return in, body, nil
}

func notApproved(detail string) error {
	return domicile.Refuse("move", domicile.MoveNotApproved, "move/approved-change", detail)
}

// coming runs fn on the row of a move into this region that from drives, while nobody else changes it.
func (m *Machine) coming(ctx context.Context, from domicile.Region, id string, fn func(row) error) error {
	r, ok, err := m.rows.get("in/" + id)
	if err != nil {
		return err
	}
	if !ok || r.From != from {
		return notApproved("this region was offered no such move by that one")
	}
	unlock, err := m.locks.take(ctx, r.Account)
	if err != nil {
		return err
	}
	defer unlock()
	if r, _, err = m.rows.get(r.key()); err != nil {
		return err
	}
	if r.State == Abandoned {
		return notApproved("the move was cancelled")
	}
	return fn(r)
}

// offered takes an account only from its home, on the registrar's word, and only if its new residence belongs here.
func (m *Machine) offered(ctx context.Context, from domicile.Region, in offer) (standing, error) {
	unlock, err := m.locks.take(ctx, in.Account)
	if err != nil {
		return standing{}, err
	}
	defer unlock()
	r, known, err := m.rows.get("in/" + in.Move)
	if err != nil {
		return standing{}, err
	}
	if known {
		switch {
		case r.From != from || r.Account != in.Account || r.Change != in.Change || r.Name != in.Name || r.Domain != in.Domain || r.Country != in.Country || r.Epoch != in.Epoch:
			return standing{}, notApproved("another move has this id")
		case r.State == Abandoned:
			return standing{}, notApproved("the move was cancelled")
		}
		return m.standing(ctx, r)
	}
	if err := m.mayTake(ctx, from, in); err != nil {
		return standing{}, err
	}
	r = row{ID: in.Move, Side: Target, Change: in.Change, Account: in.Account, From: from, To: m.cfg.Region, Country: in.Country, Epoch: in.Epoch,
		Name: in.Name, Domain: in.Domain, Began: m.cfg.Now().UTC()}
	if r, err = m.enter(ctx, r, Receiving); err != nil {
		return standing{}, err
	}
	return m.standing(ctx, r)
}

func (m *Machine) mayTake(ctx context.Context, from domicile.Region, in offer) error {
	if from == m.cfg.Region || in.Epoch < 2 || in.Change == "" || !strings.HasPrefix(in.Change, string(in.Account)+".") || !strings.HasPrefix(in.Move, in.Change) {
		return notApproved("it is not the next step of an account of the region that offers it")
	}
	home, err := m.cfg.Place(in.Country)
	if err != nil {
		return err
	}
	if home != m.cfg.Region {
		return domicile.Refuse("move", domicile.WrongRegion, "house/placed-by-residence", "residents of "+string(in.Country)+" are placed in "+string(home))
	}
	err = m.cfg.Directory.Holds(ctx, in.Name, in.Domain, in.Account, from, in.Epoch-1)
	switch {
	case domicile.KindOf(err) == domicile.NotExist, domicile.KindOf(err) == domicile.Refused:
		return notApproved("the registrar does not name that region as the account's home")
	case err != nil:
		return err
	}
	_, err = m.cfg.Store.Account(ctx, in.Account)
	if _, _, gone := m.HandedOver(in.Account); gone || err == nil {
		return domicile.E("move", domicile.Unavailable, "the account's last copy here is still being erased")
	}
	if domicile.KindOf(err) != domicile.NotExist {
		return err
	}
	all, err := m.list()
	incoming, theirs, ended := 0, 0, 0
	for _, r := range all {
		if r.Side == Target && r.From == from && r.State == Abandoned && m.cfg.Now().Sub(r.Changed) < time.Hour {
			ended++
		}
		if r.Side != Target || r.done() {
			continue
		}
		incoming++
		if r.From == from {
			theirs++
		}
		if r.Account == in.Account {
			return domicile.E("move", domicile.Unavailable, "another move of the account is not cancelled yet")
		}
	}
	if incoming >= maxIncoming || theirs >= maxIncomingEach {
		return domicile.E("move", domicile.Unavailable, "as many accounts come in as may at a time")
	}
	if ended >= maxEnded { // each leaves a row, and leaves in the log
		return domicile.E("move", domicile.Unavailable, "that region has cancelled as many moves as it may within an hour")
	}
	return err
}

// standing says where an import stands.
func (m *Machine) standing(ctx context.Context, r row) (standing, error) {
	in, err := m.cfg.Store.Imported(ctx, r.Account)
	switch {
	case domicile.KindOf(err) == domicile.NotExist:
		return standing{Residence: r.Residence > 0, Whole: !r.State.before()}, nil
	case err != nil:
		return standing{}, err
	}
	return standing{At: in.At, Whole: in.Whole, Residence: r.Residence > 0}, nil
}

const historyPrefix = "history/"

func isHistory(key string) bool { return strings.HasPrefix(key, historyPrefix) }

func historyKey(move string, n int) string { return fmt.Sprintf("%s%s/%06d", historyPrefix, move, n) }

// residence takes the ledger of an account that comes in, holds the approval in it against who may approve, and keeps it aside:
// it becomes this region's own with the handover.
func (m *Machine) residence(ctx context.Context, from domicile.Region, in head, body []byte) error {
	var entries []residence.Entry
	if err := strict(body, &entries); err != nil {
		return domicile.E("move", domicile.Invalid, "the ledger that came with it is not readable")
	}
	return m.coming(ctx, from, in.Move, func(r row) error {
		if r.State != Receiving || r.Residence > 0 {
			return nil
		}
		if err := residence.CheckCarried(r.Account, entries, m.cfg.Now()); err != nil {
			return err
		}
		c, err := residence.Approval(entries, r.Change, from)
		if err != nil {
			return err
		}
		if c.Account != r.Account || c.To != r.Country {
			return notApproved("the approved change is of another account or country")
		}
		for n, e := range entries {
			raw, err := json.Marshal(e)
			if err == nil {
				err = m.rows.table.Put(historyKey(r.ID, n), raw)
			}
			if err != nil {
				return err
			}
		}
		r.Residence = len(entries)
		return m.rows.put(r)
	})
}

func (m *Machine) history(r row) (out []residence.Entry, err error) {
	for n := range r.Residence {
		raw, ok, err := m.rows.table.Get(historyKey(r.ID, n))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue // the ledger has it: it is forgotten last to first
		}
		var e residence.Entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// forget removes the ledger that rested aside, the last entry first, so that what is left is never taken for the whole. Of one that did not come
// whole the row counts nothing, but entries may be there.
func (m *Machine) forget(r row) error {
	n := r.Residence
	for ; ; n++ {
		if _, ok, err := m.rows.table.Get(historyKey(r.ID, n)); err != nil {
			return err
		} else if !ok {
			break
		}
	}
	for n--; n >= 0; n-- {
		raw, ok, err := m.rows.table.Get(historyKey(r.ID, n))
		if err == nil && ok {
			_, err = m.rows.table.CompareAndSwap(historyKey(r.ID, n), raw, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// part imports one part. One that does not fit where the import stands changes nothing, and the answer says where that is; but first it waits
// for those that come before it and are on their way.
func (m *Machine) part(ctx context.Context, from domicile.Region, in partHead, body []byte) (at standing, err error) {
	items, err := decodeItems(body)
	if err != nil {
		return at, err
	}
	for waits := min(in.Before, maxUnderWay); ; {
		at, other, err := m.importPart(ctx, from, in, items, waits > 0)
		if err != nil || other == nil {
			return at, err
		}
		if waits--; !m.order.wait(ctx, in.Move, other) {
			waits = 0 // once more, for the answer
		}
	}
}

// importPart returns, of a part that does not fit and may wait, the turn to wait for.
func (m *Machine) importPart(ctx context.Context, from domicile.Region, in partHead, items []store.Item, mayWait bool) (at standing, other *turn, err error) {
	err = m.coming(ctx, from, in.Move, func(r row) error {
		if r.State == Receiving && r.Residence == 0 {
			return notApproved("no ledger that has the change approved came before it")
		}
		if r.State == Receiving {
			err := m.cfg.Store.Import(ctx, r.Account, store.Part{After: in.After, Next: in.Next, Last: in.Last, Items: items})
			if err != nil && domicile.KindOf(err) != domicile.Conflict {
				return err
			}
			if err == nil {
				m.order.over(in.Move)
				if err := m.progressIn(r, items); err != nil {
					return err
				}
			}
			if err != nil && mayWait {
				other = m.order.join(in.Move)
				return nil
			}
		}
		at, err = m.standing(ctx, r)
		return err
	})
	return at, other, err
}

func (m *Machine) progressIn(r row, items []store.Item) error {
	for _, i := range items {
		switch {
		case i.Account != nil:
			r.Total = i.Account.Bytes
		case i.Piece != nil:
			r.Bytes += int64(i.Piece.Length)
		}
	}
	return m.rows.put(r)
}

// prepare signs the record of the next epoch, once all of the account is here: this region is then sure that it can serve.
func (m *Machine) prepare(ctx context.Context, from domicile.Region, in head) (out prepared, err error) {
	err = m.coming(ctx, from, in.Move, func(r row) error {
		if r.Ownership == nil {
			if err := m.complete(ctx, r); err != nil {
				return err
			}
			o, err := m.cfg.Directory.Prepare(r.Name, r.Domain, r.Account, r.Epoch)
			if err != nil {
				return err
			}
			r.Ownership = &o
			if r, err = m.enter(ctx, r, Received); err != nil {
				return err
			}
		}
		out.Ownership = *r.Ownership
		if !r.State.before() {
			return domicile.Refuse("move", domicile.MovePastHandover, "move/one-writer", "the handover has been")
		}
		_, err := m.recorded(ctx, r)
		return err
	})
	return out, err
}

// complete wants all of the account here, and that it is the one that was offered.
func (m *Machine) complete(ctx context.Context, r row) error {
	a, err := m.cfg.Store.Imported(ctx, r.Account)
	switch {
	case domicile.KindOf(err) == domicile.NotExist || err == nil && (!a.Whole || r.Residence == 0):
		return domicile.E("move", domicile.Unavailable, "not all of the account has come")
	case err != nil:
		return err
	case m.cfg.Directory.Digest(a.Account.Address) != r.Name || a.Account.Address.Domain() != r.Domain || a.Account.Epoch != r.Epoch-1:
		return domicile.E("move", domicile.Invalid, "the account that came is not the one that was offered")
	}
	return nil
}

// handedOver takes the record with both signatures: from the moment that it is on disk the account is this region's.
func (m *Machine) handedOver(ctx context.Context, from domicile.Region, in handover) (receipt, error) {
	err := m.coming(ctx, from, in.Move, func(r row) error {
		if !r.State.before() {
			return nil
		}
		if r.State != Received || r.Ownership == nil {
			return notApproved("the handover of an account that is not here")
		}
		if in.State != store.Active && in.State != store.Suspended {
			return domicile.E("move", domicile.Invalid, "the account was in no state that it could be in")
		}
		if err := m.cfg.Directory.HandedOver(*r.Ownership, in.Ownership, from); err != nil {
			return err
		}
		r.Ownership, r.Was = &in.Ownership, in.State
		_, err := m.enter(ctx, r, HandedOver)
		return err
	})
	if err != nil {
		return receipt{}, err
	}
	r, err := m.serve(ctx, in.Move)
	return receipt{r.Leaves[Serving]}, err
}

// serve makes the account visible, with its residence, and claims its name. The row is handed over; each step may be repeated.
func (m *Machine) serve(ctx context.Context, id string) (row, error) {
	r, ok, err := m.rows.get("in/" + id)
	if err != nil || !ok {
		return r, err
	}
	unlock, err := m.locks.take(ctx, r.Account)
	if err != nil {
		return r, err
	}
	defer unlock()
	if r, _, err = m.rows.get(r.key()); err != nil || r.State != HandedOver {
		return r, err
	}
	if r, err = m.recorded(ctx, r); err != nil {
		return r, err
	}
	entries, err := m.history(r)
	if err == nil {
		err = m.cfg.Residence.Receive(ctx, r.Account, entries)
	}
	if err == nil {
		_, err = m.cfg.Residence.Moved(ctx, r.Change, m.actor())
	}
	if err == nil {
		err = m.cfg.Store.Activate(ctx, r.Account, func(a *store.Account) error {
			a.State, a.Epoch, a.Residence = r.Was, r.Epoch, r.Country
			return nil
		})
	}
	if err == nil {
		err = m.cfg.Directory.TakeOver(ctx, *r.Ownership)
	}
	if err == nil {
		err = m.forget(r)
	}
	if err != nil {
		return r, err
	}
	return m.enter(ctx, r, Serving)
}

// abandon forgets what came in of a cancelled move. Of a move that was never offered there is nothing.
func (m *Machine) abandon(ctx context.Context, from domicile.Region, in head) error {
	r, ok, err := m.rows.get("in/" + in.Move)
	if err != nil || !ok || r.From != from {
		return err
	}
	unlock, err := m.locks.take(ctx, r.Account)
	if err != nil {
		return err
	}
	defer unlock()
	if r, _, err = m.rows.get(r.key()); err != nil {
		return err
	}
	switch {
	case r.Settled:
		return nil
	case !r.State.before() && r.State != Abandoned:
		return domicile.Refuse("move", domicile.MovePastHandover, "move/one-writer", "the account is this region's since the handover")
	}
	if r, err = m.enter(ctx, r, Abandoned); err != nil {
		return err
	}
	if err := m.cfg.Store.Abandon(ctx, r.Account); err != nil {
		return err
	}
	if err := m.forget(r); err != nil {
		return err
	}
	r.Settled = true
	return m.rows.put(r)
}

// erasedThere puts the receipt of the source's erasure into this region's log.
func (m *Machine) erasedThere(ctx context.Context, from domicile.Region, in erasure) (out receipt, err error) {
	if raw, err := hex.DecodeString(in.SHA256); err != nil || len(raw) != 32 {
		return out, domicile.E("move", domicile.Invalid, "the digest of a leaf has 64 hex digits")
	}
	err = m.coming(ctx, from, in.Move, func(r row) error {
		if r.State == Erased {
			out.Leaf = r.Leaves[Erased]
			return nil
		}
		if r.State != Serving {
			return domicile.E("move", domicile.Conflict, "the account is not served here yet")
		}
		r.State, r.Changed, r.There = Erased, m.cfg.Now().UTC(), in.Leaf
		leaf, err := m.leaf(ctx, r, map[string]string{"source_leaf": strconv.FormatUint(in.Leaf, 10), "source_leaf_sha256": in.SHA256})
		if err != nil {
			return err
		}
		out.Leaf = leaf.Index
		return m.keepLeaf(&r, leaf)
	})
	return out, err
}
