package store

import (
	"strings"

	"domicile"
)

// Annotation is a value under a name that a mail program keeps with a mailbox, or with the account as a whole (RFC 5464).
type Annotation struct {
	Mailbox domicile.MailboxID `json:",omitempty"` // "" = the account
	Entry   string             // in the form of EntryName
	Value   []byte             // nil = none
	Changed uint64             `json:",omitempty"` // number of the change that made it so, of those of the account's annotations, from 1
}

// AnnotationMark says that there is an annotation, and not what it says.
type AnnotationMark struct {
	Key     string // stands for the mailbox and the name, in its account and always
	Mailbox domicile.MailboxID
	Entry   string // "" if it was not asked for
	Changed uint64
}

// EntryName returns the one form of the name of an annotation: ASCII in lower case, below "/private" or "/shared". It refuses empty levels, controls, "*"
// and "%" (RFC 5464 3.2), and what is too long.
func EntryName(entry string) (string, error) {
	const op = "entry name"
	if len(entry) > MaxEntryName {
		return "", domicile.E(op, domicile.Invalid, "a name has at most 256 bytes")
	}
	for i := 0; i < len(entry); i++ {
		if c := entry[i]; c < ' ' || c >= 0x7f || c == '*' || c == '%' {
			return "", domicile.E(op, domicile.Invalid, `a name is ASCII without controls, "*" and "%"`)
		}
	}
	entry = strings.ToLower(entry)
	levels := strings.Split(entry, "/")
	if len(levels) < 3 || levels[0] != "" || levels[1] != "private" && levels[1] != "shared" {
		return "", domicile.E(op, domicile.Invalid, "a name is below /private or /shared")
	}
	for _, l := range levels[1:] {
		if l == "" {
			return "", domicile.E(op, domicile.Invalid, "no level of a name is empty")
		}
	}
	return entry, nil
}
