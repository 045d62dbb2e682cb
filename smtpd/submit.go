package smtpd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/store"
)

// submitSession is a customer's, who sends mail (RFC 6409).
type submitSession struct {
	session
	account store.Account // ID "" before the login
	means   login.Means   // by which it logged in
	onward  func()        // what follows the login that was verified; nil = none was
	abandon func() error  // ends it at home where it was verified and does not follow; nil = nothing to end
	fails   int
	to      []domicile.Address
}

// Logout is called when the connection ends.
func (s *submitSession) Logout() error {
	if s.abandon != nil {
		return s.abandon()
	}
	return nil
}

// Reset begins anew.
func (s *submitSession) Reset() { s.session.Reset(); s.to = nil }

// Mail begins a transaction. The envelope must name the account's own address, with a subaddress or without.
func (s *submitSession) Mail(from string, opts *smtp.MailOptions) error {
	ctx, cancel := context.WithTimeout(s.srv.ctx, resolveTime)
	defer cancel()
	if no := s.checkNow(ctx); no != nil {
		return no
	}
	if no := s.session.Mail(from, opts); no != nil {
		return no
	}
	if !s.own(from) {
		s.Reset()
		return reply(550, smtp.EnhancedCode{5, 7, 1}, "The sender must be your own address")
	}
	return nil
}

// own says whether an address is the account's. A subaddress counts for nothing there, so what must be quoted in it is refused:
// of "ann+<bob@example.com>"@example.com many programs show bob.
func (s *submitSession) own(address string) bool {
	a, err := placement.ParseAddress(address)
	return err == nil && a == s.account.Address && !strings.ContainsAny(address[:strings.LastIndexByte(address, '@')], "()<>[]:;@\\,\" \t")
}

// Rcpt takes a recipient that lives in the cluster, or of whom that cannot be known now: the queue finds out.
func (s *submitSession) Rcpt(to string, _ *smtp.RcptOptions) (answer error) {
	defer func() { s.srv.counted("RCPT", answer) }()
	addr, err := placement.ParseAddress(to)
	switch {
	case len(s.to) >= maxRecipients:
		return errTooMany
	case err != nil || !isSender(string(addr)):
		return s.stranger(reply(553, smtp.EnhancedCode{5, 1, 3}, "The recipient is not an address that can exist here"))
	}
	if _, no := lookup(s.srv.ctx, s.srv.resolve, addr); no == errOutside {
		return no
	} else if no != nil && no.Code/100 == 5 {
		return s.stranger(no)
	}
	if !s.srv.cfg.Queue.allow(s.account.ID) {
		return reply(450, smtp.EnhancedCode{4, 7, 1}, "You have written to too many within an hour; try again later")
	}
	for _, other := range s.to {
		if other == addr {
			return nil
		}
	}
	s.to = append(s.to, addr)
	return nil
}

// Data takes the message into the queue: 250 when it rests there.
func (s *submitSession) Data(io.Reader) (answer error) {
	defer func() { s.srv.counted("DATA", answer) }()
	d, err := s.srv.cfg.Queue.draft(s.account.ID)
	if err != nil {
		return s.queueAnswer(err)
	}
	defer d.abort()
	// A move that began since MAIL waits for drafts that it knows of, and must not miss one.
	if no := s.checkNow(s.srv.ctx); no != nil {
		return no
	}
	body := s.body()
	err = s.copy(d, body)
	if fault := s.fault(body); fault != nil {
		return fault
	}
	if err != nil {
		return s.queueAnswer(err)
	}
	now := s.srv.now().UTC()
	e := &entry{Sender: s.sender,
		Trace: "Received: by " + s.srv.cfg.Hostname + " with " + s.gate.protocol("ESMTP") + "A id " + d.id + ";\r\n\t" + stamp(now) + "\r\n"}
	for _, to := range s.to {
		e.To = append(e.To, &rcptFate{Address: to})
	}
	if err := d.commit(e); err != nil {
		return s.queueAnswer(err)
	}
	s.gate.commands = 0
	return reply(250, smtp.EnhancedCode{2, 0, 0}, "Queued at home as "+d.id)
}

// copy checks the header, completes it, and lets the body follow as it is.
func (s *submitSession) copy(d *draft, body *bodyReader) error {
	r := bufio.NewReaderSize(body, maxLine+len("\r\n"))
	h, err := readHeader(r)
	if err != nil {
		return err
	}
	if err := h.check(s.own); err != nil {
		return err
	}
	out := h.complete(stamp(s.srv.now().UTC()), d.id+"@"+s.account.Address.Domain())
	if _, err := d.Write(out); err != nil {
		return err
	}
	if _, err := io.Copy(d, r); err != nil {
		return err
	}
	if d.size > s.srv.cfg.MaxSize { // with what was added
		return reply(552, smtp.EnhancedCode{5, 3, 4}, "Message too large")
	}
	return nil
}

// queueAnswer says why a message is not in the queue.
func (s *submitSession) queueAnswer(err error) error {
	if no := (*smtp.SMTPError)(nil); errors.As(err, &no) {
		return no
	}
	if errors.Is(err, errQueueFull) {
		return reply(452, smtp.EnhancedCode{4, 3, 1}, "Too much of yours, or of all, waits to be delivered; try again later")
	}
	s.srv.cfg.Log.Error("a submitted message could not be queued", "account", string(s.account.ID), "kind", domicile.KindOf(err).String())
	return reply(451, smtp.EnhancedCode{4, 3, 0}, "It could not be written down; try again later")
}
