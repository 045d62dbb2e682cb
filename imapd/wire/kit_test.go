package wire

import (
	"bytes"
	"io"
	"net"
	"os"
	"time"
)

// script is a connection whose client says each piece in turn, then closes; an empty piece is a time-out.
type script struct {
	net.Conn // nil: what is not overridden must not be called
	pieces   []string
	out      bytes.Buffer
	writes   int
	broken   bool // writes fail
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	piece := s.pieces[0]
	n := copy(p, piece)
	if s.pieces[0] = piece[n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	if piece == "" {
		return 0, os.ErrDeadlineExceeded
	}
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	if s.broken {
		return 0, io.ErrClosedPipe
	}
	s.writes++
	return s.out.Write(p)
}

func (s *script) Close() error                     { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// small are limits that a test reaches.
var small = Limits{Text: 200, Literals: 3, Literal: 50, Idle: time.Minute, Part: time.Minute, Whole: time.Minute}

func scripted(pieces ...string) (*Conn, *script) {
	s := &script{pieces: pieces}
	return NewConn(s, small), s
}

// cut cuts what a client says into pieces of n bytes.
func cut(raw string, n int) (pieces []string) {
	for n = max(n, 1); len(raw) > 0; raw = raw[min(n, len(raw)):] {
		pieces = append(pieces, raw[:min(n, len(raw))])
	}
	return pieces
}
