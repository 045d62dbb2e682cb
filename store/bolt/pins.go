package bolt

import (
	"slices"
	"sync"
)

// pins counts who needs a segment as it is: messages on their way in, whose chunks nothing names yet, and bodies that are being read, which
// nothing may name any more. Such a segment is not reclaimed. The zero value is ready.
type pins struct {
	mu    sync.Mutex
	count map[uint32]int // guarded by mu
}

func (p *pins) pinned(segment uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[segment] > 0
}

// pin holds segments, each once. It belongs to one goroutine.
type pin struct {
	all  *pins
	held []uint32
}

func (p *pin) hold(segment uint32) {
	if slices.Contains(p.held, segment) {
		return
	}
	p.held = append(p.held, segment)
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	if p.all.count == nil {
		p.all.count = map[uint32]int{}
	}
	p.all.count[segment]++
}

// release lets all of them go.
func (p *pin) release() {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	for _, segment := range p.held {
		if p.all.count[segment]--; p.all.count[segment] == 0 {
			delete(p.all.count, segment)
		}
	}
	p.held = nil
}
