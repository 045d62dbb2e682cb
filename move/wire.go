package move

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"

	"domicile"
	"domicile/placement"
	"domicile/store"
)

// The methods between nodes.
const (
	methodOffer     = "move/offer"
	methodResidence = "move/residence"
	methodPart      = "move/part"
	methodPrepare   = "move/prepare"
	methodHandover  = "move/handover"
	methodAbandon   = "move/abandon"
	methodErased    = "move/erased"

	wireVersion = 1
	maxReply    = 16 << 10
	maxBody     = 8 << 20 // of a sealed permit of this class
	maxItem     = 1 << 20 // bytes of an item's JSON
)

// head is what every call has.
type head struct {
	V    int    `json:"v"`
	Move string `json:"move"`
}

// offer asks the target to take an account, and where the import stands.
type offer struct {
	head
	Change  string               `json:"change"`
	Account domicile.AccountID   `json:"account"`
	Name    placement.NameDigest `json:"name"`
	Domain  string               `json:"domain"`
	Country domicile.Country     `json:"country"` // the residence to be
	Epoch   uint64               `json:"epoch"`   // of ownership, the next
}

// standing answers an offer, and a part.
type standing struct {
	At        store.Position `json:"at"`
	Whole     bool           `json:"whole"`
	Residence bool           `json:"residence"` // the ledger has come
}

// partHead precedes the items of a part.
type partHead struct {
	head
	After  store.Position `json:"after"`
	Next   store.Position `json:"next"`
	Last   bool           `json:"last"`
	Before int            `json:"before,omitempty"` // how many parts may be on their way that come before it: it waits for them
}

// prepared answers a prepare: the record of the next epoch with the target's signature.
type prepared struct {
	Ownership placement.Ownership `json:"ownership"`
}

// handover brings the record with both signatures.
type handover struct {
	head
	Ownership placement.Ownership `json:"ownership"`
	State     store.AccountState  `json:"state"` // that the account had before it was frozen
}

// erasure tells that nothing is left at the source.
type erasure struct {
	head
	Leaf   uint64 `json:"leaf"`   // in the source's log
	SHA256 string `json:"sha256"` // of that leaf
}

// receipt answers a handover and an erasure: the leaf in the target's log.
type receipt struct {
	Leaf uint64 `json:"leaf"`
}

// noItems is the part that has none, as the last of an account without mail: no permit is given for no bytes.
const noItems = "\x00\x00\x00\x00"

// encodeItems writes the items of a part one behind the other.
func encodeItems(items []store.Item) ([]byte, error) {
	if len(items) == 0 {
		return []byte(noItems), nil
	}
	var out []byte
	for _, i := range items {
		raw, err := json.Marshal(i)
		if err != nil {
			return nil, err
		}
		if len(raw) > maxItem {
			return nil, domicile.E("part of a move", domicile.TooLarge, "an item is larger than a part may hold")
		}
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(raw))), raw...)
		if i.Piece != nil {
			out = append(out, i.Piece.Data...)
		}
	}
	return out, nil
}

// decodeItems is the inverse, for bytes that another region sent.
func decodeItems(raw []byte) (items []store.Item, err error) {
	bad := domicile.E("part of a move", domicile.Invalid, "its items are not readable")
	if string(raw) == noItems {
		return nil, nil
	}
	for len(raw) > 0 {
		if len(raw) < 4 || len(items) >= store.MaxPartItems {
			return nil, bad
		}
		n := binary.BigEndian.Uint32(raw)
		if raw = raw[4:]; n > maxItem || uint64(n) > uint64(len(raw)) {
			return nil, bad
		}
		var i store.Item
		if err := strict(raw[:n], &i); err != nil {
			return nil, bad
		}
		raw = raw[n:]
		if i.Piece != nil {
			if i.Piece.Length < 0 || i.Piece.Length > len(raw) {
				return nil, bad
			}
			i.Piece.Data, raw = raw[:i.Piece.Length:i.Piece.Length], raw[i.Piece.Length:]
		}
		items = append(items, i)
	}
	return items, nil
}

// strict reads one JSON value, without fields that this release does not know: they would be lost on the way.
func strict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return domicile.E("json", domicile.Invalid, "more than one value")
	}
	return nil
}
