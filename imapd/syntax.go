package imapd

import (
	"bytes"
	"strconv"
	"strings"
)

// isTag accepts the characters of RFC 9051 9.
func isTag(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\+`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// literalAt reads "{n}" or "{n+}" at the end of a line. size is -1 if the number is too large.
func literalAt(text []byte) (size int64, nonSync, ok bool) {
	if !bytes.HasSuffix(text, []byte("}")) {
		return 0, false, false
	}
	open := bytes.LastIndexByte(text, '{')
	if open < 0 {
		return 0, false, false
	}
	digits, nonSync := bytes.CutSuffix(text[open+1:len(text)-1], []byte("+"))
	if len(digits) == 0 || bytes.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false, false
	}
	size, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return -1, nonSync, true
	}
	return size, nonSync, true
}

// quotesEnd reports whether every quoted string of a line ends on it.
func quotesEnd(text []byte) bool {
	in := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			in = !in
		case in && text[i] == '\\':
			i++
		}
	}
	return !in
}

// withoutRev2 takes IMAP4rev2 out of an ENABLE: it is not offered, and imapserver would switch to it all the same.
func withoutRev2(text []byte) []byte {
	var words []string
	for _, w := range strings.Fields(string(text)) {
		if !strings.EqualFold(w, "IMAP4rev2") {
			words = append(words, w)
		}
	}
	return []byte(strings.Join(words, " "))
}
