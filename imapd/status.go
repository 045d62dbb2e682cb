package imapd

import (
	"domicile/imapd/wire"
	"domicile/store"
)

// statusItems are those that STATUS tells, and how. deleted is counted only where it is asked for.
var statusItems = map[string]func(s *session, m store.Mailbox, deleted count){
	"MESSAGES":        func(s *session, m store.Mailbox, _ count) { s.conn.Num(int64(m.Messages)) },
	"RECENT":          func(s *session, _ store.Mailbox, _ count) { s.conn.Num(0) },
	"UIDNEXT":         func(s *session, m store.Mailbox, _ count) { s.conn.Num(int64(m.UIDNext)) },
	"UIDVALIDITY":     func(s *session, m store.Mailbox, _ count) { s.conn.Num(int64(m.UIDValidity)) },
	"UNSEEN":          func(s *session, m store.Mailbox, _ count) { s.conn.Num(int64(m.Unseen)) },
	"SIZE":            func(s *session, m store.Mailbox, _ count) { s.conn.Num(m.Size) },                   // RFC 8438
	"HIGHESTMODSEQ":   func(s *session, m store.Mailbox, _ count) { s.conn.Unum(uint64(m.HighestModSeq)) }, // RFC 7162 3.1.7
	"MAILBOXID":       func(s *session, m store.Mailbox, _ count) { s.conn.Raw("(" + string(m.ID) + ")") }, // RFC 8474 4.3
	"APPENDLIMIT":     func(s *session, _ store.Mailbox, _ count) { s.conn.Num(s.maxSize) },                // RFC 7889 4
	"DELETED":         func(s *session, _ store.Mailbox, deleted count) { s.conn.Num(deleted.messages) },   // RFC 9051 6.3.11
	"DELETED-STORAGE": func(s *session, _ store.Mailbox, deleted count) { s.conn.Num(deleted.bytes) },      // RFC 9208 4.1.4
}

// count is that of the messages with \Deleted.
type count struct{ messages, bytes int64 }

// status is STATUS (RFC 9051 6.3.11).
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
	return "", s.tellStatus(m, items)
}

// readStatusItems reads a list of items, each kept once.
func readStatusItems(cmd *wire.Command) (items []string) {
	seen := map[string]bool{}
	cmd.List(2*len(statusItems), false, func() {
		item := cmd.Word()
		if statusItems[item] == nil {
			cmd.Fail("No such item of a mailbox's status")
		} else if !seen[item] {
			seen[item] = true
			items = append(items, item)
		}
	})
	return items
}

func (s *session) tellStatus(m store.Mailbox, items []string) error {
	var deleted count
	for _, item := range items {
		switch item {
		case "DELETED", "DELETED-STORAGE":
			var err error
			if deleted, err = s.countDeleted(m); err != nil {
				return err
			}
		case "HIGHESTMODSEQ": // whoever asks for it uses CONDSTORE (RFC 7162 3.1)
			s.enabled.condstore = true
		}
	}
	s.conn.Raw("* STATUS ").Mailbox(m.Name)
	for i, item := range items {
		s.conn.Raw([]string{" (", " "}[min(i, 1)]).Raw(item).Raw(" ")
		statusItems[item](s, m, deleted)
	}
	s.conn.Raw(")").Line()
	return nil
}

func (s *session) countDeleted(m store.Mailbox) (c count, err error) {
	msgs, err := s.store().Messages(s.ctx(), s.acct, m.ID)
	for _, msg := range msgs {
		if store.HasFlag(msg.Flags, store.Deleted) {
			c.messages++
			c.bytes += msg.Size
		}
	}
	return c, failure(err)
}
