package wire

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxQuoted bounds what is written as a quoted string; longer ones are literals.
const maxQuoted = 1024

// AppendString appends a string as Writer.Str writes it.
func AppendString(b []byte, s string, utf8Known bool) []byte {
	quotable := len(s) <= maxQuoted && (isPrintable(s) || utf8Known && utf8.ValidString(s) && !strings.ContainsAny(s, "\r\n\x00"))
	if !quotable {
		s = strings.ReplaceAll(s, "\x00", "")
		b = append(b, '{')
		b = strconv.AppendInt(b, int64(len(s)), 10)
		return append(append(b, "}\r\n"...), s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if (s[i] < ' ' || s[i] > '~') && s[i] != '\t' {
			return false
		}
	}
	return true
}

// utf7 is the base64 of modified UTF-7 (RFC 3501 5.1.3): "," for "/", no padding.
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()

// EncodeUTF7 writes a name in modified UTF-7.
func EncodeUTF7(s string) string {
	if isPrintable(s) && !strings.ContainsAny(s, "&\t") {
		return s
	}
	var b strings.Builder
	var run []uint16
	end := func() {
		if run == nil {
			return
		}
		raw := make([]byte, 0, 2*len(run))
		for _, u := range run {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteString("&" + utf7.EncodeToString(raw) + "-")
		run = nil
	}
	for _, r := range s {
		if r < ' ' || r > '~' {
			run = utf16.AppendRune(run, r)
			continue
		}
		end()
		if b.WriteRune(r); r == '&' {
			b.WriteByte('-')
		}
	}
	end()
	return b.String()
}

// DecodeUTF7 reads a name in modified UTF-7. Letters beyond ASCII are taken as they stand, since programs write them. ok is false for
// a run that does not end or decode, that encodes what may not be encoded, which is printable ASCII, or that could be one with the run before it.
func DecodeUTF7(s string) (name string, ok bool) {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "&")
		b.WriteString(plain)
		if !found {
			return b.String(), true
		}
		run, after, found := strings.Cut(rest, "-")
		if !found {
			return "", false
		}
		if s = after; run == "" {
			b.WriteByte('&')
			continue
		}
		raw, err := utf7.DecodeString(run)
		if err != nil || len(raw)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		}
		for i := 0; i < len(units); i++ {
			r := rune(units[i])
			if utf16.IsSurrogate(r) {
				if i+1 == len(units) {
					return "", false
				}
				if r = utf16.DecodeRune(r, rune(units[i+1])); r == utf8.RuneError {
					return "", false
				}
				i++
			}
			if r >= ' ' && r <= '~' {
				return "", false
			}
			b.WriteRune(r)
		}
		if strings.HasPrefix(s, "&") && !strings.HasPrefix(s, "&-") {
			return "", false
		}
	}
}
