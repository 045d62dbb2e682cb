package importer

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
)

// maxList bounds a list of Dovecot's that is read, in bytes: some million messages.
const maxList = 256 << 20

// uidList reads dovecot-uidlist, version 3: "3 V<uidvalidity> N<next> …", then "<uid> [fields] :<file name>". Nil where there is none,
// or where its UIDs do not ascend.
func (s *Maildir) uidList(dir string) (uids map[string]uint32, validity uint32) {
	return parseUIDList(s.small(dir, "dovecot-uidlist"))
}

func parseUIDList(raw []byte) (uids map[string]uint32, validity uint32) {
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 64<<10)
	if !lines.Scan() {
		return nil, 0
	}
	head := strings.Fields(lines.Text())
	if len(head) == 0 || head[0] != "3" {
		return nil, 0
	}
	for _, f := range head[1:] {
		if f[0] == 'V' {
			v, _ := strconv.ParseUint(f[1:], 10, 32)
			validity = uint32(v)
		}
	}
	uids = map[string]uint32{}
	last := uint64(0)
	for lines.Scan() {
		before, name, ok := strings.Cut(lines.Text(), ":")
		number, _, _ := strings.Cut(before, " ")
		uid, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil || uid <= last {
			return nil, 0
		}
		base, _ := splitName(name)
		uids[base], last = uint32(uid), uid
	}
	if validity == 0 || lines.Err() != nil {
		return nil, 0
	}
	return uids, validity
}

// keywords reads dovecot-keywords: "<number> <keyword>", where number 0 is letter a.
func (s *Maildir) keywords(dir string) map[int]string {
	words := map[int]string{}
	for line := range strings.Lines(string(s.small(dir, "dovecot-keywords"))) {
		number, word, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(number); ok && err == nil && n >= 0 && n < 26 {
			words[n] = word
		}
	}
	return words
}

// subscriptions reads Dovecot's file, in both its versions, or Courier's. known is false where there is neither.
func (s *Maildir) subscriptions() (names map[string]bool, known bool) {
	raw := s.small(".", "subscriptions")
	if raw == nil {
		raw = s.small(".", "courierimapsubscribed")
	}
	names = map[string]bool{}
	level := "."
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "V\t2" {
			level = "\t"
			continue
		}
		if line == "" {
			continue
		}
		if level == "." && strings.Contains(line, "/") { // of LAYOUT=fs
			names[folderMailbox(line)] = true
			continue
		}
		line = strings.TrimPrefix(line, "INBOX.") // Courier's prefix
		levels := strings.Split(line, level)
		for i := range levels {
			levels[i] = strings.ReplaceAll(decodeUTF7(levels[i]), "/", "_")
		}
		names[strings.Join(levels, "/")] = true
	}
	return names, raw != nil
}
