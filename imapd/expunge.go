package imapd

import (
	"slices"
	"strconv"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// expunge is EXPUNGE (RFC 9051 6.4.3).
func (s *session) expunge(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	uids, err := s.marked(s.view.mailbox.ID)
	if err != nil {
		return "", failure(err)
	}
	return s.expungeOf(uids)
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

// actPage is how many messages one act removes or moves: others wait for their own acts no longer than for that. EXPUNGE need not be all or
// nothing, and MOVE may be done message by message (RFC 6851 3.3).
const actPage = store.MaxPage

// remove expunges those of some messages that have \Deleted. What was done before an error is done.
func (s *session) remove(mbox domicile.MailboxID, uids []store.UID) (gone []store.UID, err error) {
	s.progress.toGo(len(uids))
	for page := range slices.Chunk(uids, actPage) {
		s.progress.reached(len(gone))
		some, err := s.store().Expunge(s.ctx(), "", s.acct, mbox, page)
		if err != nil {
			return gone, err
		}
		gone = append(gone, some...)
	}
	return gone, nil
}

func (s *session) expungeOf(uids []store.UID) (string, error) {
	gone, err := s.remove(s.view.mailbox.ID, uids)
	code, _ := s.expunged(gone)
	if err != nil {
		return "", failure(err)
	}
	return code, nil
}

// expunged tells of messages that this session removed, and of all else that changed. A client that follows modification sequences is told
// up to where it knows all (RFC 7162 3.2.7).
func (s *session) expunged(uids []store.UID) (string, error) {
	s.view.lose(uidSpans(uids))
	s.tellUpdates(true)
	s.view.fresh = true // nothing is left to be told behind it
	if !s.enabled.qresync || len(uids) == 0 {
		return "", nil
	}
	return highestModSeq + strconv.FormatUint(uint64(s.toldUpTo()), 10) + "] Expunged", nil
}
