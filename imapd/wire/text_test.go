package wire

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStrings(t *testing.T) {
	for _, c := range []struct{ s, plain, utf8 string }{
		{"", `""`, `""`}, {"a b", `"a b"`, `"a b"`}, {`a"\`, `"a\"\\"`, `"a\"\\"`}, {"é", "{2}\r\né", `"é"`}, {"a\nb", "{3}\r\na\nb", "{3}\r\na\nb"},
		{"a\x00b", "{2}\r\nab", "{2}\r\nab"}, {"\xff", "{1}\r\n\xff", "{1}\r\n\xff"}, {"\x7f", "{1}\r\n\x7f", "\"\x7f\""},
	} {
		if got := string(AppendString(nil, c.s, false)); got != c.plain {
			t.Errorf("%q: %q, want %q", c.s, got, c.plain)
		}
		if got := string(AppendString(nil, c.s, true)); got != c.utf8 {
			t.Errorf("%q to who knows UTF-8: %q, want %q", c.s, got, c.utf8)
		}
	}
	long := strings.Repeat("x", maxQuoted+1)
	if got := string(AppendString(nil, long, false)); !strings.HasPrefix(got, "{1025}\r\n") {
		t.Errorf("%.20q", got)
	}
}

// The vectors of RFC 3501 5.1.3, and what may not be decoded.
func TestUTF7(t *testing.T) {
	for name, want := range map[string]string{
		"INBOX": "INBOX", "~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "a&b": "a&-b", "Entwürfe": "Entw&APw-rfe", "😀": "&2D3eAA-", "\t": "&AAk-", "é&è": "&AOk-&-&AOg-",
	} {
		if got := EncodeUTF7(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
		if got, ok := DecodeUTF7(want); got != name || !ok {
			t.Errorf("%q becomes %q, %v, want %q", want, got, ok, name)
		}
	}
	for _, bad := range []string{"&", "&AOk", "&AO-", "&AOkA-", "&AGE-", "&2D0-", "&3gA-", "&A/k-", "a&!!-", "&U,BTFw-&ZeVnLIqe-"} {
		if got, ok := DecodeUTF7(bad); ok {
			t.Errorf("%q becomes %q", bad, got)
		}
	}
}

// FuzzUTF7 holds that each name comes back from what is written for it, and that what is written is ASCII.
func FuzzUTF7(f *testing.F) {
	f.Add("Entw\u00fcrfe & \U0001F600")
	f.Add("&U,BTFw-")
	f.Fuzz(func(t *testing.T, s string) {
		if name, ok := DecodeUTF7(s); ok && utf8.ValidString(s) && !utf8.ValidString(name) {
			t.Errorf("%q becomes %q, which is not UTF-8", s, name)
		}
		if !utf8.ValidString(s) {
			return
		}
		text := EncodeUTF7(s)
		for i := range len(text) {
			if text[i] < ' ' || text[i] > '~' {
				t.Fatalf("%q becomes %q", s, text)
			}
		}
		if back, ok := DecodeUTF7(text); back != s || !ok {
			t.Errorf("%q becomes %q, and that %q, %v", s, text, back, ok)
		}
	})
}
