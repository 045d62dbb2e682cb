package admin

import (
	"context"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"domicile"
	"domicile/store"
)

// AddAppPassword asks for a password of one device or program.
type AddAppPassword struct {
	Address string `json:"address"`
	Label   string `json:"label"`           // what its owner calls it, 1 to 64 bytes
	Scope   string `json:"scope,omitempty"` // imap or smtp, to which alone it is good; "" = both
}

// RemoveAppPassword takes one away.
type RemoveAppPassword struct {
	Address string `json:"address"`
	ID      string `json:"id"`
}

// AppPassword is one as operators see it.
type AppPassword struct {
	ID       string `json:"id"`
	Label    string `json:"label"`
	Scope    string `json:"scope,omitempty"`
	Made     string `json:"made"`               // day
	Used     string `json:"used,omitempty"`     // the last day; absent: never
	Password string `json:"password,omitempty"` // in add only: it is told once
}

// AppPasswords are those of an account, the oldest first.
type AppPasswords struct {
	Address domicile.Address   `json:"address"`
	Account domicile.AccountID `json:"account"`
	List    []AppPassword      `json:"list"`
	Leaf    *uint64            `json:"leaf,omitempty"` // in add and rm: the record of it
}

const maxLabel = 64 // bytes

func (s *Server) appPasswordRoutes() {
	route(s, "account", "app-password-add", operators, s.addAppPassword)
	route(s, "account", "app-password-ls", anyone, s.listAppPasswords)
	route(s, "account", "app-password-rm", operators, s.removeAppPassword)
}

func (s *Server) listAppPasswords(ctx context.Context, who caller, in Target) (AppPasswords, error) {
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return AppPasswords{}, err
	}
	return appView(a), nil
}

func appView(a store.Account) AppPasswords {
	out := AppPasswords{Address: a.Address, Account: a.ID, List: []AppPassword{}}
	for _, p := range a.AppPasswords {
		out.List = append(out.List, AppPassword{ID: p.ID, Label: p.Label, Scope: p.Scope, Made: p.Made, Used: p.Used})
	}
	return out
}

// addAppPassword writes down that there will be one more, then makes it. The answer holds it alone.
func (s *Server) addAppPassword(ctx context.Context, who caller, in AddAppPassword) (AppPasswords, error) {
	if in.Scope != "" && in.Scope != "imap" && in.Scope != "smtp" {
		return AppPasswords{}, domicile.E(who.call, domicile.Invalid, "a scope is imap or smtp; without one it is good for both")
	}
	if in.Label == "" || len(in.Label) > maxLabel || !utf8.ValidString(in.Label) || slices.ContainsFunc([]rune(in.Label), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return AppPasswords{}, domicile.E(who.call, domicile.Invalid, "a label is 1 to 64 bytes that can be printed")
	}
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return AppPasswords{}, err
	}
	password, kept := s.cfg.Passwords.NewApp()
	scram, err := s.cfg.Passwords.Verifier(string(a.Address), password)
	if err != nil {
		return AppPasswords{}, err
	}
	p := store.AppPassword{ID: domicile.NewID("p"), Label: in.Label, Scope: in.Scope, Kept: kept, Scram: scram, Made: s.cfg.Now().UTC().Format(time.DateOnly)}
	out, err := s.changeAppPasswords(ctx, who, a, "account.app_password_added", p.ID, func(a *store.Account) error {
		if len(a.AppPasswords) >= store.MaxAppPasswords {
			return domicile.E(who.call, domicile.Conflict, "the account has 32 already; take one away first")
		}
		a.AppPasswords = append(slices.Clone(a.AppPasswords), p)
		return nil
	})
	out.List = []AppPassword{{ID: p.ID, Label: p.Label, Scope: p.Scope, Made: p.Made, Password: password}}
	return out, err
}

// removeAppPassword answers with those that are left.
func (s *Server) removeAppPassword(ctx context.Context, who caller, in RemoveAppPassword) (AppPasswords, error) {
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return AppPasswords{}, err
	}
	is := func(p store.AppPassword) bool { return p.ID == in.ID }
	if !slices.ContainsFunc(a.AppPasswords, is) {
		return AppPasswords{}, domicile.E(who.call, domicile.NotExist, "the account has no such app password; app-password ls shows them")
	}
	return s.changeAppPasswords(ctx, who, a, appPasswordRemoved, in.ID, func(a *store.Account) error {
		a.AppPasswords = slices.DeleteFunc(slices.Clone(a.AppPasswords), is)
		return nil
	})
}

// changeAppPasswords records an act, then does it.
func (s *Server) changeAppPasswords(ctx context.Context, who caller, a store.Account, kind, id string, fn func(*store.Account) error) (AppPasswords, error) {
	leaf, err := s.record(ctx, who, kind, a.Address, appPasswordFacts(a, id))
	if err != nil {
		return AppPasswords{}, err
	}
	now, err := s.save(ctx, a.ID, fn)
	if err != nil {
		return AppPasswords{}, err
	}
	out := appView(now)
	out.Leaf = &leaf.Index
	return out, nil
}

// appPasswordRemoved is the leaf of one that is taken away.
const appPasswordRemoved = "account.app_password_removed"

// appPasswordFacts are what a leaf says of one.
func appPasswordFacts(a store.Account, id string) map[string]string {
	return map[string]string{"account": string(a.ID), "app_password": id}
}
