package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/placement"
)

// maxNoticeHeader bounds what a notice gives back of the message's header, in bytes.
const maxNoticeHeader = 32 << 10

// notify tells the sender of failures, each notice once, and reports whether something came of it. A notice that cannot be
// delivered now is tried again with the message; for as long as a message is, and then it is given up.
func (q *Queue) notify(ctx context.Context, it *item, e *entry) (changed bool) {
	var numbers []int
	for _, r := range e.with(rcptFailed) {
		if !slices.Contains(numbers, r.Notice) {
			numbers = append(numbers, r.Notice)
		}
	}
	for _, n := range numbers {
		var about []*rcptFate
		for _, r := range e.with(rcptFailed) {
			if r.Notice == n {
				about = append(about, r)
			}
		}
		out := Noticed
		if !q.tell(ctx, it, e, n, about) {
			if q.now().Sub(about[0].When) < q.cfg.Expire {
				continue
			}
			out = NoticeLost
			q.cfg.Log.Warn("a notice of what was not delivered is given up", "id", it.id)
		}
		for _, r := range about {
			r.State = rcptTold
		}
		q.cfg.Count(out)
		changed = true
	}
	return changed
}

// tell delivers one notice into the sender's own INBOX, wherever that is by now.
func (q *Queue) tell(ctx context.Context, it *item, e *entry, n int, about []*rcptFate) bool {
	own, err := placement.ParseAddress(e.Sender)
	if err != nil {
		return false
	}
	loc, no := lookup(ctx, q.resolve, own)
	if no != nil {
		return false
	}
	when := about[0].When
	name := it.id + "-n" + strconv.Itoa(n)
	d := delivery{V: wireVersion, ID: name, Recipients: []domicile.AccountID{loc.Account}, Once: name,
		Trace: "Received: by " + q.cfg.Hostname + " id " + name + ";\r\n\t" + stamp(when) + "\r\n"}
	_, err = q.deliver(ctx, loc.Home, d, strings.NewReader(q.notice(it, e, name, when, about)))
	if err != nil {
		q.cfg.Log.Info("a notice of what was not delivered waits", "id", it.id, "kind", domicile.KindOf(err).String(), "reason", string(domicile.ReasonOf(err)))
	}
	return err == nil
}

// notice is the report of RFC 3464, with the header of the message (RFC 6522 4).
func (q *Queue) notice(it *item, e *entry, name string, when time.Time, about []*rcptFate) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	boundary := "=_" + name
	line("From: Mail delivery <MAILER-DAEMON@%s>", q.cfg.Hostname)
	line("To: <%s>", e.Sender)
	line("Subject: Your message was not delivered")
	line("Date: %s", stamp(when))
	line("Message-ID: <%s@%s>", name, q.cfg.Hostname)
	line("Auto-Submitted: auto-replied")
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"", boundary)
	line("")
	line("--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n", boundary)
	line("Your message of %s, whose header is below, was not delivered to:\r\n", stamp(e.Queued))
	for _, r := range about {
		line("  %s\r\n      %d %s %s\r\n", r.Address, r.Code, r.Status, r.Text)
	}
	line("It is not tried any more. Other recipients, if there were any, are not\r\nconcerned.")
	line("--%s\r\nContent-Type: message/delivery-status\r\n", boundary)
	line("Reporting-MTA: dns; %s", q.cfg.Hostname)
	line("Arrival-Date: %s", stamp(e.Queued))
	for _, r := range about {
		line("")
		line("Final-Recipient: rfc822; %s", r.Address)
		line("Action: failed")
		line("Status: %s", r.Status)
		line("Diagnostic-Code: smtp; %d %s %s", r.Code, r.Status, r.Text)
		line("Last-Attempt-Date: %s", stamp(r.When))
	}
	line("")
	if header := q.header(it); header != "" {
		line("--%s\r\nContent-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n", boundary)
		b.WriteString(header)
	}
	line("--%s--", boundary)
	return b.String()
}

// header reads the beginning of a message's header, "" if it cannot be read.
func (q *Queue) header(it *item) string {
	m, err := q.message(it)
	if err != nil {
		return ""
	}
	defer m.Close()
	r := bufio.NewReader(io.LimitReader(m, maxNoticeHeader))
	var b bytes.Buffer
	for {
		line, err := r.ReadBytes('\n')
		if err != nil || len(line) <= len("\r\n") {
			return b.String()
		}
		b.Write(line)
	}
}

// statusText is the enhanced status code as it is written.
func statusText(c smtp.EnhancedCode) string {
	return fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2])
}

// stamp is a time as mail writes it (RFC 5322 3.3).
func stamp(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }
