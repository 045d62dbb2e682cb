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
	messages, err := s.commit(to, all)
	if err != nil {
		return "", failure(err)
	}
	s.made(to.ID, messages)
	var made imap.UIDSet
	for _, m := range messages {
		made.AddNum(imap.UID(m.UID))
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
	utf8 := cmd.Take("UTF8 (") // RFC 6855 4
	if utf8 && !s.conn.UTF8 {
		cmd.Fail("UTF8 comes behind ENABLE UTF8=ACCEPT")
	}
	if cmd.Err() != nil {
		return a, 0, cmd.End()
	}
	if a.flags, err = clientFlags(a.flags); err != nil {
		return a, 0, err
	}
	l, size := cmd.Stream(s.maxSize)
	switch {
	case cmd.Err() != nil:
		return a, 0, cmd.End()
	case l == nil:
		return a, 0, no(imap.ResponseCodeTooBig, "Over the limit of APPEND") // RFC 7889 4
	case size == 0: // RFC 3502 6.3.11 uses it to cancel
		return a, 0, no(imap.ResponseCodeCannot, "An empty message is not stored")
	case utf8 && !l.Binary:
		cmd.Fail("UTF8 goes with a literal of RFC 3516")
		return a, 0, cmd.End()
	}
	if a.bytes, err = s.take(cmd, l); err != nil {
		return a, 0, err
	}
	if utf8 {
		cmd.Expect(")")
	}
	return a, size, nil
}

// take takes the bytes of a message.
func (s *session) take(cmd *wire.Command, l *wire.Literal) (store.Incoming, error) {
	in, err := s.store().Incoming(s.ctx(), s.acct, l.Size)
	if err != nil {
		return nil, failure(err)
	}
	_, err = io.Copy(in, l)
	if cmd.Err() != nil { // the connection broke off
		err = cmd.End()
	}
	if err != nil {
		in.Abort()
		return nil, failure(err)
	}
	return in, nil
}

// commit puts messages into a mailbox, in their order. The store has no act for several of them, so that those before one that
// fails are taken out again: RFC 3502 wants all or none. Between the two, others may see them.
func (s *session) commit(to store.Mailbox, all []arrival) (made []store.Message, err error) {
	for _, a := range all {
		m, err := a.bytes.Commit(s.ctx(), newToken(), to.Name, a.flags, a.date)
		if err != nil {
			s.takeBack(to, made)
			return nil, err
		}
		made = append(made, m)
	}
	return made, nil
}

// takeBack removes messages that were put into a mailbox a moment ago. Where that fails, they stay: none is lost.
func (s *session) takeBack(to store.Mailbox, made []store.Message) {
	if len(made) == 0 {
		return
	}
	uids := make([]store.UID, len(made))
	for i, m := range made {
		uids[i] = m.UID
	}
	_, _, err := s.store().StoreFlags(s.ctx(), newToken(), s.acct, to.ID, uids, store.FlagsAdd, []string{store.Deleted}, 0)
	if err == nil {
		_, err = s.store().Expunge(s.ctx(), newToken(), s.acct, to.ID, uids)
	}
	if err != nil {
		s.home.cfg.Log.Error("messages of a refused APPEND are left in their mailbox", "account", string(s.acct), "messages", len(uids), "error", err)
	}
}
