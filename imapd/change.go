package imapd

import (
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/store"
)

// Store changes flags. Not silent, it shows the flags of every message of the set.
func (s *session) Store(set imap.NumSet, op imap.StoreFlagsOp, flags []imap.Flag, silent, uid bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.writable()
	if err != nil {
		return err
	}
	idx, err := s.pick(set)
	if err != nil {
		return err
	}
	names, err := storeFlags(flags)
	if err != nil {
		return err
	}
	how := map[imap.StoreFlagsOp]store.FlagOp{imap.StoreFlagsSet: store.FlagsSet, imap.StoreFlagsAdd: store.FlagsAdd, imap.StoreFlagsDel: store.FlagsRemove}[op]
	done, _, err := s.store().StoreFlags(s.ctx(), "", s.acct, v.mailbox.ID, v.uids(idx), how, names, 0)
	if err != nil {
		return failure(err)
	}
	var r response
	for _, m := range done {
		if i := v.find(m.UID); i >= 0 {
			v.msgs[i].Flags, v.msgs[i].ModSeq = m.Flags, m.ModSeq
			if v.learn(m.Flags) {
				r.raw("* FLAGS ").flags(v.flags()).raw("\r\n")
			}
			if !silent {
				r.format("* %d FETCH (", i+1)
				if uid {
					r.format("UID %d ", m.UID)
				}
				r.raw("FLAGS ").flags(m.Flags).raw(")\r\n")
			}
		}
	}
	return s.gate.send(r.b)
}

// Expunge removes messages with \Deleted, of uids if not nil. quiet is CLOSE: nothing is told, and after EXAMINE nothing done.
func (s *session) Expunge(uids *imap.UIDSet, quiet bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if quiet && s.view != nil && (s.view.readOnly || s.view.removed) {
		return nil
	}
	v, err := s.writable()
	if err != nil {
		return err
	}
	var only []store.UID
	if uids != nil {
		idx, err := s.pick(*uids)
		if err != nil {
			return err
		}
		if only = v.uids(idx); len(only) == 0 {
			return nil
		}
	}
	removed, err := s.store().Expunge(s.ctx(), "", s.acct, v.mailbox.ID, only)
	if err != nil {
		return failure(err)
	}
	return s.expunged(removed, quiet)
}

// expunged takes messages out of the view and tells the client.
func (s *session) expunged(uids []store.UID, quiet bool) error {
	for _, uid := range uids {
		if s.view.find(uid) >= 0 {
			s.view.gone[uid] = true
		}
	}
	var r response
	s.view.expunge(&r)
	if quiet {
		return nil
	}
	return s.gate.send(r.b)
}

// Copy copies messages to a mailbox. nil data means that none of them exists.
func (s *session) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	idx, err := s.pick(set)
	if err != nil || len(idx) == 0 {
		return nil, err
	}
	to, err := s.target(dest)
	if err != nil {
		return nil, err
	}
	from, made, err := s.store().Copy(s.ctx(), newToken(), s.acct, s.view.mailbox.ID, s.view.uids(idx), to.Name)
	if err != nil {
		return nil, failure(err)
	}
	return copyData(to, from, made), nil
}

// Move moves messages to a mailbox and tells the client where to, then what is gone (RFC 6851 4.3).
func (s *session) Move(set imap.NumSet, dest string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.writable()
	if err != nil {
		return err
	}
	idx, err := s.pick(set)
	if err != nil || len(idx) == 0 {
		return err
	}
	to, err := s.target(dest)
	if err != nil {
		return err
	}
	from, made, err := s.store().Move(s.ctx(), newToken(), s.acct, v.mailbox.ID, v.uids(idx), to.Name)
	if err != nil {
		return failure(err)
	}
	if data := copyData(to, from, made); data != nil {
		var r response
		r.format("* OK [COPYUID %d %s %s] Moved\r\n", data.UIDValidity, data.SourceUIDs, data.DestUIDs)
		if err := s.gate.send(r.b); err != nil {
			return err
		}
	}
	return s.expunged(from, false)
}

// target is a mailbox that messages are put into; the client is told that it may create one (RFC 9051 6.4.7).
func (s *session) target(name string) (store.Mailbox, error) {
	canonical, err := store.MailboxName(name)
	if err != nil {
		return store.Mailbox{}, failure(err)
	}
	m, err := s.store().MailboxByName(s.ctx(), s.acct, canonical)
	if domicile.KindOf(err) == domicile.NotExist {
		return m, no(imap.ResponseCodeTryCreate, "No such mailbox")
	}
	return m, failure(err)
}

func copyData(to store.Mailbox, from []store.UID, made []store.Message) *imap.CopyData {
	if len(from) == 0 || len(from) != len(made) {
		return nil
	}
	d := &imap.CopyData{UIDValidity: to.UIDValidity}
	for i := range from {
		d.SourceUIDs.AddNum(imap.UID(from[i]))
		d.DestUIDs.AddNum(imap.UID(made[i].UID))
	}
	return d
}

// Append stores a message. It is on disk when this returns. The bytes are sealed as they arrive.
func (s *session) Append(name string, body io.Reader, size int64, o *imap.AppendOptions) (*imap.AppendData, error) {
	to, err := s.target(name)
	if err != nil {
		return nil, err
	}
	flags, err := storeFlags(o.Flags)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, no(imap.ResponseCodeCannot, "An empty message cannot be stored") // RFC 3502 uses it to cancel
	}
	in, err := s.store().Incoming(s.ctx(), s.acct, size)
	if err != nil {
		return nil, failure(err)
	}
	defer in.Abort()
	n, err := io.Copy(in, body)
	if err != nil {
		return nil, failure(err)
	}
	if n != size {
		return nil, no(imap.ResponseCodeUnavailable, "The message broke off")
	}
	m, err := in.Commit(s.ctx(), newToken(), to.Name, flags, o.Time)
	if err != nil {
		return nil, failure(err)
	}
	return &imap.AppendData{UID: imap.UID(m.UID), UIDValidity: to.UIDValidity}, nil
}

// Create makes a mailbox. A trailing "/" says that children will follow (RFC 9051 6.3.4).
func (s *session) Create(name string, uses []imap.MailboxAttr) error {
	if len(name) > 1 && name[len(name)-1] == '/' {
		name = name[:len(name)-1]
	}
	use := ""
	if len(uses) > 1 {
		return no("USEATTR", "One special use for a mailbox")
	}
	if len(uses) == 1 {
		canonical, err := store.SpecialUse(string(uses[0]))
		if err != nil {
			return no("USEATTR", "Not a special use of RFC 6154")
		}
		use = canonical
	}
	canonical, err := store.MailboxName(name)
	if err != nil {
		return failure(err)
	}
	_, err = s.store().CreateMailbox(s.ctx(), newToken(), s.acct, canonical, use)
	return failure(err)
}

// Delete removes a mailbox and its messages; its children stay.
func (s *session) Delete(name string) error {
	m, err := s.mailbox(name)
	if err != nil {
		return err
	}
	if m.Name == store.Inbox {
		return no(imap.ResponseCodeCannot, "INBOX stays")
	}
	return failure(s.store().DeleteMailbox(s.ctx(), "", s.acct, m.Name))
}

// Rename renames a mailbox and its children.
func (s *session) Rename(from, to string) error {
	m, err := s.mailbox(from)
	if err != nil {
		return err
	}
	canonical, err := store.MailboxName(to)
	if err != nil {
		return failure(err)
	}
	return failure(s.store().RenameMailbox(s.ctx(), "", s.acct, m.Name, canonical))
}

// Subscribe sets or takes a subscription. Unsubscribing what does not exist is done already.
func (s *session) Subscribe(name string, on bool) error {
	canonical, err := store.MailboxName(name)
	if err != nil {
		return failure(err)
	}
	err = s.store().Subscribe(s.ctx(), "", s.acct, canonical, on)
	if !on && domicile.KindOf(err) == domicile.NotExist {
		return nil
	}
	return failure(err)
}

func newToken() store.Token { return store.Token(domicile.NewID("imap-")) }

// hasAny reports whether any of want is in have.
func hasAny(have []imap.MailboxAttr, want ...imap.MailboxAttr) bool {
	return slices.ContainsFunc(want, func(a imap.MailboxAttr) bool { return slices.Contains(have, a) })
}
