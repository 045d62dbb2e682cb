package admin

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"domicile"
	"domicile/disclosure"
	"domicile/region"
)

// SubmitOrder opens a case. A nil Token is an order without one.
type SubmitOrder struct {
	Token    []byte `json:"token,omitempty"`
	Target   string `json:"target"`
	Document []byte `json:"document,omitempty"`
}

// ExplainOrder asks what would be answered; see disclosure.ExplainQuery.
type ExplainOrder struct {
	Case   string                     `json:"case,omitempty"`
	Target string                     `json:"target,omitempty"`
	Bundle string                     `json:"bundle,omitempty"`
	Token  []byte                     `json:"token,omitempty"`
	Date   time.Time                  `json:"date,omitzero"`
	Facts  map[string]json.RawMessage `json:"facts,omitempty"`
}

// JudgeOrder records a person's judgement on a referred case.
type JudgeOrder struct {
	ID       string `json:"id"`
	Decision string `json:"decision"`
	Reason   string `json:"reason"`
}

// ProduceOrder collects and seals. To is the folder that mailctl was given; the node only remembers it.
type ProduceOrder struct {
	ID string `json:"id"`
	To string `json:"to"`
}

// CourtAct is a stay, its lifting or a withdrawal, with the court's paper.
type CourtAct struct {
	ID       string `json:"id"`
	Document []byte `json:"document"`
}

func (s *Server) orderRoutes() {
	e := s.cfg.Orders
	route(s, "order", "submit", lawyers, func(ctx context.Context, who caller, in SubmitOrder) (disclosure.Answer, error) {
		return e.Submit(ctx, who.Peer, in.Token, in.Target, in.Document)
	})
	route(s, "order", "explain", readers, func(ctx context.Context, who caller, in ExplainOrder) (disclosure.Explanation, error) {
		if err := s.looked(ctx, who, map[string]string{"case": in.Case, "target": in.Target}); err != nil {
			return disclosure.Explanation{}, err
		}
		return e.Explain(ctx, who.Peer, in.query())
	})
	route(s, "order", "ls", readers, func(ctx context.Context, who caller, _ struct{}) ([]disclosure.CaseInfo, error) {
		if err := s.looked(ctx, who, nil); err != nil {
			return nil, err
		}
		return listed(e.Cases(ctx, who.Peer))
	})
	route(s, "order", "show", readers, func(ctx context.Context, who caller, in ID) (disclosure.CaseInfo, error) {
		if err := s.looked(ctx, who, map[string]string{"case": in.ID}); err != nil {
			return disclosure.CaseInfo{}, err
		}
		return e.Case(ctx, who.Peer, in.ID)
	})
	route(s, "order", "judge", lawyers, func(ctx context.Context, who caller, in JudgeOrder) (disclosure.Answer, error) {
		return e.Judge(ctx, who.Peer, in.ID, in.Decision, in.Reason)
	})
	route(s, "order", "produce", lawyers, func(ctx context.Context, who caller, in ProduceOrder) (disclosure.Production, error) {
		return e.Produce(ctx, who.Peer, in.ID, in.To)
	})
	route(s, "order", "release", lawyers, func(ctx context.Context, who caller, in ID) (disclosure.Production, error) {
		return e.Release(ctx, who.Peer, in.ID)
	})
	s.handle("order", "deliver", lawyers, s.deliver)
	route(s, "order", "stay", lawyers, s.courtAct((*disclosure.Engine).Stay))
	route(s, "order", "lift", lawyers, s.courtAct((*disclosure.Engine).Lift))
	route(s, "order", "withdraw", lawyers, s.courtAct((*disclosure.Engine).Withdraw))
	route(s, "bundle", "ls", readers, func(context.Context, caller, struct{}) ([]disclosure.BundleInfo, error) {
		return listed(e.Bundles(), nil)
	})
	route(s, "authority", "ls", readers, func(context.Context, caller, struct{}) ([]disclosure.Authority, error) {
		return listed(e.Authorities(), nil)
	})
}

// looked records, before it happens, that somebody looks at cases: they name the accounts that they are about. What was not asked for is
// left out.
func (s *Server) looked(ctx context.Context, who caller, private map[string]string) error {
	maps.DeleteFunc(private, func(_, v string) bool { return v == "" })
	_, err := s.record(ctx, who, "operator."+who.call, "", private)
	return err
}

func (q ExplainOrder) query() disclosure.ExplainQuery {
	return disclosure.ExplainQuery{Case: q.Case, Target: q.Target, Bundle: q.Bundle, Token: q.Token, Date: q.Date, Facts: q.Facts}
}

// listed makes an empty list of no list, so that JSON says [].
func listed[T any](list []T, err error) ([]T, error) {
	if list == nil {
		list = []T{}
	}
	return list, err
}

func (s *Server) courtAct(act func(*disclosure.Engine, context.Context, region.Peer, string, []byte) (disclosure.Answer, error)) func(context.Context, caller, CourtAct) (disclosure.Answer, error) {
	return func(ctx context.Context, who caller, in CourtAct) (disclosure.Answer, error) {
		if len(in.Document) == 0 {
			return disclosure.Answer{}, domicile.E(who.call, domicile.Invalid, "the court's paper is needed; give it with --document FILE")
		}
		return act(s.cfg.Orders, ctx, who.Peer, in.ID, in.Document)
	}
}

func (s *Server) deliver(w http.ResponseWriter, r *http.Request, who caller) error {
	var in ID
	if err := decode(w, r, &in); err != nil {
		return err
	}
	return s.sendProduction(w, r, who, in.ID)
}

// sendProduction streams a released archive. Its permit is the engine's, of class disclosure.
func (s *Server) sendProduction(w http.ResponseWriter, r *http.Request, who caller, id string) error {
	out := &lazyBody{w: w, kind: "application/octet-stream"}
	if err := s.cfg.Orders.Deliver(r.Context(), who.Peer, id, out); err != nil {
		if !out.begun {
			return err
		}
		s.cfg.Log.Warn("admin: a delivery was cut short", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// lazyBody sends its header with the first byte, so that a failure before it can still be told.
type lazyBody struct {
	w     http.ResponseWriter
	kind  string
	begun bool
}

func (b *lazyBody) Write(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		b.w.Header().Set("Content-Type", b.kind)
	}
	// A transfer may take as long as it makes progress.
	http.NewResponseController(b.w).SetWriteDeadline(time.Now().Add(time.Minute))
	return b.w.Write(p)
}
