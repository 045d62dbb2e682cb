package bolt

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"domicile"
	"domicile/store"
)

// A copy of many messages is laid down beside the acts of others, some messages in each act of its own: with UIDs and a ModSeq that the mailbox has not come to, where
// readers pass them over. Its last act raises the counters, and by that makes messages of all of them at once. Until then they are a leftover, so that
// a copy that ends before, by a crash too, leaves nothing.

// laid is a copy that is under way.
type laid struct {
	s    *Store
	acct domicile.AccountID
	from domicile.MailboxID
	to   domicile.MailboxID
	rows store.UIDRange // that it may use
	seq  store.ModSeq   // of all of them
	now  int64
	transferred
	sum   counters            // what the mailbox counts more
	flags map[string][]string // those that messages share
}

// How far ahead of its mailbox a copy is laid down: what comes there meanwhile must have room, or the copy fails.
const (
	layApart    = 4096 // UIDs, and as many more as it copies
	laySeqApart = 1 << 24
)

var errOvertaken = domicile.E("copy", domicile.Unavailable, "more came into the mailbox meanwhile than there was room for: nothing was copied, try again")

// copyMany copies messages as they are at some moment of the call: all of those that it found, or none.
func (s *Store) copyMany(ctx context.Context, tok store.Token, act string, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (transferred, error) {
	if err := s.enterLarge(ctx); err != nil {
		return transferred{}, err
	}
	defer s.leaveLarge()
	if err := s.sweepAccount(ctx, acct, true); err != nil { // what an earlier one left where this one goes
		return transferred{}, err
	}
	l := &laid{s: s, acct: acct, from: mbox, now: s.cfg.Now().Unix(), flags: map[string][]string{}}
	done, err := l.begin(ctx, tok, act, to, len(uids))
	if err != nil || done {
		return l.transferred, err
	}
	asked := make(map[store.UID]bool, len(uids))
	uids = slices.DeleteFunc(slices.Clone(uids), func(uid store.UID) bool {
		again := asked[uid]
		asked[uid] = true
		return again
	})
	l.From, l.Made = make([]store.UID, 0, len(uids)), make(records, 0, len(uids)) // a million of them: grown they would take twice the room
	for some := range slices.Chunk(uids, sweepMessages) {
		if err := l.lay(ctx, some); err != nil {
			return transferred{}, err
		}
	}
	return l.transferred, l.end(ctx, tok, act)
}

// begin finds room for the rows, or that it was done before.
func (l *laid) begin(ctx context.Context, tok store.Token, act, to string, n int) (done bool, err error) {
	err = l.s.update(ctx, "", func(tx *txn) error {
		l.transferred = transferred{}
		a, err := l.s.served(tx, l.acct)
		if err != nil {
			return err
		}
		if done, err = a.didBefore(tok, act, &l.transferred); done || err != nil {
			return err
		}
		if _, err := a.mailbox(l.from); err != nil {
			return err
		}
		m, err := a.mailboxNamed(to)
		if err != nil {
			return err
		}
		apart := uint64(layApart + n)
		if room := uint64(1<<32-1) - uint64(m.next); uint64(n) > room {
			return errNoUIDs
		} else if uint64(n)+apart > room {
			apart = room - uint64(n)
		}
		first := uint64(m.next) + apart
		l.to, l.Validity, l.seq, l.rows = m.id, m.validity, m.modseq+laySeqApart, store.UIDRange{First: store.UID(first), Last: store.UID(first + uint64(n) - 1)}
		m.hidden = l.rows
		m.save()
		a.leave(leftover{rows: m.rowsOf(m.id), of: m.id})
		return nil
	})
	return done, err
}

// mailboxes are both ends of the copy, if nobody took its place away.
func (l *laid) mailboxes(tx *txn) (from, to *mailbox, err error) {
	a, err := l.s.served(tx, l.acct)
	if err != nil {
		return nil, nil, err
	}
	if to, err = a.mailbox(l.to); err != nil {
		return nil, nil, err
	}
	if to.validity != l.Validity || to.hidden != l.rows || to.next > l.rows.First || to.modseq >= l.seq {
		return nil, nil, errOvertaken
	}
	if l.from == l.to {
		return to, to, nil
	}
	from, err = a.mailbox(l.from)
	return from, to, err
}

// lay writes some of the rows.
func (l *laid) lay(ctx context.Context, uids []store.UID) error {
	if err := l.s.index.settled(); err != nil { // else what is pending would grow, and with it what others wait for
		return unavailable(err)
	}
	var made []messageRecord
	var found []store.UID
	var sum counters
	err := l.s.update(ctx, "", func(tx *txn) error {
		made, found, sum = nil, nil, l.sum
		from, to, err := l.mailboxes(tx)
		if err != nil {
			return err
		}
		records, err := from.some(uids)
		if err != nil {
			return err
		}
		for _, r := range records {
			found = append(found, r.UID)
			summary := from.rows.sub(bSummaries).Get(uidKey(r.UID))
			if err := to.ref(r.ID); err != nil {
				return err
			}
			r.UID, r.ModSeq, r.Saved = l.rows.First+store.UID(sum.messages), l.seq, l.now
			sum.count(r, 1)
			if err := to.put(r); err != nil {
				return err
			}
			if summary != nil {
				to.rows.sub(bSummaries).Put(uidKey(r.UID), bytes.Clone(summary))
			}
			r.Flags = l.shared(r.Flags)
			made = append(made, r)
		}
		return nil
	})
	l.From, l.Made, l.sum = append(l.From, found...), append(l.Made, made...), sum
	return err
}

// shared is the same flags in memory that others have: nearly all messages have one of a few combinations.
func (l *laid) shared(flags []string) []string {
	key := strings.Join(flags, " ")
	if have, ok := l.flags[key]; ok {
		return have
	}
	if len(l.flags) < 1000 {
		l.flags[key] = slices.Clip(flags)
	}
	return flags
}

// end makes the rows messages, or gives them up if there are none.
func (l *laid) end(ctx context.Context, tok store.Token, act string) error {
	result, err := json.RawMessage(nil), error(nil)
	if tok != "" {
		if result, err = json.Marshal(l.transferred); err != nil {
			return err
		}
	}
	return l.s.update(ctx, l.acct, func(tx *txn) error {
		_, m, err := l.mailboxes(tx)
		if err != nil {
			return err
		}
		m.hidden = store.UIDRange{}
		if l.sum.messages > 0 {
			m.next, m.modseq = l.rows.First+store.UID(l.sum.messages), l.seq
			m.messages, m.unseen, m.size = m.messages+l.sum.messages, m.unseen+l.sum.unseen, m.size+l.sum.size
		}
		m.save()
		m.left().Delete([]byte(m.rowsOf(m.id)))
		return m.remember(tok, act, result)
	})
}
