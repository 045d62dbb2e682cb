package imapd

import (
	"fmt"
	"slices"
	"sync"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

func (s *session) copyMessages(cmd *wire.Command) (string, error) {
	return s.transfer(cmd, false, s.copySome)
}
func (s *session) uidCopy(cmd *wire.Command) (string, error) {
	return s.transfer(cmd, true, s.copySome)
}
func (s *session) move(cmd *wire.Command) (string, error) { return s.transfer(cmd, false, s.moveSome) }
func (s *session) uidMove(cmd *wire.Command) (string, error) {
	return s.transfer(cmd, true, s.moveSome)
}

// transferCost is what a message costs while it is copied, in bytes of memory: what the account's share is asked for.
const transferCost = 512

// transfer reads the arguments of COPY and MOVE and does it. act holds memory until it calls release, which it does before it tells what
// happened: NOTIFY may have that take memory of its own, and nobody waits for more while holding some.
func (s *session) transfer(cmd *wire.Command, uid bool, act func(uids []store.UID, to store.Mailbox, release func()) (string, error)) (string, error) {
	cmd.SP()
	set := cmd.Set(uid)
	cmd.SP()
	name := cmd.Mailbox()
	if err := cmd.End(); err != nil {
		return "", err
	}
	uids, err := s.uidsOf(set)
	if err != nil {
		return "", err
	}
	to, err := s.target(name)
	if err != nil || len(uids) == 0 {
		return "", err
	}
	cost := min(int64(len(uids))*transferCost, 2*maxHeld)
	if err := s.memory.Acquire(s.ctx(), cost); err != nil {
		return "", err
	}
	release := sync.OnceFunc(func() { s.memory.Release(cost) })
	defer release()
	return act(uids, to, release)
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

// copySome is COPY, of all messages or none (RFC 9051 6.4.7). It has no token: nobody would say it again, and what one remembers of half a million messages is more than
// a record takes.
func (s *session) copySome(uids []store.UID, to store.Mailbox, _ func()) (string, error) {
	from, made, err := s.store().Copy(s.ctx(), "", s.acct, s.view.mailbox.ID, uids, to.Name)
	if err != nil {
		return "", failure(err)
	}
	s.made(to.ID, made)
	code := copied(to, from, spans(nil).addAll(made))
	if code == "" {
		return "", nil
	}
	return code + " COPY completed", nil
}

// moveSome is MOVE (RFC 6851): where the messages went is told before they go (4.3), and also of those that went before an error.
func (s *session) moveSome(uids []store.UID, to store.Mailbox, release func()) (string, error) {
	var from []store.UID
	var there spans
	var failed error
	s.progress.toGo(len(uids))
	for page := range slices.Chunk(uids, actPage) {
		s.progress.reached(len(from))
		some, made, err := s.store().Move(s.ctx(), newToken(), s.acct, s.view.mailbox.ID, page, to.Name)
		if err != nil {
			failed = failure(err)
			break
		}
		s.made(to.ID, made)
		from, there = append(from, some...), there.addAll(made)
	}
	release()
	if code := copied(to, from, there); code != "" {
		s.conn.Raw("* OK ").Raw(code).Raw(" Moved").Line()
	}
	code, err := s.expunged(from)
	if failed != nil {
		return "", failed
	}
	return code, err
}

// copied is the code COPYUID (RFC 4315), "" if nothing was copied.
func copied(to store.Mailbox, from []store.UID, there spans) string {
	if len(from) == 0 || len(from) != there.count() {
		return ""
	}
	return fmt.Sprintf("[COPYUID %d %v %v]", to.UIDValidity, uidSpans(from).uidSet(), there.uidSet())
}

// newToken makes an act of the store safe to repeat.
func newToken() store.Token { return store.Token(domicile.NewID("imap-")) }
