package imapd

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/message"
	"domicile/store"
)

// cacheSize bounds a message that a session keeps parsed between two commands.
const cacheSize = 1 << 20

// fetchRequest is a FETCH: what to send of each message.
type fetchRequest struct {
	*imap.FetchOptions
	body, structure bool     // BODY, BODYSTRUCTURE
	names           []string // of body sections, in their order: "" or the obsolete item that asked for it
}

// newFetchRequest adds to what the engine parsed what it keeps to itself, from the client's words.
func newFetchRequest(o *imap.FetchOptions, text string) fetchRequest {
	q := fetchRequest{FetchOptions: o}
	_, items, _ := strings.Cut(strings.TrimSpace(text), " ") // the tag
	items = strings.ToUpper(items)
	for len(items) > 0 {
		switch {
		case strings.HasPrefix(items, "BODY.PEEK["), strings.HasPrefix(items, "BODY["):
			q.names = append(q.names, "")
			items = items[sectionEnd(items):]
		case strings.HasPrefix(items, "BINARY"):
			items = items[sectionEnd(items):]
		case items[0] == ' ' || items[0] == '(' || items[0] == ')':
			items = items[1:]
		default:
			word := items[:len(items)-len(strings.TrimLeft(items, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:,*$"))]
			items = items[max(1, len(word)):]
			switch word {
			case "RFC822", "RFC822.HEADER", "RFC822.TEXT", "RFC822.PEEK":
				q.names = append(q.names, word)
			case "BODY", "FULL":
				q.body = true
			case "BODYSTRUCTURE":
				q.structure = true
			}
		}
	}
	return q
}

// needsBody: whether the bytes of the message are needed, and whether they can be sent as they are read.
func (q *fetchRequest) needsBody() (needed, stream bool) {
	needed = q.Envelope || q.BodyStructure != nil || len(q.BodySection) > 0
	if len(q.BodySection) != 1 || q.Envelope || q.BodyStructure != nil {
		return needed, false
	}
	s := q.BodySection[0]
	return true, len(s.Part) == 0 && s.Specifier == imap.PartSpecifierNone && s.Partial == nil
}

// seen: whether the request marks messages as read (RFC 9051 6.4.5).
func (q *fetchRequest) seen() bool {
	for i, s := range q.BodySection {
		if !s.Peek && (i >= len(q.names) || q.names[i] != "RFC822.HEADER" && q.names[i] != "RFC822.PEEK") {
			return true
		}
	}
	return false
}

// Fetch sends what o and text, the client's own words, ask for of each message of the set. Messages that are gone meanwhile are
// left out (RFC 9051 7.5.1 lets the client learn it at its next command).
func (s *session) Fetch(set imap.NumSet, o *imap.FetchOptions, text string) error {
	if len(o.BinarySection) > 0 || len(o.BinarySectionSize) > 0 || o.ModSeq {
		return bad("BINARY and CONDSTORE are not offered")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	idx, err := s.pick(set)
	if err != nil {
		return err
	}
	q := newFetchRequest(o, text)
	if len(q.names) != len(q.BodySection) {
		return bad("A body section that cannot be read")
	}
	changed, err := s.markSeen(idx, q)
	if err != nil {
		return err
	}
	known := summaries{s: s}
	for n, i := range idx {
		var summary *message.Summary
		if q.summary() {
			if summary, err = known.of(idx[n:]); err != nil {
				return err
			}
		}
		if err := s.fetchOne(i, q, summary, changed[s.view.msgs[i].UID]); err != nil {
			return err
		}
	}
	return nil
}

// summary: whether what the store has ready of a message is enough.
func (q *fetchRequest) summary() bool {
	return (q.Envelope || q.BodyStructure != nil) && len(q.BodySection) == 0
}

// summaries reads ahead in the selected mailbox.
type summaries struct {
	s    *session
	list []store.Listed
}

const readAhead = 500 // messages

// of returns the summary of the first message of idx, nil if it is gone or has none. The others are those that will be asked for next.
func (x *summaries) of(idx []int) (*message.Summary, error) {
	v := x.s.view
	uid := v.msgs[idx[0]].UID
	if len(x.list) == 0 || x.list[len(x.list)-1].UID < uid {
		limit := idx[min(readAhead, len(idx))-1] - idx[0] + 1
		var err error
		if x.list, err = x.s.store().Listing(x.s.ctx(), x.s.acct, v.mailbox.ID, uid-1, min(limit, readAhead)); err != nil {
			return nil, failure(err)
		}
	}
	for len(x.list) > 0 && x.list[0].UID < uid {
		x.list = x.list[1:]
	}
	if len(x.list) == 0 || x.list[0].UID != uid {
		return nil, nil
	}
	return x.list[0].Summary, nil
}

// markSeen sets \Seen where the request does so, and returns on which messages it was not set.
func (s *session) markSeen(idx []int, q fetchRequest) (map[store.UID]bool, error) {
	if s.view.readOnly || s.view.removed || !q.seen() {
		return nil, nil
	}
	changed := map[store.UID]bool{}
	var uids []store.UID
	for _, i := range idx {
		if m := s.view.msgs[i]; !store.HasFlag(m.Flags, store.Seen) {
			changed[m.UID] = true
			uids = append(uids, m.UID)
		}
	}
	if len(uids) == 0 {
		return nil, nil
	}
	done, _, err := s.store().StoreFlags(s.ctx(), "", s.acct, s.view.mailbox.ID, uids, store.FlagsAdd, []string{store.Seen}, 0)
	if err != nil {
		return nil, failure(err)
	}
	s.view.update(done, nil)
	return changed, nil
}

// fetchOne sends one message's data, from its summary if there is one. showFlags adds FLAGS, because fetching changed them.
func (s *session) fetchOne(i int, q fetchRequest, summary *message.Summary, showFlags bool) error {
	m := s.view.msgs[i]
	needed, stream := q.needsBody()
	var r response
	r.format("* %d FETCH (", i+1)
	if q.UID {
		r.item("UID ").number(int64(m.UID))
	}
	s.fetchIndex(&r, m, q, showFlags)
	switch {
	case !needed:
	case summary != nil && r.summary(summary, q):
	case stream:
		return s.streamBody(&r, m, q)
	default:
		parsed, release, err := s.load(m)
		if err != nil {
			return skipGone(err)
		}
		defer release()
		if err := s.fetchParsed(&r, parsed, q); err != nil {
			return err
		}
	}
	return s.gate.send(r.raw(")\r\n").b)
}

// summary writes what a summary has ready, or nothing if something of it was too large to be kept.
func (r *response) summary(s *message.Summary, q fetchRequest) bool {
	if q.Envelope && s.Envelope == "" || q.BodyStructure != nil && s.Structure == "" {
		return false
	}
	if q.Envelope {
		r.item("ENVELOPE ").raw(s.Envelope)
	}
	if q.body {
		r.item("BODY ")
		r.b = s.AppendBody(r.b)
	}
	if q.structure {
		r.item("BODYSTRUCTURE ").raw(s.Structure)
	}
	return true
}

// item separates items.
func (r *response) item(name string) *response {
	if r.items++; r.items > 1 {
		r.raw(" ")
	}
	return r.raw(name)
}

// fetchIndex writes the items that need no body.
func (s *session) fetchIndex(r *response, m store.Message, q fetchRequest, showFlags bool) {
	if q.Flags || showFlags {
		r.item("FLAGS ").flags(m.Flags)
	}
	if q.InternalDate {
		r.item("INTERNALDATE ").raw(m.Internal.Format(`"_2-Jan-2006 15:04:05 -0700"`))
	}
	if q.RFC822Size {
		r.item("RFC822.SIZE ").number(m.Size)
	}
}

// fetchParsed writes the items that are cut out of a parsed message. Sections are sent one by one: a request may name the
// same large one many times.
func (s *session) fetchParsed(r *response, m *message.Message, q fetchRequest) error {
	if q.Envelope {
		r.item("ENVELOPE ")
		r.b = m.AppendEnvelope(r.b, m.Root)
	}
	if q.body {
		r.item("BODY ")
		r.b = m.AppendStructure(r.b, m.Root, false)
	}
	if q.structure {
		r.item("BODYSTRUCTURE ")
		r.b = m.AppendStructure(r.b, m.Root, true)
	}
	for i, sect := range q.BodySection {
		r.section(sect, q.names[i])
		body := cut(sectionOf(m, sect), sect.Partial)
		if body == nil {
			r.raw("NIL")
			continue
		}
		r.raw("{").number(int64(len(body))).raw("}\r\n")
		if err := s.gate.send(r.b); err != nil {
			return err
		}
		r.b = r.b[:0]
		if err := s.gate.send(body); err != nil {
			return err
		}
	}
	return nil
}

// load reads and parses a message. release gives its memory back.
func (s *session) load(m store.Message) (*message.Message, func(), error) {
	if s.cached != nil && s.cachedID == m.ID {
		return s.cached, func() {}, nil
	}
	if m.Size > readMemory {
		return nil, nil, no(imap.ResponseCodeTooBig, "The message is too large to take apart; fetch it as a whole")
	}
	if err := s.home.memory.Acquire(s.ctx(), m.Size); err != nil {
		return nil, nil, no(imap.ResponseCodeUnavailable, "Closing down")
	}
	raw, err := s.read(m)
	if err != nil {
		s.home.memory.Release(m.Size)
		return nil, nil, err
	}
	parsed := message.Parse(raw)
	if m.Size <= cacheSize {
		s.cached, s.cachedID = parsed, m.ID
	}
	return parsed, func() { s.home.memory.Release(m.Size) }, nil
}

func (s *session) read(m store.Message) ([]byte, error) {
	body, err := s.store().Body(s.ctx(), s.acct, m.ID)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readAll(body, m.Size)
}

// skipGone passes over a message that was expunged meanwhile.
func skipGone(err error) error {
	if domicile.KindOf(err) == domicile.NotExist {
		return nil
	}
	return failure(err)
}

// errCut ends a connection on which a literal could not be finished.
var errCut = errors.New("a literal could not be finished")

// streamBody sends a whole message as it is read, after what r holds.
func (s *session) streamBody(r *response, m store.Message, q fetchRequest) error {
	body, err := s.store().Body(s.ctx(), s.acct, m.ID)
	if err != nil {
		return skipGone(err)
	}
	defer body.Close()
	r.section(q.BodySection[0], q.names[0])
	r.raw("{").number(m.Size).raw("}\r\n")
	if err := s.gate.send(r.b); err != nil {
		return err
	}
	out := &sender{g: s.gate}
	n, err := io.Copy(out, body)
	if err != nil || n != m.Size {
		s.gate.Conn.Close()
		if !out.failed && !errors.Is(err, context.Canceled) { // a client that goes away is no fault of the store
			s.home.cfg.Log.Error("a stored message could not be read to its end; run mailctl fsck", "account", string(s.acct), "message", string(m.ID))
		}
		return errCut
	}
	return s.gate.send([]byte(")\r\n"))
}

// sender is the gate as a writer of a session's own bytes.
type sender struct {
	g      *gate
	failed bool
}

func (w *sender) Write(p []byte) (int, error) {
	if err := w.g.send(p); err != nil {
		w.failed = true
		return 0, err
	}
	return len(p), nil
}
