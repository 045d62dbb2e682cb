package store

import (
	"slices"

	"domicile"
)

// MaxHint is how many mailboxes a hint names at most.
const MaxHint = 100

// Hint says where something changed in an account: in the messages of these mailboxes and in nothing else; nil = anywhere, and perhaps in what mailboxes
// there are.
type Hint []domicile.MailboxID

// Join returns the hint that says both.
func (h Hint) Join(more Hint) Hint {
	if h == nil || more == nil {
		return nil
	}
	both := slices.Clone(h)
	for _, id := range more {
		if !slices.Contains(both, id) {
			both = append(both, id)
		}
	}
	if len(both) > MaxHint {
		return nil
	}
	return both
}
