package imapd

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"

	"github.com/emersion/go-imap/v2"
)

// charsets are told to a client that names one that is not known (RFC 9051 7.1, BADCHARSET). More are known.
const charsets = "US-ASCII UTF-8 ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1252 KOI8-R ISO-2022-JP SHIFT_JIS EUC-JP GB18030 BIG5 EUC-KR"

// charset chooses how strings are read. Once UTF-8 is enabled no other may be named (RFC 6855 3).
func (r *keyReader) charset(name string) {
	if r.cmd.Err() != nil {
		return
	}
	switch strings.ToLower(name) {
	case "us-ascii", "ascii", "utf-8", "utf8":
		return
	}
	if r.s.conn.UTF8 && !r.s.enabled.rev2 {
		r.cmd.Fail("With UTF8=ACCEPT a search is in UTF-8")
		return
	}
	enc, err := htmlindex.Get(name)
	if err != nil || enc == encoding.Replacement {
		enc, err = ianaindex.MIME.Encoding(name)
	}
	if err != nil || enc == nil {
		r.refuse(no(imap.ResponseCodeBadCharset+" ("+charsets+")", "No such charset"))
		return
	}
	r.decode = func(s string) (string, bool) {
		text, err := enc.NewDecoder().String(s)
		return text, err == nil && utf8.ValidString(text)
	}
}

// decodeUTF8 takes text in US-ASCII too, and is not told them apart: a client that names US-ASCII and sends UTF-8 means the latter.
func decodeUTF8(s string) (string, bool) { return s, utf8.ValidString(s) }
