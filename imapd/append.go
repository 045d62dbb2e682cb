package imapd

import (
	"fmt"
	"io"
	"sync"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// appendFactor times the limit of a message is that of all messages of an APPEND together: they take room before the quota is asked.
const appendFactor = 4

// heldOfMessage is how much a store may hold in memory of a message that was taken and not committed.
const heldOfMessage = 2 << 20

// appendMessages is APPEND of one message or several (RFC 9051 6.3.12, RFC 3502). The bytes are sealed as they arrive; all messages are
// taken before they are put into the mailbox, all or none.
func (s *session) appendMessages(cmd *wire.Command) (string, error) {
	cmd.SP()
	name := cmd.Mailbox()
	if cmd.Err() != nil {
		return "", cmd.End()
	}
	to, err := s.target(name)
	if err != nil {
		return "", err
	}
	var all []store.Letter
	defer func() {
		for _, a := range all {
			a.Bytes.Abort()
		}
	}()
	waiting := &room{memory: s.home.waiting}
	defer waiting.release()
	for left := appendFactor * s.maxSize; len(all) == 0 || cmd.More(); {
		a, size, err := s.arrive(cmd, 0)
		if err != nil {
			return "", err
		}
		all = append(all, a)
		if left -= size; left < 0 || cmd.More() && waiting.take(int(min(size, heldOfMessage))) != nil {
			return "", no(imap.ResponseCodeLimit, "Too much for one APPEND")
		}
	}
	if err := cmd.End(); err != nil {
		return "", err
	}
	code, err := s.commit(to, all, nil)
	if err != nil {
		return "", err
	}
	return code + " APPEND completed", nil
}

// arrive reads one message with its flags and date, in whose favour freed bytes of the quota are given up. Behind an error its bytes, and those of later messages, are left to be drained.
func (s *session) arrive(cmd *wire.Command, freed int64) (a store.Letter, size int64, err error) {
	cmd.SP()
	if cmd.Peek() == '(' {
		a.Flags = cmd.Flags()
		cmd.SP()
	}
	if cmd.Peek() == '"' {
		a.Internal = cmd.DateTime()
		cmd.SP()
	}
	if cmd.Err() != nil {
		return a, 0, cmd.End()
	}
	if a.Flags, err = clientFlags(a.Flags); err != nil {
		return a, 0, err
	}
	a.Bytes, size, err = s.take(cmd, freed)
	return a, size, err
}

// take takes the bytes of a message: one literal, or what CATENATE puts together.
func (s *session) take(cmd *wire.Command, freed int64) (in store.Incoming, size int64, err error) {
	in, err = s.store().Incoming(s.ctx(), s.acct, s.maxSize)
	if err != nil {
		return nil, 0, failure(err)
	}
	if cmd.Take("CATENATE (") {
		size, err = s.catenate(cmd, in, freed)
	} else {
		size, err = s.literal(cmd, in, s.maxSize, cmd.Take("UTF8 ("))
	}
	if err == nil && size == 0 { // RFC 3502 6.3.11 uses it to cancel
		err = no(imap.ResponseCodeCannot, "An empty message is not stored")
	}
	if err != nil {
		in.Abort()
		return nil, 0, err
	}
	return in, size, nil
}

// copyBuffers spares each message a buffer of its own.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// literal writes a literal of at most limit bytes; in UTF8 ("UTF8 (" was read) it is one of RFC 3516, and the parenthesis ends behind it (RFC 6855 4).
func (s *session) literal(cmd *wire.Command, to io.Writer, limit int64, utf8 bool) (size int64, err error) {
	if utf8 && !s.conn.UTF8 {
		cmd.Fail("UTF8 comes behind ENABLE UTF8=ACCEPT")
	}
	l, size := cmd.Stream(limit)
	switch {
	case cmd.Err() != nil:
		return 0, cmd.End()
	case l == nil:
		return 0, no(imap.ResponseCodeTooBig, "Over the limit of APPEND") // RFC 7889 4
	case utf8 && !l.Binary:
		cmd.Fail("UTF8 goes with a literal of RFC 3516")
		return 0, cmd.End()
	}
	buf := copyBuffers.Get().(*[]byte)
	_, err = io.CopyBuffer(to, l, *buf)
	copyBuffers.Put(buf)
	if cmd.Err() != nil { // the connection broke off
		return 0, cmd.End()
	}
	if utf8 {
		cmd.Expect(")")
	}
	return size, failure(err)
}

// commit puts messages into a mailbox by one act, which takes out of the selected one that in whose place they come, if there is one. It returns the code
// APPENDUID (RFC 4315 3), whose UIDVALIDITY is of that act: while the bytes came, the mailbox may have become another. It has no token: nobody would say it again.
func (s *session) commit(to store.Mailbox, all []store.Letter, instead *store.Instead) (code string, err error) {
	validity, made, err := s.store().Commit(s.ctx(), "", s.acct, to.Name, all, instead)
	if domicile.KindOf(err) == domicile.NotExist {
		if _, err := s.target(to.Name); err != nil {
			return "", err
		}
		return "", no("EXPUNGEISSUED", "It is gone")
	}
	if err != nil {
		return "", failure(err)
	}
	if validity == to.UIDValidity {
		s.made(to.ID, made)
	}
	return fmt.Sprintf("[APPENDUID %d %v]", validity, spans(nil).addAll(made).uidSet()), nil
}
