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
	var c copied
	validity, from, made, err := s.store().Copy(s.ctx(), "", s.acct, s.view.mailbox.ID, uids, to.Name)
	if err != nil {
		return "", s.notCopied(to, err)
	}
	s.came(&c, to, validity, from, made)
	if len(c) == 0 {
		return "", nil
	}
	return c[0].code() + " COPY completed", nil
}

// notCopied is what a client is told where nothing was copied: where the mailbox is gone meanwhile, that it may create it.
func (s *session) notCopied(to store.Mailbox, err error) error {
	if domicile.KindOf(err) == domicile.NotExist {
		if _, err := s.target(to.Name); err != nil {
			return err
		}
	}
	return failure(err)
}

// moveSome is MOVE (RFC 6851): where the messages went is told before they go (4.3), and also of those that went before an error.
func (s *session) moveSome(uids []store.UID, to store.Mailbox, release func()) (string, error) {
	var from []store.UID
	var c copied
	var failed error
	s.progress.toGo(len(uids))
	for page := range slices.Chunk(uids, actPage) {
		s.progress.reached(len(from))
		validity, some, made, err := s.store().Move(s.ctx(), newToken(), s.acct, s.view.mailbox.ID, page, to.Name)
		if err != nil {
			failed = s.notCopied(to, err)
			break
		}
		s.came(&c, to, validity, some, made)
		from = append(from, some...)
	}
	release()
	for i := range c {
		s.conn.Raw("* OK ").Raw(c[i].code()).Raw(" Moved").Line()
	}
	code, err := s.expunged(from)
	if failed != nil {
		return "", failed
	}
	return code, err
}

// copied is where messages went, and which UIDs they have there: a run for each mailbox that had the name meanwhile.
type copied []copiedRun

type copiedRun struct {
	validity    uint32 // of the act that copied
	from, there spans
}

// came notes what one act copied.
func (s *session) came(c *copied, to store.Mailbox, validity uint32, from []store.UID, made []store.Message) {
	if validity == to.UIDValidity { // else another mailbox has its name by now
		s.made(to.ID, made)
	}
	if len(from) == 0 || len(from) != len(made) {
		return
	}
	if n := len(*c); n == 0 || (*c)[n-1].validity != validity {
		*c = append(*c, copiedRun{validity: validity})
	}
	last := &(*c)[len(*c)-1]
	last.there = last.there.addAll(made)
	for _, uid := range from {
		last.from = last.from.add(uint32(uid))
	}
}

// code is COPYUID (RFC 4315).
func (r *copiedRun) code() string {
	return fmt.Sprintf("[COPYUID %d %v %v]", r.validity, r.from.uidSet(), r.there.uidSet())
}

// newToken makes an act of the store safe to repeat.
func newToken() store.Token { return store.Token(domicile.NewID("imap-")) }
