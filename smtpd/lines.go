package smtpd

import "bytes"

// lines reads the bytes behind DATA (RFC 5321 4.5.2), in which two ends may disagree about where the body ends
// ("SMTP smuggling"). The end is a dot alone between CRLF and CRLF, whatever stands before the first CRLF: a
// stray CR there does not hide it. A bare LF or bare CR is content, so a dot behind it is content too; both
// come out as CRLF. What comes out is the body itself: CRLF line ends, without the dots that were doubled and without the end.
//
// The zero lines is at the beginning of a body. Not for concurrent use.
type lines struct {
	at     lineState
	length int  // bytes of the line so far
	long   bool // a line had more than maxLine with its end
}

type lineState uint8

const (
	lineStart lineState = iota // behind a true CRLF
	lineMid                    // within a line, or behind a bare CR or LF that came out as CRLF
	lineCR                     // behind a CR that has not come out yet
	lineDot                    // behind a dot that followed a true CRLF and has not come out
	lineDotCR                  // the same and a CR
)

// feed appends to dst what src comes out as, and returns how much of src it used: all, or up to the end of the body, in which
// case done is true.
func (l *lines) feed(dst, src []byte) (out []byte, used int, done bool) {
	for i := 0; i < len(src); {
		if l.at == lineStart {
			n := plainLines(src[i:])
			dst = append(dst, src[i:i+n]...)
			if i += n; i == len(src) {
				break
			}
		}
		if l.at == lineMid {
			n := plainLen(src[i:])
			dst = append(dst, src[i:i+n]...)
			l.count(n)
			if i += n; i == len(src) {
				break
			}
		}
		if l.at == lineDotCR && src[i] == '\n' {
			l.at = lineStart
			return dst, i + 1, true
		}
		dst = l.step(dst, src[i])
		i++
	}
	return dst, len(src), false
}

// plainLines is how many bytes the lines have that b begins with and that come out as they are, each with its end.
func plainLines(b []byte) (n int) {
	for {
		line := bytes.IndexByte(b[n:], '\n')
		if line < 1 || line >= maxLine || b[n] == '.' || bytes.IndexByte(b[n:n+line], '\r') != line-1 {
			return n
		}
		n += line + 1
	}
}

// plainLen is how many bytes come before the first CR or LF.
func plainLen(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	if i := bytes.IndexByte(b, '\r'); i >= 0 {
		return i
	}
	return len(b)
}

func (l *lines) step(dst []byte, c byte) []byte {
	switch l.at {
	case lineCR:
		dst = l.end(dst)
		if c == '\n' {
			l.at = lineStart
			return dst
		}
	case lineDotCR: // the dot was transparency, the CR is bare
		dst = l.end(dst)
	case lineDot: // the dot was transparency, unless the line ends
		if c == '\r' {
			l.at = lineDotCR
			return dst
		}
	case lineStart:
		if c == '.' {
			l.at = lineDot
			return dst
		}
	}
	l.at = lineMid
	switch c {
	case '\r':
		l.at = lineCR
		return dst
	case '\n':
		return l.end(dst)
	}
	l.count(1)
	return append(dst, c)
}

func (l *lines) end(dst []byte) []byte {
	l.length = 0
	return append(dst, '\r', '\n')
}

func (l *lines) count(n int) {
	l.length += n
	l.long = l.long || l.length > maxLine-len("\r\n")
}
