package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile/imapd/wire"
	"domicile/store"
)

// storePage is how many messages one act changes. STORE is not all or nothing (RFC 9051 6.4.6): what the client is told of was done.
const storePage = 10_000

// storeRequest is a STORE.
type storeRequest struct {
	uid    bool
	op     store.FlagOp
	silent bool
	flags  []string
	unless *store.ModSeq // UNCHANGEDSINCE (RFC 7162 3.1.3)
}

func (s *session) storeFlags(cmd *wire.Command) (string, error)    { return s.storeSet(cmd, false) }
func (s *session) uidStoreFlags(cmd *wire.Command) (string, error) { return s.storeSet(cmd, true) }

func (s *session) storeSet(cmd *wire.Command, uid bool) (string, error) {
	cmd.SP()
	set := cmd.Set(uid)
	r, err := readStore(cmd, uid)
	if err != nil {
		return "", err
	}
	picked, err := s.ranges(set)
	if err != nil {
		return "", err
	}
	if r.unless != nil {
		s.condstore()
	}
	var failed spans
	left := picked.count() // messages that are gone, at the end
	var uids []store.UID
	tried := 0
	s.progress.toGo(picked.count())
	act := func() error {
		if len(uids) == 0 {
			return nil
		}
		tried += len(uids)
		done, late, err := s.storeSome(r, uids)
		left -= done + len(late)
		for _, uid := range late {
			failed = failed.add(s.numberOf(uid, r.uid))
		}
		uids = uids[:0]
		s.progress.reached(tried)
		return err
	}
	for i := range s.view.picked(picked) {
		if uids = append(uids, s.view.uids[i]); len(uids) == storePage {
			if err := act(); err != nil {
				return "", err
			}
			s.tellUpdates(false) // so that what is noted of the page need not be kept
		}
	}
	if err := act(); err != nil {
		return "", err
	}
	gone := left > 0 && r.unless != nil && !r.uid && !r.silent // RFC 7162 3.1.3, RFC 2180 4.2
	modified := imap.ResponseCode("MODIFIED " + failed.uidSet().String())
	switch {
	case gone && len(failed) > 0:
		return "", no(modified, "Some messages are gone, others were changed meanwhile")
	case gone:
		return "", no("EXPUNGEISSUED", "Some messages are gone")
	case len(failed) > 0:
		return "[" + string(modified) + "] Others were changed meanwhile", nil
	}
	return "", nil
}

// readStore takes what stands behind the set.
func readStore(cmd *wire.Command, uid bool) (r storeRequest, err error) {
	r.uid = uid
	cmd.SP()
	if cmd.Peek() == '(' {
		cmd.Expect("(UNCHANGEDSINCE")
		cmd.SP()
		seq := store.ModSeq(cmd.Num64())
		r.unless = &seq
		cmd.Expect(")")
		cmd.SP()
	}
	switch {
	case cmd.Take("+"):
		r.op = store.FlagsAdd
	case cmd.Take("-"):
		r.op = store.FlagsRemove
	}
	cmd.Expect("FLAGS")
	r.silent = cmd.Take(".SILENT")
	cmd.SP()
	if cmd.Peek() == '(' {
		r.flags = cmd.Flags()
	} else {
		for r.flags = []string{cmd.Flag()}; cmd.More() && len(r.flags) <= store.MaxFlags; r.flags = append(r.flags, cmd.Flag()) {
			cmd.SP()
		}
	}
	if err := cmd.End(); err != nil {
		return r, err
	}
	r.flags, err = clientFlags(r.flags)
	return r, err
}

// clientFlags are flags that a client gave in their one form. \Recent is none of its (RFC 3501 2.3.2).
func clientFlags(flags []string) ([]string, error) {
	flags = slices.DeleteFunc(flags, func(f string) bool { return strings.EqualFold(f, `\Recent`) })
	canonical, err := store.CanonicalFlags(flags)
	return canonical, failure(err)
}

// numberOf is how a message is named: by UID, or by its number, which a message of the view has.
func (s *session) numberOf(uid store.UID, byUID bool) uint32 {
	if byUID {
		return uint32(uid)
	}
	return uint32(s.view.find(uid) + 1)
}

// storeSome changes some messages, and tells what became of them. Those that others changed meanwhile are left alone.
func (s *session) storeSome(r storeRequest, uids []store.UID) (done int, late []store.UID, err error) {
	v := s.view
	var unless store.ModSeq
	if r.unless != nil {
		if unless = *r.unless; unless == 0 { // no message was changed as early as that
			late, err = s.present(uids)
			return 0, late, err
		}
	}
	did, err := s.store().StoreFlags(s.ctx(), "", s.acct, v.mailbox.ID, uids, r.op, r.flags, unless)
	if err != nil {
		return 0, nil, failure(err)
	}
	v.acted(&did)
	for i, m := range did.Done {
		if !r.silent || v.foresees(did.Before[i]) {
			v.know(m)
		}
		s.tellKeywords(m.Flags)
		if !r.silent || s.enabled.condstore {
			s.tellStored(r, m)
		}
	}
	return len(did.Done), did.Failed, nil
}

// foresees: whether a client knows by itself what a silent STORE made of a message of that ModSeq, as it knew the message before. What others did to it
// meanwhile it does not foresee, and is told behind the answer (RFC 9051 6.4.6).
func (v *view) foresees(before store.ModSeq) bool { return before <= v.seq }

// present are those of some messages that are still there.
func (s *session) present(uids []store.UID) (found []store.UID, err error) {
	now, err := s.store().StoreFlags(s.ctx(), "", s.acct, s.view.mailbox.ID, uids, store.FlagsAdd, nil, 0) // adds nothing
	for _, m := range now.Done {
		found = append(found, m.UID)
	}
	return found, failure(err)
}

// tellStored answers for one message. A silent STORE tells the modification sequence alone (RFC 7162 3.1.3).
func (s *session) tellStored(r storeRequest, m store.Message) {
	i := s.view.find(m.UID)
	if i < 0 {
		return
	}
	if r.uid || r.silent || s.enabled.condstore { // RFC 7162 3.2.4
		s.beginFetchUID(i, m.UID)
	} else {
		s.beginFetch(i, m.UID)
	}
	switch {
	case r.silent:
		s.conn.Raw("MODSEQ (").Unum(uint64(m.ModSeq)).Raw(")")
	default:
		s.flagsOf(m.UID, m.Flags)
		if s.enabled.condstore {
			s.modSeqOf(m.ModSeq)
		}
	}
	s.conn.Raw(")").Line()
}
