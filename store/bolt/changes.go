package bolt

import (
	"context"
	"fmt"

	"domicile"
	"domicile/store"
)

// reach is how far a reader by Changes has come, its store.Position.
type reach struct {
	seq  store.ModSeq // it has all changes before this one,
	uid  store.UID    // and of this one those of lower UIDs
	gone store.ModSeq // it was told of all that vanished up to here
}

func (p reach) position() store.Position {
	return store.Position(fmt.Sprintf("%d/%d/%d", p.seq, p.uid, p.gone))
}

func parseReach(at store.Position) (p reach, err error) {
	if len(at) <= store.MaxPosition {
		_, err = fmt.Sscanf(string(at), "%d/%d/%d", &p.seq, &p.uid, &p.gone)
	}
	if err != nil || p.position() != at {
		return p, domicile.E("changes", domicile.Invalid, "this store wrote no such position")
	}
	return p, nil
}

// Changes walks the list of changes from where the last part ended: what changes meanwhile comes at its end.
func (s *Store) Changes(_ context.Context, acct domicile.AccountID, mbox domicile.MailboxID, seq store.ModSeq, at store.Position, limit int) (store.Changes, error) {
	const op = "list changes"
	var (
		p   reach
		err error
		box sealedMailbox
		out store.Changes
	)
	if at != "" {
		if p, err = parseReach(at); err != nil {
			return out, domicile.W(op, err)
		}
	}
	var sealed []entry
	err = s.view(func(tx *txn) error {
		m, err := s.mailboxByID(tx, acct, mbox)
		if err != nil {
			return err
		}
		switch {
		case at == "" && seq > 0:
			p = reach{seq: seq + 1, gone: seq}
		case at == "": // it knows nothing that could have vanished
			p = reach{seq: 1, gone: m.modseq}
		}
		box = m.copyOut()
		if seq < m.modseq { // else there is nothing
			sealed, out.Vanished, out.Next, err = m.page(p, max(1, min(limit, store.MaxPage)))
		}
		return err
	})
	if err == nil {
		out.Mailbox, err = s.openMailbox(acct, box)
	}
	if err == nil {
		out.Changed, err = s.openMessages(acct, box.rowsOf(mbox), sealed)
	}
	if err != nil {
		return store.Changes{}, domicile.W(op, err)
	}
	return out, nil
}

// page gives at most limit changes, and where the next ones are.
func (m *mailbox) page(p reach, limit int) (changed []entry, vanished []store.UIDRange, next store.Position, err error) {
	f, err := m.forgotten()
	if err != nil {
		return nil, nil, "", err
	}
	if told := max(p.gone, p.seq-min(p.seq, 1)); told < f.seq {
		if vanished, err = m.absent(f.uids); err != nil {
			return nil, nil, "", err
		}
		if err := m.eachVanished(told, func(_ store.ModSeq, run store.UIDRange) error { vanished = append(vanished, run); return nil }); err != nil {
			return nil, nil, "", err
		}
		p.gone = m.modseq
	}
	messages, n := m.rows.sub(bMessages), 0
	err = m.rows.sub(bChanges).ForEachFrom(changeKey(p.seq, p.uid), func(k, v []byte) error {
		seq, uid := readChange(k)
		run, is := readVanished(uid, v)
		if m.hides(uid) && !is {
			if seq > m.modseq {
				return errStop
			}
			return nil
		}
		if is && seq <= p.gone {
			return nil
		}
		if n++; n > limit {
			next = reach{seq, uid, p.gone}.position()
			return errStop
		}
		if is {
			vanished = append(vanished, run)
		} else {
			changed = append(changed, cloneEntry(uidKey(uid), messages.Get(uidKey(uid))))
		}
		return nil
	})
	return changed, joined(vanished), next, err
}
