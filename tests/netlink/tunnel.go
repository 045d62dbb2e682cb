package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// stamps say when the bytes of one direction of a call came, by offset.
type stamps []mark

func (s stamps) when(offset int) time.Time { return (&side{marks: s}).when(offset) }

// openSession takes both directions of a session between nodes apart, as docs/FORMATS.md has them: Header and Body are the
// front's words and the client's bytes, Reply, Back and Note what home sends.
func (k *Call) openSession() error {
	there := tunnelReader{kinds: "DKWFQ", stamps: k.requestAt}
	back := tunnelReader{kinds: "DKWFL", stamps: k.answerAt}
	err1 := there.read(k.Request)
	var err2 error
	if k.Status == "200" {
		err2 = back.read(k.Answer)
	}
	k.Header, k.Body, k.BodyAt = there.head, there.data, there.first
	k.Reply, k.Back, k.BackAt, k.Note = back.head, back.data, back.first, back.note
	k.Ended = there.ended && back.ended
	if there.credit > len(back.data) || back.credit > len(there.data) {
		return errors.New("more credit than bytes that were received")
	}
	return errors.Join(err1, err2)
}

// tunnelReader reads one direction.
type tunnelReader struct {
	kinds  string // of frames behind the first
	stamps stamps

	head, data, note []byte
	first            time.Time // of the first data frame
	credit           int
	ended            bool
}

func (r *tunnelReader) read(b []byte) error {
	whole := len(b)
	for first := true; len(b) > 0; first = false {
		at := r.stamps.when(whole - len(b))
		kind := b[0]
		if first != (kind == 'H') || r.ended {
			return errors.New("a frame out of order")
		}
		size, limit := 0, map[byte]int{'H': 64 << 10, 'D': 32 << 10, 'L': 1 << 10, 'W': 128 << 10}[kind]
		if limit > 0 {
			if len(b) < 5 {
				return nil // cut
			}
			if size = int(binary.BigEndian.Uint32(b[1:5])); size > limit {
				return fmt.Errorf("a frame %q of %d bytes", kind, size)
			}
		}
		if err := r.frame(kind, size, at, &b); err != nil {
			return err
		}
	}
	return nil
}

// frame takes one frame off b.
func (r *tunnelReader) frame(kind byte, size int, at time.Time, b *[]byte) error {
	body := func() []byte {
		part := (*b)[5:min(len(*b), 5+size)]
		*b = (*b)[5+len(part):]
		return part
	}
	switch {
	case kind == 'H':
		r.head = body()
		return nil
	case !contains(r.kinds, kind):
		return fmt.Errorf("a frame of kind %q", kind)
	}
	switch kind {
	case 'D':
		if r.first.IsZero() {
			r.first = at
		}
		r.data = append(r.data, body()...)
	case 'L':
		if r.note != nil {
			return errors.New("home says twice who logged in")
		}
		r.note = body()
	case 'W':
		*b = (*b)[5:]
		r.credit += size
	default:
		*b = (*b)[1:]
		r.ended = kind == 'F'
	}
	return nil
}

func contains(kinds string, kind byte) bool {
	for i := range len(kinds) {
		if kinds[i] == kind {
			return true
		}
	}
	return false
}
