package message

import (
	"strconv"
	"strings"
)

// FileName returns the name that a part goes by as a file, decoded, "" if it has none. It is a sender's word: fit to be shown
// and searched, not to be opened.
func (p *Part) FileName() string {
	if name := paramValue(p.DispositionParams, "filename"); name != "" {
		return name
	}
	return paramValue(p.Params, "name")
}

// paramValue puts a parameter together (RFC 2231): "name", "name*", "name*0", "name*1*". In a plain one encoded words are decoded,
// which RFC 2047 5 forbids and many programs write.
func paramValue(params []Param, name string) string {
	pieces := map[int]string{}
	var extended []byte
	charset, plain := "", ""
	for _, q := range params {
		rest, ok := strings.CutPrefix(q.Name, name)
		if !ok {
			continue
		}
		if rest == "" {
			plain = DecodeHeader(q.Value)
			continue
		}
		number, isExtended := strings.CutSuffix(rest, "*")
		n := 0
		if number != "" {
			var err error
			if n, err = strconv.Atoi(strings.TrimPrefix(number, "*")); err != nil || number[0] != '*' {
				continue
			}
		}
		value := q.Value
		if isExtended && n == 0 {
			if parts := strings.SplitN(value, "'", 3); len(parts) == 3 {
				charset, value = parts[0], parts[2]
			}
		}
		if isExtended {
			value = string(unquote(nil, []byte(value), '%'))
		}
		pieces[n] = value
	}
	for n := 0; n < len(params); n++ {
		piece, ok := pieces[n]
		if !ok {
			break
		}
		extended = append(extended, piece...)
	}
	if len(extended) > 0 {
		return toUTF8(charset, extended)
	}
	return plain
}
