package region

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/mod/sumdb/note"

	"domicile"
	"domicile/audit"
)

// Draft is a version on its way from hand to hand: its text, and the signatures that it has so far. It says nothing until it
// is complete and installed.
type Draft struct {
	Catalog *Catalog
	prev    *Catalog // nil before the first version
	signed  []byte   // a note, or the text alone as long as nobody has signed
}

// sigMark is where a note's signatures begin (c2sp.org/signed-note). No TOML has a line that begins with it.
const sigMark = "\n\n— "

func isSigned(raw []byte) bool { return bytes.Contains(raw, []byte(sigMark)) }

// Propose returns the draft that follows prev (nil: the first version) with the content of c; version, previous and issued are
// set here. Content that makes no sense is Invalid, and so is a draft that changes nothing.
func Propose(c, prev *Catalog, now time.Time) (*Draft, error) {
	next := *c
	next.Version, next.Previous, next.Issued = 1, "", now.UTC().Truncate(time.Second)
	if prev != nil {
		next.Version, next.Previous = prev.Version+1, prev.hash
		if next.Issued.Before(prev.Issued) {
			return nil, domicile.Refuse("propose a catalog", domicile.ClockUnsure, "house/clock",
				"this machine's clock is before the time of the version that it would follow, "+prev.Issued.Format(time.RFC3339))
		}
		if len(next.Changes(prev)) == 0 {
			return nil, bad("it would change nothing")
		}
	}
	text, err := next.Marshal()
	if err != nil {
		return nil, err
	}
	return ReadDraft(text, prev)
}

// ReadDraft reads a draft that must follow prev: a text, or a note with some signatures. Not the next version is
// CatalogUnverified.
func ReadDraft(raw []byte, prev *Catalog) (*Draft, error) {
	text := raw
	if isSigned(raw) {
		var err error
		if text, err = noteText(raw); err != nil {
			return nil, bad(err.Error())
		}
	}
	c, err := parseCatalog(text)
	if err != nil {
		return nil, err
	}
	want := uint64(1)
	if prev != nil {
		want = prev.Version + 1
	}
	return &Draft{Catalog: c, prev: prev, signed: bytes.Clone(raw)}, c.follows(prev, want)
}

// Bytes are the draft's file; the complete ones are the version's.
func (d *Draft) Bytes() []byte { return d.signed }

// Signatures says who has signed and who is still needed.
func (d *Draft) Signatures() (Signatures, error) { return d.Catalog.signatures(d.prev, d.signed) }

// Sign adds the signature of s, which must be the key of a region in this version or the one before; the second time it changes
// nothing. Refused BadSignature for a key that the catalog does not know: nobody would count it.
func (d *Draft) Sign(s audit.Signer) (domicile.Region, error) {
	const op = "sign the catalog"
	owner, err := d.ownerOf(s)
	if err != nil {
		return "", err
	}
	n := &note.Note{Text: string(d.signed)}
	if isSigned(d.signed) {
		_, err := note.Open(d.signed, note.VerifierList())
		u, ok := errors.AsType[*note.UnverifiedNoteError](err)
		if !ok {
			return "", domicile.W(op, err)
		}
		n = u.Note
	}
	signed, err := note.Sign(n, noteSigner{s})
	if err != nil {
		return "", domicile.W(op, err)
	}
	d.signed = signed
	return owner, nil
}

// ownerOf returns the region whose catalog key a signer is.
func (d *Draft) ownerOf(s audit.Signer) (domicile.Region, error) {
	for _, c := range []*Catalog{d.Catalog, d.prev} {
		if c == nil {
			continue
		}
		for _, r := range c.Regions {
			if v, err := note.NewVerifier(r.Key); err == nil && v.Name() == s.Name() && v.KeyHash() == (noteSigner{s}).KeyHash() {
				return r.Name, nil
			}
		}
	}
	return "", domicile.Refuse("sign the catalog", domicile.BadSignature, "house/catalog-chain",
		"the key "+s.Name()+" is no region's, neither in this version nor in the one before")
}

// InstallDraft writes a complete version into dir, under its number, beside those that it follows; genesis pins the first. What
// nodes would refuse is refused here, with the same words (CatalogUnverified), and writes nothing.
func InstallDraft(dir, genesis string, raw []byte) (*Catalog, error) {
	var prev *Catalog
	if _, err := newestVersion(dir); err == nil {
		if prev, err = LoadCatalog(dir, genesis); err != nil {
			return nil, err
		}
	}
	v := uint64(1)
	if prev != nil {
		v = prev.Version + 1
	}
	c, _, err := nextVersion(prev, v, raw, genesis)
	if err != nil {
		return nil, err
	}
	return c, writeVersion(dir, v, raw)
}

// ParseEntries reads a part of a catalog that somebody contributes to a draft: tables of entities, regions, domains and
// witnesses, as in a version, and nothing else.
func ParseEntries(text []byte) (*Catalog, error) {
	c, err := ParseContent(text)
	if err == nil && (c.Quorum != 0 || c.Cosigners != 0) {
		err = bad("entries have no quorum or cosigners: these are the draft's")
	}
	return c, err
}

// ParseContent reads what a person wrote as a whole version: entries, quorum and cosigners. What a draft sets by itself may not be
// in it.
func ParseContent(text []byte) (*Catalog, error) {
	if len(text) > maxCatalogBytes {
		return nil, bad("the text is too long")
	}
	c := &Catalog{}
	dec := toml.NewDecoder(bytes.NewReader(text))
	if err := dec.DisallowUnknownFields().Decode(c); err != nil {
		return nil, bad(tomlError(err))
	}
	if c.Version != 0 || c.Previous != "" || !c.Issued.IsZero() {
		return nil, bad("version, previous and issued are set by whoever proposes; leave them out")
	}
	return c, nil
}

// MarshalEntries writes what ParseEntries reads.
func (c *Catalog) MarshalEntries() ([]byte, error) {
	text, err := toml.Marshal(struct {
		Entities  []EntityInfo  `toml:"entity,omitempty"`
		Regions   []RegionInfo  `toml:"region,omitempty"`
		Domains   []DomainInfo  `toml:"domain,omitempty"`
		Witnesses []WitnessInfo `toml:"witness,omitempty"`
	}{c.Entities, c.Regions, c.Domains, c.Witnesses})
	return text, domicile.W("write entries of a catalog", err)
}

// Merge puts entries into c: each takes the place of the one of its name, or is added behind the others.
func (c *Catalog) Merge(entries *Catalog) {
	c.Entities = merge(c.Entities, entries.Entities, func(e EntityInfo) string { return string(e.ID) })
	c.Regions = merge(c.Regions, entries.Regions, func(r RegionInfo) string { return string(r.Name) })
	c.Domains = merge(c.Domains, entries.Domains, func(d DomainInfo) string { return d.Name })
	c.Witnesses = merge(c.Witnesses, entries.Witnesses, func(w WitnessInfo) string { return w.Name })
}

func merge[T any](list, more []T, name func(T) string) []T {
	list = slices.Clone(list)
	for _, m := range more {
		if i := slices.IndexFunc(list, func(t T) bool { return name(t) == name(m) }); i >= 0 {
			list[i] = m
		} else {
			list = append(list, m)
		}
	}
	return list
}

// Copy returns a catalog with the content of c, to be changed and proposed.
func (c *Catalog) Copy() *Catalog {
	out := *c
	out.Entities, out.Domains = slices.Clone(c.Entities), slices.Clone(c.Domains)
	out.Regions, out.Witnesses = slices.Clone(c.Regions), slices.Clone(c.Witnesses)
	for i := range out.Regions {
		out.Regions[i].CA = slices.Clone(out.Regions[i].CA)
	}
	for i := range out.Witnesses {
		out.Witnesses[i].CA = slices.Clone(out.Witnesses[i].CA)
	}
	return &out
}

// Changes tells, a line each, what c changes against prev; version, previous and issued are none. Nil is the catalog before the
// first.
func (c *Catalog) Changes(prev *Catalog) (out []string) {
	if prev == nil {
		prev = &Catalog{}
	}
	for _, n := range []struct {
		key     string
		was, is int
	}{{"quorum", prev.Quorum, c.Quorum}, {"cosigners", prev.Cosigners, c.Cosigners}} {
		if n.was != n.is {
			out = append(out, fmt.Sprintf("%s: %d, was %d", n.key, n.is, n.was))
		}
	}
	out = append(out, changes("entity", prev.Entities, c.Entities, func(e EntityInfo) string { return string(e.ID) })...)
	out = append(out, changes("region", prev.Regions, c.Regions, func(r RegionInfo) string { return string(r.Name) })...)
	out = append(out, changes("domain", prev.Domains, c.Domains, func(d DomainInfo) string { return d.Name })...)
	return append(out, changes("witness", prev.Witnesses, c.Witnesses, func(w WitnessInfo) string { return w.Name })...)
}

func changes[T any](what string, was, is []T, name func(T) string) (out []string) {
	find := func(list []T, want string) *T {
		for i := range list {
			if name(list[i]) == want {
				return &list[i]
			}
		}
		return nil
	}
	for _, w := range was {
		if find(is, name(w)) == nil {
			out = append(out, what+" "+name(w)+": removed")
		}
	}
	for _, n := range is {
		before := find(was, name(n))
		verb := "changed: "
		if before == nil {
			before, verb = new(T), "new: "
		}
		if diff := fieldChanges(*before, n, verb == "new: "); diff != "" {
			out = append(out, what+" "+name(n)+": "+verb+diff)
		}
	}
	if len(out) == 0 && !slices.EqualFunc(was, is, func(a, b T) bool { return name(a) == name(b) }) {
		out = append(out, what+": the order changes")
	}
	return out
}

// fieldChanges names the fields of two entries that differ, by their TOML keys; the first is an entry's name.
func fieldChanges(was, is any, fresh bool) string {
	var out []string
	a, b := reflect.ValueOf(was), reflect.ValueOf(is)
	for i := 1; i < a.NumField(); i++ {
		key, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("toml"), ",")
		x, y := fmt.Sprint(a.Field(i)), fmt.Sprint(b.Field(i))
		switch {
		case fresh && y != "[]" && y != "":
			out = append(out, key+" "+y)
		case !fresh && x != y:
			out = append(out, fmt.Sprintf("%s %s, was %s", key, y, x))
		}
	}
	return strings.Join(out, "; ")
}
