package imapd

import (
	"context"
	"slices"
	"sync"

	"domicile"
	"domicile/store"
)

// Bounds of what is kept of flags, for all mailboxes together: reading a small one costs little.
const (
	flagMemory = 64 << 20
	flagLeast  = 1000 // messages
	flagSize   = 5    // bytes of a message
)

// flagIndexes keep the system flags of large mailboxes that were searched by them, or expunged. They are brought up to date at each use, by what changed
// since: a search of a million messages for those unseen, which programs make again and again, reads no more. Those longest unused
// give way to others. The zero value is ready.
type flagIndexes struct {
	mu   sync.Mutex
	of   map[domicile.MailboxID]*flagIndex // guarded by mu
	size int                               // guarded by mu; bytes of all
	uses uint64                            // guarded by mu; counts
}

// flagIndex is what is kept of one mailbox.
type flagIndex struct {
	size int    // guarded by flagIndexes.mu; as it was counted last
	used uint64 // guarded by flagIndexes.mu; when it was used last

	mu    sync.Mutex   // guards what follows
	seq   store.ModSeq // all changes up to here are in
	uids  []store.UID  // ascending
	flags []uint8      // of each
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
	f := x.of[mbox]
	if f == nil {
		f = &flagIndex{}
	}
	x.uses++
	f.used = x.uses
	return f
}

// keep counts what an index takes now, and drops others for it. That of a small mailbox is not kept.
func (x *flagIndexes) keep(mbox domicile.MailboxID, f *flagIndex, messages int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of == nil {
		x.of = map[domicile.MailboxID]*flagIndex{}
	}
	if old := x.of[mbox]; old != nil {
		x.size -= old.size
		delete(x.of, mbox)
	}
	if messages < flagLeast {
		return
	}
	f.size = messages * flagSize
	x.of[mbox] = f
	for x.size += f.size; x.size > flagMemory; {
		var oldest domicile.MailboxID
		for id, g := range x.of {
			if oldest == "" || g.used < x.of[oldest].used {
				oldest = id
			}
		}
		x.size -= x.of[oldest].size
		delete(x.of, oldest)
	}
}

// update brings the index up to what the store has. f.mu is held.
func (f *flagIndex) update(ctx context.Context, st store.Store, acct domicile.AccountID, mbox domicile.MailboxID) error {
	if f.seq == 0 {
		if err := f.fill(ctx, st, acct, mbox); err != nil {
			return err
		}
	}
	box, err := changesIn(ctx, st, acct, mbox, f.seq, func(p *store.Changes) {
		f.drop(merged(vanishedOf(p)))
		for _, m := range p.Changed {
			i, known := slices.BinarySearch(f.uids, m.UID)
			if !known { // behind all others, as a rule
				f.uids, f.flags = slices.Insert(f.uids, i, m.UID), slices.Insert(f.flags, i, 0)
			}
			f.flags[i] = bitsOf(m.Flags)
		}
	})
	if err == nil {
		f.seq = box.HighestModSeq
	}
	return err
}

// fill reads all of the mailbox, in parts; what changes meanwhile is for update.
func (f *flagIndex) fill(ctx context.Context, st store.Store, acct domicile.AccountID, mbox domicile.MailboxID) error {
	const newest = 1<<63 - 1
	c, err := st.Changes(ctx, acct, mbox, newest, "", 1) // says how far it is, and nothing more
	if err != nil {
		return err
	}
	f.uids, f.flags = make([]store.UID, 0, c.Mailbox.Messages), make([]uint8, 0, c.Mailbox.Messages)
	for after := store.UID(0); ; after = f.uids[len(f.uids)-1] {
		page, err := st.Messages(ctx, acct, mbox, after, readPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			f.seq = c.Mailbox.HighestModSeq
			return nil
		}
		for _, m := range page {
			f.uids, f.flags = append(f.uids, m.UID), append(f.flags, bitsOf(m.Flags))
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

// flagsNow are the flags of a mailbox as they are now, in an index that the caller unlocks.
func (s *session) flagsNow(mbox domicile.MailboxID) (*flagIndex, error) {
	f := s.home.flags.get(mbox)
	f.mu.Lock()
	if err := f.update(s.ctx(), s.store(), s.acct, mbox); err != nil {
		f.mu.Unlock()
		return nil, err
	}
	s.home.flags.keep(mbox, f, len(f.uids))
	return f, nil
}

// marked are the messages of a mailbox that have \Deleted.
func (s *session) marked(mbox domicile.MailboxID) (uids []store.UID, err error) {
	f, err := s.flagsNow(mbox)
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
func (s *session) scanFlags(q *query, try func(c *candidate) error) error {
	v := s.view
	f, err := s.flagsNow(v.mailbox.ID)
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
