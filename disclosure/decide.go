package disclosure

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"

	"domicile"
)

// The answers that a decision can be.
const (
	execute = "execute"
	refer   = "refer"
	object  = "object"
	refuse  = "refuse"
)

// Decision is what a set of bundles answers to facts.
type Decision struct {
	Decision string          `json:"decision"` // execute, refer, object, refuse
	Code     domicile.Reason `json:"code,omitempty"`
	Rule     string          `json:"rule,omitempty"` // the policy that decided
	Path     string          `json:"path,omitempty"` // the way that would be open, such as "mlat"
	Detail   string          `json:"detail,omitempty"`
	Awaiting string          `json:"awaiting,omitempty"`
	Rules    []string        `json:"rules"` // ids of every policy that determined one of the four answers, sorted
	Preserve bool            `json:"preserve"`
	Execute  bool            `json:"execute"`
	Refer    bool            `json:"refer"`
	Notify   bool            `json:"notify"`
}

// Record is a decision with all that it came from, so that anybody can make it again, bit for bit: [Replay].
type Record struct {
	Bundles    []string        `json:"bundles"`
	BundleHash string          `json:"bundle_hash"`
	AsOf       int64           `json:"as_of"` // Unix seconds of the law applied; 0: whatever its dates
	Facts      json.RawMessage `json:"facts"` // canonical
	FactsHash  string          `json:"facts_hash"`
	Decision   Decision        `json:"decision"`
}

// record decides and keeps what it decided from.
func (s *policySet) record(f Facts, asOf time.Time) (Record, error) {
	text, err := f.canonical()
	if err != nil {
		return Record{}, domicile.W("record a decision", err)
	}
	r := Record{Bundles: s.names, BundleHash: s.hash, Facts: text, FactsHash: digestOf(text), Decision: s.decide(f, asOf)}
	if !asOf.IsZero() {
		r.AsOf = asOf.Unix()
	}
	return r, nil
}

// Replay makes a recorded decision again from its facts and the bundles of this release. It returns an error if bundles
// or facts are not those of the record, or the answer differs in anything.
func Replay(r Record) (Decision, error) {
	const op = "replay a decision"
	all, err := loadBundles()
	if err != nil {
		return Decision{}, err
	}
	s, err := choose(all, r.Bundles)
	if err != nil {
		return Decision{}, err
	}
	if s.hash != r.BundleHash {
		return Decision{}, domicile.E(op, domicile.Invalid, "this release's bundles are not those of the record")
	}
	if digestOf(r.Facts) != r.FactsHash {
		return Decision{}, domicile.E(op, domicile.Invalid, "the facts are not those of the record")
	}
	var f Facts
	if err := strictJSON(r.Facts, &f); err != nil {
		return Decision{}, domicile.E(op, domicile.Invalid, "facts: "+err.Error())
	}
	var asOf time.Time
	if r.AsOf != 0 {
		asOf = time.Unix(r.AsOf, 0)
	}
	d := s.decide(f, asOf)
	got, err := json.Marshal(d)
	if err != nil {
		return d, domicile.W(op, err)
	}
	want, err := json.Marshal(r.Decision)
	if err != nil {
		return d, domicile.W(op, err)
	}
	if string(got) != string(want) {
		return d, domicile.E(op, domicile.Invalid, "the answer is another one now")
	}
	return d, nil
}

// decide asks the four questions separately and then takes, in this order: a forbid on execute, a referral, a permit
// to execute, else no. What two legal officers judged needs no referral any more, but a forbid still stops it.
func (s *policySet) decide(f Facts, asOf time.Time) Decision {
	q := question{set: s, facts: f, asOf: asOf, context: f.record()}
	forbids := q.ask(execute, true)
	permits := q.ask(execute, false)
	refers := q.ask(refer, false)
	preserves := q.ask("preserve", false)
	notifies := q.ask("notify", false)
	d := Decision{Preserve: len(preserves) > 0, Notify: len(notifies) > 0, Refer: len(refers) > 0, Rules: []string{}}
	for _, p := range slices.Concat(forbids, permits, refers, preserves, notifies) {
		d.Rules = append(d.Rules, p.id)
	}
	d.Rules = sorted(d.Rules)
	referring := slices.DeleteFunc(slices.Clone(forbids), func(p policy) bool { return !p.refers })
	forbids = slices.DeleteFunc(forbids, func(p policy) bool { return p.refers })
	judged := f.Judged && f.Approvals >= 2
	switch {
	case q.err != nil: // a policy that cannot be evaluated decides nothing, so the answer is no
		d.answer(refuse, policy{id: house, code: domicile.NoLegalBasis, says: q.err.Error()})
	case f.StorageRegion != f.Region:
		d.answer(refer, policy{id: ruleAbroad, code: domicile.ContentStoredAbroad, awaiting: f.StorageRegion,
			says: "nothing of the account rests in this region; the storing region is told and a person there decides by its law"})
	case len(forbids) > 0:
		d.answer(refuse, forbids[0])
	case judged:
		d.Execute = true
		d.answer(execute, policy{id: ruleJudgement, says: "two legal officers decided"})
	case len(referring) > 0 && len(permits) > 0:
		d.answer(refer, referring[0])
	case len(refers) > 0:
		d.answer(refer, refers[0])
	case len(permits) > 0:
		d.Execute = true
		d.answer(execute, permits[0])
	default:
		d.answer(refuse, s.unmet())
	}
	return d
}

func (d *Decision) answer(decision string, p policy) {
	d.Decision, d.Rule, d.Path, d.Detail, d.Awaiting = decision, p.id, p.path, p.says, p.awaiting
	d.Code = p.code
	switch decision {
	case execute:
		d.Code, d.Path = "", ""
	case refer:
		d.Awaiting = or(p.awaiting, "a person's judgement")
		if d.Code == "" {
			d.Code = domicile.Referred
		}
	}
	if d.Path == "mlat" {
		d.Detail += "; the path that is open: a request under the treaty (mlat.request), through the central authorities, with this state's own order"
	}
}

// unmet is why nothing permits execution: what the set's permits would have needed.
func (s *policySet) unmet() policy {
	p := policy{id: "house/default-refuse", code: domicile.NoLegalBasis, says: "no policy in force permits it"}
	for _, q := range s.policies {
		if q.needs != "" {
			p.id, p.path = q.id, q.path
			p.says += "; " + q.bundle + " needs " + q.needs
		}
	}
	return p
}

// question is one set of facts put to one set of policies.
type question struct {
	set     *policySet
	facts   Facts
	asOf    time.Time
	context cedar.Record
	err     error
}

// ask returns the policies of one effect that apply to an action, in the set's order.
func (q *question) ask(action string, forbids bool) []policy {
	set := cedar.NewPolicySet()
	for _, p := range q.set.policies {
		if p.forbids != forbids || !p.on(q.asOf) {
			continue
		}
		set.Add(cedar.PolicyID(p.id), p.cedar)
	}
	_, diag := cedar.Authorize(set, cedar.EntityMap{}, cedar.Request{
		Principal: cedar.NewEntityUID("Authority", cedar.String(q.facts.Issuer)),
		Action:    cedar.NewEntityUID("Action", cedar.String(action)),
		Resource:  cedar.NewEntityUID("Region", cedar.String(q.facts.StorageRegion)),
		Context:   q.context,
	})
	for _, e := range diag.Errors {
		q.err = fmt.Errorf("the policy %s could not be evaluated", e.PolicyID)
	}
	var out []policy
	for _, p := range q.set.policies {
		if slices.ContainsFunc(diag.Reasons, func(r cedar.DiagnosticReason) bool { return string(r.PolicyID) == p.id }) {
			out = append(out, p)
		}
	}
	return out
}
