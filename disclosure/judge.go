package disclosure

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"domicile"
	"domicile/region"
)

// maxReason bounds a person's reason. The case keeps at most two of them beside the rest.
const maxReason = 4 << 10

// Judge records a person's judgement on a referred case: "execute" or "refuse" ("object" is a refusal with the reason
// that the addressee objects). Execution needs two different legal officers; the first one's answer is refer with
// dual_approval_missing. After the second, the bundles are asked once more, since what two persons decide still meets
// every forbid. A case that another region told of cannot be executed: the order was not addressed to this region.
func (e *Engine) Judge(ctx context.Context, who region.Peer, id, decision, reason string) (Answer, error) {
	const op = "judge a case"
	by, err := e.officer(who)
	if err != nil {
		return Answer{}, err
	}
	if decision != execute && decision != refuse && decision != object {
		return Answer{}, domicile.E(op, domicile.Invalid, "the decision is execute, refuse or object")
	}
	if strings.TrimSpace(reason) == "" || len(reason) > maxReason || !utf8.ValidString(reason) || strings.ContainsRune(reason, 0) {
		return Answer{}, domicile.E(op, domicile.Invalid, "a reason is needed, at most 4096 bytes of text")
	}
	if decision == execute {
		if err := e.cfg.Clock(ctx); err != nil {
			return Answer{}, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.take(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	if c.Info.State != stateReferred && c.Info.State != stateSecond {
		return Answer{}, wrongState(op, c, "a referred one")
	}
	if decision == execute {
		err = e.judgeExecute(ctx, c, by, reason)
	} else {
		err = e.judgeRefuse(ctx, c, by, decision, reason)
	}
	if err != nil {
		return Answer{}, err
	}
	return e.answer(c)
}

func (e *Engine) judgeRefuse(ctx context.Context, c *caseRecord, by, decision, reason string) error {
	if c.Info.Code == "" || c.Info.Code == domicile.DualApprovalMissing {
		c.Info.Code = domicile.Referred
	}
	c.Info.Decision, c.Info.Rule, c.Info.Awaiting, c.Info.Detail = decision, ruleJudgement, "", "a legal officer decided"
	return e.step(ctx, c, act{state: stateRefused, by: by, note: reason, reason: c.Info.Code,
		public: map[string]string{"decision": decision, "rule": ruleJudgement, "bundle": e.set.hash}})
}

func (e *Engine) judgeExecute(ctx context.Context, c *caseRecord, by, reason string) error {
	const op = "judge a case"
	switch {
	case c.ToldBy != "":
		return domicile.Refuse(op, domicile.WrongAudience, ruleTold,
			"the order was served elsewhere and names another region; execution here needs an order addressed here, or the treaty path (mlat.request)")
	case c.Home != e.cfg.Region:
		return domicile.Refuse(op, domicile.ContentStoredAbroad, ruleAbroad, "nothing of the account rests here: "+string(c.Home)+" decides")
	case slices.ContainsFunc(c.Judgements, func(j judgement) bool { return j.By == by }):
		return domicile.Refuse(op, domicile.SelfApproval, ruleApprovals, "the second judgement must be another officer's")
	}
	o, f, err := e.reopen(c)
	if err != nil {
		return err
	}
	if f != nil {
		return e.refuse(ctx, c, f, by)
	}
	c.Judgements = append(c.Judgements, judgement{By: by, At: e.cfg.Now().UTC(), Reason: reason})
	if len(c.Judgements) < 2 {
		c.Info.Decision, c.Info.Code, c.Info.Rule = refer, domicile.DualApprovalMissing, ruleApprovals
		c.Info.Awaiting, c.Info.Detail = "a second legal officer", "one legal officer would execute; a second must concur"
		return e.step(ctx, c, act{state: stateSecond, by: by, note: reason, public: map[string]string{"decision": execute, "rule": ruleJudgement}})
	}
	rec, err := e.consult(ctx, c, o)
	if err != nil {
		return err
	}
	c.Record = &rec
	c.Info.Awaiting = ""
	return e.conclude(ctx, c, by)
}

func wrongState(op string, c *caseRecord, want string) error {
	return domicile.Refuse(op, domicile.OrderStateWrong, ruleState, "the case is "+c.Info.State+"; this needs "+want)
}
