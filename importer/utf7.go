package importer

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var base64IMAP = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// decodeUTF7 decodes the names of RFC 3501 5.1.3, in which Dovecot and Courier write folders. What is no such name, as a folder that
// is written in UTF-8, stays as it is.
func decodeUTF7(name string) string {
	var out strings.Builder
	for rest := name; rest != ""; {
		plain, more, shifted := strings.Cut(rest, "&")
		out.WriteString(plain)
		if !shifted {
			break
		}
		code, after, ended := strings.Cut(more, "-")
		if !ended {
			return name
		}
		if rest = after; code == "" {
			out.WriteByte('&')
			continue
		}
		raw, err := base64IMAP.DecodeString(code)
		if err != nil || len(raw) == 0 || len(raw)%2 != 0 {
			return name
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		}
		for _, r := range utf16.Decode(units) {
			if r == utf8.RuneError {
				return name
			}
			out.WriteRune(r)
		}
	}
	return out.String()
}
