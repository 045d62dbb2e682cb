package imapd

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/message"
	"domicile/store"
)

// session is one client's, whatever engine speaks the protocol with it. The engine calls one method at a time, with one
// exception: Idle may still run beside the methods that follow it and beside Close. Untagged data the session writes
// itself, in front of the engine's tagged answer.
type session struct {
	home *Home
	gate *gate

	acct domicile.AccountID

	mu     sync.Mutex // guards what follows, against Idle
	view   *view      // the selected mailbox, or nil
	closed bool

	cached   *message.Message // the message read last, if it is small: clients fetch piece by piece
	cachedID domicile.MessageID
}

// problem makes the error that becomes a tagged NO or BAD.
func problem(t imap.StatusResponseType, code imap.ResponseCode, text string) error {
	return &imap.Error{Type: t, Code: code, Text: text}
}

func no(code imap.ResponseCode, text string) error {
	return problem(imap.StatusResponseTypeNo, code, text)
}
func bad(text string) error {
	return problem(imap.StatusResponseTypeBad, imap.ResponseCodeClientBug, text)
}

// failure says a store's error in IMAP. It never repeats the error's text.
func failure(err error) error {
	var done *imap.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &done):
		return err
	case errors.Is(err, store.ErrOverQuota):
		return no(imap.ResponseCodeOverQuota, "The account is full")
	}
	switch domicile.KindOf(err) {
	case domicile.NotExist:
		return no(imap.ResponseCodeNonExistent, "No such mailbox")
	case domicile.Exist:
		return no(imap.ResponseCodeAlreadyExists, "It exists already")
	case domicile.Invalid:
		return no(imap.ResponseCodeCannot, "That name, flag or value cannot be")
	case domicile.TooLarge:
		return no(imap.ResponseCodeTooBig, "Over a limit of this server")
	case domicile.Conflict, domicile.Unavailable, domicile.Unknown:
		return no(imap.ResponseCodeUnavailable, "Not now; try again later")
	case domicile.Refused:
		return no(imap.ResponseCodeNoPerm, "Refused ("+string(domicile.ReasonOf(err))+")")
	}
	return no(imap.ResponseCodeServerBug, "It failed; nothing more is known")
}

// Close ends the session, selected or not. Safe beside Idle.
func (s *session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.view, s.cached = true, nil, nil
}

func (s *session) ctx() context.Context { return s.home.ctx }

func (s *session) store() store.Store { return s.home.cfg.Store }

func (s *session) appendLimit() uint32 { return uint32(s.gate.append) }

// Poll tells the client what changed.
func (s *session) Poll(expunge bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll(expunge)
}

// poll is Poll under s.mu.
func (s *session) poll(expunge bool) error {
	if s.view == nil || s.closed {
		return nil
	}
	var r response
	c, err := s.store().Since(s.ctx(), s.acct, s.view.mailbox.ID, s.view.seq)
	switch domicile.KindOf(err) {
	case domicile.NotExist: // deleted under the client: all its messages are gone
		for _, m := range s.view.msgs {
			s.view.gone[m.UID] = true
		}
		s.view.removed = true
		if expunge {
			s.view.expunge(&r)
		}
	default:
		if err != nil {
			return nil // a later poll may succeed; the command itself did
		}
		s.view.take(c, expunge, &r)
	}
	return s.gate.send(r.b)
}

// Idle tells the client what changes, until stop is closed.
func (s *session) Idle(stop <-chan struct{}) error {
	hint, done := s.store().Watch(s.acct)
	defer done()
	for {
		if err := s.Poll(true); err != nil {
			return err
		}
		select {
		case <-hint:
		case <-stop:
			return nil
		case <-s.ctx().Done():
			return nil
		}
	}
}

// Select opens a mailbox.
func (s *session) Select(name string, readOnly bool) (*imap.SelectData, error) {
	mbox, err := s.mailbox(name)
	if err != nil {
		return nil, err
	}
	c, err := s.store().Since(s.ctx(), s.acct, mbox.ID, 0)
	if err != nil {
		return nil, failure(err)
	}
	v := newView(c, readOnly)
	s.mu.Lock()
	s.view = v
	s.mu.Unlock()
	data := &imap.SelectData{
		Flags: imapFlags(v.flags()), NumMessages: uint32(len(v.msgs)),
		UIDNext: imap.UID(c.Mailbox.UIDNext), UIDValidity: c.Mailbox.UIDValidity,
	}
	for i, m := range v.msgs {
		if !store.HasFlag(m.Flags, store.Seen) {
			data.FirstUnseenSeqNum = uint32(i + 1)
			break
		}
	}
	if !readOnly {
		data.PermanentFlags = imapFlags(append(v.flags(), "\\*"))
	}
	return data, nil
}

// Unselect closes the selected mailbox without expunging.
func (s *session) Unselect() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view, s.cached = nil, nil
	return nil
}

// mailbox finds a mailbox by the name that a client wrote.
func (s *session) mailbox(name string) (store.Mailbox, error) {
	canonical, err := store.MailboxName(name)
	if err != nil {
		return store.Mailbox{}, failure(err)
	}
	m, err := s.store().MailboxByName(s.ctx(), s.acct, canonical)
	return m, failure(err)
}

// writable is the selected mailbox if it may be changed.
func (s *session) writable() (*view, error) {
	switch {
	case s.view == nil:
		return nil, bad("No mailbox is selected")
	case s.view.readOnly:
		return nil, no(imap.ResponseCodeNoPerm, "The mailbox was opened by EXAMINE")
	case s.view.removed:
		return nil, no(imap.ResponseCodeNonExistent, "The mailbox was deleted")
	}
	return s.view, nil
}

// pick resolves a set in the selected mailbox.
func (s *session) pick(set imap.NumSet) ([]int, error) {
	if s.view == nil {
		return nil, bad("No mailbox is selected")
	}
	idx, ok := s.view.resolve(set)
	if !ok {
		return nil, bad("A message number that does not exist")
	}
	return idx, nil
}

func imapFlags(flags []string) []imap.Flag {
	out := make([]imap.Flag, len(flags))
	for i, f := range flags {
		out[i] = imap.Flag(f)
	}
	return out
}

func storeFlags(flags []imap.Flag) ([]string, error) {
	out := make([]string, 0, len(flags))
	for _, f := range flags {
		if !strings.EqualFold(string(f), "\\Recent") {
			out = append(out, string(f))
		}
	}
	canonical, err := store.CanonicalFlags(out)
	return canonical, failure(err)
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
