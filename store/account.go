package store

import (
	"time"

	"domicile"
)

// AccountState says what an account serves.
type AccountState string

// The states of an account. The store keeps the state; the fronts act on it.
const (
	Active    AccountState = "active"
	Suspended AccountState = "suspended" // no login; mail is still accepted
	Moving    AccountState = "moving"    // frozen: the store itself refuses to read or change its mail
)

// Abroad is what an owner wants to happen where somebody logs in to the account at a front of another region.
type Abroad string

// The choices. The store keeps them; the fronts act on them, when the owner is known to ask.
const (
	AbroadRelay  Abroad = ""       // the session goes on, through that region's memory
	AbroadRefer  Abroad = "refer"  // the client is told its home's host
	AbroadRefuse Abroad = "refuse" // it is refused
)

// Account is one customer's mail store, the unit that is placed and moved.
type Account struct {
	ID        domicile.AccountID
	Address   domicile.Address
	Residence domicile.Country
	Class     string // "standard" or "e2e"
	Recipient string // public key of an e2e account
	Password  string // PHC string of argon2id; "" = no password login
	Scram     string `json:",omitempty"` // verifier of the same password for SCRAM-SHA-256; "" = there is none yet
	State     AccountState
	Abroad    Abroad
	Epoch     uint64 // of ownership, from 1; it never goes down
	Quota     int64  // bytes; 0 = none
	Created   time.Time

	// TokenKey makes the tokens of its deliveries. It stays with the account for life, so that a retry is known behind a move;
	// nil = the home region derives it.
	TokenKey []byte `json:",omitempty"`

	AppPasswords []AppPassword `json:",omitempty"` // at most MaxAppPasswords, the oldest first
}

// MaxAppPasswords bounds those of one account.
const MaxAppPasswords = 32

// AppPassword lets one device or program in, until it is taken away.
type AppPassword struct {
	ID    string
	Label string // what its owner calls it
	Scope string `json:",omitempty"` // "imap" or "smtp", to which alone it is good; "" = both
	Kept  string // its hash
	Scram string // its verifier for SCRAM-SHA-256
	Made  string // day, 2006-01-02
	Used  string `json:",omitempty"` // the last day; "" = never
}
