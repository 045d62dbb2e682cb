package smtpd

import (
	"context"
	"errors"
	"net/mail"
	"slices"
	"strings"
	"time"

	"domicile"
)

// The methods between nodes. See the package comment for their bytes.
const (
	methodStore    = "delivery/store"
	methodAnswered = "delivery/answered"
	wireVersion    = 1
	maxReply       = 64 << 10
	maxRecipients  = 100
	maxTrace       = 2048
	maxSender      = 256 // RFC 5321 4.5.3.1.3
)

// delivery is the header of one message on its way home.
type delivery struct {
	V          int                  `json:"v"`
	ID         string               `json:"id"`
	Sender     string               `json:"sender"` // "" = null sender
	Recipients []domicile.AccountID `json:"recipients"`
	Trace      string               `json:"trace"`

	// Each asks for an answer for each recipient: what one of them cannot get does not keep it from the others.
	Each bool `json:"each,omitempty"`
	// Once names what is delivered for its sender: for one recipient a second delivery under the same word stores nothing. It is
	// for a sender that remembers what it sends, and so makes "delivery/answered" needless.
	Once string `json:"once,omitempty"`
}

// accepted answers a delivery: every copy is on disk, but those that Failed names.
type accepted struct {
	V      int       `json:"v"`
	Tokens []string  `json:"tokens"`
	Failed []verdict `json:"failed,omitempty"` // as long as Tokens, or absent: nothing failed
}

// verdict is what became of one recipient's copy; the zero verdict is that it is on disk.
type verdict struct {
	Kind   string          `json:"kind,omitempty"`
	Reason domicile.Reason `json:"reason,omitempty"`
	Rule   string          `json:"rule,omitempty"`
}

func verdictOf(err error) verdict {
	if err == nil {
		return verdict{}
	}
	v := verdict{Kind: domicile.KindOf(err).String(), Reason: domicile.ReasonOf(err)}
	for e := (*domicile.Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Rule != "" {
			v.Rule = e.Rule
		}
	}
	return v
}

// err is the inverse of verdictOf. It comes from another region: a reason that is not in the closed list is dropped, since answers to clients
// and notices to senders quote it.
func (v verdict) err() error {
	if v == (verdict{}) {
		return nil
	}
	if !slices.Contains(domicile.Reasons, v.Reason) {
		v.Reason = ""
	}
	return &domicile.Error{Op: "deliver", Kind: domicile.ParseKind(v.Kind), Reason: v.Reason, Rule: v.Rule}
}

// fits says whether home's answer has the form that the question asks for.
func (a *accepted) fits(d delivery) bool {
	return a.V == wireVersion && len(a.Tokens) == len(d.Recipients) && (len(a.Failed) == 0 || d.Each && len(a.Failed) == len(d.Recipients))
}

// of is what became of the i-th recipient's copy.
func (a *accepted) of(i int) error {
	if len(a.Failed) == 0 {
		return nil
	}
	return a.Failed[i].err()
}

// answered tells home whether the sender was told 250.
type answered struct {
	V          int                  `json:"v"`
	Recipients []domicile.AccountID `json:"recipients"`
	Tokens     []string             `json:"tokens"`
	Answered   bool                 `json:"answered"`
}

// add names one more recipient, an account that is named already once.
func (d *delivery) add(id domicile.AccountID) {
	if !slices.Contains(d.Recipients, id) {
		d.Recipients = append(d.Recipients, id)
	}
}

// check holds what a peer sent against the format.
func (d *delivery) check() error {
	bad := func(what string) error { return domicile.E("delivery", domicile.Invalid, what) }
	switch {
	case d.V != wireVersion:
		return bad("the delivery is in a newer format than this node reads; update this node")
	case len(d.Recipients) == 0 || len(d.Recipients) > maxRecipients:
		return bad("not between 1 and 100 recipients")
	case hasTwins(d.Recipients):
		return bad("a recipient is named twice")
	case !isWord(d.ID) || d.Once != "" && !isWord(d.Once):
		return bad("the id is not one word of letters and digits")
	case !isSender(d.Sender):
		return bad("the sender is not an address")
	case !isTrace(d.Trace):
		return bad("the trace is not one Received field")
	}
	return nil
}

// hasTwins reports whether an account is named twice; its second copy would wait for the first.
func hasTwins(ids []domicile.AccountID) bool {
	seen := map[domicile.AccountID]bool{}
	for _, id := range ids {
		if seen[id] {
			return true
		}
		seen[id] = true
	}
	return false
}

// isWord accepts ids as domicile.NewID makes them: they are written to the log.
func isWord(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// isTrace accepts one folded Received field of printable ASCII.
func isTrace(s string) bool {
	if len(s) > maxTrace || !strings.HasPrefix(s, "Received: ") || !strings.HasSuffix(s, "\r\n") {
		return false
	}
	for i, line := range strings.Split(strings.TrimSuffix(s, "\r\n"), "\r\n") {
		if i > 0 && !strings.HasPrefix(line, "\t") || strings.IndexFunc(line, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }) >= 0 {
			return false
		}
	}
	return true
}

// isSender accepts the null sender and addresses of printable ASCII (SMTPUTF8 is not offered).
func isSender(s string) bool {
	if s == "" {
		return true
	}
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && len(s) <= maxSender && !strings.ContainsAny(s[at:], " <>()\"\\,;") &&
		strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// returnPath is the field that home adds (RFC 5321 4.4). go-smtp hands over quoted local parts unquoted.
func returnPath(sender string) string {
	if sender == "" {
		return "Return-Path: <>\r\n"
	}
	return "Return-Path: " + (&mail.Address{Address: sender}).String() + "\r\n"
}

// received is the trace field of RFC 5321 4.4. It does not name the recipients.
func received(helo, ip, hostname, protocol, id string, now time.Time) string {
	helo = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(".-_:[]", r) {
			return r
		}
		return -1
	}, helo)
	if helo == "" || len(helo) > 255 {
		helo = "unknown"
	}
	if strings.Contains(ip, ":") {
		ip = "IPv6:" + ip
	}
	return "Received: from " + helo + " ([" + ip + "])\r\n\tby " + hostname + " with " + protocol + " id " + id + ";\r\n\t" +
		stamp(now) + "\r\n"
}

// sleep waits, or less if ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
