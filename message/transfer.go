package message

import "bytes"

// decodeTransfer undoes a Content-Transfer-Encoding (RFC 2045 6). What is not in the encoding it should be in is taken as
// it stands, and so is an encoding that is not known. At most limit bytes are returned.
func decodeTransfer(encoding string, b []byte, limit int) []byte {
	switch encoding {
	case "base64":
		return decodeBase64(make([]byte, 0, min(limit, len(b)/4*3+3)), b, limit)
	case "quoted-printable":
		return decodeQuoted(make([]byte, 0, min(limit, len(b))), b, limit)
	}
	return b[:min(len(b), limit)]
}

// Decoded returns a part's body with its Content-Transfer-Encoding undone. What is not in the encoding it should be in is decoded as far as it
// goes. ok is false if the encoding is not one of RFC 2045 6.1.
func (m *Message) Decoded(p *Part) (body []byte, ok bool) {
	switch body = m.Body(p); p.Encoding {
	case "7bit", "8bit", "binary":
		return body, true
	case "base64", "quoted-printable":
		return decodeTransfer(p.Encoding, body, len(body)), true
	}
	return nil, false
}

// decodeBase64 passes over what is not of the alphabet (RFC 2045 6.8). Behind padding it goes on: some programs join pieces.
func decodeBase64(out, b []byte, limit int) []byte {
	var bits, n uint
	for _, c := range b {
		v := base64Value[c]
		if v == 0xff {
			if c == '=' {
				bits, n = 0, 0
			}
			continue
		}
		bits, n = bits<<6|uint(v), n+6
		if n >= 8 {
			n -= 8
			if len(out) == limit {
				break
			}
			out = append(out, byte(bits>>n))
		}
	}
	return out
}

var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	return t
}()

// decodeQuoted decodes quoted-printable (RFC 2045 6.7): white space at the end of a line goes, and a line that ends in "=" goes on
// in the next one.
func decodeQuoted(out, b []byte, limit int) []byte {
	for len(b) > 0 && len(out) < limit {
		var line []byte
		line, b = cutLine(b)
		text := bytes.TrimRight(line, " \t\r\n")
		soft := len(text) > 0 && text[len(text)-1] == '='
		if soft {
			text = text[:len(text)-1]
		}
		out = unquote(out, text, '=')
		if !soft {
			out = append(out, line[len(bytes.TrimRight(line, "\r\n")):]...)
		}
	}
	return out[:min(len(out), limit)]
}

// unquote decodes hexadecimal digits behind a mark: "=E9", "%E9".
func unquote(out, b []byte, mark byte) []byte {
	for {
		i := bytes.IndexByte(b, mark)
		if i < 0 {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		b = b[i:]
		if len(b) > 2 && hexValue(b[1]) < 16 && hexValue(b[2]) < 16 {
			out = append(out, hexValue(b[1])<<4|hexValue(b[2]))
			b = b[3:]
			continue
		}
		out = append(out, mark)
		b = b[1:]
	}
}

// hexValue is above 15 for what is no digit.
func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
