package imapd

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"domicile/imapd/wire"
)

// progressEvery is how often a client is told that its command goes on, from then on when it has taken as long: RFC 9585 4 recommends 10 to 15 seconds.
const progressEvery = 10 * time.Second

// progress tells a client of a command that takes long that it goes on, and how far it is (RFC 9585). It speaks while the command's goroutine waits for the
// store, for memory or for nothing but itself, and never in the middle of a response. A command that has ended before its first time costs a timer.
type progress struct {
	conn  *wire.Conn
	tag   string
	every time.Duration
	at    atomic.Uint32 // of goal
	goal  atomic.Uint32 // messages; 0 = it is not known how many

	mu    sync.Mutex  // held while it speaks
	timer *time.Timer // guarded by mu; nil = the command has ended
}

// begin tells how a command goes on until end is called.
func (s *session) begin(tag string) (end func()) {
	p := &progress{conn: s.conn, tag: tag, every: s.home.pace}
	s.progress = p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(p.every, p.tell)
	return p.end
}

// end is followed by nothing: the tagged response is the last that is said of a command.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	p.timer = nil
}

func (p *progress) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil {
		return
	}
	p.conn.Interject(p.response())
	p.timer.Reset(p.every)
}

// toGo says that the command has n messages to do, of which none is done.
func (p *progress) toGo(n int) {
	p.at.Store(0)
	p.goal.Store(uint32(n))
}

// reached says that n are done.
func (p *progress) reached(n int) { p.at.Store(uint32(n)) }

// response is the untagged OK. What is reached stays below the goal, which RFC 9585 4 wants; a tag with "]" cannot be told.
func (p *progress) response() string {
	tag, state := `"`+p.tag+`"`, "NIL NIL"
	if strings.Contains(p.tag, "]") {
		tag = "NIL"
	}
	if goal := p.goal.Load(); goal > 0 {
		state = strconv.FormatUint(uint64(min(p.at.Load(), goal-1)), 10) + " " + strconv.FormatUint(uint64(goal), 10)
	}
	return "* OK [INPROGRESS (" + tag + " " + state + ")] Still at it"
}
