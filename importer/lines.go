package importer

import "bytes"

// crlf returns raw with every bare LF as CRLF, and raw itself where there is none. Whatever else it holds stays.
func crlf(raw []byte) []byte {
	bare := 0
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			bare++
		}
	}
	if bare == 0 {
		return raw
	}
	out := make([]byte, 0, len(raw)+bare)
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\n')
		if i < 0 {
			return append(out, raw...)
		}
		out = append(out, raw[:i]...)
		if i == 0 || raw[i-1] != '\r' {
			out = append(out, '\r')
		}
		out, raw = append(out, '\n'), raw[i+1:]
	}
	return out
}
