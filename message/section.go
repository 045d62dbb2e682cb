package message

import (
	"bytes"
	"iter"
	"strings"
)

// FieldsOf returns those fields of a header (as Message.Header gives it) whose name is in names, or with not set, all others,
// byte for byte and folded as they are, and the blank line at the end: IMAP's HEADER.FIELDS and HEADER.FIELDS.NOT.
// Lines that are no field belong to the others.
func FieldsOf(header []byte, names []string, not bool) []byte {
	want := make(map[string]bool, len(names))
	for _, n := range names {
		want[strings.ToLower(n)] = true
	}
	var out []byte
	take := not
	for len(header) > 0 {
		var line []byte
		line, header = cutLine(header)
		if isBlank(line) {
			return append(out, line...)
		}
		if line[0] != ' ' && line[0] != '\t' {
			name, ok := fieldName(line)
			take = (ok && want[strings.ToLower(name)]) != not
		}
		if take {
			out = append(out, line...)
		}
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	return append(out, '\r', '\n') // a header that was cut off: IMAP wants the blank line nevertheless
}

// cutLine parts off the first line, its line feed included.
func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1], b[i+1:]
	}
	return b, nil
}

// Fields returns the values, unfolded and not decoded, of all fields of that name in a header.
func Fields(header []byte, name string) []string {
	var out []string
	for n, value := range fieldsIn(header) {
		if strings.EqualFold(n, name) && len(out) < MaxAddresses {
			out = append(out, unfold(value))
		}
	}
	return out
}

// fieldsIn yields the names and values, folded as they are and clipped to MaxValue, of the fields in the first MaxHeader bytes of a
// header. A line that is no field comes with its continuations under the name "".
func fieldsIn(header []byte) iter.Seq2[string, []byte] {
	header = header[:min(len(header), MaxHeader)]
	return func(yield func(string, []byte) bool) {
		for len(header) > 0 {
			line, rest := cutLine(header)
			if isBlank(line) {
				return
			}
			end := len(line)
			for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
				var more []byte
				more, rest = cutLine(rest)
				end += len(more)
			}
			name, ok := fieldName(line)
			from := 0
			if ok {
				from = bytes.IndexByte(line, ':') + 1
			} else {
				name = ""
			}
			if !yield(name, header[from:min(end, from+MaxValue)]) {
				return
			}
			header = rest
		}
	}
}
