package imapd

import (
	"context"
	"errors"
	"io"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/message"
	"domicile/store"
)

const (
	streamAt    = 256 << 10 // bytes of a single section from where on it is sent as it is read, and not held
	previewFrom = 256 << 10 // bytes of a message that its preview is made of
	readAhead   = 8         // messages that are read while one is sent,
	aheadBytes  = 512 << 10 // and bytes of them: what a client that does not read keeps from others
)

// plan is what of a message's bytes is needed.
type plan struct {
	cuts  []cut
	need  int64 // the first bytes of the message; all of them if it has to be parsed
	parse bool
}

// plan looks where the sections of a message stand.
func (f *fetcher) plan(m *row) (p plan) {
	q, sum := f.q, m.Summary
	p.parse = sum == nil && (q.envelope || q.body || q.structure) ||
		sum != nil && (q.envelope && sum.Envelope == "" || (q.body || q.structure) && sum.Structure == "")
	for i := range q.sections {
		sec := &q.sections[i]
		p.parse = p.parse || sec.binary && !sec.isWhole() || !sec.isWhole() && (sum == nil || !sum.Placed())
	}
	if f.wantsPreview(m) {
		p.need = min(m.Size, previewFrom)
	}
	if p.parse {
		p.need = m.Size
		return p
	}
	var find placer
	if sum != nil {
		find = sum.Find
	}
	p.cuts = make([]cut, len(q.sections))
	for i := range q.sections {
		p.cuts[i] = q.sections[i].cut(find, m.Size)
		p.need = max(p.need, p.cuts[i].need())
	}
	return p
}

// streams reports whether the message is sent as it is read.
func (f *fetcher) streams(p *plan) bool {
	return p.need > streamAt && !p.parse && f.q.preview == noPreview && len(p.cuts) == 1 && p.cuts[0].plain()
}

// page sends what is asked for of some messages.
func (f *fetcher) page(rows []row) error {
	l := loads{s: f.s, all: make([]load, len(rows))}
	defer l.close()
	for i := range rows {
		if f.q.preview == noPreview && len(f.q.sections) == 0 && f.ready(&rows[i]) {
			continue
		}
		l.all[i].plan = f.plan(&rows[i])
		l.all[i].id, l.all[i].size = rows[i].ID, rows[i].Size
		l.all[i].streamed = f.streams(&l.all[i].plan)
	}
	for i := range rows {
		raw, err := l.get(i)
		if err == nil {
			err = f.message(&rows[i], &l.all[i].plan, raw)
		}
		l.done(i)
		if err != nil && !f.passes(err, &rows[i]) {
			return err
		}
	}
	return nil
}

// ready: the summary has all that is asked for.
func (f *fetcher) ready(m *row) bool {
	q, sum := f.q, m.Summary
	if !q.envelope && !q.body && !q.structure {
		return true
	}
	return sum != nil && (!q.envelope || sum.Envelope != "") && (!q.body && !q.structure || sum.Structure != "")
}

// passes reports whether the other messages are sent nevertheless: where one was expunged meanwhile, is damaged or has an encoding that is not known.
func (f *fetcher) passes(err error, m *row) bool {
	var refused *imap.Error
	switch {
	case errors.Is(err, errCut):
		return false
	case errors.As(err, &refused):
		f.refusal = err
		return refused.Code == imap.ResponseCodeUnknownCTE || refused.Code == imap.ResponseCodeTooBig
	case domicile.KindOf(err) == domicile.NotExist:
		return true
	case domicile.KindOf(err) == domicile.Other:
		f.s.logDamage(m.ID)
		f.refusal = no(imap.ResponseCodeCorruption, "A message could not be read; the others were sent")
		return true
	}
	return false
}

func (s *session) logDamage(id domicile.MessageID) {
	s.home.cfg.Log.Error("a stored message could not be read to its end; run mailctl fsck", "account", string(s.acct), "message", string(id))
}

// load is the bytes of a message that are needed.
type load struct {
	plan
	id       domicile.MessageID
	size     int64
	streamed bool
	raw      []byte
	err      error
	held     int64         // of Home.memory
	read     chan struct{} // closed when raw and err are there; nil = not begun
}

// loads reads messages ahead, in order. Only the message whose turn it is waits for memory, when no other of this session holds any: so
// sessions never wait for one another in a circle.
type loads struct {
	s     *session
	all   []load
	begun int
	ahead int64 // bytes of those that were begun and are not done
}

// get returns the bytes of message i: those that its plan needs.
func (l *loads) get(i int) ([]byte, error) {
	for l.begun < len(l.all) && l.begun <= i+readAhead {
		if !l.begin(&l.all[l.begun], l.begun == i) {
			break
		}
		l.begun++
	}
	m := &l.all[i]
	if m.read != nil {
		<-m.read
	}
	return m.raw, m.err
}

// begin begins to read a message, if there is memory for it, or if it is its turn.
func (l *loads) begin(m *load, turn bool) bool {
	if m.need == 0 || m.streamed {
		return true
	}
	held := 2 * m.need // what is decoded or picked out of the bytes comes on top
	switch {
	case held > readMemory:
		m.err = no(imap.ResponseCodeTooBig, "A message is too large to take apart; fetch it as a whole")
		return true
	case turn:
		if l.s.home.memory.Acquire(l.s.ctx(), held) != nil {
			m.err = no(imap.ResponseCodeUnavailable, "Closing down")
			return true
		}
	case l.ahead+m.need > aheadBytes || !l.s.home.memory.TryAcquire(held):
		return false
	}
	l.ahead += m.need
	m.held, m.read = held, make(chan struct{})
	read := func() {
		m.raw, m.err = l.s.bytesOf(m.id, m.size, m.need)
		close(m.read)
	}
	if turn && l.begun == len(l.all)-1 { // the last one: there is nothing to do beside
		read()
	} else {
		go read()
	}
	return true
}

// done gives back what message i held.
func (l *loads) done(i int) {
	m := &l.all[i]
	if m.read != nil {
		<-m.read
	}
	l.s.home.memory.Release(m.held)
	if m.held > 0 {
		l.ahead -= m.need
	}
	m.raw, m.held = nil, 0
}

func (l *loads) close() {
	for i := range l.all[:l.begun] {
		l.done(i)
	}
}

// bytesOf reads the first need bytes of a stored message of a known size.
func (s *session) bytesOf(id domicile.MessageID, size, need int64) ([]byte, error) {
	body, err := s.store().Body(s.ctx(), s.acct, id)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if need == size {
		return readAll(body, size)
	}
	b := make([]byte, need)
	_, err = io.ReadFull(body, b)
	return b, err
}

// readAll reads a stored message of a known size.
func readAll(r io.Reader, size int64) ([]byte, error) {
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	// The end must be read: only there does the store say that the bytes are whole.
	if n, err := io.CopyN(io.Discard, r, 1); n != 0 || err != io.EOF { // one Read may give neither a byte nor an error
		return nil, errors.New("a stored message is not as long as its index says")
	}
	return b, nil
}

// errCut ends a connection on which a literal could not be finished.
var errCut = errors.New("a literal could not be finished")

// stream sends n bytes of a stored message from an offset on, as they are read. start is called before the first of them.
func (s *session) stream(m *store.Message, from, n int64, start func()) error {
	body, err := s.store().Body(s.ctx(), s.acct, m.ID)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.CopyN(io.Discard, body, from); err != nil {
		return err
	}
	start()
	_, err = io.CopyN(s.conn, body, n)
	if err == nil && from+n == m.Size {
		_, err = io.CopyN(io.Discard, body, 1)
		if err == io.EOF {
			return nil
		}
	}
	if err == nil {
		return nil
	}
	if s.conn.Flush() == nil && !errors.Is(err, context.Canceled) { // a client that goes away is no fault of the store
		s.logDamage(m.ID)
	}
	s.conn.Close()
	return errCut
}

// parsed parses a message if that is needed, and finds the sections in it.
func (f *fetcher) parsed(m *row, p *plan, raw []byte) (*message.Message, error) {
	if !p.parse {
		return nil, nil
	}
	parsed := message.Parse(raw)
	p.cuts = make([]cut, len(f.q.sections))
	for i := range p.cuts {
		p.cuts[i] = f.q.sections[i].cut(placesOf(parsed), m.Size)
		if p.cuts[i].binary {
			if err := p.cuts[i].decode(parsed); err != nil {
				return nil, err
			}
		}
	}
	return parsed, nil
}
