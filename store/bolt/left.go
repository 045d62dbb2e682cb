package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"domicile"
	"domicile/store"
)

// A large act leaves rows that are no messages: those of a mailbox that was deleted, and those that a copy laid down and did not come to make messages of.
// They hold their bodies until the sweeper has removed them, some in each act, beside the acts of others. A list in the index says where they
// are, so that it goes on behind a crash.

// leftover is a run of such rows.
type leftover struct {
	rows domicile.MailboxID // the bucket that they are in
	of   domicile.MailboxID // the mailbox that hides them; "" = it is gone, and they are all of them
}

func (a account) left() bucket { return a.b.tx.root(bLeft).sub([]byte(a.id)) }

func (a account) leave(l leftover) { a.left().Put([]byte(l.rows), []byte(l.of)) }

// eachLeft calls fn for what is left in an account.
func (a account) eachLeft(fn func(leftover) error) error {
	return a.left().ForEach(func(k, v []byte) error { return fn(leftover{domicile.MailboxID(k), domicile.MailboxID(v)}) })
}

// run is where the rows of a leftover are; none if what hid them does so no more.
func (a account) run(l leftover) (m *mailbox, run store.UIDRange, err error) {
	if l.of == "" {
		return &mailbox{account: a, id: l.rows, rows: a.rows(l.rows)}, store.UIDRange{First: 1, Last: 1<<32 - 1}, nil
	}
	m, err = a.mailbox(l.of)
	switch {
	case domicile.KindOf(err) == domicile.NotExist:
		return nil, run, nil
	case err != nil || m.rowsOf(m.id) != l.rows:
		return nil, run, err
	}
	return m, m.hidden, nil
}

// eachHeld calls fn with the message of each row that is left: as far as they can be read.
func (a account) eachHeld(fn func(domicile.MessageID)) error {
	return a.eachLeft(func(l leftover) error {
		m, run, err := a.run(l)
		if err != nil || run.Last == 0 {
			return err
		}
		return m.rows.sub(bMessages).ForEachFrom(uidKey(run.First), func(k, v []byte) error {
			if readUID(k) > run.Last {
				return errStop
			}
			if id, _, err := splitMessage(v); err == nil {
				fn(domicile.MessageID(id))
			}
			return nil
		})
	})
}

// sweepSome removes some rows of a leftover, and with the last of them says that it is done. A row that is damaged goes as well: Repair counts anew what it named.
func (a account) sweepSome(l leftover, some int) (done bool, err error) {
	m, run, err := a.run(l)
	if err != nil {
		return false, err
	}
	if run.Last == 0 {
		a.left().Delete([]byte(l.rows))
		return true, nil
	}
	var found []entry
	err = m.rows.sub(bMessages).ForEachFrom(uidKey(run.First), func(k, v []byte) error {
		if readUID(k) > run.Last || len(found) > some {
			return errStop
		}
		found = append(found, cloneEntry(k, v))
		return nil
	})
	if err != nil {
		return false, err
	}
	done = len(found) <= some
	damaged := map[store.UID]bool{}
	for _, e := range found[:min(len(found), some)] {
		whole, err := m.sweepRow(e)
		if err != nil {
			return false, err
		}
		if !whole {
			damaged[readUID(e.key)] = true
		}
	}
	if l.of != "" && len(damaged) > 0 { // else they go with all the others
		if err := m.dropChanges(damaged); err != nil {
			return false, err
		}
	}
	if !done {
		return false, nil
	}
	a.left().Delete([]byte(l.rows))
	if l.of != "" {
		m.hidden = store.UIDRange{}
		m.save()
		return true, nil
	}
	rest := []bucket{m.rows}
	if m.rows.Get(kRecord) != nil { // of INBOX, whose rows are elsewhere
		m.rows.Delete(kForgotten)
		m.rows.Delete(kOwner)
		rest = []bucket{m.rows.sub(bChanges), m.rows.sub(bSummaries)}
	}
	for _, b := range rest { // bounded: what it remembered of UIDs that vanished
		for !b.deleteSome(manyAtOnce) {
		}
	}
	return true, nil
}

// errUnopened is of an account whose own record does not open, and will not: nobody can tell which rows of it are damaged.
var errUnopened = errors.New("the account's record does not open: what is left of it stays")

// opens says whether an account's own record does: if not, a row that does not open need not be damaged.
func (a account) opens() error {
	_, err := a.s.cfg.Sealer.OpenRecord(a.id, a.b.Get(kRecord), accountPlace(a.id))
	if kind := domicile.KindOf(err); kind == domicile.NotExist || kind == domicile.Invalid {
		return fmt.Errorf("%w: %w", errUnopened, err)
	}
	return err
}

// sweepRow removes a row; not whole if it is damaged, so that what else it said is not known.
func (m *mailbox) sweepRow(e entry) (whole bool, err error) {
	uid := readUID(e.key)
	r, err := m.open(uid, e.value)
	if err != nil {
		if err := m.opens(); err != nil {
			return false, err
		}
		r, err = m.open(uid, e.value) // the account's key is in memory now
	}
	if whole = err == nil; whole {
		if err := m.unref(r); err != nil && domicile.KindOf(err) != domicile.NotExist && !errors.Is(err, errDamaged) {
			return false, err
		}
		m.rows.sub(bChanges).Delete(changeKey(r.ModSeq, uid))
	}
	m.rows.sub(bMessages).Delete(e.key)
	m.rows.sub(bSummaries).Delete(e.key)
	return whole, nil
}

// dropChanges removes what the list of changes says of messages, wherever in it that is.
func (m *mailbox) dropChanges(of map[store.UID]bool) error {
	b := m.rows.sub(bChanges)
	var found [][]byte
	err := b.ForEach(func(k, v []byte) error {
		if _, uid := readChange(k); of[uid] && bytes.Equal(v, isLive) {
			found = append(found, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range found {
		b.Delete(k)
	}
	return err
}

// sweeper is the goroutine that removes what is left.
type sweeper struct {
	woken  chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
}

const (
	sweepMessages = 1000             // in an act
	sweepAgain    = 10 * time.Second // behind an error, as of a full disk
)

// startSweeper does nothing in a store that knows neither of cases nor for how long what it removes could be undeleted.
func (s *Store) startSweeper() {
	if s.cfg.Preserved == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &sweeper{woken: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	s.sweeper = w
	go func() {
		defer close(w.done)
		for {
			var again <-chan time.Time
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("store: could not remove what large acts left, tries again later", "error", err)
				again = time.After(sweepAgain)
			}
			select {
			case <-w.woken:
			case <-again:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// wake has the sweeper look. It does nothing before that was started, which looks by itself, or where there is none.
func (w *sweeper) wake() {
	if w == nil {
		return
	}
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

func (s *Store) stopSweeper() {
	if s.sweeper != nil {
		s.sweeper.cancel()
		<-s.sweeper.done
	}
}

// sweep removes what is left of all accounts: of deleted mailboxes at first, then what copies left, unless one is under way, which wakes the sweeper.
// An account whose record does not open keeps what is left of it.
func (s *Store) sweep(ctx context.Context) error {
	var ids []domicile.AccountID
	err := s.view(func(tx *txn) error {
		return tx.root(bLeft).ForEachBucket(func(id []byte) error {
			ids = append(ids, domicile.AccountID(id))
			return nil
		})
	})
	each := func(hidden bool) {
		for _, id := range ids {
			if failed := s.sweepAccount(ctx, id, hidden); !errors.Is(failed, errUnopened) {
				err = firstError(err, failed)
			}
		}
	}
	each(false)
	select {
	case s.large <- struct{}{}:
		defer func() { <-s.large }()
	default:
		return err
	}
	each(true)
	return err
}

// settle waits for a copy that is under way, and removes what is left of an account.
func (s *Store) settle(ctx context.Context, id domicile.AccountID) error {
	if err := s.enterLarge(ctx); err != nil {
		return err
	}
	defer s.leaveLarge()
	return s.sweepAccount(ctx, id, true)
}

// enterLarge waits until no other large copy is under way: of one its result rests in memory.
func (s *Store) enterLarge(ctx context.Context) error {
	select {
	case s.large <- struct{}{}:
		return nil
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-s.writer.closing:
		return errClosed
	}
}

func (s *Store) leaveLarge() {
	<-s.large
	s.sweeper.wake()
}

// sweepAccount removes what is left of an account, with hidden what copies left too: for who holds s.large. An account that is gone, or frozen, has nothing left that is to go.
func (s *Store) sweepAccount(ctx context.Context, id domicile.AccountID, hidden bool) error {
	var all []leftover
	err := s.view(func(tx *txn) error {
		return s.accountIn(tx, id).eachLeft(func(l leftover) error {
			if l.of == "" || hidden {
				all = append(all, l)
			}
			return nil
		})
	})
	for _, l := range all {
		for done := false; err == nil && !done; {
			if err = s.index.settled(); err != nil && err != errClosed { // else what is pending would grow, and with it what others wait for
				err = unavailable(err)
			}
			if err == nil {
				err = s.update(ctx, id, func(tx *txn) (err error) {
					done = true
					a, gone := s.served(tx, id)
					if of := s.accountIn(tx, id).left().Get([]byte(l.rows)); gone == nil && of != nil && string(of) == string(l.of) {
						done, err = a.sweepSome(l, sweepMessages)
					}
					return err
				})
			}
		}
	}
	return err
}
