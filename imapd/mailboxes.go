package imapd

import (
	"slices"
	"strings"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
	"github.com/emersion/go-imap/v2"
)

// mailboxVerbs are the commands on mailboxes as a whole.
var mailboxVerbs = map[string]verb{
	"CREATE":      {run: (*session).create},
	"DELETE":      {run: (*session).delete},
	"RENAME":      {run: (*session).rename},
	"SUBSCRIBE":   {run: (*session).subscribe},
	"UNSUBSCRIBE": {run: (*session).unsubscribe},
	"LIST":        {run: (*session).list},
	"LSUB":        {run: (*session).lsub},
	"STATUS":      {run: (*session).status},
	"APPEND":      {run: (*session).appendMessages},
}

// create is CREATE with the parameter USE (RFC 9051 6.3.4, RFC 6154 3). A trailing "/" says that children will follow.
func (s *session) create(cmd *wire.Command) (string, error) {
	cmd.SP()
	name := cmd.Mailbox()
	var uses []string
	if cmd.More() {
		cmd.SP()
		cmd.List(1, false, func() {
			if cmd.Word() != "USE" {
				cmd.Fail("USE is the one parameter")
			}
			cmd.SP()
			uses = cmd.Flags()
		})
	}
	if err := cmd.End(); err != nil {
		return "", err
	}
	use, err := specialUse(uses)
	if err != nil {
		return "", err
	}
	if len(name) > 1 {
		name = strings.TrimSuffix(name, "/")
	}
	canonical, err := store.MailboxName(name)
	if err != nil {
		return "", failure(err)
	}
	m, err := s.store().CreateMailbox(s.ctx(), newToken(), s.acct, canonical, use)
	if err != nil {
		return "", failure(err)
	}
	s.notify.created(m)
	if s.enabled.rev2 && name != canonical {
		s.tellName(name, canonical)
	}
	return "[MAILBOXID (" + string(m.ID) + ")] CREATE completed", nil // RFC 8474 4.1
}

// tellName lists a mailbox, with the name that the client wrote where that is kept in another form (RFC 9051 6.3.9.7).
func (s *session) tellName(written, kept string) {
	c := s.conn.Raw(`* LIST () "/" `).Mailbox(kept)
	if written != kept {
		c.Raw(` ("OLDNAME" (`).Mailbox(written).Raw("))")
	}
	c.Line()
}

func specialUse(uses []string) (string, error) {
	const useAttr = imap.ResponseCode("USEATTR") // RFC 6154 4
	switch len(uses) {
	case 0:
		return "", nil
	case 1:
		use, err := store.SpecialUse(uses[0])
		switch {
		case err != nil:
			return "", no(useAttr, "Not a special use of RFC 6154")
		case use == `\All` || use == `\Flagged`: // what they mean is made of messages that rest elsewhere
			return "", no(useAttr, "No mailbox of this server shows messages of others")
		}
		return use, nil
	}
	return "", no(useAttr, "One special use for a mailbox")
}

// delete is DELETE (RFC 9051 6.3.5). Children stay; a name that has some is listed as one that cannot be selected, and is not deleted before them.
func (s *session) delete(cmd *wire.Command) (string, error) {
	name, err := s.oneMailbox(cmd)
	if err != nil {
		return "", err
	}
	if name, err = store.MailboxName(name); err != nil {
		return "", failure(err)
	}
	if name == store.Inbox {
		return "", no(imap.ResponseCodeCannot, "INBOX stays")
	}
	m, err := s.store().MailboxByName(s.ctx(), s.acct, name)
	if err == nil {
		err = s.store().DeleteMailbox(s.ctx(), newToken(), s.acct, name)
	}
	if domicile.KindOf(err) == domicile.NotExist && s.isParent(name) {
		return "", no(imap.ResponseCodeHasChildren, "A name alone, which goes with the last mailbox below it")
	}
	if err != nil {
		return "", failure(err)
	}
	s.notify.deleted(m.ID)
	return "", nil
}

// isParent reports whether there are mailboxes below a name.
func (s *session) isParent(name string) bool {
	all, _ := s.store().Mailboxes(s.ctx(), s.acct)
	return slices.ContainsFunc(all, func(m store.Mailbox) bool { return strings.HasPrefix(m.Name, name+"/") })
}

// oneMailbox reads a mailbox name, the only argument.
func (s *session) oneMailbox(cmd *wire.Command) (string, error) {
	cmd.SP()
	name := cmd.Mailbox()
	return name, cmd.End()
}

// rename is RENAME (RFC 9051 6.3.6). A name that is no mailbox, but has some below it, is renamed with these.
func (s *session) rename(cmd *wire.Command) (string, error) {
	cmd.SP()
	from := cmd.Mailbox()
	cmd.SP()
	to := cmd.Mailbox()
	if err := cmd.End(); err != nil {
		return "", err
	}
	from, err := store.MailboxName(from)
	if err != nil {
		return "", failure(err)
	}
	if to, err = store.MailboxName(to); err != nil {
		return "", failure(err)
	}
	if err := s.store().RenameMailbox(s.ctx(), newToken(), s.acct, from, to); err != nil {
		return "", failure(err)
	}
	s.notify.renamed(from, to)
	if s.enabled.rev2 && from != store.Inbox {
		s.tellRenamed(from, to)
	}
	return "", nil
}

// tellRenamed lists what has a new name now (RFC 9051 6.3.9.7): a mailbox, or a name that only has some below it.
func (s *session) tellRenamed(from, to string) {
	attrs := []string{}
	if _, err := s.store().MailboxByName(s.ctx(), s.acct, to); domicile.KindOf(err) == domicile.NotExist {
		attrs = append(attrs, `\NonExistent`)
	}
	s.conn.Raw("* LIST ").Flags(attrs).Raw(` "/" `).Mailbox(to).Raw(` ("OLDNAME" (`).Mailbox(from).Raw("))").Line()
}

func (s *session) subscribe(cmd *wire.Command) (string, error) { return s.setSubscribed(cmd, true) }

func (s *session) unsubscribe(cmd *wire.Command) (string, error) { return s.setSubscribed(cmd, false) }

// setSubscribed is SUBSCRIBE and UNSUBSCRIBE (RFC 9051 6.3.7, RFC 3501 6.3.6). No mailbox need have the name.
func (s *session) setSubscribed(cmd *wire.Command, on bool) (string, error) {
	name, err := s.oneMailbox(cmd)
	if err != nil {
		return "", err
	}
	if name, err = store.MailboxName(name); err == nil {
		err = s.store().Subscribe(s.ctx(), newToken(), s.acct, name, on)
	}
	if domicile.KindOf(err) == domicile.TooLarge {
		return "", no(imap.ResponseCodeLimit, "Too many names without a mailbox are subscribed")
	}
	if err != nil {
		return "", failure(err)
	}
	s.notify.subscribed(name, on)
	return "", nil
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
