package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/store"
)

// Target names the account of a call.
type Target struct {
	Address string `json:"address"`
}

// CreateAccount asks for an account. Without Evidence the operator's own statement is the one item.
type CreateAccount struct {
	Address   string   `json:"address"`
	Residence string   `json:"residence"`
	Evidence  []string `json:"evidence,omitempty"` // each "KIND=CC", see residence.ParseEvidence
	Password  string   `json:"password"`
	Quota     int64    `json:"quota,omitempty"` // bytes; 0 = none
}

// SetPassword replaces a password. App passwords stay, but if it says otherwise.
type SetPassword struct {
	Address            string `json:"address"`
	Password           string `json:"password"`
	RemoveAppPasswords bool   `json:"remove_app_passwords,omitempty"`
}

// SetQuota changes a quota, in bytes; 0 = none. A nil Quota only asks.
type SetQuota struct {
	Address string `json:"address"`
	Quota   *int64 `json:"quota,omitempty"`
}

// SetAbroad says what happens where somebody logs in to the account at a front of another region.
type SetAbroad struct {
	Address string `json:"address"`
	Abroad  string `json:"abroad"` // relay, refer or refuse
}

// Account is an account as operators see it.
type Account struct {
	Address   domicile.Address   `json:"address"`
	Account   domicile.AccountID `json:"account"`
	Region    domicile.Region    `json:"region"`
	Residence domicile.Country   `json:"residence"`
	Class     string             `json:"class"`
	State     store.AccountState `json:"state"`  // the store's, or removing, removed
	Abroad    string             `json:"abroad"` // relay, refer or refuse
	Epoch     uint64             `json:"epoch"`
	Quota     int64              `json:"quota"` // bytes; 0 = none
	Created   time.Time          `json:"created"`
	Messages  *int               `json:"messages,omitempty"` // in show and quota only
	Bytes     *int64             `json:"bytes,omitempty"`    // in show and quota only; a message copied to two mailboxes counts twice here
	Leaf      *uint64            `json:"leaf,omitempty"`     // in create and rm: the record of it

	AppPasswords *int `json:"app_passwords,omitempty"` // in passwd only: how many let in beside the new password
}

// Where says where an account lives and why.
type Where struct {
	Address   domicile.Address   `json:"address"`
	Account   domicile.AccountID `json:"account"`
	Home      domicile.Region    `json:"home"`
	Node      domicile.Node      `json:"node,omitempty"` // known at home only
	Epoch     uint64             `json:"epoch"`
	Residence domicile.Country   `json:"residence,omitempty"` // known at home only
	Stale     bool               `json:"stale,omitempty"`     // the registrar is out of reach
	Why       string             `json:"why"`
}

func (s *Server) accountRoutes() {
	route(s, "account", "create", operators, s.createAccount)
	route(s, "account", "ls", anyone, s.listAccounts)
	route(s, "account", "show", anyone, s.showAccount)
	route(s, "account", "rm", []string{"operator", "legal"}, s.removeAccount)
	route(s, "account", "passwd", operators, s.setPassword)
	route(s, "account", "suspend", operators, s.suspendAccount)
	route(s, "account", "resume", operators, s.resumeAccount)
	route(s, "account", "quota", operators, s.setQuota)
	route(s, "account", "abroad", operators, s.setAbroad)
	route(s, "account", "where", anyone, s.whereAccount)
	s.handle("account", "export", []string{"operator", "legal"}, s.exportAccount)
}

func (s *Server) view(a store.Account) Account {
	return Account{Address: a.Address, Account: a.ID, Region: s.cfg.Region, Residence: a.Residence, Class: a.Class,
		State: a.State, Abroad: abroadWord(a.Abroad), Epoch: a.Epoch, Quota: a.Quota, Created: a.Created}
}

// find parses the address, records the access and returns the account of this region.
func (s *Server) find(ctx context.Context, who caller, address string) (store.Account, error) {
	a, err := placement.ParseAddress(address)
	if err != nil {
		return store.Account{}, err
	}
	if err := s.access(ctx, who, a); err != nil {
		return store.Account{}, err
	}
	acct, err := s.cfg.Store.AccountByAddress(ctx, a)
	if s.handedOver(acct.ID) || domicile.KindOf(err) == domicile.NotExist {
		return acct, domicile.E(who.call, domicile.NotExist, "this region has no such account; account where says whether another has")
	}
	return acct, err
}

// handedOver says whether an account that still lies here is another region's.
func (s *Server) handedOver(id domicile.AccountID) bool {
	_, _, gone := s.cfg.Moves.HandedOver(id)
	return gone
}

func (s *Server) listAccounts(ctx context.Context, who caller, _ struct{}) ([]Account, error) {
	if err := s.access(ctx, who, ""); err != nil {
		return nil, err
	}
	out := []Account{}
	for a, err := range store.AllAccounts(ctx, s.cfg.Store) {
		if err != nil {
			return nil, err
		}
		if !s.handedOver(a.ID) {
			out = append(out, s.view(a))
		}
	}
	slices.SortFunc(out, func(a, b Account) int { return cmp.Compare(a.Address, b.Address) })
	return out, s.shown(out...)
}

func (s *Server) showAccount(ctx context.Context, who caller, in Target) (Account, error) {
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return Account{}, err
	}
	return s.sized(ctx, a)
}

// sized adds how much an account holds.
func (s *Server) sized(ctx context.Context, a store.Account) (Account, error) {
	out := s.view(a)
	if a.State == store.Moving { // frozen: nobody may look
		return out, nil
	}
	boxes, err := s.cfg.Store.Mailboxes(ctx, a.ID)
	if err != nil {
		return out, err
	}
	count, size := 0, int64(0)
	for _, b := range boxes {
		count += int(b.Messages)
		size += b.Size
	}
	out.Messages, out.Bytes = &count, &size
	list := []Account{out}
	err = s.shown(list...)
	return list[0], err
}

func (s *Server) setPassword(ctx context.Context, who caller, in SetPassword) (Account, error) {
	addr, err := placement.ParseAddress(in.Address)
	if err != nil {
		return Account{}, err
	}
	phc, scram, err := s.hash(addr, in.Password)
	if err != nil {
		return Account{}, err
	}
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return Account{}, err
	}
	if in.RemoveAppPasswords { // each is on record before it goes
		for _, p := range a.AppPasswords {
			if _, err := s.record(ctx, who, appPasswordRemoved, a.Address, appPasswordFacts(a, p.ID)); err != nil {
				return Account{}, err
			}
		}
	}
	left := 0
	out, err := s.update(ctx, who, a.ID, func(now *store.Account) {
		now.Password, now.Scram = phc, scram
		if in.RemoveAppPasswords { // but one that was added meanwhile
			now.AppPasswords = slices.DeleteFunc(slices.Clone(now.AppPasswords), func(p store.AppPassword) bool {
				return slices.ContainsFunc(a.AppPasswords, func(was store.AppPassword) bool { return was.ID == p.ID })
			})
		}
		left = len(now.AppPasswords)
	})
	out.AppPasswords = &left
	return out, err
}

func (s *Server) suspendAccount(ctx context.Context, who caller, in Target) (Account, error) {
	return s.change(ctx, who, in.Address, func(a *store.Account) {
		if a.State != store.Moving {
			a.State = store.Suspended
		}
	})
}

func (s *Server) setQuota(ctx context.Context, who caller, in SetQuota) (Account, error) {
	if in.Quota != nil && *in.Quota < 0 {
		return Account{}, domicile.E(who.call, domicile.Invalid, "a quota is a number of bytes, 0 for none")
	}
	if in.Quota != nil {
		if _, err := s.change(ctx, who, in.Address, func(a *store.Account) { a.Quota = *in.Quota }); err != nil {
			return Account{}, err
		}
	}
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return Account{}, err
	}
	return s.sized(ctx, a)
}

// abroadWords are the choices, as people say them.
var abroadWords = map[string]store.Abroad{"relay": store.AbroadRelay, "refer": store.AbroadRefer, "refuse": store.AbroadRefuse}

func abroadWord(a store.Abroad) string {
	if a == store.AbroadRelay {
		return "relay"
	}
	return string(a)
}

// setAbroad writes the owner's choice down, then makes it.
func (s *Server) setAbroad(ctx context.Context, who caller, in SetAbroad) (Account, error) {
	choice, ok := abroadWords[in.Abroad]
	if !ok {
		return Account{}, domicile.E(who.call, domicile.Invalid, "a session abroad is one of relay, refer and refuse")
	}
	if choice == store.AbroadRefer && s.cfg.Catalog().HostOf(s.cfg.Region) == "" {
		return Account{}, domicile.E(who.call, domicile.Invalid, "the catalog has no host of this region, to which clients could be referred")
	}
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return Account{}, err
	}
	if _, err := s.record(ctx, who, "account.abroad", a.Address, map[string]string{"account": string(a.ID), "abroad": in.Abroad}); err != nil {
		return Account{}, err
	}
	return s.update(ctx, who, a.ID, func(a *store.Account) { a.Abroad = choice })
}

func (s *Server) change(ctx context.Context, who caller, address string, fn func(*store.Account)) (Account, error) {
	a, err := s.find(ctx, who, address)
	if err != nil {
		return Account{}, err
	}
	return s.update(ctx, who, a.ID, fn)
}

// update changes an account whose access is on record.
func (s *Server) update(ctx context.Context, who caller, id domicile.AccountID, fn func(*store.Account)) (Account, error) {
	a, err := s.save(ctx, id, func(a *store.Account) error { fn(a); return nil })
	if err != nil {
		return Account{}, err
	}
	list := []Account{s.view(a)}
	return list[0], s.shown(list...)
}

// save changes an account that is not on its way elsewhere, has sessions end that it lets in no more, and returns it as it is then.
func (s *Server) save(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) (store.Account, error) {
	err := s.cfg.Store.UpdateAccount(ctx, id, func(a *store.Account) error {
		if a.State == store.Moving { // what is changed now might not arrive
			return domicile.E("change an account", domicile.Unavailable, "the account is on its way to another region; ask there when it has arrived")
		}
		return fn(a)
	})
	if err != nil {
		return store.Account{}, err
	}
	a, err := s.cfg.Store.Account(ctx, id)
	if err == nil && s.cfg.Changed != nil {
		s.cfg.Changed(a)
	}
	return a, err
}

func (s *Server) whereAccount(ctx context.Context, who caller, in Target) (Where, error) {
	a, err := placement.ParseAddress(in.Address)
	if err != nil {
		return Where{}, err
	}
	if err := s.access(ctx, who, a); err != nil {
		return Where{}, err
	}
	loc, err := s.cfg.Directory.Resolve(ctx, a)
	if acct, here := s.cfg.Store.AccountByAddress(ctx, a); here == nil { // until it is erased
		if to, epoch, gone := s.cfg.Moves.HandedOver(acct.ID); gone {
			return Where{Address: a, Account: acct.ID, Home: to, Epoch: epoch, Why: "handed over by this region, which serves nothing of it any more"}, nil
		}
	}
	if err != nil {
		return Where{}, err
	}
	out := Where{Address: a, Account: loc.Account, Home: loc.Home, Epoch: loc.Epoch, Stale: loc.Stale,
		Why: "the registrar's word, signed by the home region; the residence is known there only"}
	if loc.Home != s.cfg.Region {
		return out, nil
	}
	acct, err := s.cfg.Store.Account(ctx, loc.Account)
	if err != nil {
		return Where{}, err
	}
	out.Node, out.Residence = s.cfg.Node, acct.Residence
	out.Why = fmt.Sprintf("declared residence %s is served by %s, first in the catalog's order (version %d)", acct.Residence, loc.Home, s.cfg.Catalog().Version)
	if acct.State == store.Moving {
		out.Why = "frozen here for its move, and this region's until the handover; move ls tells how far it is"
	}
	return out, nil
}
