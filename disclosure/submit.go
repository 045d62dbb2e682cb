package disclosure

import (
	"context"
	"errors"

	"domicile"
	"domicile/audit"
	"domicile/placement"
	"domicile/region"
)

// maxDocument bounds the paper that comes with an order.
const maxDocument = 15 << 20

// engineName stands in a history where no person acted.
const engineName = "engine"

// Answer is what order submit prints. Receipt is the receipt's bytes; the client writes the file.
type Answer struct {
	Case     string          `json:"case"`
	Decision string          `json:"decision"` // execute, refer, object, refuse
	Code     domicile.Reason `json:"code,omitempty"`
	Rule     string          `json:"rule,omitempty"`
	Detail   string          `json:"detail,omitempty"` // names the treaty path where there is one
	Awaiting string          `json:"awaiting,omitempty"`
	State    string          `json:"state"`
	Receipt  []byte          `json:"receipt,omitempty"`
}

// Submit opens a case for an order served on this region. A refusal is an Answer with Decision "refuse" and its receipt,
// not an error. token may be nil (no_token), document too; one that is given must be the one that the token names.
//
// The checks run in this order, each with a code of its own: no_token, clock_unsure, bad_signature, unknown_authority, wrong_role,
// missing_signature, wrong_audience, not_yet_valid, expired, revoked or stayed or status_stale,
// prospective_not_supported, scope_exceeds_basis, replayed; then the target is looked up (not_possessed), preserved,
// and the bundles in force decide. A replayed token's receipt is that of its first use.
//
// An error means that no case is open, or that one is and goes on by itself; submitting again is safe, since a token is
// only spent by collection.
func (e *Engine) Submit(ctx context.Context, who region.Peer, token []byte, target string, document []byte) (Answer, error) {
	by, err := e.officer(who)
	if err != nil {
		return Answer{}, err
	}
	addr, err := placement.ParseAddress(target)
	if err != nil {
		return Answer{}, domicile.W("submit an order: target", err)
	}
	if len(document) > maxDocument {
		return Answer{}, domicile.E("submit an order", domicile.TooLarge, "the document is over 15 MiB")
	}
	c := e.newCase(addr)
	if f, err := e.clock(ctx); err != nil {
		return Answer{}, err
	} else if f != nil && len(token) > 0 { // that there is no token is so on any day
		return e.refuseNew(ctx, c, f, by)
	}
	k := e.checker()
	o, f := k.authenticate(token)
	if o != nil {
		c.describe(o)
	}
	if f == nil {
		f = k.admit(o, addr)
	}
	if f == nil {
		f = checkDocument(o, document)
	}
	if f != nil {
		return e.refuseNew(ctx, c, f, by)
	}
	spent, first, err := e.spent(o)
	if err != nil {
		return Answer{}, err
	}
	if spent {
		return e.refuseReplay(ctx, c, by, first)
	}
	return e.accept(ctx, c, o, by, token, document)
}

// clock returns a finding if the node's clock cannot be relied on now.
func (e *Engine) clock(ctx context.Context) (*finding, error) {
	err := e.cfg.Clock(ctx)
	if r, ok := errors.AsType[*domicile.Error](err); ok && domicile.KindOf(err) == domicile.Refused {
		return found(domicile.ReasonOf(err), ruleClock, "%s", r.Detail), nil
	}
	return nil, err
}

// RefuseExport opens no case but records that an export was asked without an order, and returns the refusal (no_token) with
// its receipt. For operators of any role and of any region: it is they who are refused.
func (e *Engine) RefuseExport(ctx context.Context, who region.Peer, target string) (Answer, error) {
	addr, err := placement.ParseAddress(target)
	if err != nil {
		return Answer{}, domicile.W("refuse an export: target", err)
	}
	leaf, err := e.parts.log.Append(ctx, audit.Entry{Kind: "order.refused", Reason: domicile.NoToken,
		Public:  map[string]string{"order_type": "none", "rule": ruleNoToken, "bundle": e.set.hash},
		Private: map[string]string{"target": string(addr), "by": who.Operator}})
	if err != nil {
		return Answer{}, domicile.W("record the refusal of an export", err)
	}
	a := Answer{Decision: refuse, Code: domicile.NoToken, Rule: ruleNoToken, State: stateRefused,
		Detail: "an account's mail leaves its region only to its owner there, or under an order with a legal-basis token"}
	a.Receipt, err = e.parts.log.Receipt(leaf.Index, false)
	return a, domicile.W("make a receipt", err)
}

func (e *Engine) newCase(target domicile.Address) *caseRecord {
	return &caseRecord{V: caseVersion, Info: CaseInfo{Case: domicile.NewID("c"), Target: string(target), Received: e.cfg.Now().UTC()}}
}

// describe takes over what a token says of itself. What was not verified is bounded by the parser, and kept from the
// public part of the log but for a known order type.
func (c *caseRecord) describe(o *order) {
	if o.claims == nil {
		return
	}
	c.Info.Issuer, c.Info.Docket = o.claims.Issuer, o.claims.Case.Docket
	c.JTI, c.Token, c.Executions = o.claims.JTI, o.digest, o.claims.executions()
	c.Info.OrderType = o.kind.Type
}

func checkDocument(o *order, document []byte) *finding {
	if len(document) == 0 {
		return nil
	}
	got := digestOf(document)
	if got == o.claims.Document || o.claims.Domestic != nil && got == o.claims.Domestic.SHA256 {
		return nil
	}
	return found(domicile.BadSignature, ruleDocument, "the document given is not the one whose digest the token carries")
}

// spent asks whether a token has no use left, and for the leaf of its first.
func (e *Engine) spent(o *order) (bool, audit.Leaf, error) {
	leaf, spent, err := e.parts.log.Spent(audit.Spend{Issuer: o.claims.Issuer, JTI: o.claims.JTI, Max: o.claims.executions()})
	return spent, leaf, domicile.W("ask the ledger of spent tokens", err)
}

// refuseNew records the refusal of an order that became no more than that.
func (e *Engine) refuseNew(ctx context.Context, c *caseRecord, f *finding, by string) (Answer, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.refuse(ctx, c, f, by); err != nil {
		return Answer{}, err
	}
	return e.answer(c)
}

func (e *Engine) refuseReplay(ctx context.Context, c *caseRecord, by string, first audit.Leaf) (Answer, error) {
	a, err := e.refuseNew(ctx, c, found(domicile.Replayed, ruleReplay, "the token was executed already; the receipt is that of its first use"), by)
	if err != nil {
		return a, err
	}
	a.Receipt, err = e.parts.log.Receipt(first.Index, false)
	return a, domicile.W("make the receipt of the first use", err)
}

// refuse ends a case. Call under e.mu.
func (e *Engine) refuse(ctx context.Context, c *caseRecord, f *finding, by string) error {
	c.Info.Decision, c.Info.Code, c.Info.Rule, c.Info.Detail, c.Info.Awaiting = refuse, f.Code, f.Rule, f.Detail, ""
	return e.step(ctx, c, act{state: stateRefused, by: by, reason: f.Code,
		public: map[string]string{"rule": f.Rule, "bundle": e.set.hash}})
}

// accept opens the case of a good order and takes it as far as it goes by itself.
func (e *Engine) accept(ctx context.Context, c *caseRecord, o *order, by string, token, document []byte) (Answer, error) {
	loc, err := e.cfg.Resolve(ctx, domicile.Address(c.Info.Target))
	switch {
	case domicile.KindOf(err) == domicile.NotExist:
		return e.refuseNew(ctx, c, found(domicile.NotPossessed, ruleTarget, "there is no account of that address"), by)
	case domicile.ReasonOf(err) == domicile.DomainNotServed:
		return e.refuseNew(ctx, c, found(domicile.NotPossessed, ruleTarget, "the address is of a domain that no region here serves"), by)
	}
	if err != nil {
		return Answer{}, domicile.W("find where the target's account rests", err)
	}
	c.Account, c.Home = loc.Account, loc.Home
	if _, err := e.subject(ctx, c.Account, c.Home); domicile.KindOf(err) == domicile.NotExist {
		return e.refuseNew(ctx, c, found(domicile.NotPossessed, ruleTarget, "the account does not rest here any more"), by)
	} else if err != nil {
		return Answer{}, err
	}
	if err := e.saveFile(c.Info.Case, "token", token); err != nil {
		return Answer{}, err
	}
	if len(document) > 0 {
		c.Document = digestOf(document)
		if err := e.saveFile(c.Info.Case, "document", document); err != nil {
			return Answer{}, err
		}
	}
	if err := e.open(ctx, c, by, ""); err != nil {
		return Answer{}, err
	}
	if c.Notice != nil {
		_ = e.goOn(ctx, c.Info.Case) // the answer says whether it was told; work tries again
		if c, err = e.loadCase(c.Info.Case); err != nil {
			return Answer{}, err
		}
	}
	return e.answer(c)
}

// open records a new case and takes it as far as it goes by itself.
func (e *Engine) open(ctx context.Context, c *caseRecord, by, note string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.step(ctx, c, act{state: stateReceived, by: by, note: note}); err != nil {
		return err
	}
	e.todo[c.Info.Case] = true
	if err := e.advance(ctx, c, nil); err != nil {
		return err
	}
	if !c.unfinished() {
		delete(e.todo, c.Info.Case)
	}
	return nil
}

// advance takes a case from wherever a submission or a crash left it to its decision. If unsure says that the clock cannot be
// relied on, a case is preserved and waits before its decision; one that is a person's anyway does not wait. Call under e.mu.
func (e *Engine) advance(ctx context.Context, c *caseRecord, unsure error) error {
	for {
		var err error
		switch c.Info.State {
		case stateReceived:
			if c.ToldBy != "" { // nobody served it here, so nothing is authenticated here
				err = e.preserve(ctx, c)
				break
			}
			err = e.step(ctx, c, act{state: stateAuthenticated, by: engineName})
		case stateAuthenticated:
			err = e.preserve(ctx, c)
		case statePreserved:
			if err = unsure; err == nil || c.ToldBy != "" {
				err = e.decide(ctx, c)
			}
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// reopen reads a case's token again and checks it as of now, in everything that may have changed since.
func (e *Engine) reopen(c *caseRecord) (*order, *finding, error) {
	text, err := e.readFile(c.Info.Case, "token")
	if err != nil {
		return nil, nil, err
	}
	k := e.checker()
	o, f := k.authenticate(text)
	switch {
	case f != nil:
	case c.ToldBy != "":
		f = k.admitTold(o, c.ToldBy, domicile.Address(c.Info.Target))
	default:
		f = k.admit(o, domicile.Address(c.Info.Target))
	}
	return o, f, nil
}

// decide puts the order to the bundles in force and records what they answer. Call under e.mu.
func (e *Engine) decide(ctx context.Context, c *caseRecord) error {
	o, f, err := e.reopen(c)
	if err != nil {
		return err
	}
	if c.ToldBy != "" {
		return e.referTold(ctx, c, o, f)
	}
	if f != nil {
		return e.refuse(ctx, c, f, engineName)
	}
	rec, err := e.consult(ctx, c, o)
	if err != nil {
		return err
	}
	c.Record = &rec
	return e.conclude(ctx, c, engineName)
}

// consult makes the decision, and changes nothing.
func (e *Engine) consult(ctx context.Context, c *caseRecord, o *order) (Record, error) {
	s, err := e.subject(ctx, c.Account, c.Home)
	if err != nil {
		return Record{}, err
	}
	k := e.checker()
	facts := k.facts(o, s, c.ToldBy != "")
	facts.Judged, facts.Approvals = len(c.Judgements) > 0, int64(len(c.Judgements))
	return e.set.record(facts, k.now)
}

// subject looks up what this region knows of an account.
func (e *Engine) subject(ctx context.Context, id domicile.AccountID, home domicile.Region) (subject, error) {
	s := subject{account: id, home: home}
	if home != e.cfg.Region {
		return s, nil
	}
	acct, err := e.cfg.Store.Account(ctx, id)
	if err != nil {
		return s, domicile.W("read the target's account", err)
	}
	s.residence, s.class = acct.Residence, acct.Class
	if e.cfg.Protected != nil {
		s.protected, err = e.cfg.Protected(ctx, id)
	}
	return s, domicile.W("ask whether the account is a protected person's", err)
}

// conclude records a decision made. Call under e.mu.
func (e *Engine) conclude(ctx context.Context, c *caseRecord, by string) error {
	d := c.Record.Decision
	c.Info.Decision, c.Info.Code, c.Info.Rule, c.Info.Detail, c.Info.Awaiting = d.Decision, d.Code, d.Rule, d.Detail, d.Awaiting
	a := act{by: by, reason: d.Code, public: map[string]string{"decision": d.Decision, "rule": d.Rule,
		"bundle": c.Record.BundleHash}, private: map[string]string{"facts": c.Record.FactsHash}}
	switch d.Decision {
	case execute:
		a.state = stateDecided
	case refer:
		a.state = stateReferred
	default:
		a.state = stateRefused
	}
	if d.Decision == refer && d.Rule == ruleAbroad {
		c.Notice = &noticeState{To: c.Home}
	}
	return e.step(ctx, c, a)
}
