package region

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

func frames(header string, parts ...string) []byte {
	var b bytes.Buffer
	f := newFrameWriter(&b)
	f.header([]byte(header))
	for _, p := range parts {
		f.Write([]byte(p))
		f.keep(0)
	}
	f.end()
	return b.Bytes()
}

func TestFrames(t *testing.T) {
	whole := frames(`{"a":1}`, "hello ", "", "world")
	read := func(b []byte) (string, string, error) {
		h, r, err := readHeaderFrame(iotest.OneByteReader(bytes.NewReader(b)))
		if err != nil {
			return "", "", err
		}
		body, err := io.ReadAll(r)
		return string(h), string(body), err
	}
	if h, body, err := read(whole); err != nil || h != `{"a":1}` || body != "hello world" {
		t.Fatalf("%q %q %v", h, body, err)
	}
	for i := range whole { // cut anywhere: never a good end
		if _, _, err := read(whole[:i]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	body := bytes.Index(whole, []byte("hello"))
	for i := body; i < len(whole); i++ { // changed anywhere in body or end: never a good end
		if _, _, err := read(flip(whole, i)); err == nil {
			t.Errorf("changed at %d, and taken", i)
		}
	}
	if _, _, err := read(append(bytes.Clone(whole), 'x')); err == nil {
		t.Error("something behind the end was taken")
	}
	if f := newFrameWriter(io.Discard); f.header(make([]byte, maxHeader+1)) == nil {
		t.Error("a header over the limit was sent")
	}
	_, r, _ := readHeaderFrame(bytes.NewReader(whole))
	io.ReadAll(r)
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d %v", n, err)
	}
	var b bytes.Buffer
	f := newFrameWriter(&b)
	f.header(nil)
	f.keep(time.Hour)
	if b.Len() != 5 {
		t.Error("a sign of life right after a frame")
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(frames("{}", "hello"))
	f.Add([]byte{'H', 0, 0, 0, 0, 'D', 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, r, err := readHeaderFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		body, err := io.ReadAll(r)
		if err == nil {
			var again bytes.Buffer
			w := newFrameWriter(&again)
			w.Write(body)
			w.end()
			if !bytes.HasSuffix(b, again.Bytes()[again.Len()-40:]) {
				t.Error("a good end that does not belong to the body")
			}
		} else if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}

func FuzzJournalFrame(f *testing.F) {
	good, _ := appendFrame(nil, [32]byte{}, []byte("sealed"))
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		sealed, next, err := readFrame(bytes.NewReader(b), [32]byte{})
		if err == nil && (next != chain([32]byte{}, sealed) || len(sealed) > maxSealed) {
			t.Error("a frame outside the chain was read")
		} else if err != nil && err != io.EOF && !errors.Is(err, errTorn) {
			t.Error(err)
		}
	})
}

func FuzzCatalog(f *testing.F) {
	f.Add([]byte("version = 1\nquorum = 1\ncosigners = 1\nissued = 2026-01-01T00:00:00Z\n[[region]]\nname = 'us-east'\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCatalog(b)
		if err != nil {
			return
		}
		text, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseCatalog(text); err != nil {
			t.Errorf("what was written is not read: %v", err)
		}
	})
}
