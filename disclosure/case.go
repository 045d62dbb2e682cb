package disclosure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/region"
)

// The states of a case.
const (
	stateReceived      = "received"
	stateAuthenticated = "authenticated"
	statePreserved     = "preserved"
	stateDecided       = "decided" // to be executed
	stateReferred      = "referred"
	stateSecond        = "awaiting_second_person"
	stateRefused       = "refused"
	stateStayed        = "stayed"
	stateWithdrawn     = "withdrawn"
	stateCollecting    = "collecting"
	stateSealed        = "sealed"
	stateQuorum        = "release_quorum"
	stateReleased      = "released"
	stateDelivered     = "delivered"
)

// maxSteps bounds a case's history, so that its record fits a table.
const maxSteps = 100

// Step is one change of a case's state, with the leaf that records it.
type Step struct {
	Time  time.Time `json:"time"`
	State string    `json:"state"`
	By    string    `json:"by"` // operator, or "engine"
	Note  string    `json:"note,omitempty"`
	Leaf  uint64    `json:"leaf"`
}

// CaseInfo is what order ls and order show print.
type CaseInfo struct {
	Case      string          `json:"case"`
	State     string          `json:"state"`
	OrderType string          `json:"order_type"`
	Issuer    string          `json:"issuer"`
	Docket    string          `json:"docket"`
	Target    string          `json:"target"` // shown to legal and auditor roles only
	Received  time.Time       `json:"received"`
	Decision  string          `json:"decision"`
	Code      domicile.Reason `json:"code,omitempty"`
	Rule      string          `json:"rule,omitempty"`
	Detail    string          `json:"detail,omitempty"`
	Awaiting  string          `json:"awaiting,omitempty"`
	History   []Step          `json:"history"`
}

// caseRecord is a case as it rests in the table "cases", as JSON under its id. Token, document and what was preserved
// are files of their own. A newer v is refused.
type caseRecord struct {
	V          int                `json:"v"`
	Info       CaseInfo           `json:"info"`
	Account    domicile.AccountID `json:"account,omitempty"`
	Home       domicile.Region    `json:"home,omitempty"`
	JTI        string             `json:"jti,omitempty"`
	Executions int                `json:"executions,omitempty"`
	Token      string             `json:"token_sha256,omitempty"`
	Document   string             `json:"document_sha256,omitempty"`
	Snapshot   snapshotInfo       `json:"snapshot,omitzero"`
	Record     *Record            `json:"record,omitempty"` // the decision and what it came from
	Judgements []judgement        `json:"judgements,omitempty"`
	Notice     *noticeState       `json:"notice,omitempty"` // another region is to be told
	ToldBy     domicile.Region    `json:"told_by,omitempty"`
	StayedIn   string             `json:"stayed_in,omitempty"` // the state that a lift returns to
	To         string             `json:"to,omitempty"`        // the client's folder for the production
	Archive    *archiveInfo       `json:"archive,omitempty"`
	Next       *pendingStep       `json:"next,omitempty"` // a step that is being recorded
}

// judgement is one person's recorded decision.
type judgement struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// pendingStep is a step written down before its leaf, so that a crash between the two is repaired: the leaf is looked for
// from After on, and appended only if it is not there.
type pendingStep struct {
	Step  Step         `json:"step"`
	Entry audit.Entry  `json:"entry"`
	Spend *audit.Spend `json:"spend,omitempty"`
	After uint64       `json:"after"`
}

const caseVersion = 1

// act describes a step to be taken.
type act struct {
	state   string
	by      string
	note    string
	kind    string // of the leaf; "" is "order.STATE"
	reason  domicile.Reason
	public  map[string]string
	private map[string]string
	spend   *audit.Spend
}

func (e *Engine) loadCase(id string) (*caseRecord, error) {
	const op = "read a case"
	raw, ok, err := e.cases.Get(id)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if !ok {
		return nil, domicile.E(op, domicile.NotExist, "there is no such case in this region")
	}
	return decodeCase(raw)
}

func decodeCase(raw []byte) (*caseRecord, error) {
	var c caseRecord
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, domicile.W("read a case", err)
	}
	if c.V != caseVersion {
		return nil, domicile.E("read a case", domicile.Invalid, fmt.Sprintf("the record has version %d, this release reads %d", c.V, caseVersion))
	}
	return &c, nil
}

func (e *Engine) putCase(c *caseRecord) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return domicile.W("write a case", err)
	}
	return domicile.W("write a case", e.cases.Put(c.Info.Case, raw))
}

// step changes a case's state: intent, leaf, done, in this order. What the caller changed in c is kept with the intent.
// After an error the case is as before or has the intent; whoever touches it next, or Open, finishes that. Call under e.mu.
func (e *Engine) step(ctx context.Context, c *caseRecord, a act) error {
	stops := a.state == stateStayed || a.state == stateWithdrawn // never one too many
	if len(c.Info.History) >= maxSteps && !stops {
		return domicile.E("change a case", domicile.TooLarge, "the case has too many steps")
	}
	public := map[string]string{"state": a.state, "step": strconv.Itoa(len(c.Info.History) + 1), "order_type": or(c.Info.OrderType, "unknown")}
	for k, v := range a.public {
		public[k] = v
	}
	private := map[string]string{"target": c.Info.Target, "issuer": c.Info.Issuer, "docket": c.Info.Docket, "jti": c.JTI, "by": a.by, "note": a.note}
	for k, v := range a.private {
		private[k] = v
	}
	c.Next = &pendingStep{After: e.parts.log.Head().Size, Spend: a.spend, Step: Step{State: a.state, By: a.by, Note: a.note},
		Entry: audit.Entry{Kind: or(a.kind, "order."+a.state), Reason: a.reason, Case: c.Info.Case, Public: public, Private: private}}
	if err := e.putCase(c); err != nil {
		return err
	}
	return e.settle(ctx, c, false)
}

// settle finishes the step that a case is in. search says that its leaf may be in the log already.
func (e *Engine) settle(ctx context.Context, c *caseRecord, search bool) error {
	if c.Next == nil {
		return nil
	}
	next := c.Next
	leaf, there := audit.Leaf{}, false
	var err error
	if search {
		if leaf, there, err = e.findLeaf(next.After, c.Info.Case, next.Entry.Public["step"]); err != nil {
			return err
		}
	}
	switch {
	case there:
	case next.Spend != nil:
		leaf, err = e.parts.log.Spend(ctx, *next.Spend, next.Entry)
	default:
		leaf, err = e.parts.log.Append(ctx, next.Entry)
	}
	if err != nil {
		return e.abandon(c, err)
	}
	done := next.Step
	done.Leaf, done.Time = leaf.Index, leaf.Time
	c.Info.History = append(c.Info.History, done)
	c.Info.State, c.Next = done.State, nil
	e.stopped[c.Info.Case] = done.State == stateStayed || done.State == stateWithdrawn
	return e.putCase(c)
}

// abandon takes back a step that the log has surely not recorded and never will: a spent token.
func (e *Engine) abandon(c *caseRecord, cause error) error {
	if domicile.ReasonOf(cause) != domicile.Replayed {
		return domicile.W("record a step of a case", cause)
	}
	c.Next = nil
	if err := e.putCase(c); err != nil {
		return err
	}
	return cause
}

// errFound ends a search.
var errFound = errors.New("found")

// findLeaf looks for the leaf of one step of a case.
func (e *Engine) findLeaf(from uint64, id, step string) (audit.Leaf, bool, error) {
	var out audit.Leaf
	err := e.parts.log.Leaves(from, func(index uint64, raw []byte) error {
		var l struct {
			Case   string            `json:"case"`
			Public map[string]string `json:"public"`
			Time   time.Time         `json:"time"`
		}
		if err := json.Unmarshal(raw, &l); err != nil {
			return err
		}
		if l.Case == id && l.Public["step"] == step {
			out = audit.Leaf{Index: index, Time: l.Time}
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return out, true, nil
	}
	return out, false, domicile.W("look for a leaf", err)
}

// take loads a case and finishes the step that it may be in. Call under e.mu.
func (e *Engine) take(ctx context.Context, id string) (*caseRecord, error) {
	c, err := e.loadCase(id)
	if err != nil {
		return nil, err
	}
	return c, e.settle(ctx, c, true)
}

// unfinished says whether a case is to go on without a person.
func (c *caseRecord) unfinished() bool {
	switch c.Info.State {
	case stateReceived, stateAuthenticated, statePreserved:
		return true
	}
	return c.Notice != nil && !c.Notice.Told
}

// resume finishes at Open what a crash left between intent and leaf, or between two steps of a submission. What cannot go
// on now is left to work.
func (e *Engine) resume(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	list, err := e.allCases()
	if err != nil {
		return err
	}
	for _, c := range list {
		if err := e.settle(ctx, c, true); err != nil && domicile.ReasonOf(err) != domicile.Replayed {
			return err
		}
		e.stopped[c.Info.Case] = c.Info.State == stateStayed || c.Info.State == stateWithdrawn
		if err := e.advance(ctx, c, nil); err != nil {
			e.log.Warn("a case could not go on yet", "case", c.Info.Case, "kind", domicile.KindOf(err).String())
		}
		if c.unfinished() {
			e.todo[c.Info.Case] = true
		}
	}
	return nil
}

func (e *Engine) allCases() ([]*caseRecord, error) {
	var out []*caseRecord
	err := e.cases.Each(func(_ string, raw []byte) error {
		c, err := decodeCase(raw)
		if err == nil {
			out = append(out, c)
		}
		return err
	})
	return out, domicile.W("read the cases", err)
}

// Cases lists this region's cases, oldest first. For legal officers and auditors.
func (e *Engine) Cases(ctx context.Context, who region.Peer) ([]CaseInfo, error) {
	if err := e.reader(who); err != nil {
		return nil, err
	}
	list, err := e.allCases()
	if err != nil {
		return nil, err
	}
	out := make([]CaseInfo, len(list))
	for i, c := range list {
		out[i] = c.Info
	}
	slices.SortStableFunc(out, func(a, b CaseInfo) int { return a.Received.Compare(b.Received) })
	return out, nil
}

// Case returns one case. NotExist if this region has none of that id.
func (e *Engine) Case(ctx context.Context, who region.Peer, id string) (CaseInfo, error) {
	if err := e.reader(who); err != nil {
		return CaseInfo{}, err
	}
	c, err := e.loadCase(id)
	if err != nil {
		return CaseInfo{}, err
	}
	return c.Info, nil
}

// answer is what a client is told of a case, with the receipt of its last step.
func (e *Engine) answer(c *caseRecord) (Answer, error) {
	a := Answer{Case: c.Info.Case, Decision: c.Info.Decision, Code: c.Info.Code, Rule: c.Info.Rule, Detail: c.Info.Detail,
		Awaiting: c.Info.Awaiting, State: c.Info.State}
	a.Detail += c.Notice.words()
	if n := len(c.Info.History); n > 0 {
		var err error
		if a.Receipt, err = e.parts.log.Receipt(c.Info.History[n-1].Leaf, false); err != nil {
			return a, domicile.W("make a receipt", err)
		}
	}
	return a, nil
}

// dir is the folder of a case's files.
func (e *Engine) dir(id string) string { return filepath.Join(e.cfg.Dir, id) }
