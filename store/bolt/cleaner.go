package bolt

import (
	"context"
	"os"
	"sync"
	"time"

	"domicile"
	"domicile/store/segment"
)

// cleaner is the goroutine that keeps the folder small: it writes a new base when the changes behind the last one are more than the index itself,
// and moves what is alive out of segments that are mostly dead.
type cleaner struct {
	stop chan struct{}
	once sync.Once
	done chan struct{}
}

// When the cleaner acts, with segments of the usual size. A segment is compacted when less than 85 % of it are alive, at moveRate bytes a
// second at most: of a log of deliveries alone a fifth is changes and old search blocks, which would never go at three quarters.
const (
	cleanEvery = 20 * time.Second
	baseLeast  = 32 << 20 // bytes of log behind the last base
	moveRate   = 32 << 20
	moveBatch  = 1 << 20
)

// scaled is n, less if the segments are smaller than usual.
func (s *Store) scaled(n int64) int64 {
	if size := s.cfg.SegmentSize; size > 0 && size < segment.DefaultSize {
		return n / (segment.DefaultSize / size)
	}
	return n
}

func (s *Store) startCleaner() {
	c := &cleaner{stop: make(chan struct{}), done: make(chan struct{})}
	s.cleaner = c
	go func() {
		defer close(c.done)
		tick := time.NewTicker(max(time.Duration(s.scaled(int64(cleanEvery))), time.Second))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := s.clean(c.stop, false); err != nil {
					s.cfg.Log.Warn("store: could not reclaim space, tries again later", "error", err)
				}
			case <-c.stop:
				return
			}
		}
	}()
}

func (s *Store) stopCleaner() {
	if s.cleaner != nil {
		s.cleaner.once.Do(func() { close(s.cleaner.stop) })
		<-s.cleaner.done
	}
}

// Compact reclaims what it can now, without regard to rate, and returns when that is done.
func (s *Store) Compact(ctx context.Context) error {
	return domicile.W("compact store", s.clean(ctx.Done(), true))
}

// clean writes a base if it is due, then compacts. With all it does not wait for either to be worth while.
func (s *Store) clean(stop <-chan struct{}, all bool) error {
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	if err := s.purgeDue(stop); err != nil {
		return err
	}
	base, err := s.rebase(all)
	if err == nil && s.bloated() {
		err = s.shrink()
	}
	if err != nil {
		return err
	}
	candidates, err := s.compactable(base, all)
	for _, number := range candidates {
		if err == nil {
			err = s.compact(number, stop, all)
		}
	}
	return err
}

// rebase writes a base if it is due and returns the LSN of the newest.
func (s *Store) rebase(now bool) (uint64, error) {
	bases, err := s.bases()
	if err != nil {
		return 0, err
	}
	var newest uint64
	if len(bases) > 0 {
		newest = bases[len(bases)-1]
	}
	var behind int64
	list := s.log.List()
	for i, info := range list {
		if i+1 == len(list) || list[i+1].First > newest+1 {
			behind += info.Size
		}
	}
	size := int64(0)
	if info, err := os.Stat(s.path(indexFile)); err == nil {
		size = info.Size()
	}
	if !now && (len(list) < 2 || behind < s.scaled(max(baseLeast, size))) {
		return newest, nil
	}
	if now {
		s.flushIndex()
	}
	if err := s.index.failure(); err != nil {
		return 0, err // nobody knows what of bbolt's file is on disk
	}
	return s.writeBase()
}

// flushIndex waits until bbolt has all that was pending when it was called, or fails to take it.
func (s *Store) flushIndex() {
	for lsn := s.index.newest(); s.index.lacks(lsn); {
		select {
		case s.writer.nudge <- struct{}{}:
		case <-s.writer.closing:
			return
		}
	}
}

// compactable returns the segments that are not written any more, whose changes the base has, and that are mostly dead.
func (s *Store) compactable(base uint64, all bool) (numbers []uint32, err error) {
	list := s.log.List()
	err = s.view(func(tx *txn) error {
		for i, info := range list {
			if i+1 == len(list) || list[i+1].First > base+1 {
				break
			}
			live := int64(readNumber(tx.root(bSegments).Get(number(uint64(info.Number)))))
			if s.pins.pinned(info.Number) || s.retained(info.Number) || s.stuck[info.Number] && !all {
				continue
			}
			if live*20 < info.Size*17 || all && live < info.Size*9/10 {
				numbers = append(numbers, info.Number)
			}
		}
		return nil
	})
	return numbers, err
}

// compact moves the frames of a segment that are alive to the end of the log, and removes the file when all of them are durable there. A crash
// leaves some moved and the file in place: the next run goes on.
func (s *Store) compact(number uint32, stop <-chan struct{}, fast bool) error {
	var batch []moved
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		bytes := int64(0)
		err := s.update(context.Background(), "", func(tx *txn) error {
			s.moveFrames(tx, batch)
			bytes = tx.w.moved
			return nil
		})
		if err == nil {
			s.tally.moved.Add(bytes)
		}
		wait := time.Duration(size) * time.Second / moveRate
		if batch, size = batch[:0], 0; fast {
			wait = 0
		}
		select {
		case <-stop:
			return errStop
		case <-time.After(wait):
		}
		return err
	}
	err := s.log.ScanOne(number, func(f segment.Frame) error {
		if f.Kind != frameChunk && f.Kind != frameBody && f.Kind != frameSearch {
			return nil
		}
		h, _, err := parseFrame(f.Payload)
		if err != nil {
			return nil // nobody can name it
		}
		batch = append(batch, moved{h, f.Kind, f.Place, f.Payload})
		if size += len(f.Payload); size < moveBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err == errStop {
		return nil
	}
	if err != nil {
		return err
	}
	var left uint64
	err = s.view(func(tx *txn) error {
		left = readNumber(tx.root(bSegments).Get(number64(number)))
		return nil
	})
	if err == nil && left > 0 { // frames that are damaged stay where they are
		s.stuck[number] = true
	}
	if err != nil || left > 0 || s.pins.pinned(number) {
		return err
	}
	return s.log.Remove(number)
}

func number64(n uint32) []byte { return number(uint64(n)) }

type moved struct {
	frameHead
	kind    byte
	from    segment.Place
	payload []byte
}

// moveFrames writes the frames of a batch anew that are still named where they were.
func (s *Store) moveFrames(tx *txn, batch []moved) {
	for _, m := range batch {
		a := s.accountIn(tx, m.acct)
		if m.kind == frameSearch {
			a.moveSection(m)
			continue
		}
		if m.kind == frameBody {
			id := domicile.MessageID(m.owner)
			if r, err := a.body(id); err == nil && r.place == m.from {
				r.place = tx.moveFrame(m)
				a.putBody(id, r)
			}
			continue
		}
		if len(m.owner) != len(digest{}) {
			continue
		}
		d := digest([]byte(m.owner))
		if r, ok, err := a.chunk(d); err == nil && ok && r.place == m.from {
			r.place = tx.moveFrame(m)
			a.putChunk(d, r)
		}
	}
}

func (tx *txn) moveFrame(m moved) segment.Place {
	to := tx.frame(m.kind, m.payload)
	tx.live(m.from, -1)
	tx.live(to, 1)
	tx.w.moved += segment.Bytes(len(m.payload))
	return to
}
