package store

import (
	"errors"
	"time"
)

// Limits that every driver keeps. What is over them is TooLarge or Invalid.
const (
	MaxToken        = 128           // bytes of a Token
	MaxAddress      = 320           // bytes of an address
	MaxMailboxName  = 1 << 10       // bytes of a mailbox name
	MaxMailboxDepth = 32            // levels of a mailbox name
	MaxMailboxes    = 1 << 14       // in an account
	MaxUIDValidity  = 1<<32 - 1<<20 // of a mailbox that is numbered as elsewhere: those of the store's own ascend from the greatest
	MaxFlags        = 64            // on a message
	MaxKeyword      = 128           // bytes of a keyword
	MaxPage         = 1000          // messages or changes that are read at once, messages of one Commit, and of an act that holds up no other for long
	VanishedRuns    = 1 << 12       // runs of expunged UIDs that a mailbox remembers at most
	MaxRecord       = 1 << 16       // bytes of an account record, and of a value in a Table
	MaxTableKey     = 1 << 10       // bytes of a key in a Table
	MaxTableName    = 64            // bytes of a table's name

	TokenLife  = 7 * 24 * time.Hour // how long a used Token is remembered at least
	TokenCount = 1 << 16            // unless so many newer ones were used in the account
)

// ErrOverQuota is in the chain of the TooLarge error of a message that the account has no room for,
// as opposed to one that is too large for anybody.
var ErrOverQuota = errors.New("the account's quota has no room for it")
