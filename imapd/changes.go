package imapd

import (
	"context"
	"slices"

	"domicile"
	"domicile/store"
)

// changes is changesIn of the session's account.
func (s *session) changes(mbox domicile.MailboxID, seq store.ModSeq, take func(p *store.Changes)) (store.Mailbox, error) {
	return changesIn(s.ctx(), s.store(), s.acct, mbox, seq, take)
}

// changesIn reads what changed in a mailbox after seq, part by part, and returns the mailbox as it was at the last of them.
func changesIn(ctx context.Context, st store.Store, acct domicile.AccountID, mbox domicile.MailboxID, seq store.ModSeq, take func(p *store.Changes)) (store.Mailbox, error) {
	for at := store.Position(""); ; {
		p, err := st.Changes(ctx, acct, mbox, seq, at, store.MaxPage)
		if err != nil {
			return store.Mailbox{}, err
		}
		take(&p)
		if at = p.Next; at == "" {
			return p.Mailbox, nil
		}
	}
}

// changedAfter returns which messages of the view changed after seq, as spans of their indexes, and which UIDs vanished.
func (s *session) changedAfter(seq store.ModSeq) (changed, vanished spans, err error) {
	v := s.view
	_, err = s.changes(v.mailbox.ID, seq, func(p *store.Changes) {
		vanished = append(vanished, vanishedOf(p)...)
		for _, m := range p.Changed {
			if i := v.find(m.UID); i >= 0 {
				changed = append(changed, span{uint32(i), uint32(i)})
			}
		}
	})
	return merged(changed), merged(vanished), err
}

func vanishedOf(p *store.Changes) spans {
	s := make(spans, len(p.Vanished))
	for i, r := range p.Vanished {
		s[i] = span{uint32(r.First), uint32(r.Last)}
	}
	return s
}

// tellEarlier tells which of the known messages were expunged before (RFC 7162 3.2.10.1). Those that the view still has are told as they go.
func (s *session) tellEarlier(vanished, known spans) {
	v := s.view
	var gone spans
	for _, r := range both(vanished, known) {
		i, j := v.between(store.UID(r.from), store.UID(r.to))
		for _, uid := range v.uids[i:j] {
			if r.from < uint32(uid) {
				gone = append(gone, span{r.from, uint32(uid) - 1})
			}
			r.from = uint32(uid) + 1
		}
		if r.from != 0 && r.from <= r.to {
			gone = append(gone, r)
		}
	}
	if len(gone) > 0 {
		s.conn.Raw("* VANISHED (EARLIER) ").Set(gone.uidSet()).Line()
	}
}

// newView is a mailbox as it is now. unseen is the index of the first message without \Seen, or -1.
func (s *session) newView(id domicile.MailboxID, readOnly bool) (v *view, unseen int, err error) {
	f, mbox, err := s.flagsNow(nil, id)
	if err != nil {
		return nil, 0, err
	}
	defer f.mu.Unlock()
	seen := bitsOf([]string{store.Seen})
	unseen = slices.IndexFunc(f.flags, func(flags uint8) bool { return flags&seen == 0 })
	return &view{mailbox: mbox, readOnly: readOnly, uids: slices.Clone(f.uids), seq: f.seq, words: f.words.clone()}, unseen, nil
}
