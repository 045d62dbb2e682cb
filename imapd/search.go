package imapd

import (
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile/message"
	"domicile/store"
)

// Search finds messages. It reads bodies only for messages that fit in all else.
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
	var uids imap.UIDSet
	var nums imap.SeqSet
	data := &imap.SearchData{}
	for i := range s.view.msgs {
		if s.view.gone[s.view.msgs[i].UID] {
			continue
		}
		found := candidate{s: s, index: i}
		ok, err := found.fits(c)
		found.release()
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

// candidate is a message that is held against criteria; its bytes are read at most once, and only when needed.
type candidate struct {
	s      *session
	index  int
	parsed *message.Message
	free   func()
	absent bool
}

func (c *candidate) release() {
	if c.free != nil {
		c.free()
	}
}

// message is the parsed message, nil if it is gone.
func (c *candidate) message() (*message.Message, error) {
	if c.parsed != nil || c.absent {
		return c.parsed, nil
	}
	m, free, err := c.s.load(c.s.view.msgs[c.index])
	if err != nil {
		c.absent = true
		return nil, skipGone(err)
	}
	c.parsed, c.free = m, free
	return m, nil
}

// fits checks what the index knows first, what needs the bytes last.
func (c *candidate) fits(q *imap.SearchCriteria) (bool, error) {
	if !c.fitsIndex(q) {
		return false, nil
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
	if len(q.Header)+len(q.Body)+len(q.Text) == 0 && q.SentSince.IsZero() && q.SentBefore.IsZero() {
		return true, nil
	}
	m, err := c.message()
	if m == nil || err != nil {
		return false, err
	}
	return fitsMessage(m, q), nil
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

// fitsMessage checks what stands in the message.
func fitsMessage(m *message.Message, q *imap.SearchCriteria) bool {
	header := m.Header(m.Root)
	if !q.SentSince.IsZero() || !q.SentBefore.IsZero() {
		sent, err := mail.ParseDate(m.Envelope(m.Root).Date)
		if err != nil || !within(sent, q.SentSince, q.SentBefore) {
			return false
		}
	}
	for _, h := range q.Header {
		if !fieldHolds(header, h.Key, h.Value) {
			return false
		}
	}
	for _, text := range q.Body {
		if !bodyHolds(m, m.Root, text) {
			return false
		}
	}
	for _, text := range q.Text {
		if !headerHolds(header, text) && !bodyHolds(m, m.Root, text) {
			return false
		}
	}
	return true
}

// fieldHolds: any field of that name holds the text, decoded; "" fits every field (RFC 9051 6.4.4).
func fieldHolds(header []byte, name, text string) bool {
	for _, v := range message.Fields(header, name) {
		if holds(message.DecodeHeader(v), text) {
			return true
		}
	}
	return false
}

func headerHolds(header []byte, text string) bool {
	return holds(message.DecodeHeader(string(header)), text)
}

// bodyHolds looks into texts, decoded, and into the headers of embedded messages.
func bodyHolds(m *message.Message, p *message.Part, text string) bool {
	if p.Embedded != nil {
		return headerHolds(m.Header(p.Embedded), text) || bodyHolds(m, p.Embedded, text)
	}
	for _, child := range p.Parts {
		if bodyHolds(m, child, text) {
			return true
		}
	}
	return p.Type == "text" && holds(m.Text(p), text)
}

// holds looks for text without regard to case.
func holds(in, text string) bool {
	return text == "" || strings.Contains(strings.ToLower(in), strings.ToLower(text))
}
