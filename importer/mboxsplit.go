package importer

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// lines reads lines of a file at any place.
type lines struct {
	f    io.ReaderAt
	size int64
	buf  []byte // what was read of the file from at
	at   int64
}

// maxLook is how much of a line is looked at, in bytes.
const maxLook = 64 << 10

// next returns the line at a place, cut to maxLook, and where the next one begins. At the end of the file the line is nil.
func (l *lines) next(at int64) (line []byte, next int64, err error) {
	if at >= l.size {
		return nil, at, nil
	}
	if at < l.at || at-l.at > int64(len(l.buf)) {
		l.buf, l.at = l.buf[:0], at
	}
	rest := l.buf[at-l.at:]
	for {
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			return rest[:min(i+1, maxLook)], at + int64(i) + 1, nil
		}
		end := at + int64(len(rest))
		if end >= l.size {
			return rest[:min(len(rest), maxLook)], l.size, nil
		}
		if len(rest) >= maxLook { // the rest of a long line is only passed over
			next, err := l.skip(end)
			return rest[:maxLook], next, err
		}
		more := make([]byte, len(rest), len(rest)+4*maxLook)
		copy(more, rest)
		n, err := l.f.ReadAt(more[len(rest):cap(more)], end)
		if n == 0 && err != nil {
			return nil, at, err
		}
		l.buf, l.at = more[:len(rest)+n], at
		rest = l.buf
	}
}

// skip returns the place behind the next line end from at.
func (l *lines) skip(at int64) (int64, error) {
	chunk := make([]byte, maxLook)
	for at < l.size {
		n, err := l.f.ReadAt(chunk, at)
		if i := bytes.IndexByte(chunk[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
		if n == 0 && err != nil {
			return at, err
		}
		at += int64(n)
	}
	return l.size, nil
}

var errNoMbox = errors.New("it is no mbox: it does not begin with a line \"From \"")

// split calls found with the place of each message of an mbox, from its line "From " to behind the blank line that ends it.
func split(f io.ReaderAt, size int64, form Form, found func(start, end int64) error) error {
	l := &lines{f: f, size: size}
	start, blank, head, length := int64(-1), true, false, int64(-1)
	for at := int64(0); at < size; {
		line, next, err := l.next(at)
		if err != nil {
			return err
		}
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case start < 0 && text == "": // blank lines at the beginning
		case start < 0 && !bytes.HasPrefix(line, []byte("From ")):
			return errNoMbox
		case start < 0 || blank && fromLine(line):
			if start >= 0 {
				if err := found(start, at); err != nil {
					return err
				}
			}
			start, head, length = at, true, -1
		case head && text == "":
			head = false
			if length >= 0 && l.endsAt(next+length) {
				next += length
				text = "" // what follows is the blank line, the next message, or the end
			}
		case head && (form == Cl2 || form == Guess):
			if n, ok := contentLength(text); ok {
				length = n
			}
		}
		blank, at = text == "", next
	}
	if start < 0 {
		return nil // empty
	}
	return found(start, size)
}

// endsAt says whether a message may end at a place: what follows is the end of the file, or a message, or either behind a blank line.
func (l *lines) endsAt(at int64) bool {
	if at == l.size {
		return true
	}
	line, next, err := l.next(at)
	if err == nil && strings.TrimRight(string(line), "\r\n") == "" {
		line, _, err = l.next(next)
	}
	return err == nil && (line == nil || fromLine(line))
}

func contentLength(line string) (int64, bool) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !strings.EqualFold(name, "Content-Length") {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	return n, err == nil && n >= 0 && n < 1<<40
}

// fromLine says whether a line begins a message: "From ", and somewhere behind it a date.
func fromLine(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("From ")) {
		return false
	}
	first, _, _ := bytes.Cut(line[:min(len(line), 1024)], []byte("\n"))
	_, ok := fromDate(string(first))
	return ok
}

// The dates of "From " lines: asctime's, with the zone where some programs put it, or without seconds.
var fromLayouts = []string{
	"Mon Jan 2 15:04:05 2006", "Mon Jan 2 15:04:05 MST 2006", "Mon Jan 2 15:04:05 -0700 2006", "Mon Jan 2 15:04:05 2006 -0700",
	"Mon Jan 2 15:04:05 2006 MST", "Mon Jan 2 15:04 2006", "Mon Jan 2 15:04 MST 2006", "Mon, 2 Jan 2006 15:04:05 -0700",
}

// fromDate finds the date at the end of a "From " line; without a zone it is UTC (RFC 4155).
func fromDate(line string) (time.Time, bool) {
	words := strings.Fields(line)
	for n := 5; n <= 7 && n < len(words); n++ {
		text := strings.Join(words[len(words)-n:], " ")
		for _, layout := range fromLayouts {
			if t, err := time.Parse(layout, text); err == nil && t.Year() > 1900 {
				return t, true
			}
		}
	}
	return time.Time{}, false
}
