package imapd

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// accountMemory is how much of readMemory one account may hold, with all its sessions. What is held while a client reads slowly is held for long: the
// clients of one account must not keep it from all others.
const accountMemory = readMemory / 2

// longMemory bounds the long commands of all sessions together, accountLong those of an account: a client may send one slowly.
const (
	longMemory  = 256 << 20
	accountLong = 64 << 20
)

// allowance is what a session may hold of memory that all share. Both sizes are taken in the same order by all, and nobody who holds some waits for more.
type allowance struct{ own, all *semaphore.Weighted }

func (a allowance) Acquire(ctx context.Context, n int64) error {
	if n == 0 { // a semaphore would have it wait behind those who want more
		return nil
	}
	if err := a.own.Acquire(ctx, n); err != nil {
		return err
	}
	err := a.all.Acquire(ctx, n)
	if err != nil {
		a.own.Release(n)
	}
	return err
}

func (a allowance) TryAcquire(n int64) bool {
	if !a.own.TryAcquire(n) {
		return false
	}
	if !a.all.TryAcquire(n) {
		a.own.Release(n)
		return false
	}
	return true
}

func (a allowance) Release(n int64) {
	a.all.Release(n)
	a.own.Release(n)
}

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
