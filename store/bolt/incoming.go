package bolt

import (
	"context"
	"sync"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// incoming is a message on its way in. Chunks go to the log as they come; nothing names them before Commit, and those of a
// message that is given up are reclaimed by compaction.
type incoming struct {
	s      *Store
	acct   domicile.AccountID
	id     domicile.MessageID
	cutter cutter
	buf    []byte // all of it, while that is not too much, and then what is from the piece under way on
	whole  bool   // buf is all of it
	piece  int    // where in buf the piece under way begins; it is the last one if nothing follows
	full   bool   // the piece ends here if something follows
	chunks []written
	pin    pin // of the segments that they are in
	limit  int64
	size   int64
	err    error // of an earlier Write; Commit returns it too
	ended  bool
}

// Incoming opens room for a message; see store.Incoming.
func (s *Store) Incoming(ctx context.Context, acct domicile.AccountID, limit int64) (store.Incoming, error) {
	const op = "receive message"
	if limit <= 0 {
		return nil, domicile.E(op, domicile.Invalid, "a limit of bytes is needed")
	}
	if err := ctx.Err(); err != nil {
		return nil, domicile.W(op, unavailable(err))
	}
	err := s.view(func(tx *txn) error {
		_, err := s.served(tx, acct)
		return err
	})
	if err != nil {
		return nil, domicile.W(op, err)
	}
	s.tally.incoming.Add(1)
	return &incoming{s: s, acct: acct, id: domicile.MessageID(domicile.NewID("m")), cutter: s.newCutter(acct), buf: *comings.Get().(*[]byte), whole: true,
		pin: pin{all: &s.pins}, limit: limit}, nil
}

// comings is memory for messages that come in, one after the other; for long ones it is not kept.
var comings = sync.Pool{New: func() any { return new([]byte) }}

const keepComing = 64 << 10

func (in *incoming) Write(p []byte) (int, error) {
	const op = "receive message"
	switch {
	case in.ended:
		return 0, errEnded
	case in.err != nil:
		return 0, in.err
	case int64(len(p)) > in.limit-in.size:
		in.err = domicile.E(op, domicile.TooLarge, "the message is over the limit")
		return 0, in.err
	}
	if in.size += int64(len(p)); in.whole && in.size > maxSummarized {
		in.buf, in.piece, in.whole = append(in.buf[:0], in.buf[in.piece:]...), 0, false
	}
	for rest := p; len(rest) > 0; {
		if in.full {
			if in.err = domicile.W(op, in.flush()); in.err != nil {
				return 0, in.err
			}
		}
		var n int
		n, in.full = in.cutter.cut(rest)
		in.buf, rest = append(in.buf, rest[:n]...), rest[n:]
	}
	return len(p), nil
}

// flush writes a chunk. Its segment stays until the message has ended.
func (in *incoming) flush() error {
	chunk := in.buf[in.piece:]
	d := in.s.chunkDigest(in.acct, chunk)
	payload, err := in.s.sealChunk(in.acct, d, chunk)
	if err != nil {
		return unavailable(err)
	}
	var at segment.Place
	err = in.s.update(context.Background(), "", func(tx *txn) error {
		at = tx.frame(frameChunk, payload)
		in.pin.hold(at.Segment) // before it is written: that segment is not compacted now
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	in.chunks = append(in.chunks, written{d, at})
	if in.whole {
		in.piece = len(in.buf)
	} else {
		in.buf = in.buf[:0]
	}
	return nil
}

var errEnded = domicile.E("receive message", domicile.Invalid, "it was committed or aborted already")

// Abort forgets the bytes.
func (in *incoming) Abort() {
	if !in.ended {
		if cap(in.buf) <= keepComing {
			b := in.buf[:0]
			comings.Put(&b)
		}
		in.ended, in.buf = true, nil
		in.pin.release()
		in.s.tally.incoming.Add(-1)
	}
}

// Commit is Store.Commit of this message alone, whose token it is.
func (in *incoming) Commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (store.Message, error) {
	_, made, err := in.s.Commit(ctx, "", in.acct, mailbox, []store.Letter{{Bytes: in, Flags: flags, Internal: internal, Token: tok}}, nil)
	if err != nil {
		return store.Message{}, err
	}
	return made[0], nil
}

// internalDate gives seconds and the zone in minutes; a date that is zero, or
// that RFC 9051 cannot write, becomes now.
func internalDate(t, now time.Time) (seconds int64, zone int) {
	if t.IsZero() || t.Year() < 0 || t.Year() > 9999 {
		t = now.UTC()
	}
	_, offset := t.Zone()
	return t.Unix(), offset / 60
}
