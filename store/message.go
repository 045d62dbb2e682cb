package store

import (
	"context"
	"io"
	"time"

	"domicile"
	"domicile/message"
)

// Token makes a mutation idempotent: a second call with the same token and account does nothing and
// returns what the first one did. "" means no protection. At most MaxToken bytes.
type Token string

// UID is an IMAP unique identifier (RFC 9051 2.3.1.1), ModSeq a modification sequence (RFC 7162),
// both counted from 1.
type (
	UID    uint32
	ModSeq uint64
)

// Mailbox is an IMAP mailbox of an account.
type Mailbox struct {
	ID            domicile.MailboxID
	Name          string // UTF-8, hierarchy by "/"; INBOX in upper case
	SpecialUse    string // RFC 6154 attribute such as "\\Sent", or ""
	Subscribed    bool   // its name is
	UIDValidity   uint32
	UIDNext       UID
	HighestModSeq ModSeq
	Messages      uint32
	Unseen        uint32
	Size          int64 // sum of the sizes of its messages
}

// Message is what the index knows of one message in one mailbox.
type Message struct {
	ID       domicile.MessageID // one for all copies of the same bytes
	UID      UID
	ModSeq   ModSeq
	Flags    []string  // system flags in canonical case ("\\Seen"), keywords as first spelled on this message
	Internal time.Time // INTERNALDATE, to the second, in the zone it was given in
	Saved    time.Time // when it came into this mailbox (RFC 8514), UTC
	Size     int64     // bytes as IMAP counts them (RFC822.SIZE)
}

// Listed is a message with what its bytes say, made once when it came: enough to list, sort and thread without reading it.
type Listed struct {
	Message
	Summary *message.Summary // nil if the message's bytes are damaged
}

// Stored is what StoreFlags did.
type Stored struct {
	Done   []Message // by UID, each once however often it was named; those that had the flags already too, with their old ModSeq
	Before []ModSeq  // of each of Done the ModSeq that it had before
	Failed []UID     // changed after unless, and left alone; by UID, each once
	From   ModSeq    // HighestModSeq of the mailbox before: who has all up to here knows with Done all that there is
}

// Expunged is a message that is in no mailbox any more, as it was in the last one. Its UID and ModSeq say nothing.
type Expunged struct {
	Message
	At time.Time // when it was expunged
}

// Where says which text of a message Find looks at.
type Where int

// The places.
const (
	InText   Where = iota // header and body, names of attachments included
	InBody                // what is not the header
	InHeader              // one header field
)

// UIDRange is the UIDs from First to Last.
type UIDRange struct{ First, Last UID }

// Changes is a part of what happened in a mailbox after a ModSeq.
type Changes struct {
	Mailbox  Mailbox    // as it was when the part was read
	Changed  []Message  // new or altered, by ModSeq, then by UID
	Vanished []UIDRange // expunged, ascending; of UIDs that were none's it may have some
	Next     Position   // where the next part begins; "" = this is the last
}

// Incoming is a message on its way in: bytes that are durable and sealed once they are committed, and nowhere before.
// One goroutine at a time.
type Incoming interface {
	io.Writer
	// Commit is Store.Commit of this message alone, whose token it is.
	Commit(ctx context.Context, tok Token, mailbox string, flags []string, internal time.Time) (Message, error)
	// Abort forgets the bytes. Safe after Commit, where it does nothing.
	Abort()
}

// Letter is a message that has come in, and what it is to have in its mailbox.
type Letter struct {
	Bytes    Incoming
	Flags    []string
	Internal time.Time // INTERNALDATE: zero means now, and of its zone minutes are kept
	Token    Token     // of this message alone, see Store.Commit
}

// Instead names the message in whose place others come.
type Instead struct {
	Mailbox domicile.MailboxID
	UID     UID
}

// FlagOp is how StoreFlags combines.
type FlagOp int

// The three ways of STORE (RFC 9051 6.4.6).
const (
	FlagsSet FlagOp = iota
	FlagsAdd
	FlagsRemove
)
