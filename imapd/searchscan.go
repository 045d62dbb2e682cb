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
	for _, k := range q.texts {
		uids, err := s.store().Find(s.ctx(), s.acct, s.view.mailbox.ID, k.in, k.field, k.text)
		if err != nil {
			return err
		}
		k.found = s.view.indexes(uids)
	}
	v := s.view
	c := &candidate{view: v}
	try := func() error {
		if c.index%1024 == 0 && s.ctx().Err() != nil {
			return domicile.E("search", domicile.Unavailable, "closing down")
		}
		if c.uid = v.uids[c.index]; v.isGone(c.uid) || !q.fits(c) {
			return nil
		}
		return take(c)
	}
	needs := q.needs | more
	if needs == flagsAlone && len(v.uids) >= flagLeast {
		return s.scanFlags(c, try)
	}
	if needs == 0 {
		for c.index = range v.uids {
			if err := try(); err != nil {
				return err
			}
		}
		return nil
	}
	// The store may have messages that the view has not, and the other way round.
	return s.read(needs, func(m *store.Message, summary *message.Summary) (again bool, err error) {
		for c.index < len(v.uids) && v.uids[c.index] < m.UID {
			c.index++
		}
		if c.index == len(v.uids) {
			return false, nil
		}
		if v.uids[c.index] == m.UID {
			c.m, c.summary, c.flags = m, summary, bitsOf(m.Flags)
			err = try()
		}
		return err == nil, err
	})
}

// readPage is how many messages are read at a time.
const readPage = 1000

// read goes through the selected mailbox as the store has it, until fn wants no more.
func (s *session) read(needs need, fn func(m *store.Message, summary *message.Summary) (again bool, err error)) error {
	page := s.readRecords
	if needs&summaries != 0 {
		page = s.readSummaries
	}
	for after := store.UID(0); ; {
		list, err := page(after)
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			if again, err := fn(&list[i].Message, list[i].Summary); !again {
				return err
			}
		}
		after = list[len(list)-1].UID
	}
}

func (s *session) readRecords(after store.UID) ([]store.Listed, error) {
	all, err := s.store().MessagesAfter(s.ctx(), s.acct, s.view.mailbox.ID, after, readPage)
	list := make([]store.Listed, len(all))
	for i, m := range all {
		list[i].Message = m
	}
	return list, err
}

func (s *session) readSummaries(after store.UID) ([]store.Listed, error) {
	list, err := s.store().Listing(s.ctx(), s.acct, s.view.mailbox.ID, after, readPage)
	for i := range list {
		if list[i].Summary == nil {
			list[i].Summary = &message.Summary{}
		}
	}
	return list, err
}
