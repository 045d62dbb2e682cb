package imapd

import (
	"io"
	"math"
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
	"domicile/turns"
)

// catenation is a message that is put together from literals and from what is in the account already (RFC 4469).
type catenation struct {
	s    *session
	cmd  *wire.Command
	to   io.Writer
	size int64 // so far
	room int64 // of the quota: what is copied costs a client nothing to send
}

// catenate takes the parts from behind "CATENATE (", and writes them one after the other. It returns their size. freed is what of the quota comes
// free for the message.
func (s *session) catenate(cmd *wire.Command, to io.Writer, freed int64) (size int64, err error) {
	c := catenation{s: s, cmd: cmd, to: to}
	if c.room, err = s.quotaLeft(freed); err != nil {
		return 0, failure(err)
	}
	for {
		n, err := c.part()
		if err != nil {
			return 0, err
		}
		if c.size += n; cmd.Take(")") {
			return c.size, nil
		}
		cmd.SP()
	}
}

// quotaLeft is how much the account may still take, when freed bytes are given up.
func (s *session) quotaLeft(freed int64) (int64, error) {
	a, err := s.store().Account(s.ctx(), s.acct)
	if err != nil || a.Quota == 0 {
		return math.MaxInt64, err
	}
	used, err := s.store().Used(s.ctx(), s.acct)
	return a.Quota - used + freed, err
}

// part takes a part, and returns its size.
func (c *catenation) part() (size int64, err error) {
	switch {
	case c.cmd.Take("TEXT "):
		return c.s.literal(c.cmd, c.to, c.left(), false)
	case c.cmd.Take("UTF8 ("): // RFC 6855 4
		return c.s.literal(c.cmd, c.to, c.left(), true)
	case !c.cmd.Take("URL "):
		c.cmd.Fail("A part is TEXT or URL")
	}
	url := c.cmd.Astring()
	if len(url) > maxURL {
		c.cmd.Fail("A URL is too long")
	}
	c.cmd.Instead()
	if c.cmd.Err() != nil {
		return 0, c.cmd.End()
	}
	size, err = c.copy(url)
	if domicile.KindOf(err) == domicile.NotExist {
		return 0, no(imap.ResponseCode(`BADURL "`+percentEncoded(url, isToldInURL)+`"`), "No such message or part in this account")
	}
	return size, failure(err)
}

// isToldInURL: what may stand in a response code (RFC 4469 5). A URL that has other bytes is told with these encoded.
func isToldInURL(b byte) bool { return b > ' ' && b < 0x7f && strings.IndexByte(`]"\`, b) < 0 }

func (c *catenation) left() int64 { return c.s.maxSize - c.size }

// errNowhere is of a URL that names nothing here.
var errNowhere = domicile.E("url", domicile.NotExist, "")

// copy writes what a URL names: the bytes that FETCH BODY.PEEK would give now. NotExist if there is none.
func (c *catenation) copy(url string) (size int64, err error) {
	u, ok := parseURL(url)
	if !ok {
		return 0, errNowhere
	}
	m, err := c.s.named(&u)
	if err != nil {
		return 0, err
	}
	f := fetcher{s: c.s, q: &fetchItems{sections: []section{u.section}}}
	if p := f.plan(m); p.parse || !p.cuts[0].plain() {
		size, err = c.pick(&f, m, &p)
	} else {
		size, err = c.stream(m, &p.cuts[0])
	}
	if err != nil && !isTold(err) && domicile.KindOf(err) == domicile.Other {
		c.s.logDamage(m.ID)
		err = no(imap.ResponseCodeCorruption, "A message that a URL names could not be read")
	}
	return size, err
}

// named finds the message of a URL as it is now.
func (s *session) named(u *messageURL) (*row, error) {
	if err := s.isOwn(u); err != nil {
		return nil, err
	}
	mbox, err := s.mailboxOf(u)
	if err != nil {
		return nil, err
	}
	found, err := s.listed(mbox, u.uid-1, 1, !u.section.isWhole())
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].UID != u.uid {
		return nil, errNowhere
	}
	return &row{Listed: found[0]}, nil
}

// isOwn refuses a URL of another account: neither another server nor another user of this one is ever asked for anything.
func (s *session) isOwn(u *messageURL) error {
	if u.host == "" {
		return nil
	}
	h := &s.home.cfg
	if !strings.EqualFold(u.host, h.Hostname) && (h.HostOf == nil || !strings.EqualFold(u.host, h.HostOf(h.Region))) {
		return errNowhere
	}
	named, err := s.home.check.Address(u.user)
	if err != nil { // it could be nobody's
		return errNowhere
	}
	a, err := s.store().Account(s.ctx(), s.acct)
	if err == nil && a.Address != named {
		err = errNowhere
	}
	return err
}

// mailboxOf finds the mailbox of a URL, of the UIDVALIDITY that it names.
func (s *session) mailboxOf(u *messageURL) (domicile.MailboxID, error) {
	if u.mailbox == "" {
		if s.view == nil {
			return "", errNowhere
		}
		return s.view.mailbox.ID, nil
	}
	name, err := store.MailboxName(u.mailbox)
	if err != nil {
		return "", errNowhere
	}
	m, err := s.store().MailboxByName(s.ctx(), s.acct, name)
	if err == nil && u.validity != 0 && u.validity != m.UIDValidity {
		err = errNowhere
	}
	return m.ID, err
}

// fits refuses a part that is too large.
func (c *catenation) fits(size int64) error {
	switch {
	case size > c.left():
		return no(imap.ResponseCodeTooBig, "Over the limit of APPEND")
	case c.size+size > c.room:
		return no(imap.ResponseCodeOverQuota, "The account is full")
	}
	return nil
}

// stream writes a section that is bytes of a message as they stand, as they are read.
func (c *catenation) stream(m *row, p *cut) (size int64, err error) {
	if p.absent {
		return 0, errNowhere
	}
	from, to := p.bounds()
	if err := c.fits(to - from); err != nil {
		return 0, err
	}
	large := to > streamAt
	return to - from, c.s.readBody(m, streamPiece, func(body io.Reader) error {
		if err := c.s.copyPieces(io.Discard, body, from, large); err != nil {
			return err
		}
		if err := c.s.copyPieces(c.to, body, to-from, large); err != nil || to < m.Size {
			return err
		}
		return ended(body)
	})
}

// pick writes a section for which a message, or its header, has to be held.
func (c *catenation) pick(f *fetcher, m *row, p *plan) (size int64, err error) {
	if p.need > maxHeld {
		return 0, no(imap.ResponseCodeTooBig, "A message is too large to take apart; name it as a whole")
	}
	err = c.s.readBody(m, 2*p.need, func(body io.Reader) error {
		raw, err := f.fill(body, m.Size, p.need)
		if err != nil {
			return err
		}
		err = c.s.inTurn(func(*turns.Turn) error {
			_, err := f.parsed(m, p, raw)
			return err
		})
		if err != nil {
			return err
		}
		if p.cuts[0].absent {
			return errNowhere
		}
		b := p.cuts[0].bytes(raw)
		if size = int64(len(b)); c.fits(size) != nil {
			return c.fits(size)
		}
		_, err = c.to.Write(b)
		return err
	})
	return size, err
}

// readBody has a message read, and meanwhile holds memory for what is kept of it besides what the store reads ahead.
func (s *session) readBody(m *row, kept int64, read func(body io.Reader) error) error {
	if err := s.memory.Acquire(s.ctx(), pieceAhead+kept); err != nil {
		return err
	}
	defer s.memory.Release(pieceAhead + kept)
	body, err := s.store().Body(s.ctx(), s.acct, m.ID)
	if err != nil {
		return err
	}
	defer body.Close()
	return read(body)
}
