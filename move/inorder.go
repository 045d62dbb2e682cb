package move

import (
	"context"
	"sync"
	"time"
)

// inOrder has parts wait for those before them. The zero value is ready.
type inOrder struct {
	mu sync.Mutex
	of map[string]*turn // guarded by mu; by move: those that somebody waits for
}

// turn is the part of a move that is imported next, whichever it is.
type turn struct {
	over    chan struct{} // closed when it was imported
	waiting int           // guarded by inOrder.mu
}

// turnWait is how long a part waits for one before it. Its sender waits for an answer no longer than a minute.
const turnWait = 20 * time.Second

// join waits from now on for the turn that is on, by the call of wait that follows.
func (t *inOrder) join(move string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]*turn{}
	}
	if t.of[move] == nil {
		t.of[move] = &turn{over: make(chan struct{})}
	}
	t.of[move].waiting++
	return t.of[move]
}

// over ends the turn that is on.
func (t *inOrder) over(move string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if on := t.of[move]; on != nil {
		close(on.over)
		delete(t.of, move)
	}
}

// wait waits until a turn is over, and says whether it is.
func (t *inOrder) wait(ctx context.Context, move string, one *turn) bool {
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if one.waiting--; one.waiting == 0 && t.of[move] == one {
			delete(t.of, move)
		}
	}()
	select {
	case <-one.over:
		return true
	case <-time.After(turnWait):
	case <-ctx.Done():
	}
	return false
}
