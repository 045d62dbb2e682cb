package message

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// toUTF8 decodes text in a charset by its name. Text in none, in an unknown one, or in one that it cannot be in is UTF-8 where it
// reads like that, and else Windows-1252. The result is valid UTF-8.
func toUTF8(charset string, b []byte) string {
	label := charsetLabel(charset)
	if isASCII(b) && !shifts(label) {
		return string(b)
	}
	enc := charsetOf(label)
	if enc == nil {
		return repair(b)
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil || bytes.Contains(out, []byte("\ufffd")) && utf8.Valid(b) {
		return repair(b)
	}
	return strings.ToValidUTF8(string(out), "\ufffd")
}

// charsetLabel is a charset's name in lower case, without quotes and without the language of RFC 2231 5.
func charsetLabel(name string) string {
	name, _, _ = strings.Cut(name, "*")
	return strings.ToLower(strings.Trim(name, " \t\"'"))
}

// charsetOf returns nil for UTF-8 and for what is not known.
func charsetOf(label string) encoding.Encoding {
	switch label {
	case "", "us-ascii", "ascii", "utf-8", "utf8": // text in none of them is in something that was not said
		return nil
	}
	if enc, err := htmlindex.Get(label); err == nil && enc != encoding.Replacement {
		return enc
	}
	enc, _ := ianaindex.MIME.Encoding(label)
	return enc
}

// shifts reports whether ASCII bytes can be something else in a charset.
func shifts(label string) bool {
	for _, prefix := range []string{"iso-2022", "csiso2022", "utf-16", "unicode", "ucs-2", "iso-10646-ucs-2", "hz", "csunicode", "ibm037", "ibm1047", "cp037"} {
		if strings.HasPrefix(label, prefix) {
			return true
		}
	}
	return false
}

func isASCII(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&tops != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// repair reads UTF-8, and takes each byte that is none for Windows-1252.
func repair(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	out.Grow(len(b) + len(b)/8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			r = charmap.Windows1252.DecodeByte(b[0])
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}
