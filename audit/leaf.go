package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"domicile"

	"golang.org/x/mod/sumdb/tlog"
)

// Limits of one entry.
const (
	maxLeaf     = 16 << 10 // bytes of the encoded leaf
	maxFields   = 64       // public, and private
	maxName     = 64       // bytes of a kind, a case, a field's name
	maxPrivate  = 256 << 10
	saltSize    = 32
	maxUses     = 1000 // of one token
	leafVersion = 1
	leafTime    = "2006-01-02T15:04:05.000Z"
)

// record is the leaf as it is encoded; its fields stand in the order of their JSON names. A leaf is canonical: whatever
// encode would not write is not a leaf.
type record struct {
	Case    string            `json:"case,omitempty"`
	Kind    string            `json:"kind"`
	Origin  string            `json:"origin"`
	Private map[string][]byte `json:"private,omitempty"`
	Public  map[string]string `json:"public,omitempty"`
	Reason  domicile.Reason   `json:"reason,omitempty"`
	Seq     uint64            `json:"seq"`
	Spend   []byte            `json:"spend,omitempty"`
	Time    string            `json:"time"`
	V       int               `json:"v"`
}

// opening is the salt and value of one private field.
type opening struct {
	Salt  []byte `json:"salt"`
	Value string `json:"value"`
}

// commit is what stands in the leaf for a private value: HMAC-SHA-256 under the salt.
func (o opening) commit() []byte {
	h := hmac.New(sha256.New, o.Salt)
	h.Write([]byte(o.Value))
	return h.Sum(nil)
}

// newRecord checks an entry and makes its leaf, but for seq and time, and the openings of its private fields.
func newRecord(origin string, e Entry, s *Spend) (record, map[string]opening, error) {
	r := record{Case: e.Case, Kind: e.Kind, Origin: origin, Public: e.Public, Reason: e.Reason, V: leafVersion}
	openings := make(map[string]opening, len(e.Private))
	total := 0
	for name, value := range e.Private {
		salt := make([]byte, saltSize)
		rand.Read(salt)
		o := opening{Salt: salt, Value: value}
		openings[name] = o
		if r.Private == nil {
			r.Private = make(map[string][]byte)
		}
		r.Private[name] = o.commit()
		if total += len(value); total > maxPrivate || !utf8.ValidString(value) {
			return r, nil, invalidEntry("a private value is not UTF-8, or all of them are over 256 KiB")
		}
	}
	if s != nil {
		if s.Issuer == "" || s.JTI == "" || len(s.Issuer) > 1024 || len(s.JTI) > 1024 || s.Max < 1 || s.Max > maxUses {
			return r, nil, invalidEntry("a spend needs an issuer, a jti (at most 1024 bytes each) and a max of 1 to 1000")
		}
		r.Spend = s.key()
	}
	return r, openings, r.check()
}

// check holds the leaf against the limits.
func (r *record) check() error {
	for name, value := range r.Public {
		if !isWord(name) || !utf8.ValidString(value) {
			return invalidEntry("a public field is not named in a-z, 0-9, _ . -, or its value is not UTF-8")
		}
		if strings.Contains(value, "@") {
			return invalidEntry("the public field " + name + " holds an @: an address must never stand in a leaf; make the field private")
		}
	}
	for name, c := range r.Private {
		if !isWord(name) || len(c) != sha256.Size {
			return invalidEntry("a private field is not named in a-z, 0-9, _ . -, or is no commitment")
		}
	}
	switch {
	case r.V != leafVersion:
		return invalidEntry(fmt.Sprintf("leaf version %d is not 1", r.V))
	case !isWord(r.Kind), r.Case != "" && !isWord(r.Case):
		return invalidEntry("the kind or case is not 1 to 64 characters of a-z, 0-9, _ . -")
	case r.Reason != "" && !slices.Contains(domicile.Reasons, r.Reason):
		return invalidEntry("the reason is not in the closed list")
	case len(r.Public) > maxFields, len(r.Private) > maxFields:
		return invalidEntry("over 64 fields")
	case r.Spend != nil && len(r.Spend) != sha256.Size:
		return invalidEntry("the spend is not a SHA-256 hash")
	}
	return nil
}

func invalidEntry(detail string) error { return domicile.E("audit entry", domicile.Invalid, detail) }

// isWord says whether s is an identifier of a leaf.
func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// encode returns the bytes that are hashed: JSON, keys sorted, no spaces, "<", ">" and "&" as they are.
func (r *record) encode() ([]byte, error) {
	raw, err := canonical(r)
	if err != nil {
		return nil, domicile.W("encode leaf", err)
	}
	if len(raw) > maxLeaf {
		return nil, domicile.E("encode leaf", domicile.TooLarge, "over 16 KiB; put a digest of the detail into the entry instead")
	}
	return raw, nil
}

// canonical is JSON in the one form that this package writes.
func canonical(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// parseLeaf reads a leaf that stands at index in the log of origin. Only canonical bytes pass.
func parseLeaf(raw []byte, origin string, index uint64) (*record, error) {
	const op = "parse leaf"
	if len(raw) > maxLeaf {
		return nil, domicile.E(op, domicile.TooLarge, "over 16 KiB")
	}
	var r record
	if err := decodeCanonical(raw, &r); err != nil {
		return nil, domicile.E(op, domicile.Invalid, "not a canonical leaf of version 1: "+err.Error())
	}
	if err := r.check(); err != nil {
		return nil, domicile.W(op, err)
	}
	if t, err := time.Parse(leafTime, r.Time); err != nil || t.Format(leafTime) != r.Time {
		return nil, domicile.E(op, domicile.Invalid, "its time is not in UTC milliseconds")
	}
	if r.Origin != origin || r.Seq != index {
		return nil, domicile.E(op, domicile.Invalid, fmt.Sprintf("it says it is leaf %d of another place or log than leaf %d of %s", r.Seq, index, origin))
	}
	return &r, nil
}

// DecodeLeaf reads the raw bytes of a leaf, as Log.Leaves and Verified give them. In the Entry, Private maps each private
// field to the base64 of its commitment. It refuses what is not a canonical leaf of version 1 (domicile.Invalid); that the
// leaf is in a log is for a proof to say.
func DecodeLeaf(raw []byte) (Leaf, Entry, error) {
	var said struct {
		Origin string
		Seq    uint64
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return Leaf{}, Entry{}, domicile.E("decode leaf", domicile.Invalid, "not JSON")
	}
	r, err := parseLeaf(raw, said.Origin, said.Seq)
	if err != nil {
		return Leaf{}, Entry{}, err
	}
	e := Entry{Kind: r.Kind, Reason: r.Reason, Case: r.Case, Public: r.Public, Private: make(map[string]string)}
	for name, commitment := range r.Private {
		e.Private[name] = base64Strict.EncodeToString(commitment)
	}
	return Leaf{Index: r.Seq, Time: r.when(), Hash: tlog.RecordHash(raw)}, e, nil
}

// decodeCanonical decodes raw into v, a pointer, and refuses what canonical would not have written.
func decodeCanonical(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	again, err := canonical(v)
	if err == nil && !bytes.Equal(again, raw) {
		err = fmt.Errorf("the JSON is not in canonical form")
	}
	return err
}

// when is the leaf's time; parseLeaf has checked it.
func (r *record) when() time.Time {
	t, _ := time.Parse(leafTime, r.Time)
	return t
}

// key identifies a token in leaves and in the index: SHA-256 of the length-prefixed issuer and jti. Neither is personal.
func (s *Spend) key() []byte {
	h := sha256.New()
	for _, part := range []string{"domicile spend v1", s.Issuer, s.JTI} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}
