package importer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"domicile"
	"domicile/store"
)

// MaxMessage is the most bytes that a message may have to be read.
const MaxMessage = 128 << 20

// Key names a message of a source for good.
type Key [sha256.Size]byte

// keyOf makes a key of parts, none of which can be taken for the end of another.
func keyOf(parts ...string) (k Key) {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	h.Sum(k[:0])
	return k
}

// Source is mail that rests elsewhere. One goroutine at a time.
type Source interface {
	// Name is what the source is, for a record of where mail came from. Never a password.
	Name() string
	// ID is the same for all runs from this source, whatever its path or port.
	ID() string
	// Mailboxes lists the mailboxes and their messages, by name; each in the order in which its messages are to be stored.
	// Unavailable: the source is out of reach, try again.
	Mailboxes(ctx context.Context) ([]Mailbox, error)
	// Account is what the source knows of the account as a whole.
	Account() Account
	// Read reads messages of one mailbox, into memory: one Body for each item, in their order. Unavailable: the source is out of
	// reach and nothing was read; the same call may be made again, and connects anew.
	Read(ctx context.Context, m Mailbox, items []Item) ([]Body, error)
	Close() error
}

// Account is what belongs to no mailbox: of a folder that a restore wrote, else nothing.
type Account struct {
	Subscribed  []string          // names that no mailbox has
	Annotations map[string][]byte // RFC 5464, by name
}

// Mailbox is one mailbox of a source.
type Mailbox struct {
	Name        string // UTF-8, levels parted by "/", as the source calls it
	SpecialUse  string // attribute of RFC 6154, or ""
	Subscribed  bool
	UIDValidity uint32            // 0 = it knows no UIDs
	Annotations map[string][]byte // RFC 5464, by name
	Apart       bool              // it goes into a mailbox of its own, though the account has one for its special use
	Items       []Item
	Notes       []string // what of it cannot be kept
	Err         error    // it cannot be read at all: then Items is empty

	ref string // what the source calls it itself: a folder, a file, a name on the wire
}

// Item is a message as a list has it, without its bytes.
type Item struct {
	Key   Key
	UID   uint32 // 0 = none
	Size  int64  // bytes at the source; at the store it may have more, of line ends
	Date  time.Time
	Flags []string // canonical, see store.CanonicalFlags

	ref        string // the file's name
	start, end int64  // where it is in the file
	text       Key    // of what is there, in an mbox
}

// Name is how a person finds the message at the source.
func (i Item) Name() string { return i.ref }

// Body is a message that was read.
type Body struct {
	Data []byte
	Err  error // a *Problem, and then there is no Data
}

// Problem says why one message, or one mailbox, cannot be read.
type Problem struct {
	Code   string // one of the constants below
	Detail string
}

func (p *Problem) Error() string { return p.Detail }

// Codes of problems.
const (
	Gone       = "gone"       // it was there when the source was listed, and is no more
	Unreadable = "unreadable" // what is there cannot be read
	TooLarge   = "too_large"
)

// keepFlags returns those of flags that a store keeps. \Recent is nobody's to keep.
func keepFlags(flags []string) []string {
	var kept []string
	for _, f := range flags {
		if one, err := store.CanonicalFlags([]string{f}); err == nil && len(kept) < store.MaxFlags {
			kept = append(kept, one...)
		}
	}
	kept, _ = store.CanonicalFlags(kept) // each is one, and they are few
	return kept
}

func unavailable(op string, err error) error {
	return &domicile.Error{Op: op, Kind: domicile.Unavailable, Detail: err.Error(), Err: err}
}

func invalid(op, detail string) error { return domicile.E(op, domicile.Invalid, detail) }
