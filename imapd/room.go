package imapd

// accountMemory is how much of readMemory one account may hold, with all its sessions, while no other holds any.
const accountMemory = readMemory / 2

// longMemory bounds the long commands of all sessions together: a client may send one slowly.
const longMemory = 256 << 20

// room is memory that one command holds of what sessions share. It never waits for more: two commands could wait for each other.
type room struct {
	memory interface {
		TryAcquire(n int64) bool
		Release(n int64)
	}
	held int64
	used int64
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
