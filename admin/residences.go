package admin

import (
	"context"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/residence"
)

// DeclareResidence asks for a change of an account's residence.
type DeclareResidence struct {
	Address  string   `json:"address"`
	Country  string   `json:"country"`
	Evidence []string `json:"evidence"` // each "KIND=CC"
}

// ShowResidence asks what held At a time, as far as was known at KnownAt; zero = now.
type ShowResidence struct {
	Address string    `json:"address"`
	At      time.Time `json:"at,omitzero"`
	KnownAt time.Time `json:"known_at,omitzero"`
}

// ResidenceView is an account's residence and how it came to be.
type ResidenceView struct {
	Address domicile.Address `json:"address"`
	residence.Standing
	History []residence.Entry `json:"history"`
}

// ID names a case or a change.
type ID struct {
	ID string `json:"id"`
}

func (s *Server) residenceRoutes() {
	route(s, "residence", "declare", operators, dated(s, s.declareResidence))
	route(s, "residence", "ls", anyone, s.listChanges)
	route(s, "residence", "show", anyone, s.showResidence)
	route(s, "residence", "approve", operators, dated(s, s.approved))
	route(s, "residence", "reject", operators, s.reviewed((*residence.Ledger).Reject))
	route(s, "residence", "contest", operators, s.reviewed((*residence.Ledger).Contest))
}

// actor is who asks, in the ledger's words.
func actor(who caller) residence.Actor {
	return residence.Actor{Name: who.Operator, Region: who.Region, Legal: who.HasRole("legal")}
}

// evidence parses items; without any the operator's own statement is the one.
func (s *Server) evidence(country domicile.Country, items []string) ([]residence.Evidence, error) {
	if len(items) == 0 {
		items = []string{string(residence.Statement) + "=" + string(country)}
	}
	out := make([]residence.Evidence, len(items))
	for i, item := range items {
		e, err := residence.ParseEvidence(item)
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}

func (s *Server) declareResidence(ctx context.Context, who caller, in DeclareResidence) (residence.Change, error) {
	country, err := domicile.ParseCountry(in.Country)
	if err != nil {
		return residence.Change{}, err
	}
	if _, err := placement.Place(country, s.cfg.Catalog().Placement()); err != nil {
		return residence.Change{}, err
	}
	if len(in.Evidence) == 0 {
		return residence.Change{}, domicile.Refuse(who.call, domicile.EvidenceInsufficient, "residence/two-independent-items",
			"a change needs two items of different kinds; give each with --evidence KIND=CC")
	}
	items, err := s.evidence(country, in.Evidence)
	if err != nil {
		return residence.Change{}, err
	}
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return residence.Change{}, err
	}
	return s.cfg.Residence.Request(ctx, residence.Request{Account: a.ID, Country: country, Evidence: items}, actor(who))
}

func (s *Server) listChanges(ctx context.Context, who caller, _ struct{}) ([]residence.Change, error) {
	if err := s.access(ctx, who, ""); err != nil {
		return nil, err
	}
	out, err := s.cfg.Residence.Changes()
	if out == nil {
		out = []residence.Change{}
	}
	return out, err
}

func (s *Server) showResidence(ctx context.Context, who caller, in ShowResidence) (ResidenceView, error) {
	a, err := s.find(ctx, who, in.Address)
	if err != nil {
		return ResidenceView{}, err
	}
	now, err := s.cfg.Residence.Now(a.ID)
	if err == nil && (!in.At.IsZero() || !in.KnownAt.IsZero()) {
		now, err = s.cfg.Residence.At(a.ID, orNow(in.At, s.cfg.Now()), orNow(in.KnownAt, s.cfg.Now()))
	}
	if err != nil {
		return ResidenceView{}, err
	}
	history, err := listed(s.cfg.Residence.History(a.ID, actor(who)))
	return ResidenceView{Address: a.Address, Standing: now.For(actor(who)), History: history}, err
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

// dated refuses an act that begins or ends a time of waiting while the node's clock cannot be relied on.
func dated[In, Out any](s *Server, act func(context.Context, caller, In) (Out, error)) func(context.Context, caller, In) (Out, error) {
	return func(ctx context.Context, who caller, in In) (out Out, err error) {
		if err := s.cfg.Clock(ctx); err != nil {
			return out, err
		}
		return act(ctx, who, in)
	}
}

// approved has the change become a move at once.
func (s *Server) approved(ctx context.Context, who caller, in ID) (residence.Change, error) {
	c, err := s.reviewed((*residence.Ledger).Approve)(ctx, who, in)
	if err == nil {
		s.cfg.Moves.Wake()
	}
	return c, err
}

func (s *Server) reviewed(act func(*residence.Ledger, context.Context, string, residence.Actor) (residence.Change, error)) func(context.Context, caller, ID) (residence.Change, error) {
	return func(ctx context.Context, who caller, in ID) (residence.Change, error) {
		if err := s.access(ctx, who, ""); err != nil {
			return residence.Change{}, err
		}
		return act(s.cfg.Residence, ctx, in.ID, actor(who))
	}
}
