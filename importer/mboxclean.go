package importer

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"domicile/store"
)

// mboxHead is what an mbox says of a message beside its bytes.
type mboxHead struct {
	date     time.Time
	flags    []string
	uid      uint32
	validity uint32
	internal bool // it is no message, but what UW-IMAP and Dovecot keep at the beginning of a file
}

// statusFlags are the letters of Status and X-Status.
var statusFlags = map[rune]string{'R': store.Seen, 'A': store.Answered, 'F': store.Flagged, 'T': store.Draft, 'D': store.Deleted}

// clean takes a message out of its mbox: without the "From " line, the fields that are the mbox's own, and the blank line at the
// end. What was quoted still is, unless exact, which is the case where Content-Length said where the message ends.
func clean(raw []byte, form Form) (head mboxHead, text []byte, exact bool) {
	first, raw := cutLine(raw)
	head.date, _ = fromDate(strings.TrimRight(string(first[:min(len(first), 1024)]), "\r\n"))
	fields, body := cutHeader(raw)
	if length, ok := bodyLength(fields); ok && (form == Cl2 || form == Guess) {
		blank, _ := cutLine(body)
		if length += int64(len(blank)); length <= int64(len(body)) && endsWith(body[length:]) {
			body, exact = body[:length], true
		}
	}
	text = make([]byte, 0, len(raw))
	drop := false
	for len(fields) > 0 {
		var line []byte
		line, fields = cutLine(fields)
		if line[0] != ' ' && line[0] != '\t' { // else it goes on with the field before
			name, value, _ := strings.Cut(string(line[:min(len(line), maxLook)]), ":")
			drop = head.take(strings.ToLower(name), strings.TrimSpace(value)) || exact && strings.EqualFold(name, "Content-Length")
		}
		if !drop {
			text = append(text, line...)
		}
	}
	head.flags = keepFlags(head.flags)
	head.internal = head.internal && bytes.Contains(text, []byte("FOLDER INTERNAL DATA"))
	text = append(text, body...)
	if !exact {
		text = withoutSeparator(text)
	}
	return head, text, exact
}

// take notes what a field says, if it is one of the mbox's own.
func (h *mboxHead) take(name, value string) bool {
	switch name {
	case "status", "x-status":
		for _, c := range value {
			if f := statusFlags[c]; f != "" {
				h.flags = append(h.flags, f)
			}
		}
	case "x-keywords":
		h.flags = append(h.flags, strings.Fields(value)...)
	case "x-uid":
		h.uid = number(value)
	case "x-imap", "x-imapbase":
		h.validity, h.internal = number(value), name == "x-imap"
	default:
		return false
	}
	return true
}

// cutHeader parts the fields from the blank line and the text.
func cutHeader(raw []byte) (fields, body []byte) {
	for rest := raw; len(rest) > 0; {
		line, after := cutLine(rest)
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return raw[:len(raw)-len(rest)], rest
		}
		rest = after
	}
	return raw, nil
}

// bodyLength returns what Content-Length says, the last of them if there are more.
func bodyLength(fields []byte) (length int64, ok bool) {
	for len(fields) > 0 {
		var line []byte
		line, fields = cutLine(fields)
		if n, is := contentLength(strings.TrimRight(string(line[:min(len(line), maxLook)]), "\r\n")); is {
			length, ok = n, true
		}
	}
	return length, ok
}

// endsWith says whether nothing but the blank line behind a message is left.
func endsWith(rest []byte) bool { return len(rest) <= 2 && len(bytes.Trim(rest, "\r\n")) == 0 }

// number reads the number that a value begins with, 0 if it is none.
func number(value string) uint32 {
	first, _, _ := strings.Cut(value, " ")
	n, _ := strconv.ParseUint(first, 10, 32)
	return uint32(n)
}

func cutLine(raw []byte) (line, rest []byte) {
	if i := bytes.IndexByte(raw, '\n'); i >= 0 {
		return raw[:i+1], raw[i+1:]
	}
	return raw, nil
}

// withoutSeparator takes one blank line off the end.
func withoutSeparator(text []byte) []byte {
	for _, end := range []string{"\n\r\n", "\n\n"} {
		if bytes.HasSuffix(text, []byte(end)) {
			return text[:len(text)-len(end)+1]
		}
	}
	return text
}

// unquote takes the quotes off lines that would have been taken for the beginning of a message.
func unquote(text []byte, form Form) []byte {
	if form == Cl2 || !bytes.Contains(text, []byte(">From ")) {
		return text
	}
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		line, rest := cutLine(text)
		bare := bytes.TrimLeft(line, ">")
		if n := len(line) - len(bare); n > 0 && bytes.HasPrefix(bare, []byte("From ")) && (form != O || n == 1) {
			line = line[1:]
		}
		out, text = append(out, line...), rest
	}
	return out
}
