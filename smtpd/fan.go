package smtpd

import (
	"io"
	"time"

	"domicile"
)

const (
	fanPiece    = 32 << 10
	fanAhead    = 4                // pieces that one reader may lag behind another without holding it up
	fanPatience = 20 * time.Second // how long in all one reader may hold the others up
)

// fan gives one body to several readers as it arrives. Nothing of it is kept but the pieces on their way, fanAhead for each
// reader: the slowest sets the pace, until it has held the others up for longer than patience. Then it is left behind.
type fan struct {
	legs     []*leg
	patience time.Duration
}

// leg is one reader's end. Read is for one goroutine.
type leg struct {
	pieces chan []byte
	err    error         // how it ends; set before pieces is closed
	gone   chan struct{} // closed by the reader's side when it reads no more
	rest   []byte
	whole  bool          // Read came to the end of the body
	held   time.Duration // how long it held the others up; the fan's
	ended  bool          // the fan's
	cut    func()        // called when it is left behind
}

var errLeftBehind = domicile.E("deliver", domicile.Unavailable, "the recipient's home region is too slow for the others of this message")

func newFan(readers int, patience time.Duration) *fan {
	f := &fan{patience: patience}
	for range readers {
		f.legs = append(f.legs, &leg{pieces: make(chan []byte, fanAhead), gone: make(chan struct{}), cut: func() {}})
	}
	return f
}

// pump reads body to its end or its first error, which all readers get. It returns when body was read, whether readers are left or
// not.
func (f *fan) pump(body io.Reader) {
	for {
		piece := make([]byte, fanPiece) // readers share it, so it is never used again
		n, err := body.Read(piece)
		if n > 0 {
			for _, l := range f.legs {
				f.give(l, piece[:n])
			}
		}
		if err != nil {
			for _, l := range f.legs {
				l.end(err)
			}
			return
		}
	}
}

// give hands a piece to one reader, waiting as long as that one may still hold the others up.
func (f *fan) give(l *leg, piece []byte) {
	if l.ended {
		return
	}
	select {
	case l.pieces <- piece:
		return
	default:
	}
	began, left := time.Now(), time.NewTimer(f.patience-l.held)
	defer left.Stop()
	select {
	case l.pieces <- piece:
		l.held += time.Since(began)
	case <-l.gone:
		l.end(io.ErrClosedPipe)
	case <-left.C:
		l.end(errLeftBehind)
		l.cut()
	}
}

func (l *leg) end(err error) {
	if !l.ended {
		l.ended, l.err = true, err
		close(l.pieces)
	}
}

// Read returns what the fan gave, and at the end its error. It never blocks longer than the fan's own body does.
func (l *leg) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		piece, ok := <-l.pieces
		if !ok {
			l.whole = l.err == io.EOF
			return 0, l.err
		}
		l.rest = piece
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}
