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

// flagIndexes keep the system flags of large mailboxes that were searched by them. They are brought up to date at each search, by what changed
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

// keep counts what an index takes now, and drops others for it.
func (x *flagIndexes) keep(mbox domicile.MailboxID, f *flagIndex, messages int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.of == nil {
		x.of = map[domicile.MailboxID]*flagIndex{}
	}
	if old := x.of[mbox]; old != nil {
		x.size -= old.size
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
	c, err := st.Since(ctx, acct, mbox, f.seq)
	if err != nil {
		return err
	}
	for _, m := range c.Changed {
		i, known := slices.BinarySearch(f.uids, m.UID)
		if !known { // behind all others, as a rule
			f.uids, f.flags = slices.Insert(f.uids, i, m.UID), slices.Insert(f.flags, i, 0)
		}
		f.flags[i] = bitsOf(m.Flags)
	}
	f.drop(c.Vanished)
	f.seq = c.Mailbox.HighestModSeq
	return nil
}

// fill reads all of the mailbox, in parts; what changes meanwhile is for update.
func (f *flagIndex) fill(ctx context.Context, st store.Store, acct domicile.AccountID, mbox domicile.MailboxID) error {
	const newest = 1<<63 - 1
	c, err := st.Since(ctx, acct, mbox, newest) // says how far it is, and nothing more
	if err != nil {
		return err
	}
	f.uids, f.flags = make([]store.UID, 0, c.Mailbox.Messages), make([]uint8, 0, c.Mailbox.Messages)
	for after := store.UID(0); ; after = f.uids[len(f.uids)-1] {
		page, err := st.MessagesAfter(ctx, acct, mbox, after, readPage)
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

// drop takes out messages that are gone, ascending.
func (f *flagIndex) drop(gone []store.UID) {
	if len(gone) == 0 {
		return
	}
	n := 0
	for i, uid := range f.uids {
		for len(gone) > 0 && gone[0] < uid {
			gone = gone[1:]
		}
		if len(gone) == 0 || gone[0] != uid {
			f.uids[n], f.flags[n] = uid, f.flags[i]
			n++
		}
	}
	f.uids, f.flags = f.uids[:n], f.flags[:n]
}

// scanFlags tries messages of which nothing but system flags is needed.
func (s *session) scanFlags(q *query, c *candidate, try func() error) error {
	v, indexes := s.view, &s.home.flags
	f := indexes.get(v.mailbox.ID)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.update(s.ctx(), s.store(), s.acct, v.mailbox.ID); err != nil {
		return err
	}
	indexes.keep(v.mailbox.ID, f, len(f.uids))
	i, _ := slices.BinarySearch(f.uids, v.uids[c.index])
	for ; i < len(f.uids); i++ {
		for c.index < q.to && v.uids[c.index] < f.uids[i] {
			c.index++
		}
		if c.index == q.to {
			return nil
		}
		if c.flags = f.flags[i]; v.uids[c.index] == f.uids[i] {
			if err := try(); err != nil {
				return err
			}
		}
	}
	return nil
}
