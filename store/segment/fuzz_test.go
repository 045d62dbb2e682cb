package segment

import (
	"bytes"
	"os"
	"testing"
)

// FuzzFrame: bytes that are no frame are no frame, and what is one encodes to the same bytes.
func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, 1, 5, 4, []byte("payload")))
	f.Add(appendFrame(nil, 255, 1<<63, 0, nil))
	f.Add(make([]byte, header))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, whole, err := parseFrame(b)
		if err != nil || !whole {
			nextFrame(b, 0)
			return
		}
		payload := b[header : header+int(h.length)]
		if b[5]|b[6]|b[7] == 0 && !bytes.Equal(appendFrame(nil, h.kind, h.lsn, h.durable, payload), b[:header+len(payload)]) {
			t.Fatal("it encodes to other bytes")
		}
	})
}

// FuzzFile: a log whose newest file has any bytes behind its header opens or is refused, serves only frames that check, keeps those that stand before the
// first damage, takes more, and is the same when it is opened again.
func FuzzFile(f *testing.F) {
	frame := func(lsn, durable uint64) []byte { return appendFrame(nil, byte(1+lsn%3), lsn, durable, payload(lsn)) }
	two := append(frame(1, 0), frame(2, 0)...)
	f.Add(two, uint64(0))
	f.Add(append(bytes.Clone(two), frame(3, 2)...), uint64(0))
	f.Add(append(garble(two, 50), frame(3, 2)...), uint64(1))
	f.Add(two[:60], uint64(7))
	f.Add(frame(9, 3), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, durable uint64) {
		cfg := Config{Dir: t.TempDir(), Durable: durable % (1 << 40)}
		l := &Log{cfg: cfg}
		no(t, os.WriteFile(l.Path(1), append(appendFileHeader(nil, 1, 1), b...), 0o600))
		l, err := Open(cfg)
		if err != nil {
			return
		}
		scan := func() (all []uint64) {
			no(t, l.Scan(0, func(f Frame) error {
				all = append(all, f.LSN)
				if got, err := l.Read(f.Place); err != nil || !bytes.Equal(got, f.Payload) {
					t.Fatal("a frame does not read as it was scanned")
				}
				return nil
			}))
			return all
		}
		before := scan()
		g := l.Begin()
		_, lsn := g.Add(1, []byte("more"))
		no(t, g.Commit())
		no(t, l.Close())
		l, err = Open(cfg)
		no(t, err)
		defer l.Close()
		after := scan()
		if len(after) != len(before)+1 || after[len(before)] != lsn || l.Next() != lsn+1 {
			t.Fatalf("frames %v, then %v, the new one %d, next %d", before, after, lsn, l.Next())
		}
	})
}
