package imapd

import (
	"slices"

	"domicile"
	"domicile/message"
	"domicile/store"
	"domicile/turns"
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
	if err := s.findTexts(q); err != nil {
		return err
	}
	needs := q.needs | more
	return s.inTurn(func(t *turns.Turn) error {
		if q.from >= q.to {
			return nil
		}
		s.progress.toGo(q.to - q.from)
		if needs == flagsAlone && q.to-q.from >= flagLeast {
			return s.scanFlags(t, q, s.trying(q, take))
		}
		return s.scanOf(t, q, more, spans{{uint32(q.from), uint32(q.to - 1)}}, take)
	})
}

// findTexts asks the store which messages hold the texts of a program.
func (s *session) findTexts(q *query) error {
	if len(q.texts) == 0 {
		return nil
	}
	leave, err := s.home.finds.enter(s.ctx(), s.acct)
	if err != nil {
		return err
	}
	defer leave()
	for _, k := range q.texts {
		uids, err := s.store().Find(s.ctx(), s.acct, s.view.mailbox.ID, k.in, k.field, k.text)
		if err != nil {
			return err
		}
		k.found = uidSpans(uids)
	}
	return nil
}

// trying holds a candidate against a program.
func (s *session) trying(q *query, take func(c *candidate) error) func(c *candidate) error {
	return func(c *candidate) error {
		if c.index%1024 == 0 {
			s.progress.reached(max(c.index-q.from, 0))
			if s.ctx().Err() != nil {
				return domicile.E("search", domicile.Unavailable, "closing down")
			}
		}
		if c.uid = c.view.uids[c.index]; c.view.isGone(c.uid) || !q.fits(c) {
			return nil
		}
		return take(c)
	}
}

// readPage is how many messages are read at a time.
const readPage = 1000

// scanOf is scan of some messages of the view, by their indexes, whose texts were asked for already.
func (s *session) scanOf(t *turns.Turn, q *query, more need, picked spans, take func(c *candidate) error) error {
	v, try := s.view, s.trying(q, take)
	c := &candidate{view: v}
	needs := q.needs | more
	if needs == 0 {
		for _, r := range picked {
			for c.index = int(r.from); c.index <= int(r.to); c.index++ {
				if err := try(c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	p := &pager{v: v, left: slices.Clone(picked), size: readPage}
	for from, to, ok := p.next(); ok; from, to, ok = p.next() {
		page, err := s.listedFor(needs, v.uids[from]-1, int(to-from)+1)
		if err != nil {
			return err
		}
		c.index = int(from)
		for i := range page { // the store may have some that the view has not, and the other way round
			m := &page[i]
			for c.index <= int(to) && v.uids[c.index] < m.UID {
				c.index++
			}
			if c.index > int(to) {
				break
			}
			if v.uids[c.index] != m.UID || !picked.has(uint32(c.index)) {
				continue
			}
			c.m, c.summary, c.flags = &m.Message, m.Summary, bitsOf(m.Flags)
			if err := try(c); err != nil {
				return err
			}
		}
		if err := s.pass(t); err != nil {
			return err
		}
	}
	return nil
}

// listedFor reads messages behind a UID, with summaries only if they are needed.
func (s *session) listedFor(needs need, after store.UID, n int) ([]store.Listed, error) {
	summarized := needs&summaries != 0
	page, err := s.listed(s.view.mailbox.ID, after, n, summarized)
	for i := range page {
		if summarized && page[i].Summary == nil {
			page[i].Summary = &message.Summary{}
		}
	}
	return page, err
}
