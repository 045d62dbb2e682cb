package message

import "strings"

// messageID reads a Message-ID field. What has no angle brackets is taken as it stands.
func messageID(s string) string {
	if ids := messageIDs(s, 1); len(ids) > 0 {
		return ids[0]
	}
	return bareID(s)
}

// messageIDs reads the ids in angle brackets (RFC 5322 3.6.4), at most n of them.
func messageIDs(s string, n int) (ids []string) {
	for len(ids) < n {
		_, rest, ok := strings.Cut(s, "<")
		if !ok {
			break
		}
		id, after, ok := strings.Cut(rest, ">")
		if !ok {
			break
		}
		if id = bareID(id); id != "" {
			ids = append(ids, id)
		}
		s = after
	}
	return ids
}

// bareID leaves out quotes and white space: <"a"@b> and <a@b> are the same (RFC 5256 3).
func bareID(s string) string {
	if strings.ContainsAny(s, "\"\\ \t") {
		s = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `"`, "", `\`, "", " ", "", "\t", "").Replace(s)
	}
	return clip(s, maxID)
}

// bounded keeps the first id, and of the others the last ones that there is room for: the root of a thread, and the way to it.
func bounded(ids []string, room int) []string {
	if len(ids) == 0 {
		return nil
	}
	room -= len(ids[0]) + 2
	from := len(ids)
	for from > 1 && room >= len(ids[from-1])+2 {
		from--
		room -= len(ids[from]) + 2
	}
	return append([]string{ids[0]}, ids[from:]...)
}
