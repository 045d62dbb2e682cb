package audit

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"time"

	"domicile"

	"golang.org/x/mod/sumdb/tlog"
)

// disclosureKind is the kind of leaf whose receipt needs a quorum of cosigners.
const disclosureKind = "disclosure.released"

// Verified is what a receipt proves.
type Verified struct {
	Origin    string
	Index     uint64
	Leaf      []byte               // raw, as hashed: JSON
	Cosigners map[string]time.Time // name to time of cosignature
	Revealed  map[string]string    // private fields that the receipt opens
}

// VerifyReceipt checks a receipt against pins, without any network: every byte of it is accounted for,
// so that no altered receipt passes. A disclosure's receipt needs the quorum, a refusal's does not.
//
// The quorum (rule "pins/quorum", reason domicile.QuorumNotReached): at least Quorum cosigners besides the log's own region,
// and no single state that can compel the log's region and all of them.
func VerifyReceipt(receipt []byte, pins Pins) (*Verified, error) {
	const op = "verify receipt"
	logs, cosigners, err := pins.verifiers()
	if err != nil {
		return nil, domicile.W(op, err)
	}
	p, err := parseProof(receipt)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	text, sigs, err := splitNote([]byte(p.checkpoint))
	if err != nil {
		return nil, domicile.W(op, err)
	}
	head, err := parseHead(text)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	i := slices.IndexFunc(logs, func(l pinned) bool { return l.name == head.Origin })
	if i < 0 {
		return nil, domicile.E(op, domicile.Invalid, "it is of a log that is not in the pins")
	}
	// Signatures come last because they cost most.
	r, err := p.checkLeaf(head)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	by, err := checkSignatures(head, sigs, logs[i], cosigners)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if r.Kind == disclosureKind {
		if err := checkQuorum(pins.Quorum, logs[i], by); err != nil {
			return nil, domicile.W(op, err)
		}
	}
	out := &Verified{Origin: head.Origin, Index: p.index, Leaf: []byte(p.extra.Leaf), Cosigners: make(map[string]time.Time), Revealed: make(map[string]string)}
	for _, c := range by {
		out.Cosigners[c.name] = c.at
	}
	for name, o := range p.extra.Reveal {
		out.Revealed[name] = o.Value
	}
	return out, nil
}

// checkLeaf checks that the leaf is in the tree of head at its index, is a leaf, and holds what is revealed of it.
func (p *proof) checkLeaf(head Head) (*record, error) {
	const op = "check leaf"
	raw := []byte(p.extra.Leaf)
	if p.index >= head.Size {
		return nil, domicile.E(op, domicile.Invalid, "its index is outside of its checkpoint")
	}
	if err := tlog.CheckRecord(p.path, int64(head.Size), head.Root, int64(p.index), tlog.RecordHash(raw)); err != nil {
		return nil, domicile.E(op, domicile.Invalid, "the leaf is not in the tree of its checkpoint at its index")
	}
	r, err := parseLeaf(raw, head.Origin, p.index)
	if err != nil {
		return nil, err
	}
	return r, r.checkOpenings(p.extra.Reveal)
}

// cosigner is a pinned key with the time at which it cosigned.
type cosigner struct {
	pinned
	at time.Time
}

// checkSignatures verifies all lines of a checkpoint: the log's own first, then pinned cosigners in the order of their bytes,
// each once. A line of anyone else could be altered unnoticed, so there is none.
func checkSignatures(head Head, sigs []signature, log pinned, known []pinned) ([]cosigner, error) {
	bad := func(detail string) ([]cosigner, error) {
		return nil, domicile.Refuse("check signatures", domicile.BadSignature, "c2sp/tlog-cosignature", detail)
	}
	if !sigs[0].by(log.verifier) || !ed25519.Verify(log.key, []byte(head.text()), sigs[0].sig) {
		return bad("the first signature is not a valid one of the log")
	}
	var out []cosigner
	for i, s := range sigs[1:] {
		k := slices.IndexFunc(known, func(p pinned) bool { return s.by(p.verifier) })
		if k < 0 {
			return bad("a signature is by nobody in the pins")
		}
		if i > 0 && sigs[i].line() >= s.line() {
			return bad("the cosignatures are not in order")
		}
		if slices.ContainsFunc(out, func(c cosigner) bool { return c.name == s.name }) {
			return bad("a cosigner signed twice")
		}
		at, ok := known[k].cosigned(head.text(), s)
		if !ok {
			return bad("the cosignature of " + s.name + " does not verify")
		}
		out = append(out, cosigner{known[k], at})
	}
	return out, nil
}

// checkQuorum counts those cosigners that are not the log's own region, and looks for a state that could compel them all.
func checkQuorum(quorum int, log pinned, by []cosigner) error {
	no := func(detail string) error {
		return domicile.Refuse("check quorum", domicile.QuorumNotReached, "pins/quorum", detail)
	}
	all := []Pin{log.Pin}
	for _, c := range by {
		own := bytes.Equal(c.key, log.key) || c.Region != "" && c.Region == log.Region
		if !own {
			all = append(all, c.Pin)
		}
	}
	if len(all)-1 < quorum {
		return no("too few cosigners besides the log's own region have signed its checkpoint")
	}
	if one, ok := compelledByOne(all); ok {
		return no("the log's region and all cosigners can be compelled by one state" + one)
	}
	return nil
}

// compelledByOne says whether some state can compel every holder. A holder of whom nothing is said can be compelled by any.
func compelledByOne(pins []Pin) (string, bool) {
	var common []string
	stated := false
	for _, p := range pins {
		switch {
		case p.CompellableBy == nil:
		case !stated:
			common, stated = slices.Clone(p.CompellableBy), true
		default:
			common = slices.DeleteFunc(common, func(s string) bool { return !slices.Contains(p.CompellableBy, s) })
		}
	}
	if !stated {
		return "", true
	}
	if len(common) > 0 {
		return " (" + common[0] + ")", true
	}
	return "", false
}
