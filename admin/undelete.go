package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"domicile"
	"domicile/store"
)

// Messages that their owner expunged, and that the store keeps for a time (Config.Undelete). Operators are shown ids, sizes and times of
// them, never a word of what they say. To bring them back a freeze of the account by a case is no hindrance. To purge them takes two
// persons, as a removal of the account does: an operator must not destroy what a case preserves, nor learn from a refusal that it does.

// Limits of a call.
const (
	maxExpunged      = 10000 // messages in a listing
	maxUndelete      = 500   // messages to bring back
	maxUndeleteToken = 64    // bytes
)

// ListExpunged asks for what can be undeleted: what was expunged at Since or later and, of the same moment, has an id greater than After.
// The last message of a listing so asks for the next.
type ListExpunged struct {
	Address string             `json:"address"`
	Since   time.Time          `json:"since,omitzero"`
	After   domicile.MessageID `json:"after,omitempty"`
}

// ExpungedMessages is what can be undeleted, the first expunged first.
type ExpungedMessages struct {
	Address  domicile.Address   `json:"address"`
	Account  domicile.AccountID `json:"account"`
	Keeps    string             `json:"keeps"`    // for how long the node keeps what is expunged, a Go duration; "0s" = not at all
	Messages int                `json:"messages"` // of the account, listed or not
	Bytes    int64              `json:"bytes"`
	List     []ExpungedMessage  `json:"list"` // at most 10000
	More     bool               `json:"more,omitempty"`
}

// ExpungedMessage is one of them.
type ExpungedMessage struct {
	ID       domicile.MessageID `json:"id"`
	Bytes    int64              `json:"bytes"`
	Expunged time.Time          `json:"expunged"` // to the millisecond
	Due      time.Time          `json:"due"`      // when it is removed for good
}

// Undelete asks for messages to be put into the mailbox To, which is made and subscribed if absent.
type Undelete struct {
	Address string               `json:"address"`
	Token   string               `json:"token"` // 1 to 64 bytes: a second call with the same changes nothing
	To      string               `json:"to"`
	IDs     []domicile.MessageID `json:"ids"` // 1 to 500
}

// Undeleted says what an undelete or a purge came to.
type Undeleted struct {
	Address  domicile.Address   `json:"address"`
	Account  domicile.AccountID `json:"account"`
	Mailbox  string             `json:"mailbox,omitempty"` // in undelete
	State    string             `json:"state,omitempty"`   // in purge: "asked", or "purged"
	Messages int                `json:"messages"`
	Bytes    int64              `json:"bytes"`
	Leaf     *uint64            `json:"leaf,omitempty"` // the record of it; none if the same call had done it before
}

func (s *Server) expungedRoutes() {
	route(s, "account", "expunged", operators, s.listExpunged)
	route(s, "account", "undelete", operators, s.undelete)
	route(s, "account", "purge", []string{"operator", "legal"}, s.purge)
}

// expungedOf finds an account that rests here and stays, and what can be undeleted of it, by time and id.
func (s *Server) expungedOf(ctx context.Context, who caller, address string) (store.Account, []ExpungedMessage, error) {
	a, err := s.findAtHome(ctx, who, address, "house/home-undeletes", "what was expunged is there")
	if err == nil && a.State == store.Moving {
		err = domicile.E(who.call, domicile.Unavailable, "the account is on its way to another region; what was expunged does not go with it")
	}
	if err != nil {
		return a, nil, err
	}
	all, err := s.cfg.Store.Expunged(ctx, a.ID)
	out := make([]ExpungedMessage, len(all))
	for i, m := range all {
		out[i] = ExpungedMessage{ID: m.ID, Bytes: m.Size, Expunged: m.At, Due: m.At.Add(s.cfg.Undelete)}
	}
	slices.SortFunc(out, func(a, b ExpungedMessage) int { return cmp.Or(a.Expunged.Compare(b.Expunged), cmp.Compare(a.ID, b.ID)) })
	return a, out, err
}

// undue leaves out what is due, and only waits to be removed.
func (s *Server) undue(all []ExpungedMessage) []ExpungedMessage {
	now := s.cfg.Now()
	return slices.DeleteFunc(all, func(m ExpungedMessage) bool { return !m.Due.After(now) })
}

func bytesOf(all []ExpungedMessage) (n int64) {
	for _, m := range all {
		n += m.Bytes
	}
	return n
}

func (s *Server) listExpunged(ctx context.Context, who caller, in ListExpunged) (ExpungedMessages, error) {
	a, all, err := s.expungedOf(ctx, who, in.Address)
	if err != nil {
		return ExpungedMessages{}, err
	}
	all = s.undue(all)
	out := ExpungedMessages{Address: a.Address, Account: a.ID, Keeps: s.cfg.Undelete.String(), Messages: len(all), Bytes: bytesOf(all)}
	out.List = slices.DeleteFunc(all, func(m ExpungedMessage) bool {
		return m.Expunged.Before(in.Since) || m.Expunged.Equal(in.Since) && m.ID <= in.After
	})
	if len(out.List) > maxExpunged {
		out.List, out.More = out.List[:maxExpunged], true
	}
	return out, nil
}

// undelete writes down how much is to come back, then brings it back. What is not there (any more) is left to the store to answer: if this
// is a second call it knows the token.
func (s *Server) undelete(ctx context.Context, who caller, in Undelete) (Undeleted, error) {
	if in.Token == "" || len(in.Token) > maxUndeleteToken || len(in.IDs) == 0 || len(in.IDs) > maxUndelete {
		return Undeleted{}, domicile.E(who.call, domicile.Invalid, "an undelete has a token of at most 64 bytes, and 1 to 500 ids of messages")
	}
	to, err := store.MailboxName(in.To)
	if err != nil {
		return Undeleted{}, err
	}
	a, all, err := s.expungedOf(ctx, who, in.Address)
	if err != nil {
		return Undeleted{}, err
	}
	all = slices.DeleteFunc(all, func(m ExpungedMessage) bool { return !slices.Contains(in.IDs, m.ID) })
	if n := len(all); len(s.undue(all)) < n {
		return Undeleted{}, domicile.E(who.call, domicile.NotExist, "the time in which a message could be undeleted is over")
	}
	out := Undeleted{Address: a.Address, Account: a.ID, Mailbox: to}
	if len(all) == len(in.IDs) {
		if out.Leaf, err = s.recordExpunged(ctx, who, who.call, a, all); err != nil {
			return Undeleted{}, err
		}
		if err := s.restoredInto(ctx, a.ID, to); err != nil {
			return Undeleted{}, err
		}
	}
	made, err := s.cfg.Store.Undelete(ctx, store.Token("undelete/"+in.Token), a.ID, in.IDs, to)
	for _, m := range made {
		out.Messages++
		out.Bytes += m.Size
	}
	return out, err
}

// restoredInto makes a mailbox, if absent, and has mail programs show it.
func (s *Server) restoredInto(ctx context.Context, id domicile.AccountID, name string) error {
	_, made, err := s.mailbox(ctx, id, name, "")
	if err == nil && made {
		err = s.cfg.Store.Subscribe(ctx, "", id, name, true)
	}
	return err
}

// purge asks for a purge or, said by a legal officer after an operator, completes it: it writes down how much there is, then removes it for
// good, what is due included.
func (s *Server) purge(ctx context.Context, who caller, in Target) (Undeleted, error) {
	a, all, err := s.expungedOf(ctx, who, in.Address)
	if err != nil {
		return Undeleted{}, err
	}
	r, raw, err := asked(s.purges, a.ID)
	if err != nil {
		return Undeleted{}, err
	}
	second, err := completes(who, r, raw)
	if err != nil {
		return Undeleted{}, err
	}
	if !second { // who asks must not learn from what is due and still there that a case preserves it
		all = s.undue(all)
	}
	out := Undeleted{Address: a.Address, Account: a.ID, State: "asked", Messages: len(all), Bytes: bytesOf(all)}
	if !second {
		if out.Leaf, err = s.recordExpunged(ctx, who, "account.purge_asked", a, all); err != nil {
			return Undeleted{}, err
		}
		return out, s.ask(s.purges, who, a.ID)
	}
	if err := s.mayDestroy(who, a.ID); err != nil {
		return Undeleted{}, err
	}
	out.State = "purged"
	if out.Leaf, err = s.recordExpunged(ctx, who, who.call, a, all); err != nil {
		return Undeleted{}, err
	}
	if err := s.cfg.Store.Purge(ctx, a.ID); err != nil {
		return Undeleted{}, err
	}
	_, err = s.purges.CompareAndSwap(string(a.ID), raw, nil)
	return out, err
}

// recordExpunged makes the leaf of what is about to be done to messages.
func (s *Server) recordExpunged(ctx context.Context, who caller, kind string, a store.Account, all []ExpungedMessage) (*uint64, error) {
	leaf, err := s.record(ctx, who, kind, a.Address, map[string]string{"account": string(a.ID),
		"messages": strconv.Itoa(len(all)), "bytes": strconv.FormatInt(bytesOf(all), 10)})
	return &leaf.Index, err
}
