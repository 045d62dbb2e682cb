package smtpd

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"domicile"
	"domicile/region"
	"domicile/store"
)

// Home takes deliveries into this region's store: from a front in the same process, and from other nodes by RPC.
// Safe for concurrent use.
type Home struct {
	store   store.Store
	maxSize int64
	log     *slog.Logger
	key     tokenKey
	waiting waiting
	answers gather

	// Count, if not nil, is told how each delivery ended here, nil if it was stored. Set it before the first; it must be
	// quick and safe for concurrent use.
	Count func(err error)
}

// NewHome takes messages of at most maxSize bytes, trace fields aside.
func NewHome(s store.Store, maxSize int64, log *slog.Logger) *Home {
	return &Home{store: s, maxSize: maxSize, log: log, key: tokenKey{store: s}, waiting: waiting{patience: answerWait, forget: answerLife}}
}

// Register serves the delivery methods on n: a streamed message, and what became of its answer.
func (h *Home) Register(n *region.Node) {
	n.Handle(methodStore, domicile.Delivery, maxReply, func(ctx context.Context, c *region.Call) (any, error) {
		var d delivery
		if err := fromRegion(c, &d); err != nil {
			return nil, err
		}
		return h.deliver(ctx, c.From.Region, d, c.Body)
	})
	n.Handle(methodAnswered, domicile.Delivery, maxReply, func(ctx context.Context, c *region.Call) (any, error) {
		var a answered
		if err := fromRegion(c, &a); err != nil {
			return nil, err
		}
		return struct{}{}, h.answered(ctx, a)
	})
}

// fromRegion reads a call's header. Only nodes of regions deliver: an operator's or a witness's certificate does not.
func fromRegion(c *region.Call, header any) error {
	if c.From.Region == "" || c.From.Operator != "" {
		return domicile.Refuse("delivery", domicile.PeerUnverified, "house/nodes-deliver", "only nodes of regions deliver mail")
	}
	if err := json.Unmarshal(c.Header, header); err != nil {
		return domicile.E("delivery", domicile.Invalid, "the header is not readable")
	}
	return nil
}

// quotaRule marks the error of a full mailbox, which only the kind would not tell from a message that is too large.
const quotaRule = "house/quota"

// movedRule marks the error of an account that is on its way, or gone, to another region: the front looks its home up again.
const movedRule = "house/moved"

// deliver stores a copy for each recipient of what the region from sends: all are on disk when it returns nil, but for those of an Each delivery that its answer
// names. After an error some may be, under tokens that make a repetition safe. A body that breaks off gives Unavailable, and
// nothing is kept of it.
func (h *Home) deliver(ctx context.Context, from domicile.Region, d delivery, body io.Reader) (_ *accepted, err error) {
	const op = "deliver"
	if h.Count != nil {
		defer func() { h.Count(err) }()
	}
	if err := d.check(); err != nil {
		return nil, domicile.W(op, err)
	}
	key, err := h.key.get()
	if err != nil {
		return nil, domicile.W(op, err)
	}
	all := h.stage(ctx, d)
	defer all.abort()
	if err := all.err(); err != nil {
		return nil, domicile.W(op, err)
	}
	digest := sha256.New()
	if err := h.receive(all, digest, body); err != nil {
		return nil, domicile.W(op, err)
	}
	out := &accepted{V: wireVersion, Tokens: tokens(all.keys(key, d), from, d, digest)}
	h.commit(ctx, d, all, out.Tokens)
	if err := all.err(); err != nil {
		return nil, domicile.W(op, err)
	}
	out.Failed = all.verdicts()
	return out, nil
}

// copies are the messages on their way in, one for each recipient.
type copies struct {
	each bool // one that fails does not end the others
	list []*copyIn
}

type copyIn struct {
	in  store.Incoming // nil if it failed before there was one
	key []byte         // of the account's tokens, if it came with one
	err error
}

// keys are those of the recipients' tokens.
func (c *copies) keys(region []byte, d delivery) [][]byte {
	out := make([][]byte, len(d.Recipients))
	for i, id := range d.Recipients {
		if out[i] = deriveKey(region, id); c.list[i].key != nil {
			out[i] = c.list[i].key
		}
	}
	return out
}

// deriveKey makes the key of an account's tokens of that of its region. The account keeps it for life.
func deriveKey(region []byte, id domicile.AccountID) []byte {
	mac := hmac.New(sha256.New, region)
	io.WriteString(mac, "domicile/delivery/key/v1\x00"+string(id))
	return mac.Sum(nil)
}

// TokenKey returns the key of an account's tokens, which goes with it when it moves.
func (h *Home) TokenKey(a store.Account) ([]byte, error) {
	if a.TokenKey != nil {
		return a.TokenKey, nil
	}
	key, err := h.key.get()
	if err != nil {
		return nil, domicile.W("key of an account's tokens", err)
	}
	return deriveKey(key, a.ID), nil
}

// Settled reports whether no delivery to an account is between its commit and the word on its answer.
func (h *Home) Settled(id domicile.AccountID) bool { return h.waiting.free(string(id) + "smtp-") }

// fail ends one copy.
func (c *copyIn) fail(err error) {
	if c.in != nil {
		c.in.Abort()
	}
	c.err = markQuota(err)
}

// err is the error that ends the whole delivery: the first one, unless each copy answers for itself.
func (c *copies) err() error {
	for _, one := range c.list {
		if one.err != nil && !c.each {
			return one.err
		}
	}
	return nil
}

// verdicts returns nil if no copy failed.
func (c *copies) verdicts() []verdict {
	out, failed := make([]verdict, len(c.list)), false
	for i, one := range c.list {
		out[i], failed = verdictOf(one.err), failed || one.err != nil
	}
	if !failed {
		return nil
	}
	return out
}

func (c *copies) abort() {
	for _, one := range c.list {
		if one.in != nil {
			one.in.Abort()
		}
	}
}

func (c *copies) Write(p []byte) (int, error) {
	for _, one := range c.list {
		if one.err != nil {
			continue
		}
		if _, err := one.in.Write(p); err != nil {
			one.fail(err)
		}
		if err := c.err(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// stage opens a copy for each recipient and writes the trace fields.
func (h *Home) stage(ctx context.Context, d delivery) *copies {
	head := returnPath(d.Sender) + d.Trace
	out := &copies{each: d.Each}
	for _, id := range d.Recipients {
		one := &copyIn{}
		out.list = append(out.list, one)
		if one.err = h.open(ctx, one, id, h.maxSize+int64(len(head))); one.err == nil {
			if _, err := io.WriteString(one.in, head); err != nil {
				one.fail(err)
			}
		}
		if out.err() != nil {
			break
		}
	}
	return out
}

// open opens a copy for one recipient, of at most limit bytes.
func (h *Home) open(ctx context.Context, one *copyIn, id domicile.AccountID, limit int64) error {
	a, err := h.store.Account(ctx, id)
	if domicile.KindOf(err) == domicile.NotExist || err == nil && a.State == store.Moving {
		return &domicile.Error{Kind: domicile.Unavailable, Rule: movedRule, Detail: "an account is not served here now; look its home up again"}
	}
	if err != nil {
		return err
	}
	one.key = a.TokenKey
	one.in, err = h.store.Incoming(ctx, id, limit)
	return markQuota(err)
}

// copyBuffers spares each message a buffer of its own.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// receive copies the body, counted and digested, into all copies.
func (h *Home) receive(to *copies, digest hash.Hash, body io.Reader) error {
	src := &sourceReader{r: io.TeeReader(io.LimitReader(body, h.maxSize+1), digest)}
	buf := copyBuffers.Get().(*[]byte)
	n, err := io.CopyBuffer(to, &smtpText{r: src}, *buf)
	copyBuffers.Put(buf)
	switch {
	case src.err != nil: // the sender's side broke: whatever it was, nothing was done
		return &domicile.Error{Kind: domicile.Unavailable, Detail: "the message broke off on its way", Err: src.err}
	case err != nil:
		return markQuota(err)
	case n > h.maxSize:
		return domicile.E("", domicile.TooLarge, "the message is larger than this region takes")
	}
	return nil
}

// sourceReader remembers a read error, so that it can be told from one of writing.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// smtpText refuses what no SMTP client could have sent: another region's front may be in the wrong hands, and what reads a
// mailbox relies on it. Every line ends in CRLF and has at most 64 KiB; no CR or LF stands elsewhere; there is no NUL.
type smtpText struct {
	r    io.Reader
	line int // bytes of the line so far, without its end
	cr   bool
}

func (t *smtpText) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if !t.check(p[:n]) || err == io.EOF && (t.line > 0 || t.cr) {
		return 0, errNotSMTP
	}
	return n, err
}

func (t *smtpText) check(p []byte) bool {
	if bytes.IndexByte(p, 0) >= 0 {
		return false
	}
	for len(p) > 0 {
		if t.cr {
			if p[0] != '\n' {
				return false
			}
			t.cr, t.line, p = false, 0, p[1:]
			continue
		}
		n := plainLen(p)
		if t.line += n; t.line > maxLine {
			return false
		}
		if p = p[n:]; len(p) > 0 {
			if p[0] != '\r' {
				return false
			}
			t.cr, p = true, p[1:]
		}
	}
	return true
}

var errNotSMTP = domicile.E("", domicile.Invalid, "the message holds what SMTP does not carry: NUL, a bare CR or LF, a line of over 64 KiB, or no end of line at its end")

// commit commits all copies that have not failed. Their tokens are held until the sender was answered, or may be taken for
// unanswered; those of a delivery that is its sender's to remember are not.
func (h *Home) commit(ctx context.Context, d delivery, c *copies, tokens []string) {
	var held []int
	for i, id := range d.Recipients {
		if c.list[i].err != nil {
			continue
		}
		if err := h.waiting.claim(ctx, string(id)+tokens[i]); err != nil {
			c.list[i].fail(err)
			continue
		}
		held = append(held, i)
	}
	for _, i := range held {
		if c.err() != nil {
			break
		}
		if _, err := c.list[i].in.Commit(ctx, store.Token(tokens[i]), store.Inbox, nil, time.Time{}); err != nil {
			h.log.Warn("a delivery was not stored", "id", d.ID, "copy", i+1, "of", len(d.Recipients), "kind", domicile.KindOf(err).String())
			c.list[i].fail(err)
			continue
		}
		h.log.Debug("delivered", "id", d.ID, "account", string(d.Recipients[i]))
	}
	for _, i := range held {
		token := string(d.Recipients[i]) + tokens[i]
		if d.Once == "" && c.err() == nil && c.list[i].err == nil {
			h.waiting.expire(token)
		} else {
			h.waiting.settle(token)
		}
	}
}

func (h *Home) release(ids []domicile.AccountID, tokens []string) {
	for i, id := range ids {
		h.waiting.settle(string(id) + tokens[i])
	}
}

// answered forgets the tokens of a delivery whose 250 went out, and lets a repetition that waits go on. Idempotent.
func (h *Home) answered(ctx context.Context, a answered) error {
	if a.V != wireVersion || len(a.Recipients) != len(a.Tokens) || len(a.Tokens) > maxRecipients {
		return domicile.E("delivery answered", domicile.Invalid, "not as this node's version writes it")
	}
	if a.Answered {
		h.answers.wait()
		for i, id := range a.Recipients {
			if err := h.store.Forget(ctx, id, store.Token(a.Tokens[i])); err != nil && domicile.KindOf(err) != domicile.NotExist {
				return domicile.W("delivery answered", err)
			}
		}
	}
	h.release(a.Recipients, a.Tokens)
	return nil
}

// markQuota gives the error of a full mailbox its rule, which crosses to another node.
func markQuota(err error) error {
	if errors.Is(err, store.ErrOverQuota) {
		return &domicile.Error{Kind: domicile.TooLarge, Rule: quotaRule, Detail: "a recipient's mailbox is full", Err: err}
	}
	return err
}

// tokens returns, for each recipient, a keyed hash of what a repetition would repeat: sender, account and body; or account and
// name, if the sender gave the delivery one. A name is one of its region's: another that has seen it, as a recipient's home has, can
// neither use it up before the message comes, nor have it forgotten.
func tokens(keys [][]byte, from domicile.Region, d delivery, body hash.Hash) []string {
	sum := body.Sum(nil)
	out := make([]string, len(d.Recipients))
	for i, id := range d.Recipients {
		if d.Once != "" {
			out[i] = token(keys[i], "domicile/delivery/once/v1", string(from), string(id), d.Once)
		} else {
			out[i] = token(keys[i], "domicile/delivery/v1", d.Sender, string(id), string(sum))
		}
	}
	return out
}

func token(key []byte, parts ...string) string {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		io.WriteString(mac, strconv.Itoa(len(part))+":"+part)
	}
	return "smtp-" + hex.EncodeToString(mac.Sum(nil))
}
