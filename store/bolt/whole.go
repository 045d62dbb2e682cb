package bolt

import (
	"bytes"
	"context"

	"golang.org/x/sync/semaphore"

	"domicile"
)

// wholeRoom is how many bytes of messages may be in memory whole at once, for searches, the indexer and summaries, however many of them run.
const wholeRoom = 64 << 20

// memory bounds what is read whole.
type memory struct {
	room int64
	free *semaphore.Weighted
}

func newMemory(room int64) memory { return memory{room, semaphore.NewWeighted(room)} }

// whole reads a message into buf, or into more room if that is not enough, which it returns, and gives fn the bytes, which fn may not keep. It waits, until ctx ends, while others have no room left for it; a message that is
// larger than all the room takes all.
func (s *Store) whole(ctx context.Context, acct domicile.AccountID, id domicile.MessageID, buf []byte, fn func(raw []byte) error) ([]byte, error) {
	r, err := s.body(acct, id)
	if err != nil {
		return buf, err
	}
	defer r.Close()
	n := min(r.rec.size, s.memory.room)
	if err := s.memory.free.Acquire(ctx, n); err != nil {
		return buf, unavailable(err)
	}
	defer s.memory.free.Release(n)
	w := bytes.NewBuffer(buf[:0])
	if _, err := w.ReadFrom(r); err != nil {
		return w.Bytes(), err
	}
	return w.Bytes(), fn(w.Bytes())
}
