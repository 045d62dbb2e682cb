package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

var errDisk = errors.New("the disk failed")

// disk fails the steps that are named, once each: before they are done, or after.
type disk struct {
	seen  []string
	fail  map[string]error
	after bool
}

func (d *disk) step(name string, do func() error) error {
	d.seen = append(d.seen, name)
	err := d.fail[name]
	if err == nil {
		return do()
	}
	delete(d.fail, name)
	if d.after {
		if err := do(); err != nil {
			return err
		}
	}
	return err
}

func no(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	no(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// payload is of a length that differs from frame to frame.
func payload(lsn uint64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "<%d>", lsn), int(lsn%7)*5)
}

// group writes n frames, each of which has the payload of its LSN.
func group(t testing.TB, l *Log, n int) (places []Place) {
	t.Helper()
	g := l.Begin()
	for range n {
		p, lsn := g.Add(byte(1+l.Next()%3), payload(l.Next()))
		if lsn != l.Next()-1 {
			t.Fatalf("frame %d, then %d", lsn, l.Next())
		}
		places = append(places, p)
	}
	no(t, g.Commit())
	return places
}

// frames returns the LSNs of a scan; each frame must be what group wrote.
func frames(t testing.TB, l *Log, after uint64) (lsns []uint64) {
	t.Helper()
	no(t, l.Scan(after, func(f Frame) error {
		lsns = append(lsns, f.LSN)
		if !bytes.Equal(f.Payload, payload(f.LSN)) || f.Kind != byte(1+f.LSN%3) {
			t.Fatalf("frame %d has kind %d, payload %q", f.LSN, f.Kind, f.Payload)
		}
		if b, err := l.Read(f.Place); err != nil || !bytes.Equal(b, f.Payload) {
			t.Fatalf("frame %d at %+v reads as %q, %v", f.LSN, f.Place, b, err)
		}
		return nil
	}))
	return lsns
}

func count(from, to uint64) (all []uint64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func wantFrames(t testing.TB, l *Log, after uint64, want []uint64) {
	t.Helper()
	if got := frames(t, l, after); !slices.Equal(got, want) {
		t.Fatalf("frames %v, want %v", got, want)
	}
}

// written returns the bytes of a file, and where each of its frames begins, its end last.
func written(t testing.TB, l *Log, number uint32) (b []byte, starts []int) {
	t.Helper()
	b, err := os.ReadFile(l.Path(number))
	no(t, err)
	at := fileHeader
	for at < len(b) {
		h, whole, err := parseFrame(b[at:])
		if err != nil || !whole {
			t.Fatal("not a frame at", at)
		}
		starts = append(starts, at)
		at += int(Bytes(int(h.length)))
	}
	return b, append(starts, at)
}

// garble changes a byte.
func garble(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1 << rand.IntN(8)
	return b
}
