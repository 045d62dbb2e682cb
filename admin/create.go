package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"domicile"
	"domicile/placement"
	"domicile/residence"
	"domicile/store"
)

// intent is what is kept while an account is being made, so that a second try finishes what the first began: its key is
// the address. The claim at the registrar and the account here bear the same id.
type intent struct {
	V  int                `json:"v"` // 1
	ID domicile.AccountID `json:"id"`
}

func (s *Server) createAccount(ctx context.Context, who caller, in CreateAccount) (Account, error) {
	const op = "create account"
	a, country, err := s.mayCreate(in)
	if err != nil {
		return Account{}, domicile.W(op, err)
	}
	evidence, err := s.evidence(country, in.Evidence)
	if err == nil { // before anything is begun: no account is left half made for want of evidence
		err = residence.Initial(country, evidence, s.cfg.Now())
	}
	if err != nil {
		return Account{}, domicile.W(op, err)
	}
	phc, scram, err := s.hash(a, in.Password)
	if err != nil {
		return Account{}, domicile.W(op, err)
	}
	if err := s.access(ctx, who, a); err != nil {
		return Account{}, err
	}
	// From here on a caller who goes away must not leave a claim without an account.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	want, err := s.intend(ctx, a)
	if err != nil {
		return Account{}, domicile.W(op, err)
	}
	made, err := s.make(ctx, who, store.Account{ID: want.ID, Address: a, Residence: country, Password: phc, Scram: scram, Epoch: 1, Quota: in.Quota, Created: s.cfg.Now()}, evidence)
	return made, domicile.W(op, err)
}

// mayCreate is everything that can be said before anything is done.
func (s *Server) mayCreate(in CreateAccount) (domicile.Address, domicile.Country, error) {
	a, err := placement.ParseAddress(in.Address)
	if err != nil {
		return "", "", err
	}
	country, err := domicile.ParseCountry(in.Residence)
	if err != nil {
		return "", "", err
	}
	cat := s.cfg.Catalog()
	home, err := placement.Place(country, cat.Placement())
	if err != nil {
		return "", "", err
	}
	if home != s.cfg.Region {
		return "", "", domicile.Refuse("", domicile.WrongRegion, "house/home-creates", s.wayTo(home, country))
	}
	if _, ok := cat.Registrar(a.Domain()); !ok {
		return "", "", domicile.Refuse("", domicile.DomainNotServed, "house/catalog-domains", "the domain is not in the catalog")
	}
	if in.Quota < 0 {
		return "", "", domicile.E("", domicile.Invalid, "a quota is a number of bytes, 0 for none")
	}
	return a, country, nil
}

// wayTo says which region to ask instead, and how to reach its nodes as far as gossip knows.
func (s *Server) wayTo(home domicile.Region, country domicile.Country) string {
	text := fmt.Sprintf("residents of %s are placed in %s; ask the admin address of that region", country, home)
	for _, m := range s.cfg.Network.Members() {
		if m.Region == home && m.Alive && m.Admin != "" {
			return fmt.Sprintf("%s: %s, on its node %s", text, m.Admin, m.Name)
		}
	}
	return text
}

// intend returns the id under which the account of a is being made, new or from an earlier try.
func (s *Server) intend(ctx context.Context, a domicile.Address) (intent, error) {
	for range 3 {
		raw, ok, err := s.intents.Get(string(a))
		if err != nil {
			return intent{}, err
		}
		if ok {
			var was intent
			if err := json.Unmarshal(raw, &was); err != nil || was.V != 1 {
				return intent{}, domicile.E("", domicile.Invalid, "a record of an account under way cannot be read by this release")
			}
			return was, nil
		}
		if _, err := s.cfg.Store.AccountByAddress(ctx, a); err == nil {
			return intent{}, domicile.E("", domicile.Exist, "there is such an account already")
		} else if domicile.KindOf(err) != domicile.NotExist {
			return intent{}, err
		}
		now := intent{V: 1, ID: domicile.AccountID(domicile.NewID("a"))}
		if raw, err = json.Marshal(now); err != nil {
			return intent{}, err
		}
		if swapped, err := s.intents.CompareAndSwap(string(a), nil, raw); err != nil {
			return intent{}, err
		} else if swapped {
			return now, nil
		}
	}
	return intent{}, domicile.E("", domicile.Conflict, "somebody else is making this account")
}

// make claims the name, makes the account, enters its residence and records it: each step may be repeated, and the
// intent goes only when all are done or the registrar said that the name is another's.
func (s *Server) make(ctx context.Context, who caller, a store.Account, evidence []residence.Evidence) (Account, error) {
	err := s.cfg.Directory.Claim(ctx, a.Address, a.ID, a.Epoch)
	if domicile.KindOf(err) == domicile.Refused {
		s.intents.CompareAndSwap(string(a.Address), mustIntent(a.ID), nil) // the refusal is the answer either way
		return Account{}, err
	}
	if err != nil {
		return Account{}, err
	}
	if err := s.cfg.Store.CreateAccount(ctx, store.Token("create-"+string(a.ID)), a); err != nil {
		return Account{}, err
	}
	// An earlier try may have made it, with the password of then.
	err = s.cfg.Store.UpdateAccount(ctx, a.ID, func(made *store.Account) error {
		made.Password, made.Scram, made.Quota = a.Password, a.Scram, a.Quota
		return nil
	})
	if err != nil {
		return Account{}, err
	}
	declared := residence.Declaration{Account: a.ID, Country: a.Residence, Evidence: evidence}
	if err := s.cfg.Residence.Declare(ctx, declared, actor(who)); err != nil {
		return Account{}, err
	}
	leaf, err := s.record(ctx, who, "account.created", a.Address, map[string]string{"account": string(a.ID), "residence": string(a.Residence)})
	if err != nil {
		return Account{}, err
	}
	if _, err := s.intents.CompareAndSwap(string(a.Address), mustIntent(a.ID), nil); err != nil {
		return Account{}, err
	}
	made, err := s.cfg.Store.Account(ctx, a.ID)
	out := s.view(made)
	out.Leaf = &leaf.Index
	return out, err
}

func mustIntent(id domicile.AccountID) []byte {
	raw, _ := json.Marshal(intent{V: 1, ID: id}) // two strings and a number: cannot fail
	return raw
}

// hash checks the form of a password and returns what is kept of it: its hash, and its verifier for SCRAM.
func (s *Server) hash(a domicile.Address, password string) (phc, scram string, err error) {
	switch {
	case len(password) < 8 || len(password) > 1024:
		return "", "", domicile.E("password", domicile.Invalid, "8 to 1024 bytes; give it on the standard input with --password-stdin")
	case !utf8.ValidString(password):
		return "", "", domicile.E("password", domicile.Invalid, "not UTF-8")
	}
	if scram, err = s.cfg.Passwords.Verifier(string(a), password); err == nil {
		phc, err = s.cfg.Passwords.Hash(password)
	}
	return phc, scram, err
}
