package message

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// MaxText bounds what Text and DecodeHeader return.
const MaxText = 8 << 20

// Text returns the body of a text part in UTF-8, its transfer encoding and charset decoded, at most MaxText bytes. What
// does not decode is given as far as it does, or as it is.
func (m *Message) Text(p *Part) string {
	raw := string(m.Body(p))
	var r io.Reader = strings.NewReader(raw)
	switch p.Encoding {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, &base64Only{s: raw})
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	b, _ := io.ReadAll(io.LimitReader(r, MaxText))
	return toUTF8(p.param("charset"), string(b))
}

// DecodeHeader decodes the encoded words (RFC 2047) of a header value, or of a whole header.
func DecodeHeader(s string) string {
	if !strings.Contains(s, "=?") {
		return s
	}
	dec := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		b, err := io.ReadAll(io.LimitReader(r, MaxText))
		return strings.NewReader(toUTF8(charset, string(b))), err
	}}
	out, err := dec.DecodeHeader(s)
	if err != nil {
		return s
	}
	return out
}

// toUTF8 decodes a charset that is known; text in an unknown one stays as it is.
func toUTF8(charset, s string) string {
	switch strings.ToLower(charset) {
	case "", "us-ascii", "utf-8", "utf8":
		return s
	}
	enc, err := htmlindex.Get(charset)
	if err != nil {
		return s
	}
	out, err := enc.NewDecoder().String(s)
	if err != nil {
		return s
	}
	return out
}

// base64Only leaves out what is not of the alphabet (RFC 2045 6.8), and ends at the padding.
type base64Only struct{ s string }

func (b *base64Only) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && b.s != "" {
		c := b.s[0]
		b.s = b.s[1:]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' {
			p[n] = c
			n++
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
