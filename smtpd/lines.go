package smtpd

// lines reads the bytes behind DATA (RFC 5321 4.5.2), in which two ends may disagree about where the body ends
// ("SMTP smuggling"). The end is a dot alone between CRLF and CRLF, whatever stands before the first CRLF: a
// stray CR there does not hide it. A bare LF or bare CR is content, so a dot behind it is content too; both
// come out as CRLF, and a dot that thereby comes to stand at the beginning of a line is doubled. So what comes out has
// one reading only: CRLF line ends, dots doubled, the end at its end.
//
// The zero lines is at the beginning of a body. Not for concurrent use.
type lines struct{ at lineState }

type lineState uint8

const (
	lineStart lineState = iota // behind a true CRLF
	lineSoft                   // behind a bare CR or LF that came out as CRLF
	lineMid
	lineCR    // behind a CR that has not come out yet
	lineDot   // behind a dot that followed a true CRLF and has not come out
	lineDotCR // the same and a CR
)

// feed appends to dst what src comes out as, and returns how much of src it used: all, or up to the end of the body, in which
// case done is true.
func (l *lines) feed(dst, src []byte) (out []byte, used int, done bool) {
	for i, c := range src {
		if l.at == lineDotCR && c == '\n' {
			l.at = lineStart
			return append(dst, '.', '\r', '\n'), i + 1, true
		}
		dst = l.step(dst, c)
	}
	return dst, len(src), false
}

func (l *lines) step(dst []byte, c byte) []byte {
	switch l.at {
	case lineCR:
		dst = append(dst, '\r', '\n')
		if c == '\n' {
			l.at = lineStart
			return dst
		}
		l.at = lineSoft
	case lineDotCR: // the dot was transparency, the CR is bare
		dst = append(dst, '\r', '\n')
		l.at = lineSoft
	case lineDot:
		if c == '\r' {
			l.at = lineDotCR
			return dst
		}
		l.at = lineSoft // the dot was transparency: what follows is content at the beginning of a line
	case lineStart:
		if c == '.' {
			l.at = lineDot
			return dst
		}
	}
	return l.content(dst, c)
}

// content puts out one byte that stands for itself.
func (l *lines) content(dst []byte, c byte) []byte {
	switch {
	case c == '\r':
		l.at = lineCR
		return dst
	case c == '\n':
		l.at = lineSoft
		return append(dst, '\r', '\n')
	case c == '.' && l.at != lineMid:
		dst = append(dst, '.')
	}
	l.at = lineMid
	return append(dst, c)
}
