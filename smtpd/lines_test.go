package smtpd

import (
	"bytes"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	for in, want := range map[string]string{
		".\r\n":                 "",
		"a\r\n.\r\n":            "a\r\n",
		"a\n.\r\n\r\n.\r\n":     "a\r\n.\r\n\r\n",
		"a\n.\n\r\n.\r\n":       "a\r\n.\r\n\r\n",
		"a\r.\r\r\n.\r\n":       "a\r\n.\r\n\r\n",
		"a\r\n.\n\r\n.\r\n":     "a\r\n\r\n\r\n",
		"a\r\n..b\r\n.\r\n":     "a\r\n.b\r\n",
		"a\r\n.b\r\n.\r\n":      "a\r\nb\r\n",
		"a\r\r\n.\r\n":          "a\r\n\r\n",
		"a\r\n\r.\r\n\r\n.\r\n": "a\r\n\r\n.\r\n\r\n",
		".\r.\r\n\r\n.\r\n":     "\r\n.\r\n\r\n",
		"\r\n.\r\n":             "\r\n",
		"\n.\r\nx\r\n.\r\n":     "\r\n.\r\nx\r\n",
	} {
		var l lines
		out, used, done := l.feed(nil, []byte(in+"NOOP\r\n"))
		if string(out) != want || used != len(in) || !done {
			t.Errorf("%q: %q, want %q; used %d of %d, done %v", in, out, want, used, len(in), done)
		}
	}
}

// model says in the plainest way what a body means: it ends at the first CRLF.CRLF (or at once by .CRLF); a dot behind CRLF
// is taken off; then every bare CR and bare LF is a CRLF.
func model(raw []byte) (body []byte, used int, done bool) {
	s := "\r\n" + string(raw)
	end := strings.Index(s, "\r\n.\r\n")
	if end < 0 {
		return nil, 0, false
	}
	content := strings.ReplaceAll(s[:end+2], "\r\n.", "\r\n")[2:]
	return crlf([]byte(content)), end + 3, true
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\r\n.\r\nx"), uint8(3))
	f.Add([]byte("\n.\n.\r.\r\n.\r\n..\r\n.\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, raw []byte, cut uint8) {
		want, wantUsed, wantDone := model(raw)
		var l lines
		at := min(int(cut), len(raw))
		out, used, done := l.feed(nil, raw[:at])
		if !done {
			var more int
			out, more, done = l.feed(out, raw[at:])
			used += more
		}
		if done != wantDone {
			t.Fatalf("%q: done %v, want %v", raw, done, wantDone)
		}
		if !done {
			return
		}
		if used != wantUsed {
			t.Fatalf("%q: used %d, want %d", raw, used, wantUsed)
		}
		if !bytes.Equal(out, want) {
			t.Fatalf("%q: %q, want %q", raw, out, want)
		}
	})
}
