package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"domicile"
)

// Inbox is the mailbox that every account has and keeps.
const Inbox = "INBOX"

// MailboxName returns the one form of a mailbox name: NFC, with INBOX as first
// level in upper case. It refuses an empty name or level, bytes that are not
// UTF-8, controls and line separators (RFC 9051 5.1), and what is too long or deep.
func MailboxName(name string) (string, error) {
	const op = "mailbox name"
	if len(name) > MaxMailboxName || !utf8.ValidString(name) {
		return "", domicile.E(op, domicile.Invalid, "a name is valid UTF-8 of at most 1024 bytes")
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return "", domicile.E(op, domicile.Invalid, "a name may not hold control characters")
		}
	}
	name = norm.NFC.String(name)
	levels := strings.Split(name, "/")
	if len(levels) > MaxMailboxDepth || len(name) > MaxMailboxName {
		return "", domicile.E(op, domicile.Invalid, "a name has at most 1024 bytes and 32 levels")
	}
	for _, l := range levels {
		if l == "" {
			return "", domicile.E(op, domicile.Invalid, "a name and each of its levels must not be empty")
		}
	}
	if strings.EqualFold(levels[0], Inbox) {
		levels[0] = Inbox
	}
	return strings.Join(levels, "/"), nil
}

// specialUses are the attributes of RFC 6154 and RFC 8457 that a mailbox may carry.
var specialUses = []string{"\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash"}

// SpecialUse returns the canonical spelling of a special-use attribute; "" stays "".
func SpecialUse(use string) (string, error) {
	if use == "" {
		return "", nil
	}
	for _, u := range specialUses {
		if strings.EqualFold(u, use) {
			return u, nil
		}
	}
	return "", domicile.E("special use", domicile.Invalid, "not an attribute of RFC 6154 or RFC 8457")
}
