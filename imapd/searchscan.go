package imapd

import (
	"domicile"
	"domicile/message"
	"domicile/store"
)

// candidate is a message that is held against a search program.
type candidate struct {
	view    *view
	index   int
	uid     store.UID
	flags   uint8            // the system flags, as bitsOf has them, if they were needed
	m       *store.Message   // if records were needed
	summary *message.Summary // if summaries were; an empty one of a message that is damaged
}

func (c *candidate) recent() bool { return c.view.isRecent(c.uid) }

// scan gives take the messages of the view that fit, in the order of the mailbox. It reads more of them than the program needs if so told.
func (s *session) scan(q *query, more need, take func(c *candidate) error) error {
	if q.modseq {
		s.condstore() // RFC 7162 3.1
	}
	for _, k := range q.texts {
		uids, err := s.store().Find(s.ctx(), s.acct, s.view.mailbox.ID, k.in, k.field, k.text)
		if err != nil {
			return err
		}
		k.found = s.view.indexes(uids)
	}
	v := s.view
	c := &candidate{view: v, index: q.from}
	s.progress.toGo(q.to - q.from)
	try := func() error {
		if c.index%1024 == 0 {
			s.progress.reached(c.index - q.from)
			if s.ctx().Err() != nil {
				return domicile.E("search", domicile.Unavailable, "closing down")
			}
		}
		if c.uid = v.uids[c.index]; v.isGone(c.uid) || !q.fits(c) {
			return nil
		}
		return take(c)
	}
	switch needs := q.needs | more; {
	case needs == flagsAlone && q.to-q.from >= flagLeast:
		return s.scanFlags(q, c, try)
	case needs != 0:
		return s.scanStore(q, needs, c, try)
	}
	for ; c.index < q.to; c.index++ {
		if err := try(); err != nil {
			return err
		}
	}
	return nil
}

// readPage is how many messages are read at a time.
const readPage = 1000

// scanStore reads messages to try. The store may have some that the view has not, and the other way round.
func (s *session) scanStore(q *query, needs need, c *candidate, try func() error) error {
	uids := s.view.uids
	for after := store.UID(0); c.index < q.to; {
		after = max(after, uids[c.index]-1)
		page, err := s.page(needs, after, min(readPage, q.to-c.index))
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			m := &page[i]
			for c.index < q.to && uids[c.index] < m.UID {
				c.index++
			}
			if c.index == q.to || uids[c.index] != m.UID {
				continue
			}
			c.m, c.summary, c.flags = &m.Message, m.Summary, bitsOf(m.Flags)
			if err := try(); err != nil {
				return err
			}
			c.index++
		}
		after = page[len(page)-1].UID
	}
	return nil
}

// page reads messages behind a UID, with summaries only if they are needed.
func (s *session) page(needs need, after store.UID, n int) ([]store.Listed, error) {
	summarized := needs&summaries != 0
	page, err := s.listed(s.view.mailbox.ID, after, n, summarized)
	for i := range page {
		if summarized && page[i].Summary == nil {
			page[i].Summary = &message.Summary{}
		}
	}
	return page, err
}
