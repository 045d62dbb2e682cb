package imapd

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"

	"domicile"
	"domicile/store"
	"domicile/turns"
)

// Bounds of what is kept of flags, for all mailboxes together: reading a small one costs little.
const (
	flagMemory = 64 << 20
	flagLeast  = 64  // messages
	flagSize   = 5   // bytes of a message
	flagFixed  = 512 // bytes of a mailbox, about
)

// flagIndexes keep the UIDs and system flags of mailboxes that were selected, searched by flags, or expunged. They are brought up to date at each use, by
// what changed since: to select a mailbox again, or to search a million messages for those unseen, which programs do again and again, reads no more. Those
// longest unused give way to others. The zero value is ready.
type flagIndexes struct {
	mu   sync.Mutex
	of   map[domicile.MailboxID]*list.Element // guarded by mu; in used
	used list.List                            // guarded by mu; of *flagIndex, those used last first
	size int                                  // guarded by mu; bytes of all
}

// flagIndex is what is kept of one mailbox.
type flagIndex struct {
	mbox domicile.MailboxID
	size int // guarded by flagIndexes.mu; as it was counted last

	mu    sync.Mutex   // guards what follows
	seq   store.ModSeq // all changes up to here are in
	uids  []store.UID  // ascending
	flags []uint8      // of each
	words keywords     // that a message has, or had
}

// bitsOf has a bit for each of systemFlags.
func bitsOf(flags []string) (b uint8) {
	for _, f := range flags {
		if i := slices.Index(systemFlags, f); i >= 0 {
			b |= 1 << i
		}
	}
	return b
}

// get returns the index of a mailbox, empty if there was none.
func (x *flagIndexes) get(mbox domicile.MailboxID) *flagIndex {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.of[mbox]
	if e == nil {
		return &flagIndex{mbox: mbox}
	}
	x.used.MoveToFront(e)
	return e.Value.(*flagIndex)
}

// keep counts what an index takes now, and drops others for it. That of a small mailbox is not kept. The caller holds f.mu.
func (x *flagIndexes) keep(f *flagIndex, messages int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.of[f.mbox]; old != nil {
		x.drop(old)
	}
	if messages < flagLeast {
		return
	}
	if x.of == nil {
		x.of = map[domicile.MailboxID]*list.Element{}
	}
	f.size = flagFixed + messages*flagSize + f.words.size
	x.of[f.mbox] = x.used.PushFront(f)
	for x.size += f.size; x.size > flagMemory; {
		x.drop(x.used.Back())
	}
}

// drop forgets an index. The caller holds mu.
func (x *flagIndexes) drop(e *list.Element) {
	f := x.used.Remove(e).(*flagIndex)
	x.size -= f.size
	delete(x.of, f.mbox)
}

// clone is an index of its own of the same messages.
func (f *flagIndex) clone() *flagIndex {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &flagIndex{mbox: f.mbox, seq: f.seq, uids: slices.Clone(f.uids), flags: slices.Clone(f.flags), words: f.words.clone()}
}

// update brings the index up to what the store has, in parts: pass is called between two of them, and before each of a mailbox that is read as a whole, if it is
// not a small one. What was done before an error does no harm. f.mu is held.
func (f *flagIndex) update(ctx context.Context, st store.Store, acct domicile.AccountID, pass func() error) (store.Mailbox, error) {
	if f.seq == 0 {
		if err := f.fill(ctx, st, acct, pass); err != nil {
			return store.Mailbox{}, err
		}
	}
	for at := store.Position(""); ; {
		p, err := st.Changes(ctx, acct, f.mbox, f.seq, at, store.MaxPage)
		if err != nil {
			return store.Mailbox{}, err
		}
		f.apply(&p)
		if at = p.Next; at == "" {
			f.seq = p.Mailbox.HighestModSeq
			return p.Mailbox, nil
		}
		if err := pass(); err != nil {
			return store.Mailbox{}, err
		}
	}
}

func (f *flagIndex) apply(p *store.Changes) {
	f.drop(merged(vanishedOf(p)))
	for _, m := range p.Changed {
		i, known := slices.BinarySearch(f.uids, m.UID)
		if !known { // behind all others, as a rule
			f.uids, f.flags = slices.Insert(f.uids, i, m.UID), slices.Insert(f.flags, i, 0)
		}
		f.flags[i] = bitsOf(m.Flags)
		f.words.learn(m.Flags)
	}
}

// fill reads all of the mailbox; what changes meanwhile is for update.
func (f *flagIndex) fill(ctx context.Context, st store.Store, acct domicile.AccountID, pass func() error) error {
	const newest = 1<<63 - 1
	c, err := st.Changes(ctx, acct, f.mbox, newest, "", 1) // says how far it is, and nothing more
	if err != nil {
		return err
	}
	f.uids, f.flags = make([]store.UID, 0, c.Mailbox.Messages), make([]uint8, 0, c.Mailbox.Messages)
	for after := store.UID(0); ; after = f.uids[len(f.uids)-1] {
		if c.Mailbox.Messages > lightPage {
			if err := pass(); err != nil {
				return err
			}
		}
		page, err := st.Messages(ctx, acct, f.mbox, after, readPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			f.seq = c.Mailbox.HighestModSeq
			return nil
		}
		for _, m := range page {
			f.uids, f.flags = append(f.uids, m.UID), append(f.flags, bitsOf(m.Flags))
			f.words.learn(m.Flags)
		}
	}
}

// drop takes out messages that are gone.
func (f *flagIndex) drop(gone spans) {
	if len(gone) == 0 {
		return
	}
	first, _ := slices.BinarySearch(f.uids, store.UID(gone[0].from))
	n := first
	for i := first; i < len(f.uids); i++ {
		uid := uint32(f.uids[i])
		for len(gone) > 0 && gone[0].to < uid {
			gone = gone[1:]
		}
		if len(gone) == 0 || uid < gone[0].from {
			f.uids[n], f.flags[n] = f.uids[i], f.flags[i]
			n++
		}
	}
	f.uids, f.flags = f.uids[:n], f.flags[:n]
}

// errFar says that an index lacks more than is read without a turn.
var errFar = errors.New("much has to be read")

// flagsNow are the flags of a mailbox as they are now, in an index that the caller unlocks. Where much has to be read that is done in a turn, which is t if the
// session has one already, and to a copy that nobody else waits for.
func (s *session) flagsNow(t *turns.Turn, id domicile.MailboxID) (*flagIndex, store.Mailbox, error) {
	f := s.home.flags.get(id)
	mbox, err := s.lockUpdated(f, func() error { return errFar })
	if errors.Is(err, errFar) {
		f = f.clone()
		work := func(t *turns.Turn) (err error) {
			mbox, err = s.lockUpdated(f, func() error { return s.pass(t) })
			return err
		}
		if t == nil {
			err = s.inTurn(work)
		} else {
			err = work(t)
		}
	}
	if err != nil {
		return nil, mbox, err
	}
	s.home.flags.keep(f, len(f.uids))
	return f, mbox, nil
}

// lockUpdated locks an index that it brings up to date, unless there is an error.
func (s *session) lockUpdated(f *flagIndex, pass func() error) (mbox store.Mailbox, err error) {
	f.mu.Lock()
	done := false
	defer func() {
		if !done { // also behind a panic of the store
			f.mu.Unlock()
		}
	}()
	mbox, err = f.update(s.ctx(), s.store(), s.acct, pass)
	done = err == nil
	return mbox, err
}

// marked are the messages of a mailbox that have \Deleted.
func (s *session) marked(mbox domicile.MailboxID) (uids []store.UID, err error) {
	f, _, err := s.flagsNow(nil, mbox)
	if err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	deleted := bitsOf([]string{store.Deleted})
	for i, uid := range f.uids {
		if f.flags[i]&deleted != 0 {
			uids = append(uids, uid)
		}
	}
	return uids, nil
}

// scanFlags tries messages of which nothing but system flags is needed.
func (s *session) scanFlags(t *turns.Turn, q *query, try func(c *candidate) error) error {
	v := s.view
	f, _, err := s.flagsNow(t, v.mailbox.ID)
	if err != nil {
		return err
	}
	defer f.mu.Unlock()
	c := &candidate{view: v, index: q.from}
	i, _ := slices.BinarySearch(f.uids, v.uids[c.index])
	for ; i < len(f.uids); i++ {
		for c.index < q.to && v.uids[c.index] < f.uids[i] {
			c.index++
		}
		if c.index == q.to {
			return nil
		}
		if c.flags = f.flags[i]; v.uids[c.index] == f.uids[i] {
			if err := try(c); err != nil {
				return err
			}
		}
	}
	return nil
}
