package disclosure

import (
	"context"
	"encoding/json"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/region"
)

// Explanation says what a set of bundles answers, and by which rules and facts.
type Explanation struct {
	Decision   string          `json:"decision"`
	Code       domicile.Reason `json:"code,omitempty"`
	Rule       string          `json:"rule,omitempty"`
	Path       string          `json:"path,omitempty"`
	Detail     string          `json:"detail,omitempty"`
	Awaiting   string          `json:"awaiting,omitempty"`
	Rules      []string        `json:"rules"` // ids of every policy that determined an answer
	Preserve   bool            `json:"preserve"`
	Execute    bool            `json:"execute"`
	Refer      bool            `json:"refer"`
	Notify     bool            `json:"notify"`
	Bundles    []string        `json:"bundles"`
	BundleHash string          `json:"bundle_hash"`
	Facts      json.RawMessage `json:"facts"`
	FactsHash  string          `json:"facts_hash"`
}

// ExplainQuery asks what would be answered; nothing changes. Case, or Token and Target. Bundle "" = those in force, whose
// policies count within their dates; a bundle that is named answers whatever its dates, unless Date is given. Date is
// also that at which agreements must be in force; the token's own dates are then not checked. Facts override single
// facts.
type ExplainQuery struct {
	Case, Target, Bundle string
	Token                []byte
	Date                 time.Time
	Facts                map[string]json.RawMessage
}

// Explain answers q for a legal officer or an auditor. What the checks of a token refuse before any bundle is asked is
// answered too, with the rule that refused. A spent token is explained like any other.
func (e *Engine) Explain(ctx context.Context, who region.Peer, q ExplainQuery) (Explanation, error) {
	if err := e.reader(who); err != nil {
		return Explanation{}, err
	}
	set, asOf, err := e.asked(q)
	if err != nil {
		return Explanation{}, err
	}
	c, token, err := e.inQuestion(ctx, q)
	if err != nil {
		return Explanation{}, err
	}
	o, k, f := e.examine(c, token, q.Date)
	if f != nil {
		return refusedBefore(set, f), nil
	}
	s, err := e.subject(ctx, c.Account, c.Home)
	if err != nil {
		return Explanation{}, err
	}
	facts := k.facts(o, s, c.ToldBy != "")
	facts.Judged, facts.Approvals = len(c.Judgements) > 0, int64(len(c.Judgements))
	if facts, err = facts.with(q.Facts); err != nil {
		return Explanation{}, err
	}
	rec, err := set.record(facts, asOf)
	if err != nil {
		return Explanation{}, err
	}
	return explained(rec), nil
}

// asked chooses the policies and the date as of which they count.
func (e *Engine) asked(q ExplainQuery) (*policySet, time.Time, error) {
	if q.Bundle == "" {
		asOf := q.Date
		if asOf.IsZero() {
			asOf = e.cfg.Now()
		}
		return e.set, asOf, nil
	}
	set, err := choose(e.all, []string{q.Bundle})
	return set, q.Date, err
}

// inQuestion finds the case and token that q is about. A case that is only asked about is never stored.
func (e *Engine) inQuestion(ctx context.Context, q ExplainQuery) (*caseRecord, []byte, error) {
	const op = "explain an order"
	if q.Case != "" {
		c, err := e.loadCase(q.Case)
		if err != nil {
			return nil, nil, err
		}
		token, err := e.readFile(q.Case, "token")
		return c, token, err
	}
	addr, err := placement.ParseAddress(q.Target)
	if err != nil {
		return nil, nil, domicile.W(op+": target", err)
	}
	c := e.newCase(addr)
	loc, err := e.cfg.Resolve(ctx, addr)
	if err != nil {
		return nil, nil, domicile.W(op+": find where the target's account rests", err)
	}
	c.Account, c.Home = loc.Account, loc.Home
	return c, q.Token, nil
}

// examine checks a token as Submit does, replay aside.
func (e *Engine) examine(c *caseRecord, token []byte, date time.Time) (*order, *checker, *finding) {
	k := e.checker()
	o, f := k.authenticate(token)
	if f != nil {
		return o, k, f
	}
	if c.ToldBy != "" {
		return o, k, nil
	}
	if f = k.audience(o); f == nil && date.IsZero() {
		f = k.dates(o)
	}
	if f == nil {
		f = k.status(o)
	}
	if f == nil {
		f = k.scope(o, domicile.Address(c.Info.Target))
	}
	k.date = date
	return o, k, f
}

func refusedBefore(set *policySet, f *finding) Explanation {
	return Explanation{Decision: refuse, Code: f.Code, Rule: f.Rule, Detail: f.Detail, Rules: []string{f.Rule},
		Bundles: set.names, BundleHash: set.hash, Facts: json.RawMessage("{}"), FactsHash: digestOf([]byte("{}"))}
}

func explained(r Record) Explanation {
	d := r.Decision
	return Explanation{Decision: d.Decision, Code: d.Code, Rule: d.Rule, Path: d.Path, Detail: d.Detail, Awaiting: d.Awaiting,
		Rules: d.Rules, Preserve: d.Preserve, Execute: d.Execute, Refer: d.Refer, Notify: d.Notify,
		Bundles: r.Bundles, BundleHash: r.BundleHash, Facts: r.Facts, FactsHash: r.FactsHash}
}
