package imapd

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/message"
	"domicile/store"
	"domicile/turns"
)

const (
	streamAt    = 256 << 10             // bytes of a single section from where on it is sent as it is read, and not held
	firstRead   = 32 << 10              // bytes of it that are read before anything is sent
	streamPiece = 128 << 10             // bytes of a large message that are read in one turn
	previewFrom = 256 << 10             // bytes of a message that its preview is made of
	maxHeld     = 3 * accountMemory / 8 // bytes of a message that is held to be taken apart
	pieceAhead  = 256 << 10             // bytes, at most, that the store holds of a body while it reads ahead,
	maxAhead    = 512 << 10             // and of all of them: what a client that does not read keeps from others
)

// What one message may take fits into the share of an account, also while others hold some.
const _ = uint(accountMemory - 2*maxHeld - maxAhead)

// plan is what of a message's bytes is needed.
type plan struct {
	cuts     []cut
	need     int64 // the first bytes of the message; all of them if it has to be parsed
	parse    bool
	streamed bool // it is sent as it is read
	refused  error
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
	p.streamed = p.need > streamAt && q.preview == noPreview && len(p.cuts) == 1 && p.cuts[0].plain()
	return p
}

// sendPage sends what is asked for of some messages, in runs of which little enough is read ahead.
func (f *fetcher) sendPage(rows []row) (err error) {
	defer f.tellSeen(rows, &err)
	for len(rows) > 0 {
		var r run
		for r.n < len(rows) && f.add(&r, &rows[r.n]) {
			r.n++
		}
		if err := f.send(rows[:r.n], &r); err != nil {
			return err
		}
		rows = rows[r.n:]
	}
	return nil
}

// run is some messages that are sent one after the other.
type run struct {
	n           int
	plans       []plan
	ids         []domicile.MessageID // of those whose bytes are needed
	ahead, held int64                // bytes that the store holds of them, and that are held of the one that is sent
}

// add plans a message. It reports false if the run is long enough without it.
func (f *fetcher) add(r *run, m *row) bool {
	var p plan
	if f.q.preview != noPreview || len(f.q.sections) > 0 || !f.ready(m) {
		p = f.plan(m)
	}
	if !p.streamed && p.need > maxHeld {
		p = plan{refused: no(imap.ResponseCodeTooBig, "A message is too large to take apart; fetch it as a whole")}
	}
	if p.need > 0 {
		ahead := r.ahead + min(m.Size, pieceAhead)
		if len(r.ids) > 0 && ahead > maxAhead {
			return false
		}
		r.ahead = ahead
		r.ids = append(r.ids, m.ID)
	}
	if p.streamed {
		r.held = max(r.held, streamPiece)
	} else {
		r.held = max(r.held, 2*p.need) // what is decoded or picked out of the bytes comes on top
	}
	r.plans = append(r.plans, p)
	return true
}

// send sends a run. The bodies come from the store in order, read ahead. Memory for them is acquired at once: sessions never wait for one another in a circle.
func (f *fetcher) send(rows []row, r *run) error {
	if err := f.s.memory.Acquire(f.s.ctx(), r.ahead+r.held); err != nil {
		return err
	}
	defer f.s.memory.Release(r.ahead + r.held)
	defer func() { f.room = nil }()
	next, stop := iter.Pull2(f.s.store().Bodies(f.s.ctx(), f.s.acct, r.ids))
	defer stop()
	for i := range rows {
		var body io.Reader
		err := r.plans[i].refused
		if r.plans[i].need > 0 {
			body, err, _ = next()
		}
		if err == nil {
			err = f.message(&rows[i], &r.plans[i], body)
		}
		r.plans[i].cuts = nil // what was decoded for them goes
		switch {
		case err == nil || f.passes(err, &rows[i]):
		case errors.Is(err, errCut):
			return err
		default:
			return failure(err)
		}
	}
	return nil
}

// tellSeen tells of \Seen that was set on messages of a page which were not sent then.
func (f *fetcher) tellSeen(rows []row, err *error) {
	if errors.Is(*err, errCut) {
		return
	}
	for i := range rows {
		if m := &rows[i]; m.now {
			f.s.fetchFlags(m.index, m.Message)
		}
	}
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

// readPiece reads bytes of a stored message, of a large one in a turn.
func (s *session) readPiece(body io.Reader, b []byte, large bool) error {
	read := func(*turns.Turn) error {
		_, err := io.ReadFull(body, b)
		return err
	}
	if !large {
		return read(nil)
	}
	return s.inTurn(read)
}

// copyPieces copies n bytes of a stored message as they are read. They are written outside of turns.
func (s *session) copyPieces(to io.Writer, body io.Reader, n int64, large bool) error {
	room := make([]byte, min(n, streamPiece))
	for n > 0 {
		b := room[:min(n, streamPiece)]
		err := s.readPiece(body, b, large)
		if err == nil {
			_, err = to.Write(b)
		}
		if err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// fill reads the bytes of a stored message that are needed: the first ones, or all. They are there until the next message is read.
func (f *fetcher) fill(body io.Reader, size, need int64) ([]byte, error) {
	if int64(cap(f.room)) < need {
		f.room = make([]byte, need)
	}
	b := f.room[:need]
	for piece := range slices.Chunk(b, streamPiece) {
		if err := f.s.readPiece(body, piece, need > streamAt); err != nil {
			return b, err
		}
	}
	if need < size {
		return b, nil
	}
	return b, ended(body)
}

// ended reads the end of a body: only there does the store say that the bytes are whole.
func ended(body io.Reader) error {
	if n, err := io.CopyN(io.Discard, body, 1); n != 0 || err != io.EOF { // one Read may give neither a byte nor an error
		return errors.Join(err, errors.New("a stored message is not as long as its index says"))
	}
	return nil
}

// errCut ends a connection on which a literal could not be finished.
var errCut = errors.New("a literal could not be finished")

// stream sends n bytes of a stored message from an offset on, as they are read. start is called before the first of them, when some could be read:
// damage that shows later ends the connection.
func (s *session) stream(m *store.Message, body io.Reader, from, n int64, start func()) error {
	if err := s.copyPieces(io.Discard, body, from, true); err != nil {
		return err
	}
	first := make([]byte, min(n, firstRead))
	if err := s.readPiece(body, first, true); err != nil {
		return err
	}
	start()
	_, err := s.conn.Write(first)
	if err == nil {
		err = s.copyPieces(s.conn, body, n-int64(len(first)), true)
	}
	if err == nil && from+n == m.Size {
		err = ended(body)
	}
	if err == nil {
		return nil
	}
	if s.conn.Flush() == nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errNoTurn) { // a client that goes away is no fault of the store
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
	decoded := map[*message.Part][]byte{}
	for i := range p.cuts {
		p.cuts[i] = f.q.sections[i].cut(placesOf(parsed), m.Size)
		if p.cuts[i].binary {
			if err := p.cuts[i].decode(parsed, decoded); err != nil {
				return nil, err
			}
		}
	}
	return parsed, nil
}
