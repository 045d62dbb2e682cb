package admin

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"domicile"
	"domicile/store"
)

// To remove an account, or to purge what its owner expunged, takes two persons: an operator asks for it, which ends logins if it is a
// removal, and a legal officer, who alone may know of orders and holds, completes it or lets it rest. To an operator an account that a
// case preserves looks like any other: it is being removed, and no date is promised.

// removing is the state that operators see from the request until it is completed or resumed. The store knows it as Suspended.
const removing store.AccountState = "removing"

// request is the record of what an operator asked for, under the account's id, in the table of that act.
type request struct {
	V  int       `json:"v"` // 1
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// asked returns the request for an account in a table, if there is one.
func asked(in store.Table, id domicile.AccountID) (r request, raw []byte, err error) {
	raw, ok, err := in.Get(string(id))
	if err != nil || !ok {
		return r, nil, err
	}
	if err := json.Unmarshal(raw, &r); err != nil || r.V != 1 {
		return r, nil, domicile.E("", domicile.Invalid, "a record of a request cannot be read by this release")
	}
	return r, raw, nil
}

// ask writes a request down, unless it is there.
func (s *Server) ask(in store.Table, who caller, id domicile.AccountID) error {
	raw, err := json.Marshal(request{V: 1, By: who.Operator, At: s.cfg.Now().UTC()})
	if err != nil {
		return err
	}
	_, err = in.CompareAndSwap(string(id), nil, raw)
	return err
}

// completes says whether who completes what was asked for, raw, or asks for it; and refuses who may do neither.
func completes(who caller, r request, raw []byte) (bool, error) {
	switch {
	case who.HasRole("legal") && raw != nil && r.By != who.Operator:
		return true, nil
	case !who.HasRole("operator"):
		return false, domicile.Refuse(who.call, domicile.DualApprovalMissing, "house/two-persons", "an operator asks for it first, then a legal officer completes it")
	case raw != nil && who.HasRole("legal"):
		return false, domicile.Refuse(who.call, domicile.SelfApproval, "house/two-persons", "another legal officer than the one who asked completes it")
	}
	return false, nil
}

// mayDestroy refuses while a case preserves the account. Only a legal officer hears of it.
func (s *Server) mayDestroy(who caller, id domicile.AccountID) error {
	frozen, err := s.cfg.Residence.Frozen(id)
	if err == nil && frozen {
		err = domicile.Refuse(who.call, domicile.ResidenceFrozen, "house/preserved", "an open order or hold preserves this account")
	}
	return err
}

// removeAccount asks for a removal or, said by a legal officer after an operator, completes it.
func (s *Server) removeAccount(ctx context.Context, who caller, in Target) (Account, error) {
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return Account{}, err
	}
	r, raw, err := asked(s.removals, a.ID)
	if err != nil {
		return Account{}, err
	}
	second, err := completes(who, r, raw)
	switch {
	case err != nil:
		return Account{}, err
	case second:
		return s.completeRemoval(ctx, who, a, raw)
	}
	return s.askRemoval(ctx, who, a)
}

// askRemoval writes the request down and ends logins. Asked again it changes nothing.
func (s *Server) askRemoval(ctx context.Context, who caller, a store.Account) (Account, error) {
	if a.State == store.Moving {
		return Account{}, domicile.E(who.call, domicile.Conflict, "the account is on its way to another region; ask again when it has arrived")
	}
	leaf, err := s.record(ctx, who, "account.removal_asked", a.Address, map[string]string{"account": string(a.ID)})
	if err != nil {
		return Account{}, err
	}
	if err := s.ask(s.removals, who, a.ID); err != nil {
		return Account{}, err
	}
	_, err = s.save(ctx, a.ID, func(a *store.Account) error {
		if a.State == store.Active {
			a.State = store.Suspended
		}
		return nil
	})
	out := s.view(a)
	out.State, out.Leaf = removing, &leaf.Index
	return out, err
}

// completeRemoval gives up the name, then destroys key and mail. A try that was cut short between the two is put right by
// the same call again.
func (s *Server) completeRemoval(ctx context.Context, who caller, a store.Account, request []byte) (Account, error) {
	if a.State == store.Moving {
		return Account{}, domicile.E(who.call, domicile.Conflict, "the account is on its way to another region; ask there when it has arrived")
	}
	if err := s.mayDestroy(who, a.ID); err != nil {
		return Account{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := s.cfg.Directory.Release(ctx, a.Address, a.ID, a.Epoch); err != nil && domicile.KindOf(err) != domicile.NotExist {
		return Account{}, domicile.W("release the name", err)
	}
	leaf, err := s.record(ctx, who, "account.removed", a.Address, map[string]string{"account": string(a.ID)})
	if err != nil {
		return Account{}, err
	}
	if err := s.cfg.Store.DeleteAccount(ctx, a.ID); err != nil && domicile.KindOf(err) != domicile.NotExist {
		return Account{}, err
	}
	if err := s.cfg.Queue.Discard(ctx, a.ID); err != nil { // nobody can read it any more
		s.cfg.Log.Warn("admin: what an erased account had in the outbound queue is removed later", "error", err)
	}
	if err := s.forgetImports(a.ID); err != nil {
		return Account{}, err
	}
	_, purge, err := asked(s.purges, a.ID)
	if err == nil && purge != nil {
		_, err = s.purges.CompareAndSwap(string(a.ID), purge, nil)
	}
	if err != nil {
		return Account{}, err
	}
	if _, err := s.removals.CompareAndSwap(string(a.ID), request, nil); err != nil {
		return Account{}, err
	}
	out := s.view(a)
	out.State, out.Leaf = "removed", &leaf.Index
	return out, nil
}

// resumeAccount allows logins again, and takes a request to remove the account back.
func (s *Server) resumeAccount(ctx context.Context, who caller, in Target) (Account, error) {
	a, err := s.change(ctx, who, in.Address, func(a *store.Account) {
		if a.State != store.Moving {
			a.State = store.Active
		}
	})
	if err != nil {
		return a, err
	}
	_, raw, err := asked(s.removals, a.Account)
	if err != nil || raw == nil {
		return a, err
	}
	if _, err = s.removals.CompareAndSwap(string(a.Account), raw, nil); err == nil {
		a.State = store.Active
	}
	return a, err
}

// shown puts "removing" in the place of the store's word for accounts that are to be removed.
func (s *Server) shown(list ...Account) error {
	ids := []string{}
	err := s.removals.Each(func(id string, _ []byte) error { ids = append(ids, id); return nil })
	for i := range list {
		if slices.Contains(ids, string(list[i].Account)) {
			list[i].State = removing
		}
	}
	return err
}
