package imapd

import (
	"context"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile/store"
)

// Search finds messages. What looks into messages the store answers, for the whole mailbox at once.
func (s *session) Search(uid bool, c *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	if o.ReturnSave {
		return nil, bad("SEARCHRES is not offered")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil, bad("No mailbox is selected")
	}
	if textKeys(c) > maxTextKeys {
		return nil, no(imap.ResponseCodeLimit, "More than 64 keys that look into messages")
	}
	if !s.view.known(c) {
		return nil, bad("A message number that does not exist, or a saved result")
	}
	found, err := s.findTexts(c)
	if err != nil {
		return nil, err
	}
	var uids imap.UIDSet
	var nums imap.SeqSet
	data := &imap.SearchData{}
	for i := range s.view.msgs {
		if s.view.gone[s.view.msgs[i].UID] {
			continue
		}
		ok, err := (&candidate{s: s, index: i, found: found}).fits(c)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		n := uint32(i + 1)
		if uid {
			n = uint32(s.view.msgs[i].UID)
			uids.AddNum(imap.UID(n))
		} else {
			nums.AddNum(n)
		}
		if data.Count++; data.Min == 0 {
			data.Min = n
		}
		data.Max = n
	}
	if data.All = nums; uid {
		data.All = uids
	}
	return data, nil
}

// maxTextKeys bounds the keys of one SEARCH that look into messages.
const maxTextKeys = 64

func textKeys(c *imap.SearchCriteria) int {
	n := len(c.Header) + len(c.Body) + len(c.Text)
	for i := range c.Not {
		n += textKeys(&c.Not[i])
	}
	for i := range c.Or {
		n += textKeys(&c.Or[i][0]) + textKeys(&c.Or[i][1])
	}
	return n
}

// known checks that sequence numbers exist and that no saved result is asked for.
func (v *view) known(c *imap.SearchCriteria) bool {
	for _, set := range c.SeqNum {
		if _, ok := v.resolve(set); !ok {
			return false
		}
	}
	for _, set := range c.UID {
		if imap.IsSearchRes(set) {
			return false
		}
	}
	for i := range c.Not {
		if !v.known(&c.Not[i]) {
			return false
		}
	}
	for i := range c.Or {
		if !v.known(&c.Or[i][0]) || !v.known(&c.Or[i][1]) {
			return false
		}
	}
	return true
}

// textKey is a key that looks into messages.
type textKey struct {
	in          store.Where
	field, text string
}

func textKeysOf(q *imap.SearchCriteria) (keys []textKey) {
	for _, h := range q.Header {
		keys = append(keys, textKey{store.InHeader, h.Key, h.Value})
	}
	for _, text := range q.Body {
		keys = append(keys, textKey{store.InBody, "", text})
	}
	for _, text := range q.Text {
		keys = append(keys, textKey{store.InText, "", text})
	}
	return keys
}

// findings are the messages in which a key was found.
type findings map[textKey]map[store.UID]bool

func (s *session) findTexts(c *imap.SearchCriteria) (findings, error) {
	f := findings{}
	return f, f.ask(s.ctx(), s, c)
}

func (f findings) ask(ctx context.Context, s *session, q *imap.SearchCriteria) error {
	for _, k := range textKeysOf(q) {
		if f[k] != nil {
			continue
		}
		uids, err := s.store().Find(ctx, s.acct, s.view.mailbox.ID, k.in, k.field, k.text)
		if err != nil {
			return failure(err)
		}
		f[k] = make(map[store.UID]bool, len(uids))
		for _, uid := range uids {
			f[k][uid] = true
		}
	}
	for i := range q.Not {
		if err := f.ask(ctx, s, &q.Not[i]); err != nil {
			return err
		}
	}
	for i := range q.Or {
		for j := range q.Or[i] {
			if err := f.ask(ctx, s, &q.Or[i][j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// candidate is a message that is held against criteria.
type candidate struct {
	s     *session
	index int
	found findings
	sent  *time.Time // of its Date field, once that was looked up
}

func (c *candidate) uid() store.UID { return c.s.view.msgs[c.index].UID }

// date is that of the Date field; zero if there is none, or the message is gone.
func (c *candidate) date() (time.Time, error) {
	if c.sent == nil {
		c.sent = &time.Time{}
		list, err := c.s.store().Listing(c.s.ctx(), c.s.acct, c.s.view.mailbox.ID, c.uid()-1, 1)
		if err != nil {
			return *c.sent, failure(err)
		}
		if len(list) > 0 && list[0].UID == c.uid() && list[0].Summary != nil {
			*c.sent = list[0].Summary.Sent
		}
	}
	return *c.sent, nil
}

// fits checks what the view knows first, what must be looked up last.
func (c *candidate) fits(q *imap.SearchCriteria) (bool, error) {
	if !c.fitsIndex(q) {
		return false, nil
	}
	for _, k := range textKeysOf(q) {
		if !c.found[k][c.uid()] {
			return false, nil
		}
	}
	for i := range q.Not {
		if ok, err := c.fits(&q.Not[i]); ok || err != nil {
			return false, err
		}
	}
	for i := range q.Or {
		ok, err := c.fits(&q.Or[i][0])
		if !ok && err == nil {
			ok, err = c.fits(&q.Or[i][1])
		}
		if !ok || err != nil {
			return false, err
		}
	}
	if q.SentSince.IsZero() && q.SentBefore.IsZero() {
		return true, nil
	}
	sent, err := c.date()
	return err == nil && !sent.IsZero() && within(sent, q.SentSince, q.SentBefore), err
}

func (c *candidate) fitsIndex(q *imap.SearchCriteria) bool {
	v := c.s.view
	m := v.msgs[c.index]
	for _, set := range q.SeqNum {
		if !inSet(uint32(c.index+1), set, uint32(len(v.msgs))) {
			return false
		}
	}
	for _, set := range q.UID {
		if !inUIDSet(uint32(m.UID), set, uint32(v.msgs[len(v.msgs)-1].UID)) {
			return false
		}
	}
	for _, f := range q.Flag {
		if !store.HasFlag(m.Flags, string(f)) {
			return false
		}
	}
	for _, f := range q.NotFlag {
		if store.HasFlag(m.Flags, string(f)) {
			return false
		}
	}
	return (q.Larger == 0 || m.Size > q.Larger) && (q.Smaller == 0 || m.Size < q.Smaller) && within(m.Internal, q.Since, q.Before)
}

func inSet(n uint32, set imap.SeqSet, last uint32) bool {
	for _, r := range set {
		if from, to := order(r.Start, r.Stop, last); from <= n && n <= to {
			return true
		}
	}
	return false
}

func inUIDSet(n uint32, set imap.UIDSet, last uint32) bool {
	for _, r := range set {
		if from, to := order(uint32(r.Start), uint32(r.Stop), last); from <= n && n <= to {
			return true
		}
	}
	return false
}

// within compares dates without regard to time and zone (RFC 9051 6.4.4). Zero limits do not count.
func within(t, since, before time.Time) bool {
	day := func(t time.Time) int { y, m, d := t.Date(); return y*10000 + int(m)*100 + d }
	return (since.IsZero() || day(t) >= day(since)) && (before.IsZero() || day(t) < day(before))
}
