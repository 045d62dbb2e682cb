package bolt

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Stats is how a store fares: sizes now, and counts since it was opened.
type Stats struct {
	Segments     int   // files of the log
	SegmentBytes int64 // in them
	LiveBytes    int64 // of them, in bodies that something names
	Damaged      int64 // frames that did not check, each time they were read
	Incoming     int64 // messages that are coming in
	Pending      int   // keys that are durable in the log and not in bbolt yet

	Base        time.Time // when the newest base was written; zero if there is none
	Moved       int64     // bytes that compaction wrote anew
	Flushes     int64     // groups that reached the disk
	Acts        int64     // changes in them
	ApplyErrors int64     // commits of bbolt that failed; those that did nothing are tried again

	// Remade is why Open found the index of no use and made it anew; nil if it was sound. The disk loses or alters what was flushed.
	Remade error
	// Broken is why nothing changes any more until the store is opened anew; nil while it is sound.
	Broken error
	// Waiting is why the last change was refused, or bbolt takes nothing, as on a full disk. It goes away by itself when there is room.
	Waiting error
}

// tally counts what Stats tells. Safe for concurrent use.
type tally struct {
	incoming, moved, flushes, acts, applyErrors atomic.Int64

	mu      sync.Mutex
	broken  error // guarded by mu
	refused error // guarded by mu; by the log, since the last group that reached it
}

// committed notes how a group ended.
func (t *tally) committed(group []*job, err, broken error) {
	if err == nil {
		t.flushes.Add(1)
		for _, j := range group {
			if j.failed == nil {
				t.acts.Add(1)
			}
		}
	}
	t.probed(err, broken)
}

// probed notes whether the log takes anything, and whether it ever will.
func (t *tally) probed(err, broken error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused, t.broken = err, broken
}

func (t *tally) errors() (broken, refused error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken, t.refused
}

// Stats tells how the store fares. It reads one number for each segment and no mail.
func (s *Store) Stats() Stats {
	t := &s.tally
	st := Stats{Incoming: t.incoming.Load(), Damaged: int64(s.log.Damaged()), Moved: t.moved.Load(), Flushes: t.flushes.Load(), Acts: t.acts.Load(), ApplyErrors: t.applyErrors.Load(),
		Remade: s.remade}
	for _, i := range s.log.List() {
		st.Segments++
		st.SegmentBytes += i.Size
	}
	// A closed store has no index to ask, and one that does not answer shows in Broken or by other calls.
	_ = s.view(func(tx *txn) error {
		return tx.root(bSegments).ForEach(func(_, v []byte) error {
			st.LiveBytes += int64(readNumber(v))
			return nil
		})
	})
	if bases, err := s.bases(); err == nil && len(bases) > 0 {
		if info, err := os.Stat(s.basePath(bases[len(bases)-1])); err == nil {
			st.Base = info.ModTime()
		}
	}
	var broken, refused error
	st.Pending, st.Broken, st.Waiting = s.index.state()
	if broken, refused = t.errors(); st.Broken == nil {
		st.Broken = broken
	}
	if st.Waiting == nil {
		st.Waiting = refused
	}
	return st
}
