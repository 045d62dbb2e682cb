package imapd

import (
	"strconv"

	"domicile/imapd/wire"
	"domicile/store"
)

// expunge is EXPUNGE (RFC 9051 6.4.3).
func (s *session) expunge(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	return s.expungeOf(nil)
}

// uidExpunge is UID EXPUNGE (RFC 4315 2.1).
func (s *session) uidExpunge(cmd *wire.Command) (string, error) {
	cmd.SP()
	set := cmd.UIDSet()
	if err := cmd.End(); err != nil {
		return "", err
	}
	uids, err := s.uidsOf(set)
	if err != nil || len(uids) == 0 {
		return "", err
	}
	return s.expungeOf(uids)
}

func (s *session) expungeOf(uids []store.UID) (string, error) {
	gone, err := s.store().Expunge(s.ctx(), "", s.acct, s.view.mailbox.ID, uids)
	if err != nil {
		return "", failure(err)
	}
	return s.expunged(gone)
}

// expunged tells of messages that this session removed, and of all else that changed. A client that follows modification sequences is told
// up to where it knows all (RFC 7162 3.2.7).
func (s *session) expunged(uids []store.UID) (string, error) {
	s.view.lose(uidSpans(uids))
	s.tellUpdates(true)
	if !s.enabled.qresync || len(uids) == 0 {
		return "", nil
	}
	return "[HIGHESTMODSEQ " + strconv.FormatUint(uint64(s.view.seq), 10) + "] Expunged", nil
}
