package bolt

import (
	"context"
	"io"

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

// whole gives fn the bytes of a message, which it may not keep. It waits, until ctx ends, while others have no room left for it; a message that is
// larger than all the room takes all.
func (s *Store) whole(ctx context.Context, acct domicile.AccountID, id domicile.MessageID, fn func(raw []byte) error) error {
	r, err := s.reader(acct, id)
	if err != nil {
		return err
	}
	defer r.Close()
	n := min(r.rec.size, s.memory.room)
	if err := s.memory.free.Acquire(ctx, n); err != nil {
		return unavailable(err)
	}
	defer s.memory.free.Release(n)
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return fn(raw)
}
