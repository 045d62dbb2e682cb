package imapd

import (
	"math"
	"slices"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// selectParams are what SELECT and EXAMINE may be given besides the name (RFC 4466 2.1).
type selectParams struct {
	condstore bool
	resync    *resync
}

// resync is what a client knows of a mailbox already (RFC 7162 3.2.5).
type resync struct {
	validity uint32
	seq      store.ModSeq
	known    imap.UIDSet // nil = all

	// Sequence match data (3.2.5.2): numbers that some messages had when the client saw them, and their UIDs.
	numbers imap.SeqSet
	uids    imap.UIDSet
}

func (s *session) selectMailbox(cmd *wire.Command) (string, error) { return s.open(cmd, false) }

func (s *session) examine(cmd *wire.Command) (string, error) { return s.open(cmd, true) }

// open selects a mailbox. The one before is closed, whatever comes of it (RFC 9051 6.3.2).
func (s *session) open(cmd *wire.Command, readOnly bool) (string, error) {
	cmd.SP()
	name := cmd.Mailbox()
	params, err := s.selectParams(cmd)
	if err != nil {
		return "", err
	}
	if s.view != nil {
		s.deselect()
		s.conn.Raw("* OK [CLOSED] The mailbox that was open is closed").Line()
	}
	if params.condstore || params.resync != nil {
		s.enabled.condstore = true
	}
	canonical, err := store.MailboxName(name)
	if err != nil {
		return "", failure(err)
	}
	mbox, err := s.store().MailboxByName(s.ctx(), s.acct, canonical)
	if err != nil {
		return "", failure(err)
	}
	v, unseen, err := s.newView(mbox.ID, readOnly)
	if err != nil {
		return "", failure(err)
	}
	s.view = v
	s.tellSelected(unseen)
	if s.enabled.rev2 {
		s.tellName(name, v.mailbox.Name)
	}
	if err := s.tellResync(params.resync); err != nil {
		s.deselect()
		return "", err
	}
	if readOnly {
		return "[READ-ONLY] EXAMINE completed", nil
	}
	return "[READ-WRITE] SELECT completed", nil
}

func (s *session) selectParams(cmd *wire.Command) (p selectParams, err error) {
	if cmd.More() {
		cmd.SP()
		cmd.List(2, false, func() {
			switch w := cmd.Word(); {
			case w == "CONDSTORE":
				p.condstore = true
			case w == "QRESYNC" && !s.enabled.qresync:
				cmd.Fail("QRESYNC was not enabled")
			case w == "QRESYNC":
				cmd.SP()
				p.resync = s.readResync(cmd)
			default:
				cmd.Fail("No such parameter")
			}
		})
	}
	return p, cmd.End()
}

// readResync reads "(validity modseq [known-uids] [(sequence numbers, their uids)])".
func (s *session) readResync(cmd *wire.Command) *resync {
	var r resync
	cmd.Expect("(")
	r.validity = cmd.Positive()
	cmd.SP()
	if r.seq = store.ModSeq(cmd.Num64()); r.seq == 0 {
		cmd.Fail("A modification sequence counts from 1")
	}
	if cmd.Take(" ") {
		if cmd.Peek() != '(' {
			if r.known = cmd.UIDSet(); r.known.Dynamic() || imap.IsSearchRes(r.known) {
				cmd.Fail("Known UIDs are numbers")
			}
			if !cmd.Take(" ") {
				cmd.Expect(")")
				return &r
			}
		}
		cmd.Expect("(")
		if s.enabled.uidOnly {
			cmd.Fail(uidRequired)
		}
		numbers := cmd.Set(false)
		cmd.SP()
		r.uids = cmd.UIDSet()
		if imap.IsSearchRes(numbers) || imap.IsSearchRes(r.uids) || numbers.Dynamic() || r.uids.Dynamic() {
			cmd.Fail("Sequence match data are numbers")
		}
		r.numbers, _ = numbers.(imap.SeqSet)
		cmd.Expect(")")
	}
	cmd.Expect(")")
	return &r
}

// tellSelected tells what a client has to know of the mailbox (RFC 9051 6.3.2, RFC 3501 6.3.1, RFC 7162 3.1.2.1, RFC 8474 4.2).
func (s *session) tellSelected(unseen int) {
	v, c := s.view, s.conn
	c.Raw("* ").Num(int64(len(v.uids))).Raw(" EXISTS").Line()
	if !s.enabled.rev2 {
		s.claimRecent()
		c.Raw("* ").Num(int64(v.recentCount())).Raw(" RECENT").Line()
		if unseen >= 0 && !s.enabled.uidOnly {
			c.Raw("* OK [UNSEEN ").Num(int64(unseen + 1)).Raw("] First unseen message").Line()
		}
	}
	c.Raw("* OK [UIDVALIDITY ").Num(int64(v.mailbox.UIDValidity)).Raw("] UIDs are valid").Line()
	c.Raw("* OK [UIDNEXT ").Num(int64(v.mailbox.UIDNext)).Raw("] Predicted next UID").Line()
	c.Raw("* FLAGS ").Flags(v.flags()).Line()
	permanent := []string{}
	if !v.readOnly {
		permanent = append(v.flags(), `\*`)
	}
	c.Raw("* OK [PERMANENTFLAGS ").Flags(permanent).Raw("] Permanent flags").Line()
	c.Raw("* OK [HIGHESTMODSEQ ").Unum(uint64(v.seq)).Raw("] Highest modification sequence").Line()
	c.Raw("* OK [MAILBOXID (").Raw(string(v.mailbox.ID)).Raw(")] Mailbox id").Line()
}

// tellResync tells a client that knew the mailbox what happened since. What happens meanwhile is told too, so that behind SELECT the client has each message that
// it was told exists: one that was new to it and goes before it can be fetched vanishes.
func (s *session) tellResync(r *resync) error {
	v := s.view
	if r == nil || r.validity != v.mailbox.UIDValidity {
		return nil
	}
	changed, vanished, err := s.changedAfter(r.seq)
	if err != nil {
		return failure(err)
	}
	known := spans{{1, uint32(v.mailbox.UIDNext - 1)}}
	if r.known != nil {
		known = both(known, uidRanges(r.known, 0))
	}
	s.tellEarlier(vanished, both(known, spans{{uint32(r.matched(v)) + 1, math.MaxUint32}}))
	f := fetcher{s: s, q: &fetchItems{uid: !s.enabled.uidOnly, flags: true, modSeq: true}}
	if err := f.all(both(changed, v.indexesOf(known))); err != nil {
		return err
	}
	s.tellUpdates(true)
	return nil
}

// matched is the UID up to which sequence match data show that the client knows of all that was expunged: a message that has the number which the client
// saw has before it all that were there then. 0 = none does.
func (r *resync) matched(v *view) (last store.UID) {
	uids := slices.Clone(r.uids)
	for _, run := range r.numbers {
		for n := uint64(run.Start); n <= uint64(run.Stop); n++ {
			if len(uids) == 0 || n > uint64(len(v.uids)) || v.uids[n-1] != store.UID(uids[0].Start) {
				return last
			}
			last = v.uids[n-1]
			if uids[0].Start++; uids[0].Start > uids[0].Stop {
				uids = uids[1:]
			}
		}
	}
	return last
}

// closeMailbox is CLOSE: messages with \Deleted are expunged, and nothing is told of it. What EXAMINE opened stays as it is. Where that fails the mailbox is still
// selected: NO says that it was not closed.
func (s *session) closeMailbox(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	if v := s.view; !v.readOnly && !v.removed {
		uids, err := s.marked(v.mailbox.ID)
		if err == nil {
			_, err = s.remove(v.mailbox.ID, uids)
		}
		if err != nil && domicile.KindOf(err) != domicile.NotExist { // deleted by another session
			return "", failure(err)
		}
	}
	s.deselect()
	return "", nil
}

func (s *session) unselect(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	s.deselect()
	return "", nil
}
