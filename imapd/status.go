package imapd

import (
	"slices"

	"domicile/imapd/wire"
	"domicile/store"
	"domicile/turns"
)

// statusItems are what STATUS tells (RFC 9051 6.3.11), with their RFCs where these are others.
var statusItems = []string{
	"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED",
	"RECENT",          // RFC 3501 6.3.10
	"SIZE",            // RFC 8438
	"HIGHESTMODSEQ",   // RFC 7162 3.1.7
	"MAILBOXID",       // RFC 8474 4.3
	"APPENDLIMIT",     // RFC 7889 4
	"DELETED-STORAGE", // RFC 9208 4.1.4
}

// status is STATUS.
func (s *session) status(cmd *wire.Command) (string, error) {
	cmd.SP()
	name := cmd.Mailbox()
	cmd.SP()
	items := readStatusItems(cmd)
	if err := cmd.End(); err != nil {
		return "", err
	}
	m, err := s.mailbox(name)
	if err != nil {
		return "", err
	}
	if slices.Contains(items, "HIGHESTMODSEQ") {
		s.condstore()
	}
	return "", failure(s.tellStatus(m, items))
}

// readStatusItems reads a list of items, each kept once.
func readStatusItems(cmd *wire.Command) (items []string) {
	cmd.List(2*len(statusItems), false, func() {
		item := cmd.Word()
		switch {
		case !slices.Contains(statusItems, item):
			cmd.Fail("No such item of a mailbox's status")
		case !slices.Contains(items, item):
			items = append(items, item)
		}
	})
	return items
}

func (s *session) tellStatus(m store.Mailbox, items []string) error {
	counted, err := s.count(m, items)
	if err != nil {
		return err
	}
	w := s.conn.Raw("* STATUS ").Mailbox(m.Name).Raw(" (")
	for i, item := range items {
		if i > 0 {
			w.Raw(" ")
		}
		w.Raw(item).Raw(" ")
		switch item {
		case "MESSAGES":
			w.Num(int64(m.Messages))
		case "UIDNEXT":
			w.Num(int64(m.UIDNext))
		case "UIDVALIDITY":
			w.Num(int64(m.UIDValidity))
		case "UNSEEN":
			w.Num(int64(m.Unseen))
		case "SIZE":
			w.Num(m.Size)
		case "HIGHESTMODSEQ":
			w.Unum(uint64(m.HighestModSeq))
		case "MAILBOXID":
			w.Raw("(").Raw(string(m.ID)).Raw(")")
		case "APPENDLIMIT":
			w.Num(s.maxSize)
		case "RECENT":
			w.Num(counted.recent)
		case "DELETED":
			w.Num(counted.deleted)
		case "DELETED-STORAGE":
			w.Num(counted.deletedBytes)
		}
	}
	w.Raw(")").Line()
	return nil
}

// counted is what a mailbox's record does not say.
type counted struct{ recent, deleted, deletedBytes int64 }

// count looks at the messages of a mailbox, if an item is asked for that needs it.
func (s *session) count(m store.Mailbox, items []string) (c counted, err error) {
	from := m.UIDNext
	if slices.Contains(items, "RECENT") {
		from = s.home.recents.claim(m.ID, m.UIDNext, true)
	}
	if from >= m.UIDNext && !slices.Contains(items, "DELETED") && !slices.Contains(items, "DELETED-STORAGE") {
		return c, nil
	}
	look := func(t *turns.Turn) error {
		n := 0
		for msg, err := range store.AllMessages(s.ctx(), s.store(), s.acct, m.ID) {
			if n++; err == nil && t != nil && n%readPage == 0 {
				err = s.pass(t)
			}
			if err != nil {
				return err
			}
			if msg.UID >= from {
				c.recent++
			}
			if store.HasFlag(msg.Flags, store.Deleted) {
				c.deleted++
				c.deletedBytes += msg.Size
			}
		}
		return nil
	}
	if m.Messages <= lightPage {
		return c, look(nil)
	}
	return c, s.inTurn(look)
}
