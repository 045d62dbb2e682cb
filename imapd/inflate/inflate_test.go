package inflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// deflate is what compress/flate makes of pieces, flushed behind each.
func deflate(t testing.TB, level int, pieces ...string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		io.WriteString(w, p)
		w.Flush()
	}
	w.Close()
	return b.Bytes()
}

func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32() % 251)
	}
	return string(b)
}

// All kinds of blocks, at all levels, in packets of all sizes.
func TestInflate(t *testing.T) {
	for _, pieces := range [][]string{
		{}, {""}, {"a"}, {"a NOOP\r\n", "b NOOP\r\n", "c LOGOUT\r\n"}, {strings.Repeat("ab", 100_000)}, {noise(200_000)}, {noise(300), noise(40_000), noise(300)},
	} {
		want := strings.Join(pieces, "")
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			raw := deflate(t, level, pieces...)
			for what, src := range map[string]io.Reader{"at once": bytes.NewReader(raw), "byte by byte": iotest.OneByteReader(bytes.NewReader(raw)), "with its end": iotest.DataErrReader(bytes.NewReader(raw))} {
				got, err := io.ReadAll(NewReader(src))
				if string(got) != want || err != nil {
					t.Fatalf("level %d, %s: %d of %d bytes, %v", level, what, len(got), len(want), err)
				}
			}
		}
	}
}

// partial is "a NOOP\r\n", "b NOOP\r\n" and "c LOGOUT\r\n" as zlib deflates them with Z_PARTIAL_FLUSH behind each.
var partial = [][]byte{
	{0x4a, 0x54, 0xf0, 0xf3, 0xf7, 0x0f, 0xe0, 0xe5, 0x02, 0x08},
	{0xa0, 0x24, 0x28, 0x0d, 0x10},
	{0x40, 0xc9, 0x0a, 0x3e, 0xfe, 0xee, 0xfe, 0xa1, 0x21, 0xbc, 0x5c, 0x00, 0x01},
}

// What a client flushed in part is given at once, before anything follows: neither has a stored block behind it.
func TestPartialFlush(t *testing.T) {
	r, w := io.Pipe()
	z := NewReader(r)
	for i, want := range []string{"a NOOP\r\n", "b NOOP\r\n", "c LOGOUT\r\n"} {
		go w.Write(partial[i])
		got := make([]byte, len(want))
		if _, err := io.ReadFull(z, got); string(got) != want || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

// An error of the source that passes, such as a time-out, is told and loses nothing.
func TestErrorsPass(t *testing.T) {
	raw := deflate(t, 6, "a NOOP\r\n", "b NOOP\r\n")
	z := NewReader(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(raw))))
	var got []byte
	failed := 0
	for p := make([]byte, 100); ; {
		n, err := z.Read(p)
		got = append(got, p[:n]...)
		if errors.Is(err, iotest.ErrTimeout) && failed == 0 {
			failed++
			continue
		}
		if err != nil {
			if err != io.EOF || failed != 1 {
				t.Error(err)
			}
			break
		}
	}
	if string(got) != "a NOOP\r\nb NOOP\r\n" {
		t.Errorf("%q", got)
	}
}

// A stream that is not one, or that is cut, is an error; what came before it is given.
func TestCorrupt(t *testing.T) {
	whole := deflate(t, 6, "some text, some text")
	for what, raw := range map[string][]byte{
		"a block of no kind": {0x06}, "a size that does not agree": {0x00, 1, 0, 0, 0}, "too many literals": {0xfc, 0xff, 0xff}, "a match into nothing": {0x03, 0x02, 0x00, 0x00},
		"cut": whole[:len(whole)-1], "nothing": nil,
	} {
		if got, err := io.ReadAll(NewReader(bytes.NewReader(raw))); err == nil {
			t.Errorf("%s: %q", what, got)
		}
	}
}

// However much a stream unfolds to, little more is decoded than is read.
func TestBomb(t *testing.T) {
	raw := deflate(t, 9, strings.Repeat("x", 64<<20))
	z := NewReader(bytes.NewReader(raw))
	if _, err := io.ReadFull(z, make([]byte, 10)); err != nil || z.unread > enough+300 {
		t.Errorf("%d bytes ahead, %v", z.unread, err)
	}
	if n, err := io.Copy(io.Discard, z); n != 64<<20-10 || err != nil {
		t.Error(n, err)
	}
}

// FuzzInflate: whatever compress/flate takes is taken alike, and of what it refuses no other bytes are made.
func FuzzInflate(f *testing.F) {
	for _, level := range []int{0, 1, 6, 9, flate.HuffmanOnly} {
		f.Add(deflate(f, level, "a NOOP\r\n", noise(100), strings.Repeat("again ", 100)))
	}
	f.Add(bytes.Join(partial, nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		const most = 1 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(raw)), most))
		got, err := io.ReadAll(io.LimitReader(NewReader(iotest.HalfReader(bytes.NewReader(raw))), most))
		n := min(len(got), len(want))
		if !bytes.Equal(got[:n], want[:n]) || wantErr == nil && (err != nil || len(got) != len(want)) {
			t.Errorf("%d bytes, %v; want %d, %v", len(got), err, len(want), wantErr)
		}
		if err != nil && !errors.Is(err, errCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}
