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
	if err := ctx.Err(); err != nil {
		return nil, domicile.W(op, unavailable(err))
	}
	f := &finder{s: s, ctx: ctx, acct: acct, in: in, field: field, prefix: message.Fold(field + ": "), needle: message.Fold(needle), known: map[string]answer{},
		texts: texts{s: s, ctx: ctx, acct: acct}}
	for tries := 10; f.look() && tries > 1; tries-- {
	}
	uids, err := f.match(mbox)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return uids, nil
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
	texts  texts
}

// answer is what is known of a message.
type answer byte

const (
	perhaps answer = iota // it must be read
	miss
	hit
)

// look finds out what the blocks know. Whatever keeps it from that, a full disk or a damaged block, makes a search slow, not wrong: more messages are
// read. again says that a block was replaced meanwhile.
func (f *finder) look() (again bool) {
	if waiting, err := f.s.unfound(f.acct, scanMost+1); err == nil && len(waiting) > scanMost {
		f.slow(f.s.indexAccount(f.ctx, f.acct, indexLeast))
	}
	var all []blockInfo
	f.slow(f.s.view(func(tx *txn) (err error) {
		all, err = f.s.accountIn(tx, f.acct).blocks(false)
		return err
	}))
	for _, b := range all {
		err := f.block(b.n)
		if domicile.KindOf(err) == domicile.NotExist {
			again = true
		} else if f.slow(err); damage(err) {
			f.s.indexer.isHurt(f.acct)
		}
	}
	return again
}

// slow notes why a search cannot use the index.
func (f *finder) slow(err error) {
	if err != nil && f.ctx.Err() == nil {
		f.s.cfg.Log.Warn("store: a search does without a part of its index", "error", err)
	}
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

// match goes through the mailbox.
func (f *finder) match(mbox domicile.MailboxID) (uids []store.UID, err error) {
	var ask []candidate
	err = f.s.view(func(tx *txn) error {
		m, err := f.s.mailboxByID(tx, f.acct, mbox)
		if err != nil {
			return err
		}
		return m.eachRow(bMessages, 0, func(k, v []byte) error {
			id, _, err := splitMessage(v)
			if err != nil {
				return err
			}
			switch f.known[string(id)] {
			case hit:
				uids = append(uids, readUID(k))
			case perhaps:
				c := candidate{uid: readUID(k), id: string(id)}
				if f.in == store.InHeader {
					c.summary = bytes.Clone(m.rows.sub(bSummaries).Get(k))
				}
				ask = append(ask, c)
			}
			return nil
		})
	})
	for _, c := range ask {
		if err != nil {
			break
		}
		var found bool
		if found, err = f.verify(c); found {
			uids = append(uids, c.uid)
		}
	}
	slices.Sort(uids)
	return uids, err
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
		err = f.texts.each(domicile.MessageID(c.id), func(kind message.TextKind, folded []byte) bool {
			found = f.holds(kind, folded)
			return !found && (f.in != store.InHeader || kind == message.HeaderText)
		})
		if damage(err) {
			found, err = false, nil
		}
	}
	if f.known[c.id] = miss; found {
		f.known[c.id] = hit
	}
	return found, err
}

// holds says whether one text of a message is what is looked for.
func (f *finder) holds(kind message.TextKind, folded []byte) bool {
	switch {
	case f.in == store.InBody && kind == message.HeaderText, f.in == store.InHeader && kind != message.HeaderText:
		return false
	case f.in == store.InHeader:
		value, ok := bytes.CutPrefix(folded, []byte(f.prefix))
		return ok && bytes.Contains(value, []byte(f.needle))
	}
	return bytes.Contains(folded, []byte(f.needle))
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
