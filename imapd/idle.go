package imapd

import (
	"runtime/debug"
	"strings"
	"sync"

	"domicile/imapd/wire"
	"domicile/store"
)

// idle is IDLE (RFC 9051 6.3.13): until the client ends it, what changes is told at once.
func (s *session) idle(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	if !s.watching {
		s.home.hubs.join(s)
		defer s.home.hubs.leave(s)
	}
	if err := s.conn.Continue("idling"); err != nil {
		return "", err
	}
	s.tellAll(true)
	if err := s.conn.Flush(); err != nil {
		return "", err
	}
	s.idling = true
	err := s.await()
	s.idling = false
	if err != nil {
		return "", err
	}
	line, err := s.conn.ReadLine(16)
	if err != nil {
		return "", err
	}
	if !strings.EqualFold(line, "DONE") {
		return "", bad("IDLE ends with DONE")
	}
	return "", nil
}

// hints are where something changed that a session did not follow yet. The zero value is nowhere.
type hints struct {
	mu    sync.Mutex
	some  bool
	where store.Hint
}

func (h *hints) add(where store.Hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.some {
		where = h.where.Join(where)
	}
	h.some, h.where = true, where
}

func (h *hints) take() (where store.Hint, some bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	where, some = h.where, h.some
	h.where, h.some = nil, false
	return where, some
}

// nudge has a session that listens told what changed, soon and by somebody else. It never blocks; several nudges may be one.
func (s *session) nudge(where store.Hint) {
	s.hints.add(where)
	if s.nudges.Add(1) == 1 {
		go s.push()
	}
}

// push tells what changed as long as there are nudges. A client that does not read is cut off when the time to write is over: until then
// it holds up nothing but its own session.
func (s *session) push() {
	for {
		n := s.nudges.Load()
		s.pushOnce()
		if s.nudges.CompareAndSwap(n, 0) {
			return
		}
	}
}

func (s *session) pushOnce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missed = !s.listening; s.missed {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			s.home.cfg.Log.Error("panic in an IMAP session", "stack", string(debug.Stack()))
			s.cut()
		}
	}()
	s.tellAll(s.idling || s.tellsGone())
	if s.conn.Flush() != nil {
		s.cut()
	}
}

// cut ends a session that listens.
func (s *session) cut() {
	s.listening = false
	s.conn.Close()
}
