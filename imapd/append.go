package imapd

import (
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile/imapd/wire"
	"domicile/store"
)

// appendFactor times the limit of a message is that of all messages of an APPEND together: they take room before the quota is asked.
const appendFactor = 4

// heldOfMessage is how much a store may hold in memory of a message that was taken and not committed.
const heldOfMessage = 2 << 20

// arrival is a message of an APPEND that was taken whole, and is not in its mailbox yet.
type arrival struct {
	flags []string
	date  time.Time // zero = now
	bytes store.Incoming
}

// appendMessages is APPEND of one message or several (RFC 9051 6.3.12, RFC 3502). The bytes are sealed as they arrive; all messages are
// taken before the first one is put into the mailbox.
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
	var all []arrival
	defer func() {
		for _, a := range all {
			a.bytes.Abort()
		}
	}()
	waiting := &room{memory: s.home.waiting}
	defer waiting.release()
	for left := appendFactor * s.maxSize; len(all) == 0 || cmd.More(); {
		a, size, err := s.arrive(cmd)
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
	uids, err := s.commit(to, all)
	if err != nil {
		return "", failure(err)
	}
	var made imap.UIDSet
	for _, uid := range uids {
		made.AddNum(imap.UID(uid))
	}
	return fmt.Sprintf("[APPENDUID %d %v] APPEND completed", to.UIDValidity, made), nil // RFC 4315 3
}

// arrive reads one message with its flags and date. Behind an error its bytes, and those of later messages, are left to be drained.
func (s *session) arrive(cmd *wire.Command) (a arrival, size int64, err error) {
	cmd.SP()
	if cmd.Peek() == '(' {
		a.flags = cmd.Flags()
		cmd.SP()
	}
	if cmd.Peek() == '"' {
		a.date = cmd.DateTime()
		cmd.SP()
	}
	if cmd.Err() != nil {
		return a, 0, cmd.End()
	}
	if a.flags, err = clientFlags(a.flags); err != nil {
		return a, 0, err
	}
	a.bytes, size, err = s.take(cmd)
	return a, size, err
}

// take takes the bytes of a message: one literal, or what CATENATE puts together.
func (s *session) take(cmd *wire.Command) (in store.Incoming, size int64, err error) {
	in, err = s.store().Incoming(s.ctx(), s.acct, s.maxSize)
	if err != nil {
		return nil, 0, failure(err)
	}
	if cmd.Take("CATENATE (") {
		size, err = s.catenate(cmd, in)
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
	_, err = io.Copy(to, l)
	if cmd.Err() != nil { // the connection broke off
		return 0, cmd.End()
	}
	if utf8 {
		cmd.Expect(")")
	}
	return size, failure(err)
}

// commit puts messages into a mailbox, in their order. The store has no act for several of them, so that those before one that
// fails are taken out again: RFC 3502 wants all or none. Between the two, others may see them.
func (s *session) commit(to store.Mailbox, all []arrival) (uids []store.UID, err error) {
	for _, a := range all {
		m, err := a.bytes.Commit(s.ctx(), newToken(), to.Name, a.flags, a.date)
		if err != nil {
			s.takeBack(to, uids)
			return nil, err
		}
		uids = append(uids, m.UID)
	}
	return uids, nil
}

// takeBack removes messages that were put into a mailbox a moment ago. Where that fails, they stay: none is lost.
func (s *session) takeBack(to store.Mailbox, uids []store.UID) {
	if len(uids) == 0 {
		return
	}
	_, _, err := s.store().StoreFlags(s.ctx(), newToken(), s.acct, to.ID, uids, store.FlagsAdd, []string{store.Deleted}, 0)
	if err == nil {
		_, err = s.store().Expunge(s.ctx(), newToken(), s.acct, to.ID, uids)
	}
	if err != nil {
		s.home.cfg.Log.Error("messages of a refused APPEND are left in their mailbox", "account", string(s.acct), "messages", len(uids), "error", err)
	}
}
