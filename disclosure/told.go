package disclosure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/region"
)

// methodTold is the call by which a region on which an order was served, and which holds nothing of the account, tells
// the region that does. It may be repeated.
const methodTold = "order/told"

// tellTimeout bounds one try.
const tellTimeout = 5 * time.Second

// maxNoticeToken is the longest token that fits a notice (64 KiB of JSON). A longer one is named by its digest alone,
// and the storing region's officers ask for it.
const maxNoticeToken = 40 << 10

// notice is what is told.
type notice struct {
	V      int    `json:"v"`
	Case   string `json:"case"` // of the telling region
	Target string `json:"target"`
	SHA256 string `json:"token_sha256"`
	Token  string `json:"token,omitempty"`
}

// noticeReply says under which id the storing region keeps the case.
type noticeReply struct {
	Case string `json:"case"`
}

// noticeState is where the telling stands.
type noticeState struct {
	To   domicile.Region `json:"to"`
	Told bool            `json:"told"`
	Case string          `json:"case,omitempty"` // there
}

// words are put behind an answer's detail.
func (n *noticeState) words() string {
	switch {
	case n == nil:
		return ""
	case n.Told:
		return "; " + string(n.To) + " was told and has opened a case"
	}
	return "; " + string(n.To) + " could not be told yet: the notice is kept and tried again until it is"
}

// tell tries to tell the storing region of a case, and records it.
func (e *Engine) tell(ctx context.Context, c *caseRecord) error {
	id := c.Info.Case
	token, err := e.readFile(id, "token")
	if err != nil {
		return err
	}
	n := notice{V: 1, Case: id, Target: c.Info.Target, SHA256: c.Token}
	if len(token) <= maxNoticeToken {
		n.Token = string(token)
	}
	var reply noticeReply
	asking, cancel := context.WithTimeout(region.WithCase(ctx, id), tellTimeout)
	defer cancel()
	if err := e.cfg.Notifier.Ask(asking, domicile.OrderNotice, c.Notice.To, methodTold, n, &reply); err != nil {
		return err
	}
	return e.recordTold(ctx, id, reply)
}

func (e *Engine) recordTold(ctx context.Context, id string, reply noticeReply) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.take(ctx, id)
	if err != nil || c.Notice.Told {
		return err
	}
	c.Notice.Told, c.Notice.Case = true, clip(reply.Case)
	return e.step(ctx, c, act{state: c.Info.State, by: engineName, kind: "order.told", note: "told " + string(c.Notice.To),
		public: map[string]string{"to": string(c.Notice.To)}})
}

func clip(s string) string { return s[:min(len(s), 128)] }

// told opens a case for an order that was served elsewhere. It is never executed or refused by the machine: it is
// referred to a person, whatever the token says.
func (e *Engine) told(ctx context.Context, call *region.Call) (any, error) {
	const op = "be told of an order"
	from := call.From.Region
	if _, ok := e.cfg.Catalog().Region(from); !ok || from == e.cfg.Region || call.From.Node == "" {
		return nil, domicile.Refuse(op, domicile.PeerUnverified, ruleTold, "only a node of another region of the catalog may tell of orders")
	}
	var n notice
	if err := json.Unmarshal(call.Header, &n); err != nil || n.V != 1 || n.Case == "" || len(n.Case) > 128 || !isDigest(n.SHA256) ||
		n.Token != "" && digestOf([]byte(n.Token)) != n.SHA256 {
		return nil, domicile.E(op, domicile.Invalid, "the notice is malformed")
	}
	addr, err := placement.ParseAddress(n.Target)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	acct, err := e.cfg.Store.AccountByAddress(ctx, addr)
	if domicile.KindOf(err) == domicile.NotExist {
		return nil, domicile.Refuse(op, domicile.NotPossessed, ruleTold, "no such account rests here")
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	c := e.newCase(addr)
	c.Info.Case, c.ToldBy, c.Account, c.Home, c.Token = toldID(from, n.Case), from, acct.ID, e.cfg.Region, n.SHA256
	return noticeReply{Case: c.Info.Case}, e.openTold(ctx, c, n)
}

// toldID names a case by who told and under which id there, so that a repeated notice finds it.
func toldID(from domicile.Region, id string) string {
	sum := sha256.Sum256([]byte("domicile/told/v1\x00" + string(from) + "\x00" + id))
	return "t" + hex.EncodeToString(sum[:13])
}

func (e *Engine) openTold(ctx context.Context, c *caseRecord, n notice) error {
	switch _, err := e.loadCase(c.Info.Case); domicile.KindOf(err) {
	case domicile.NotExist:
	default: // known already, or not readable now
		return err
	}
	if n.Token != "" {
		if o, _ := e.checker().authenticate([]byte(n.Token)); o != nil {
			c.describe(o)
		}
		if err := e.saveFile(c.Info.Case, "token", []byte(n.Token)); err != nil {
			return err
		}
	}
	return e.open(ctx, c, engineName, "told by "+string(c.ToldBy))
}

// referTold refers a told case, by the rule of a bundle where one says so. Call under e.mu.
func (e *Engine) referTold(ctx context.Context, c *caseRecord, o *order, f *finding) error {
	d := Decision{Decision: refer, Code: domicile.Referred, Rule: ruleTold, Awaiting: "a person's judgement",
		Detail: "served on " + string(c.ToldBy) + ", not here: a person decides"}
	if f != nil {
		d.Detail += "; its token does not stand here: " + f.Detail
	} else {
		rec, err := e.consult(ctx, c, o)
		if err != nil {
			return err
		}
		if rec.Decision.Decision == refer {
			d = rec.Decision
		}
		c.Record = &rec
	}
	c.Info.Decision, c.Info.Code, c.Info.Rule, c.Info.Detail, c.Info.Awaiting = d.Decision, d.Code, d.Rule, d.Detail, d.Awaiting
	public := map[string]string{"decision": refer, "rule": d.Rule, "bundle": e.set.hash, "from": string(c.ToldBy)}
	return e.step(ctx, c, act{state: stateReferred, by: engineName, reason: d.Code, public: public})
}
