package smtpd

import (
	"context"
	"io"
	"sync"

	"github.com/emersion/go-smtp"

	"domicile"
)

// addressee is one accepted RCPT.
type addressee struct {
	text    string // as the client wrote it
	account domicile.AccountID
	home    domicile.Region
}

// lmtpSession answers each recipient for itself (RFC 2033 4.2), so that one transaction may have recipients of several home
// regions.
type lmtpSession struct {
	session
	to []addressee
}

// Reset begins anew.
func (s *lmtpSession) Reset() { s.session.Reset(); s.to = nil }

// Rcpt finds the recipient's home, whichever region that is.
func (s *lmtpSession) Rcpt(to string, _ *smtp.RcptOptions) (answer error) {
	defer func() { s.srv.counted("RCPT", answer) }()
	if len(s.to) >= maxRecipients {
		return errTooMany
	}
	loc, refused := s.find(to)
	if refused != nil {
		return refused
	}
	s.to = append(s.to, addressee{to, loc.Account, loc.Home})
	return nil
}

// share is the part of a transaction that goes to one home region.
type share struct {
	home domicile.Region
	d    delivery
	done *accepted
	err  error
	sent map[domicile.AccountID]error // of what was delivered: whether its sender was told
}

// LMTPData brings the body to every home region as it arrives. One that is slow or out of reach gives its own recipients 451.
func (s *lmtpSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	body := s.body()
	shares := s.shares(domicile.NewID(""))
	s.deliver(shares, body)
	io.Copy(io.Discard, r) // no answer before the end of the body (RFC 5321 4.1.1.4)
	if fault := s.fault(body); fault != nil {
		for range s.to {
			s.srv.counted("DATA", fault)
		}
		return fault
	}
	s.gate.commands = 0
	answers := make([]error, len(s.to))
	for i, to := range s.to {
		sh := shares[to.home]
		err := sh.result(to.account)
		if answers[i] = reply(250, smtp.EnhancedCode{2, 0, 0}, "Stored at home as "+sh.d.ID); err != nil {
			s.srv.cfg.Log.Warn("a message was not delivered", "id", sh.d.ID, "home", string(to.home), "kind", domicile.KindOf(err).String(), "reason", string(domicile.ReasonOf(err)))
			s.lookAgain(err, to.account)
			answers[i] = refusal(err, 1)
		}
		s.srv.counted("DATA", answers[i])
		s.gate.replied = append(s.gate.replied, func(sent error) {
			if sh.sent[to.account] == nil {
				sh.sent[to.account] = sent
			}
			if i == len(answers)-1 {
				s.answered(shares)
			}
		})
	}
	for i, to := range s.to { // the answers go out from here on, by another goroutine
		status.SetStatus(to.text, answers[i])
	}
	return nil
}

// shares groups the recipients by their home.
func (s *lmtpSession) shares(id string) map[domicile.Region]*share {
	trace := received(s.helo(), s.ip, s.srv.cfg.Hostname, s.gate.protocol("LMTP"), id, s.srv.now())
	out := map[domicile.Region]*share{}
	for _, to := range s.to {
		sh := out[to.home]
		if sh == nil {
			sh = &share{home: to.home, sent: map[domicile.AccountID]error{}, d: delivery{V: wireVersion, ID: id, Sender: s.sender, Trace: trace, Each: true}}
			out[to.home] = sh
		}
		sh.d.add(to.account)
	}
	return out
}

// deliver reads body to its end, or its fault, and gives it to all homes.
func (s *lmtpSession) deliver(shares map[domicile.Region]*share, body *bodyReader) {
	if len(shares) == 1 { // nobody else to hold up
		for _, sh := range shares {
			sh.done, sh.err = s.srv.route.deliver(s.srv.ctx, sh.home, sh.d, body)
			io.Copy(io.Discard, body)
			if sh.err == nil && !body.ended {
				sh.err = errEarly
			}
		}
		return
	}
	f := newFan(len(shares), s.srv.patience)
	var work sync.WaitGroup
	next := 0
	for _, sh := range shares {
		l := f.legs[next]
		next++
		ctx, cancel := context.WithCancel(s.srv.ctx)
		l.cut = cancel
		work.Go(func() {
			defer close(l.gone)
			defer cancel()
			sh.done, sh.err = s.srv.route.deliver(ctx, sh.home, sh.d, l)
			if sh.err == nil && !l.whole { // it has promised nothing
				sh.err = errEarly
			}
		})
	}
	f.pump(body)
	work.Wait()
}

// result is what became of one recipient.
func (sh *share) result(id domicile.AccountID) error {
	if sh.err != nil {
		return sh.err
	}
	for i, other := range sh.d.Recipients {
		if other == id {
			return sh.done.of(i)
		}
	}
	return domicile.E("deliver", domicile.Other, "a recipient was left out")
}

// answered tells each home which of its recipients' answers went out.
func (s *lmtpSession) answered(shares map[domicile.Region]*share) {
	for _, sh := range shares {
		if sh.err != nil {
			continue
		}
		told, untold := answered{V: wireVersion, Answered: true}, answered{V: wireVersion}
		for i, id := range sh.d.Recipients {
			if sh.done.of(i) != nil {
				continue
			}
			a := &told
			if sh.sent[id] != nil {
				a = &untold
			}
			a.Recipients, a.Tokens = append(a.Recipients, id), append(a.Tokens, sh.done.Tokens[i])
		}
		for _, a := range []answered{told, untold} {
			if len(a.Tokens) > 0 {
				s.srv.route.answered(sh.home, a)
			}
		}
	}
}
