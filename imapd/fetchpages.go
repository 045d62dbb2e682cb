package imapd

import (
	"runtime/debug"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/store"
	"domicile/turns"
)

// pageSize is how many messages are read from the store at once.
const pageSize = 256

// maxGap is how many messages that are not asked for are read along, where reading anew would cost more.
const maxGap = 8

// pager cuts a set of indexes into pages.
type pager struct {
	v    *view
	left spans
	size uint32
}

// next returns the ends of the next page.
func (p *pager) next() (from, to uint32, ok bool) {
	if len(p.left) == 0 {
		return 0, 0, false
	}
	from = p.left[0].from
	to = from
	for len(p.left) > 0 {
		r := &p.left[0]
		if r.from > to+maxGap || r.from-from >= p.size {
			break
		}
		to = min(r.to, from+p.size-1)
		if to < r.to {
			r.from = to + 1
			break
		}
		p.left = p.left[1:]
	}
	return from, to, true
}

// page is what the store has of a run of the view.
type page struct {
	from, to uint32
	listed   []store.Listed
	err      error
}

// read begins to read the next page; nil if there is none.
func (f *fetcher) read(p *pager) <-chan page {
	from, to, ok := p.next()
	if !ok {
		return nil
	}
	got := make(chan page, 1)
	mbox, after, last := p.v.mailbox.ID, p.v.uids[from]-1, p.v.uids[to] // the view may change while get runs
	get := func() {
		defer func() {
			if p := recover(); p != nil { // session.serve does not see it
				f.s.home.cfg.Log.Error("panic in an IMAP session", "stack", string(debug.Stack()))
				got <- page{err: no(imap.ResponseCodeServerBug, "It failed; nothing more is known")}
			}
		}()
		listed, err := f.s.listedInTurn(mbox, after, int(to-from)+1, f.q.summarized())
		for n := len(listed); n > 0 && listed[n-1].UID > last; n = len(listed) {
			listed = listed[:n-1]
		}
		got <- page{from, to, listed, err}
	}
	if len(p.left) == 0 { // the last one: there is nothing to do beside
		get()
	} else {
		go get()
	}
	return got
}

// summarized: whether the summary of a message has anything of what is asked for.
func (q *fetchItems) summarized() bool {
	for i := range q.sections {
		if !q.sections[i].isWhole() {
			return true
		}
	}
	return q.envelope || q.body || q.structure
}

// lightPage is how many messages are listed without a turn.
const lightPage = 64

// listedInTurn is listed, in a turn if there are many: heavy work.
func (s *session) listedInTurn(mbox domicile.MailboxID, after store.UID, n int, summarized bool) (listed []store.Listed, err error) {
	if n <= lightPage {
		return s.listed(mbox, after, n, summarized)
	}
	err = s.inTurn(func(*turns.Turn) (err error) {
		listed, err = s.listed(mbox, after, n, summarized)
		return err
	})
	return listed, err
}

// listed reads at most n messages behind a UID, with their summaries only if these are wanted.
func (s *session) listed(mbox domicile.MailboxID, after store.UID, n int, summarized bool) ([]store.Listed, error) {
	if summarized {
		return s.store().Listing(s.ctx(), s.acct, mbox, after, n)
	}
	messages, err := s.store().Messages(s.ctx(), s.acct, mbox, after, n)
	listed := make([]store.Listed, len(messages))
	for i, m := range messages {
		listed[i].Message = m
	}
	return listed, err
}

// rows are the messages of the page that are asked for.
func (p *page) rows(v *view, picked spans) []row {
	rows := make([]row, 0, len(p.listed))
	i := int(p.from)
	for _, m := range p.listed {
		for i <= int(p.to) && v.uids[i] < m.UID {
			i++
		}
		if i <= int(p.to) && v.uids[i] == m.UID && picked.has(uint32(i)) {
			rows = append(rows, row{Listed: m, index: i})
		}
	}
	return rows
}
