package message

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// DecodeHeader decodes the encoded words (RFC 2047) of a header value. Neighbours in one charset are decoded as one, since many
// programs cut a character between two. What is no encoded word is taken for UTF-8, or for Windows-1252 where it is not.
// The result is valid UTF-8.
func DecodeHeader(s string) string {
	if !strings.Contains(s, "=?") && utf8.ValidString(s) { // as most are
		return s
	}
	var d wordDecoder
	unended := false // there is no "?=" any more
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 || unended {
			break
		}
		w, ok := parseWord(s[i:])
		if !ok {
			unended = w.unended
			d.plain(s[:i+2])
			s = s[i+2:]
			continue
		}
		if i > 0 {
			d.plain(s[:i])
		}
		d.word(w)
		s = s[i+w.length:]
	}
	d.plain(s)
	d.flush()
	d.out.WriteString(d.space)
	return d.out.String()
}

// encodedWord is an encoded word, its text decoded but for the charset.
type encodedWord struct {
	charset string
	text    []byte
	length  int  // bytes of the word
	unended bool // not ok, and no word behind it will be
}

// parseWord reads the encoded word that s begins with. Longer ones than RFC 2047 allows are read, and ones with spaces.
func parseWord(s string) (w encodedWord, ok bool) {
	charset, rest, ok := strings.Cut(s[2:min(len(s), MaxName)], "?")
	if !ok || strings.ContainsAny(charset, " \t=") || len(rest) < 2 || rest[1] != '?' {
		return w, false
	}
	from := 2 + len(charset) + 3
	n := strings.Index(s[from:], "?=")
	if n < 0 {
		return encodedWord{unended: true}, false
	}
	w = encodedWord{charset: charset, length: from + n + 2}
	text := []byte(s[from : from+n])
	switch rest[0] {
	case 'b', 'B':
		w.text = decodeBase64(nil, text, MaxText)
	case 'q', 'Q':
		w.text = unquote(nil, bytes.ReplaceAll(text, []byte("_"), []byte(" ")), '=')
	default:
		return encodedWord{}, false
	}
	return w, true
}

// wordDecoder joins what is plain and what was encoded.
type wordDecoder struct {
	out     strings.Builder
	charset string // of the words in pending
	pending []byte
	space   string // white space behind words, which counts only if no word follows
	behind  bool   // a word was the last
}

func (d *wordDecoder) plain(s string) {
	if d.behind && strings.Trim(s, " \t\r\n") == "" {
		d.space += s
		return
	}
	d.flush()
	d.out.WriteString(d.space)
	d.out.WriteString(repair([]byte(s)))
	d.space, d.behind = "", false
}

func (d *wordDecoder) word(w encodedWord) {
	d.space = ""
	if !strings.EqualFold(d.charset, w.charset) {
		d.flush()
	}
	d.charset, d.behind = w.charset, true
	d.pending = append(d.pending, w.text...)
}

// flush decodes the words that wait.
func (d *wordDecoder) flush() {
	if len(d.pending) > 0 {
		d.out.WriteString(toUTF8(d.charset, d.pending))
		d.pending = d.pending[:0]
	}
}
