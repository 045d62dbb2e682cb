package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"domicile"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	maxReceipt  = 4 << 20 // bytes: all private fields of a leaf, revealed and escaped
	maxProof    = 63      // hashes
)

// extra is what a receipt carries in its extra line, as base64 of canonical JSON.
type extra struct {
	Leaf   string             `json:"leaf"` // as hashed
	Reveal map[string]opening `json:"reveal,omitempty"`
	V      int                `json:"v"`
}

// proof is a parsed receipt (C2SP tlog-proof).
type proof struct {
	extra      extra
	index      uint64
	path       tlog.RecordProof
	checkpoint string // signed, cosignatures included
}

// encode writes the one form in which a proof is a receipt of ours.
func (p *proof) encode() ([]byte, error) {
	x, err := canonical(p.extra)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofHeader, base64Strict.EncodeToString(x), p.index)
	for _, h := range p.path {
		fmt.Fprintln(&b, h)
	}
	b.WriteString("\n" + p.checkpoint)
	return []byte(b.String()), nil
}

// parseProof accepts exactly what encode writes.
func parseProof(data []byte) (*proof, error) {
	bad := func(detail string) (*proof, error) { return nil, domicile.E("parse receipt", domicile.Invalid, detail) }
	if len(data) > maxReceipt {
		return bad("over 4 MiB")
	}
	head, checkpoint, ok := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || len(lines) > 3+maxProof || lines[0] != proofHeader {
		return bad("not a " + proofHeader + " with extra, index, proof, empty line and checkpoint")
	}
	p := proof{checkpoint: checkpoint}
	x64, ok1 := strings.CutPrefix(lines[1], "extra ")
	index, ok2 := strings.CutPrefix(lines[2], "index ")
	if !ok1 || !ok2 {
		return bad("its second and third line are not extra and index")
	}
	x, err := decode64(x64)
	if err != nil {
		return bad("the extra line is not canonical base64")
	}
	if err := decodeCanonical(x, &p.extra); err != nil || p.extra.V != 1 {
		return bad("the extra line is not the canonical JSON of version 1")
	}
	if p.index, err = strconv.ParseUint(index, 10, 64); err != nil || strconv.FormatUint(p.index, 10) != index {
		return bad("the index is not a decimal number")
	}
	for _, line := range lines[3:] {
		h, err := decode64(line)
		if err != nil || len(h) != tlog.HashSize {
			return bad("a proof line is not the base64 of a hash")
		}
		p.path = append(p.path, tlog.Hash(h))
	}
	again, err := p.encode()
	if err != nil || string(again) != string(data) {
		return bad("not in the one form of a receipt")
	}
	return &p, nil
}

// Receipt returns the receipt of leaf index (c2sp.org/tlog-proof@v1, the leaf in its
// extra line). It is under the checkpoint covering the leaf that has the most cosignatures, the newest of several, with all
// of them; while none has any, under the newest. With reveal, the receipt also opens the leaf's private fields by showing
// their salts; domicile.NotExist if they are not held any more.
func (l *Log) Receipt(index uint64, reveal bool) ([]byte, error) {
	const op = "make receipt"
	head := l.snapshot()
	if index >= head.Size {
		return nil, domicile.E(op, domicile.NotExist, "the log has no such leaf")
	}
	raw, err := l.raw(index, head)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	p := proof{index: index, extra: extra{Leaf: string(raw), V: 1}}
	if reveal {
		if p.extra.Reveal, err = l.openingsOf(raw, index); err != nil {
			return nil, domicile.W(op, err)
		}
	}
	signed, at, err := l.receiptCheckpoint(index)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	p.checkpoint = signed
	if p.path, err = tlog.ProveRecord(int64(at.Size), int64(index), l.tiles.hashes(l.snapshot())); err != nil {
		return nil, domicile.W(op, err)
	}
	if err := tlog.CheckRecord(p.path, int64(at.Size), at.Root, int64(index), tlog.RecordHash(raw)); err != nil {
		return nil, domicile.W(op, err) // never hand out a receipt that does not verify
	}
	return p.encode()
}

// openingsOf returns the salts and values of all private fields of a leaf, checked against their commitments.
func (l *Log) openingsOf(raw []byte, index uint64) (map[string]opening, error) {
	r, err := parseLeaf(raw, l.cfg.Origin, index)
	if err != nil {
		return nil, err
	}
	openings, err := l.private(index)
	if err != nil {
		return nil, err
	}
	for name := range r.Private {
		if _, ok := openings[name]; !ok {
			return nil, domicile.E("open private fields", domicile.NotExist, "the salts of this leaf are not held here; the receipt without them is still to be had")
		}
	}
	if err := r.checkOpenings(openings); err != nil {
		return nil, err
	}
	return openings, nil
}

// receiptCheckpoint chooses the checkpoint of a receipt and puts its cosignatures behind it, in the order of their bytes.
func (l *Log) receiptCheckpoint(index uint64) (string, Head, error) {
	signed, cosigs, err := l.bestCosigned(index)
	if err != nil {
		return "", Head{}, err
	}
	if signed == nil {
		l.mu.RLock()
		defer l.mu.RUnlock()
		return string(l.signed), l.head, nil
	}
	head, _, err := openCheckpoint(signed, l.key)
	if err != nil {
		return "", Head{}, err
	}
	lines := make([]string, len(cosigs))
	for i, c := range cosigs {
		lines[i] = c.line
	}
	slices.Sort(lines)
	return string(signed) + strings.Join(lines, ""), head, nil
}

// checkOpenings holds salts and values against the commitments of a leaf.
func (r *record) checkOpenings(openings map[string]opening) error {
	for name, o := range openings {
		if len(o.Salt) != saltSize || string(o.commit()) != string(r.Private[name]) {
			return domicile.E("open private fields", domicile.Invalid, "the revealed field "+strconv.Quote(name)+" is not the one committed in the leaf")
		}
	}
	return nil
}
