package imapd

import "golang.org/x/sync/semaphore"

// room is memory that one command holds of what all sessions share. It never waits for more: two commands could wait for each other.
type room struct {
	memory *semaphore.Weighted
	held   int64
	used   int64
}

// roomStep is how much is taken at once.
const roomStep = 1 << 20

// take counts n bytes, and fails if there is no room for them.
func (r *room) take(n int) error {
	r.used += int64(n)
	for r.held < r.used {
		if !r.memory.TryAcquire(roomStep) {
			return errNoRoom
		}
		r.held += roomStep
	}
	return nil
}

func (r *room) release() { r.memory.Release(r.held) }
