package message

import "encoding/binary"

// AppendBody appends what IMAP sends as BODY: Structure without its extension data. Only if Structure is not "".
func (s *Summary) AppendBody(b []byte) []byte {
	at := 0
	for list := s.extensions; list != ""; {
		var gap, length uint64
		gap, list, _ = cutNumber(list)
		length, list, _ = cutNumber(list)
		b = append(b, s.Structure[at:at+int(gap)]...)
		at += int(gap + length)
	}
	return append(b, s.Structure[at:]...)
}

// appendSpans writes spans that follow one another: the gap before each, and its length.
func appendSpans(spans []span) string {
	var b []byte
	at := 0
	for _, s := range spans {
		b = binary.AppendUvarint(b, uint64(s.from-at))
		b = binary.AppendUvarint(b, uint64(s.to-s.from))
		at = s.to
	}
	return string(b)
}

// checkSpans accepts spans within length bytes.
func checkSpans(list string, length int) bool {
	for at := uint64(0); list != ""; {
		var gap, n uint64
		var ok, ok2 bool
		gap, list, ok = cutNumber(list)
		n, list, ok2 = cutNumber(list)
		if at += gap + n; !ok || !ok2 || gap > maxStructure || n > maxStructure || at > uint64(length) {
			return false
		}
	}
	return true
}
