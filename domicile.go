package domicile

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
)

// Region names one storing region, such as "eu-ireland". The zero value names
// no region, and every check refuses it.
type Region string

// ParseRegion accepts 2 to 32 characters of a-z, 0-9 and inner "-".
func ParseRegion(s string) (Region, error) {
	if len(s) < 2 || len(s) > 32 || s[0] == '-' || s[len(s)-1] == '-' {
		return "", E("region", Invalid, fmt.Sprintf("%q is not a region name: 2 to 32 characters of a-z, 0-9 and inner '-'", clip(s)))
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "", E("region", Invalid, fmt.Sprintf("%q is not a region name: 2 to 32 characters of a-z, 0-9 and inner '-'", clip(s)))
		}
	}
	return Region(s), nil
}

// Node names one node, unique in the whole cluster, such as "eu-ireland-1".
// It has the syntax of a Region.
type Node string

// Entity names a legal entity of the catalog: who runs a region, or owns who does.
type Entity string

// Address is a mail address in the one canonical form that placement.ParseAddress
// produces (local part case-folded and NFC, subaddress removed, domain as A-label).
// Only that function should make one from text that a person or a peer sent.
type Address string

// Domain returns the part behind the last "@", or "" if there is none.
func (a Address) Domain() string {
	if i := strings.LastIndexByte(string(a), '@'); i >= 0 {
		return string(a[i+1:])
	}
	return ""
}

// Local returns the part before the last "@".
func (a Address) Local() string {
	if i := strings.LastIndexByte(string(a), '@'); i >= 0 {
		return string(a[:i])
	}
	return string(a)
}

// AccountID identifies an account for its whole life, over moves and renames.
// It is random and says nothing about its owner.
type AccountID string

// MailboxID and MessageID are RFC 8474 object identifiers: random, stable over
// RENAME, MOVE between mailboxes (MessageID) and moves between regions.
type (
	MailboxID string
	MessageID string
)

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewID returns prefix and 128 random bits, in characters that file names, RFC
// 8474 object ids and URLs all allow.
func NewID(prefix string) string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return prefix + idEncoding.EncodeToString(b[:])
}

// EgressClass says what kind of bytes leave a region. Each class has one row in
// the table of package placement; a class without a row is refused.
type EgressClass string

// The classes in use. A new way out of a region gets a class here, and a row in package placement.
const (
	ClientSession EgressClass = "client_session" // a mail client's own connection to a front
	Relay         EgressClass = "relay"          // a customer's own session on its way through another node, in memory only
	Delivery      EgressClass = "delivery"       // a message on its way to its home region
	Gossip        EgressClass = "gossip"         // who is alive, and at which address
	Lookup        EgressClass = "lookup"         // where a name lives, as a keyed digest
	Claim         EgressClass = "claim"          // a name claimed at its registrar
	CatalogFetch  EgressClass = "catalog"        // the signed list of regions
	Checkpoint    EgressClass = "checkpoint"     // heads of audit logs and their cosignatures
	OrderNotice   EgressClass = "order"          // an order told to the storing region
	Disclosure    EgressClass = "disclosure"     // a sealed production, to the authority that may have it
	Move          EgressClass = "move"           // an account on its way to its next home
	Operator      EgressClass = "operator"       // answers of the admin interface
	Telemetry     EgressClass = "telemetry"      // health and counts of the node itself
)

// Clip shortens s for an error message, so that hostile input cannot fill a log.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
