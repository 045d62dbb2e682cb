package importer

import (
	"io/fs"
	"strconv"
	"strings"
	"time"

	"domicile/store"
)

// splitName parts a file's name into the unique name and the letters of its flags.
func splitName(name string) (base, letters string) {
	for _, mark := range []string{":2,", ";2,", "!2,"} { // those for file systems that know no colon
		if i := strings.LastIndex(name, mark); i >= 0 {
			letters, _, _ = strings.Cut(name[i+len(mark):], ",")
			return name[:i], letters
		}
	}
	return name, ""
}

var letterFlags = map[rune]string{'D': store.Draft, 'F': store.Flagged, 'P': "$Forwarded", 'R': store.Answered, 'S': store.Seen, 'T': store.Deleted}

// nameFlags says what letters stand for: the flags of Maildir, and keywords by their number in dovecot-keywords.
func nameFlags(letters string, words map[int]string) []string {
	var flags []string
	for _, c := range letters {
		if f := letterFlags[c]; f != "" {
			flags = append(flags, f)
		} else if w := words[int(c-'a')]; w != "" {
			flags = append(flags, w)
		}
	}
	return keepFlags(flags)
}

// fileItem is the message in a file, named as its list is: relative to the folder.
func fileItem(mailbox, sub string, info fs.FileInfo, uids map[string]uint32, words map[int]string) Item {
	base, letters := splitName(info.Name())
	item := Item{Key: keyOf("maildir", mailbox, base, strconv.FormatInt(info.Size(), 10)), UID: uids[base], Size: info.Size(), Date: fileDate(base, info.ModTime()), ref: sub + "/" + info.Name()}
	if sub == "cur" {
		item.Flags = nameFlags(letters, words)
	}
	return item
}

// fileDate is the earlier of a file's time, which Dovecot and Courier keep as INTERNALDATE, and of the second that its name
// begins with, which outlives a copy that did not keep times.
func fileDate(base string, modified time.Time) time.Time {
	number, _, _ := strings.Cut(base, ".")
	if sec, err := strconv.ParseInt(number, 10, 64); err == nil && sec > 1e8 && sec < modified.Unix() {
		return time.Unix(sec, 0).UTC()
	}
	return modified.UTC().Truncate(time.Second)
}
