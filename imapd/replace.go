package imapd

import (
	"github.com/emersion/go-imap/v2"

	"domicile/imapd/wire"
	"domicile/store"
)

func (s *session) replace(cmd *wire.Command) (string, error)    { return s.replaceOne(cmd, false) }
func (s *session) uidReplace(cmd *wire.Command) (string, error) { return s.replaceOne(cmd, true) }

// replaceOne is REPLACE (RFC 8508): a message comes into a mailbox as by APPEND, and one of the selected mailbox goes as by UID EXPUNGE, whether it has \Deleted or
// not, as one act of the store. What can be refused without the message is refused before it is sent.
func (s *session) replaceOne(cmd *wire.Command, uid bool) (string, error) {
	cmd.SP()
	set := cmd.One(uid)
	cmd.SP()
	name := cmd.Mailbox()
	if cmd.Err() != nil {
		return "", cmd.End()
	}
	old, err := s.uidsOf(set)
	if err != nil {
		return "", err
	}
	if len(old) == 0 {
		return "", no(imap.ResponseCodeNonExistent, "No such message")
	}
	to, err := s.target(name)
	if err != nil {
		return "", err
	}
	a, _, err := s.arrive(cmd, s.sizeOf(old[0]))
	if err != nil {
		return "", err
	}
	defer a.Bytes.Abort()
	if err := cmd.End(); err != nil { // one message alone (RFC 8508 4.7)
		return "", err
	}
	code, err := s.commit(to, []store.Letter{a}, &store.Instead{Mailbox: s.view.mailbox.ID, UID: old[0]})
	if err != nil {
		return "", err
	}
	s.conn.Raw("* OK ").Raw(code).Raw(" Replaced").Line() // before what goes (RFC 8508 4.3)
	s.tellUpdates(false)
	return s.expunged(old)
}

// sizeOf is the size of a message of the view; 0 if it is gone, or cannot be read.
func (s *session) sizeOf(uid store.UID) int64 {
	found, err := s.store().Messages(s.ctx(), s.acct, s.view.mailbox.ID, uid-1, 1)
	if err != nil || len(found) == 0 || found[0].UID != uid {
		return 0
	}
	return found[0].Size
}
