package audit

import (
	"bytes"
	"fmt"
	"slices"

	"domicile"

	"github.com/pelletier/go-toml/v2"
)

// Pins are what a stranger needs to verify a receipt offline: pins.toml.
type Pins struct {
	Logs      []Pin `toml:"logs"`      // each region's log
	Cosigners []Pin `toml:"cosigners"` // regions and witnesses
	Quorum    int   `toml:"quorum"`    // how many cosigners a disclosure's receipt needs, at least 1
}

// Pin is one key: its note verifier key ("name+hash+base64"), and which states can compel its holder. Nil CompellableBy
// means that nobody has said, which counts as compellable by all; an empty list says by none of those that matter here.
type Pin struct {
	VKey          string   `toml:"vkey"`
	Region        string   `toml:"region,omitempty"`
	CompellableBy []string `toml:"compellable_by"`
}

const maxPins = 1000

// ParsePins reads pins.toml, strictly: an unknown or missing key is refused with its place.
func ParsePins(data []byte) (Pins, error) {
	const op = "parse pins"
	var p Pins
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		detail := err.Error()
		if strict, ok := err.(*toml.StrictMissingError); ok {
			detail = strict.String()
		}
		return Pins{}, domicile.E(op, domicile.Invalid, detail)
	}
	for _, pin := range slices.Concat(p.Logs, p.Cosigners) {
		if pin.CompellableBy == nil {
			return Pins{}, domicile.E(op, domicile.Invalid, "a key lacks compellable_by; write [] if no state of concern can compel its holder")
		}
	}
	if _, _, err := p.verifiers(); err != nil {
		return Pins{}, domicile.W(op, err)
	}
	return p, nil
}

// Marshal writes pins as ParsePins reads them.
func (p Pins) Marshal() ([]byte, error) {
	if _, _, err := p.verifiers(); err != nil {
		return nil, domicile.W("write pins", err)
	}
	out, err := toml.Marshal(p)
	return out, domicile.W("write pins", err)
}

// pinned is a pin with its key parsed.
type pinned struct {
	verifier
	Pin
}

// verifiers parses and checks the keys: no name twice among the logs, no key twice among the cosigners.
func (p Pins) verifiers() (logs, cosigners []pinned, err error) {
	const op = "read pins"
	if p.Quorum < 1 || len(p.Logs) == 0 || len(p.Logs) > maxPins || len(p.Cosigners) > maxPins {
		return nil, nil, domicile.E(op, domicile.Invalid, "pins need a quorum of at least 1 and 1 to 1000 logs")
	}
	seen := make(map[string]bool)
	for i, pin := range p.Logs {
		v, err := parseVerifier(pin.VKey, algNote)
		if err != nil || seen["log "+v.name] {
			return nil, nil, domicile.E(op, domicile.Invalid, fmt.Sprintf("logs[%d]: not a verifier key of signature type 1, or its log is named twice", i))
		}
		seen["log "+v.name] = true
		logs = append(logs, pinned{v, pin})
	}
	for i, pin := range p.Cosigners {
		v, err := parseVerifier(pin.VKey, algCosign)
		// A cosignature does not commit to its signer's name, so one key under two names would count twice.
		if err != nil || seen[v.name] || seen[string(v.key)] {
			return nil, nil, domicile.E(op, domicile.Invalid, fmt.Sprintf("cosigners[%d]: not a verifier key of signature type 4, or its key or name stands there twice", i))
		}
		seen[v.name], seen[string(v.key)] = true, true
		cosigners = append(cosigners, pinned{v, pin})
	}
	return logs, cosigners, nil
}
