package store

import "domicile"

// Position says how far an export or an import has come: "" is the beginning. It means something to the store that wrote it
// alone, and is at most MaxPosition bytes.
type Position string

// Limits of one Part. What a driver exports keeps them, and what it imports must.
const (
	MaxPosition   = 256
	MaxPart       = 4 << 20 // bytes of bodies in a Part
	MaxPartItems  = 1000
	MaxPartBodies = 128
)

// Part is a run of the items of an exported account, in their one order: the account; each mailbox followed by its messages
// and its expunged UIDs; the tokens of deliveries; then, in parts of their own, the bodies.
type Part struct {
	After Position // where it begins
	Next  Position // where the next one begins
	Last  bool     // none follows
	Items []Item
}

// Arrival is an account that comes in and was not activated.
type Arrival struct {
	Account Account
	At      Position // where the next part begins
	Whole   bool     // the last has come, and all of them add up
}

// Item is one piece of an exported account. Exactly one field is set. Its JSON form is what crosses between regions; the
// bytes of a Piece travel beside it.
type Item struct {
	Account  *ExportedAccount `json:"account,omitempty"`
	Mailbox  *Mailbox         `json:"mailbox,omitempty"`
	Message  *ExportedMessage `json:"message,omitempty"`
	Vanished *Vanished        `json:"vanished,omitempty"`
	Token    *UsedToken       `json:"token,omitempty"`
	Piece    *Piece           `json:"piece,omitempty"`
}

// ExportedAccount is the account itself. Its key and its keyed digests stay behind.
type ExportedAccount struct {
	Account
	UIDValidity uint32 // the greatest that any of its mailboxes was ever given
	Bytes       int64  // of its bodies, for whoever watches the move
}

// ExportedMessage is a message in a mailbox. Its dates are numbers, since clients give zones that JSON's times do not carry.
type ExportedMessage struct {
	Mailbox  domicile.MailboxID
	ID       domicile.MessageID
	UID      UID
	ModSeq   ModSeq
	Flags    []string `json:",omitempty"`
	Internal int64    // Unix seconds
	Zone     int      `json:",omitempty"` // minutes east of UTC of Internal
	Saved    int64    // Unix seconds
	Size     int64
}

// Vanished is a run of UIDs that were expunged at once.
type Vanished struct {
	Mailbox domicile.MailboxID
	UID     UID
	Last    UID `json:",omitempty"` // of the run; 0 = UID alone
	ModSeq  ModSeq
	Some    bool `json:",omitempty"` // some of these, up to ModSeq: which, the mailbox has forgotten
}

// UsedToken is a token of a delivery (Store.Commit), so that the repetition of a delivery is known behind the move too.
type UsedToken struct {
	Token Token
	Used  int64 // Unix seconds
	Made  ExportedMessage
}

// Piece is some bytes of a body. The pieces of a body follow one another without a gap.
type Piece struct {
	ID     domicile.MessageID
	Offset int64
	Size   int64  // of the whole body
	Length int    // of Data
	Data   []byte `json:"-"`
}
