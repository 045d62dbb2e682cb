package smtpd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/placement"
)

// Limits against guessing names: after each unknown recipient the answer comes later, after the last the connection ends.
const (
	maxUnknown  = 20
	tarpitStep  = 100 * time.Millisecond
	resolveTime = 15 * time.Second
)

// session is one client's; go-smtp calls it from one goroutine.
type session struct {
	srv     *Server
	gate    *gate
	helo    func() string
	ip      string
	unknown int

	mail       bool
	sender     string
	home       domicile.Region
	recipients []domicile.AccountID
	asked      map[domicile.AccountID]domicile.Address // by which accounts were found
	rcpts      int                                     // RCPT commands accepted
}

func (s *session) Reset() {
	s.mail, s.sender, s.home, s.recipients, s.asked, s.rcpts = false, "", "", nil, nil, 0
}

func (s *session) Logout() error { return nil }

// Mail begins a transaction.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	switch {
	case s.mail: // go-smtp would keep the recipients
		return reply(503, smtp.EnhancedCode{5, 5, 1}, "A transaction is under way; RSET first")
	case s.gate.sent > maxSent:
		s.gate.finish = true
		return reply(421, smtp.EnhancedCode{4, 3, 2}, "Enough for one connection; go on with another")
	case !isSender(from):
		return reply(553, smtp.EnhancedCode{5, 1, 7}, "The sender is not an address of printable ASCII with a domain")
	case opts != nil && opts.Size > s.srv.cfg.MaxSize:
		return reply(552, smtp.EnhancedCode{5, 3, 4}, "Message too large")
	}
	s.mail, s.sender = true, from
	return nil
}

var errTooMany = reply(452, smtp.EnhancedCode{4, 5, 3}, "At most 100 recipients in a transaction")

// Rcpt finds the recipient's home.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) (answer error) {
	defer func() { s.srv.counted("RCPT", answer) }()
	if s.rcpts >= maxRecipients {
		return errTooMany
	}
	loc, refused := s.find(to)
	switch {
	case refused != nil && refused.Code/100 == 5:
		return s.stranger(refused)
	case refused != nil:
		return refused
	case s.home != "" && s.home != loc.Home:
		return reply(452, smtp.EnhancedCode{4, 5, 3}, "This recipient lives in another region; send it in a transaction of its own")
	}
	s.home = loc.Home
	s.rcpts++
	for _, id := range s.recipients {
		if id == loc.Account {
			return nil
		}
	}
	s.recipients = append(s.recipients, loc.Account)
	return nil
}

// find looks a recipient's home up, or says why there is none.
func (s *session) find(to string) (placement.Location, *smtp.SMTPError) {
	addr, err := placement.ParseAddress(to)
	if err != nil {
		return placement.Location{}, reply(553, smtp.EnhancedCode{5, 1, 3}, "The recipient is not an address that can exist here")
	}
	loc, no := lookup(s.srv.ctx, s.srv.resolve, addr)
	if no == errOutside {
		no = reply(550, smtp.EnhancedCode{5, 7, 1}, "Relaying denied")
	}
	if no == nil {
		if s.asked == nil {
			s.asked = map[domicile.AccountID]domicile.Address{}
		}
		s.asked[loc.Account] = addr
	}
	return loc, no
}

var errOutside = reply(550, smtp.EnhancedCode{5, 7, 1}, "Mail to other providers cannot be sent from here yet ("+string(domicile.OutsideNotServed)+")")

// lookup finds a home, or the answer that says why there is none.
func lookup(ctx context.Context, resolve func(context.Context, domicile.Address) (placement.Location, error), addr domicile.Address) (placement.Location, *smtp.SMTPError) {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	loc, err := resolve(ctx, addr)
	switch {
	case domicile.ReasonOf(err) == domicile.DomainNotServed:
		return loc, errOutside
	case domicile.KindOf(err) == domicile.NotExist:
		return loc, reply(550, smtp.EnhancedCode{5, 1, 1}, "No such recipient")
	case domicile.KindOf(err) == domicile.Refused:
		return loc, refusal(err, 1)
	case err != nil:
		return loc, reply(451, smtp.EnhancedCode{4, 4, 1}, "The recipient cannot be looked up now; try again later")
	}
	return loc, nil
}

// lookAgain has the homes of recipients looked up anew, if one of them was not served where it was said to be: the retry of a
// sender then goes the right way.
func (s *session) lookAgain(err error, ids ...domicile.AccountID) {
	if s.srv.moved == nil || !hasRule(err, movedRule) {
		return
	}
	for _, id := range ids {
		s.srv.moved(s.asked[id])
	}
}

// hasRule reports whether an error, or a cause of it, names a rule.
func hasRule(err error, rule string) bool {
	for e := (*domicile.Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Rule == rule {
			return true
		}
	}
	return false
}

// stranger counts a recipient that is not ours, and slows its finder down.
func (s *session) stranger(answer *smtp.SMTPError) error {
	s.unknown++
	sleep(s.srv.ctx, min(time.Duration(s.unknown)*s.srv.tarpit, 5*time.Second))
	if s.unknown >= maxUnknown {
		s.gate.finish = true
		return reply(421, smtp.EnhancedCode{4, 7, 0}, "Too many unknown recipients")
	}
	return answer
}

// Data brings the body home as it arrives. Whatever way reading it fails, the connection ends behind the answer: the
// gate hands over nothing more.
func (s *session) Data(io.Reader) (answer error) {
	defer func() { s.srv.counted("DATA", answer) }()
	id := domicile.NewID("")
	d := delivery{V: wireVersion, ID: id, Sender: s.sender, Recipients: s.recipients,
		Trace: received(s.helo(), s.ip, s.srv.cfg.Hostname, s.gate.protocol("ESMTP"), id, s.srv.now())}
	body := s.body()
	home := s.home
	done, err := s.srv.route.deliver(s.srv.ctx, home, d, body)
	if fault := s.fault(body); fault != nil {
		return fault
	}
	if err == nil && !body.ended {
		err = errEarly
	}
	if err != nil {
		s.srv.cfg.Log.Warn("a message was not delivered", "id", id, "home", string(home), "kind", domicile.KindOf(err).String(), "reason", string(domicile.ReasonOf(err)))
		s.lookAgain(err, d.Recipients...)
		return refusal(err, len(d.Recipients))
	}
	s.gate.commands = 0
	s.gate.replied = []func(error){func(sent error) {
		s.srv.route.answered(home, answered{V: wireVersion, Recipients: d.Recipients, Tokens: done.Tokens, Answered: sent == nil})
	}}
	return reply(250, smtp.EnhancedCode{2, 0, 0}, "Stored at home as "+id)
}

var errEarly = domicile.E("deliver", domicile.Unknown, "home answered before the end of the body")

// fault says what was wrong with a body that was read, nil if nothing was. It ends the connection behind its answer where what
// follows cannot be told from the body.
func (s *session) fault(body *bodyReader) error {
	switch {
	case body.err == nil:
		return nil
	case errors.Is(body.err, errNUL):
		return reply(550, smtp.EnhancedCode{5, 6, 0}, "A message may not hold NUL")
	case errors.Is(body.err, errTooLarge):
		return reply(552, smtp.EnhancedCode{5, 3, 4}, "Message too large")
	}
	s.gate.finish = true
	if errors.Is(body.err, errLongLine) {
		return reply(554, smtp.EnhancedCode{5, 6, 0}, "A line of the message is longer than 64 KiB")
	}
	return reply(451, smtp.EnhancedCode{4, 4, 2}, "The message broke off")
}

var (
	errNUL      = errors.New("NUL in a message")
	errTooLarge = errors.New("message too large")
)

// body is the body that follows DATA, up to the front's limit.
func (s *session) body() *bodyReader { return &bodyReader{r: body{s.gate}, left: s.srv.cfg.MaxSize} }

// bodyReader refuses NUL and what is over the limit, and remembers how the body ended.
type bodyReader struct {
	r     io.Reader
	left  int64
	ended bool
	err   error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	switch {
	case bytes.IndexByte(p[:n], 0) >= 0:
		b.err = errNUL
	case b.left < 0:
		b.err = errTooLarge
	case err == io.EOF:
		b.ended = true
		return n, err
	case err != nil:
		b.err = err
	}
	if b.err != nil {
		return 0, b.err
	}
	return n, nil
}

// clientIP is the literal of the trace field.
func clientIP(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return "0.0.0.0"
	}
	host, _, _ = strings.Cut(host, "%")
	return host
}
