package bolt

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"domicile"
	"domicile/message"
	"domicile/store"
	"domicile/store/search"
)

// scanMost is how many messages that are in no block a search reads; if there are more it has them indexed first.
const scanMost = 256

// Find asks the blocks, reads the messages of which they are not sure and those that are in none, and keeps what is in the mailbox.
func (s *Store) Find(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, in store.Where, field, needle string) ([]store.UID, error) {
	const op = "search messages"
	f := &finder{s: s, ctx: ctx, acct: acct, in: in, field: field, prefix: message.Fold(field + ": "), needle: message.Fold(needle), known: map[string]answer{}}
	// Blocks come and go beside it. What is in the mailbox was in a block or waited to be in one; who is in neither of what was seen came later or moved between: look again.
	for range 10 {
		if err := f.look(); err != nil {
			if domicile.KindOf(err) == domicile.NotExist {
				continue // a block was replaced
			}
			return nil, domicile.W(op, err)
		}
		uids, missing, err := f.match(mbox)
		if err != nil {
			return nil, domicile.W(op, err)
		}
		if !missing {
			return uids, nil
		}
	}
	return nil, domicile.E(op, domicile.Unavailable, "the mailbox changes too fast: try again")
}

type finder struct {
	s      *Store
	ctx    context.Context
	acct   domicile.AccountID
	in     store.Where
	field  string
	prefix string // folded, with colon and space
	needle string // folded
	known  map[string]answer
}

// answer is what is known of a message.
type answer byte

const (
	unknown answer = iota
	miss
	hit
	perhaps // it must be read
)

// look finds out about every message of the account that blocks, or the list of those in none, have.
func (f *finder) look() error {
	waiting, err := f.s.unfound(f.acct, scanMost+1)
	if err == nil && len(waiting) > scanMost {
		if err = f.s.indexAccount(f.ctx, f.acct, indexLeast); err == nil {
			waiting, err = f.s.unfound(f.acct, scanMost+1)
		}
	}
	if err != nil {
		return err
	}
	var all []blockInfo
	err = f.s.view(func(tx *txn) (err error) {
		all, err = f.s.accountIn(tx, f.acct).blocks(false)
		return err
	})
	for _, b := range all {
		if err == nil {
			err = f.block(b.n)
		}
	}
	for _, id := range waiting {
		if f.known[string(id)] == unknown {
			f.known[string(id)] = perhaps
		}
	}
	return err
}

func (f *finder) block(n uint64) error {
	b, err := f.s.openBlock(f.acct, n)
	if err != nil {
		return err
	}
	fields := []search.Field{search.Header, search.Body}
	switch f.in {
	case store.InBody:
		fields = fields[1:]
	case store.InHeader:
		fields = fields[:1]
	}
	sure, maybe, err := b.Find(f.needle, fields...)
	if err != nil {
		return err
	}
	docs, err := b.Docs()
	if err != nil {
		return err
	}
	for i, id := range docs {
		switch {
		case f.known[id] != unknown:
		case sure.Has(i) && f.in != store.InHeader:
			f.known[id] = hit
		case sure.Has(i) || maybe.Has(i):
			f.known[id] = perhaps
		default:
			f.known[id] = miss
		}
	}
	return nil
}

// candidate is a message of the mailbox of which the blocks are not sure.
type candidate struct {
	uid     store.UID
	id      string
	summary []byte // sealed; nil if it is of no use here
}

// match goes through the mailbox. missing says that a message is in it of which nothing is known yet.
func (f *finder) match(mbox domicile.MailboxID) (uids []store.UID, missing bool, err error) {
	var ask []candidate
	err = f.s.view(func(tx *txn) error {
		m, err := f.s.mailboxByID(tx, f.acct, mbox)
		if err != nil {
			return err
		}
		return m.b.sub(bMessages).ForEach(func(k, v []byte) error {
			id, _, err := splitMessage(v)
			if err != nil {
				return err
			}
			switch f.known[string(id)] {
			case hit:
				uids = append(uids, readUID(k))
			case unknown:
				missing = true
				return errStop
			case perhaps:
				c := candidate{uid: readUID(k), id: string(id)}
				if f.in == store.InHeader {
					c.summary = bytes.Clone(m.b.sub(bSummaries).Get(k))
				}
				ask = append(ask, c)
			}
			return nil
		})
	})
	for _, c := range ask {
		if err != nil || missing {
			break
		}
		var found bool
		if found, err = f.verify(c); found {
			uids = append(uids, c.uid)
		}
	}
	slices.Sort(uids)
	return uids, missing, err
}

// verify looks at a summary, or reads the message. One that is damaged or gone is not found.
func (f *finder) verify(c candidate) (found bool, err error) {
	switch f.known[c.id] { // another copy of it was looked at
	case hit:
		return true, nil
	case miss:
		return false, nil
	}
	found, ok := f.bySummary(c)
	if !ok {
		err = f.s.texts(f.ctx, f.acct, domicile.MessageID(c.id), func(kind message.TextKind, folded string) bool {
			found = f.holds(kind, folded)
			return !found && (f.in != store.InHeader || kind == message.HeaderText)
		})
		if err != nil && domicile.KindOf(err) != domicile.Unavailable {
			found, err = false, nil
		}
	}
	if f.known[c.id] = miss; found {
		f.known[c.id] = hit
	}
	return found, err
}

// holds says whether one text of a message is what is looked for.
func (f *finder) holds(kind message.TextKind, folded string) bool {
	switch {
	case f.in == store.InBody && kind == message.HeaderText, f.in == store.InHeader && kind != message.HeaderText:
		return false
	case f.in == store.InHeader:
		value, ok := strings.CutPrefix(folded, f.prefix)
		return ok && strings.Contains(value, f.needle)
	}
	return strings.Contains(folded, f.needle)
}

// bySummary answers for the fields that summaries have. ok is false if that is not enough.
func (f *finder) bySummary(c candidate) (found, ok bool) {
	if c.summary == nil {
		return false, false
	}
	s, err := f.s.openSummary(f.acct, domicile.MessageID(c.id), c.summary)
	if err != nil {
		return false, false
	}
	var text message.Searched
	switch strings.ToLower(f.field) {
	case "subject":
		text = s.Subject
	case "from":
		text = s.From
	case "to":
		text = s.To
	case "cc":
		text = s.Cc
	case "bcc":
		text = s.Bcc
	default:
		return false, false
	}
	if text.Text == "" || f.needle == "" { // an empty field is not the same as none
		return false, false
	}
	found = strings.Contains(text.Text, f.needle)
	return found, found || !text.Cut
}
