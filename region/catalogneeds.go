package region

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"domicile"
)

// Signatures says of one version which signatures it needs and has: what a signing ceremony goes by, and what a node
// accepts a version by.
type Signatures struct {
	Quorum  int         `json:"quorum"` // regions of the version before that must sign; 0 for the first version
	Counted int         `json:"counted"`
	Of      []Signature `json:"of"` // every region of this version and of the one before, by name
}

// Signature is one region's. One that is in both versions signs by its key of the version before, and if that key changes by
// the new one too.
type Signature struct {
	Region domicile.Region `json:"region"`
	Signed bool            `json:"signed"`          // by every key that it needs to sign by
	Why    []string        `json:"why,omitempty"`   // what makes this region's own signature necessary; empty if it only counts toward the quorum
	Lacks  string          `json:"lacks,omitempty"` // by which key it has not signed
}

// Missing are the regions whose own signature is necessary and absent.
func (s Signatures) Missing() []Signature {
	return slices.DeleteFunc(slices.Clone(s.Of), func(o Signature) bool { return o.Signed || len(o.Why) == 0 })
}

// Complete reports whether nodes accept the version.
func (s Signatures) Complete() bool { return s.Counted >= s.Quorum && len(s.Missing()) == 0 }

// complete is the refusal of a version that is not.
func (s Signatures) complete(v uint64) error {
	if s.Counted < s.Quorum {
		return unverified(v, fmt.Sprintf("%d regions of the version before signed it, and the quorum is %d", s.Counted, s.Quorum))
	}
	for _, m := range s.Missing() {
		return unverified(v, "it lacks the signature of "+string(m.Region)+" by "+m.Lacks+": "+m.Why[0])
	}
	return nil
}

// signatures holds the signatures of a note against what the step from prev (nil before the first version) to c needs.
func (c *Catalog) signatures(prev *Catalog, signed []byte) (s Signatures, err error) {
	old, err := c.signers(prev, signed)
	if err != nil {
		return s, err
	}
	now, err := c.signers(c, signed)
	if err != nil {
		return s, err
	}
	why, before := touches{}, &Catalog{}
	if prev != nil {
		s.Quorum, s.Counted, before = prev.Quorum, len(old), prev
		why = c.touched(prev)
	} else {
		for _, r := range c.Regions {
			why.add(r.Name, "the first version is signed by every region in it")
		}
	}
	seen := map[domicile.Region]bool{}
	for _, r := range append(slices.Clone(before.Regions), c.Regions...) {
		if seen[r.Name] {
			continue
		}
		seen[r.Name] = true
		was, there := before.Region(r.Name)
		is, stays := c.Region(r.Name)
		o := Signature{Region: r.Name, Why: why[r.Name]}
		switch {
		case there && !old[r.Name]:
			o.Lacks = "its key"
		case stays && (!there || is.Key != was.Key) && !now[r.Name]:
			o.Lacks = "its new key"
		}
		o.Signed = o.Lacks == ""
		s.Of = append(s.Of, o)
	}
	slices.SortFunc(s.Of, func(a, b Signature) int { return strings.Compare(string(a.Region), string(b.Region)) })
	return s, nil
}

// signers returns the regions of under whose key verifies a signature of the note; nil has none.
func (c *Catalog) signers(under *Catalog, signed []byte) (map[domicile.Region]bool, error) {
	out := map[domicile.Region]bool{}
	if under == nil || !isSigned(signed) {
		return out, nil
	}
	for _, r := range under.Regions {
		v, err := note.NewVerifier(r.Key)
		if err != nil {
			return nil, unverified(c.Version, "the key of "+string(r.Name)+" is malformed")
		}
		_, err = note.Open(signed, note.VerifierList(v))
		if _, none := err.(*note.UnverifiedNoteError); none {
			continue
		} else if err != nil {
			return nil, unverified(c.Version, "signature of "+string(r.Name)+": "+err.Error())
		}
		out[r.Name] = true
	}
	return out, nil
}
