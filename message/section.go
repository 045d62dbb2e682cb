package message

import (
	"bytes"
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
	var value []byte
	in := false
	flush := func() {
		if in {
			out = append(out, unfold(value))
		}
		in, value = false, nil
	}
	for len(header) > 0 {
		var line []byte
		line, header = cutLine(header)
		if isBlank(line) {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			if in && len(value) < MaxValue {
				value = append(value, line...)
			}
			continue
		}
		flush()
		if n, ok := fieldName(line); ok && strings.EqualFold(n, name) && len(out) < MaxAddresses {
			in, value = true, bytes.Clone(line[bytes.IndexByte(line, ':')+1:])
		}
	}
	flush()
	return out
}
