package placement

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"domicile"
)

// Limits of RFC 5321 4.5.3.1, in bytes.
const (
	maxLocal   = 64
	maxAddress = 254
	maxText    = 1024 // of what is looked at at all: an address in U-labels may be longer than its canonical form
)

// domains maps a domain to lower-case A-labels as a resolver would (UTS 46, non-transitional,
// RFC 5891 lookup) and refuses what DNS host names cannot hold.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true),
	idna.VerifyDNSLength(true), idna.CheckHyphens(true), idna.CheckJoiners(true), idna.Transitional(false))

// ParseAddress brings text to the one canonical form of an address: local part NFC and case-folded,
// subaddress ("+tag", RFC 5233) removed, domain as lower-case A-label. It is idempotent, and safe for
// concurrent use.
//
// It refuses, as Invalid, controls, spaces, quotes, invisible characters, empty parts, address
// literals, a local part over 64 bytes, a whole over 254. Vectors are in docs/FORMATS.md. The error
// never repeats the address, so that it may be logged.
func ParseAddress(s string) (domicile.Address, error) {
	if len(s) > maxText {
		return "", invalid("longer than an address can be")
	}
	if !utf8.ValidString(s) {
		return "", invalid("not UTF-8")
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", invalid("no @ in it")
	}
	local, err := canonicalLocal(s[:at])
	if err != nil {
		return "", err
	}
	domain, err := canonicalDomain(s[at+1:])
	if err != nil {
		return "", err
	}
	if len(local)+1+len(domain) > maxAddress {
		return "", invalid("longer than 254 bytes")
	}
	return domicile.Address(local + "@" + domain), nil
}

func canonicalLocal(s string) (string, error) {
	if len(s) > maxLocal {
		return "", invalid("local part longer than 64 bytes")
	}
	s, _, _ = strings.Cut(s, "+")
	s, ok := fold(s)
	if !ok {
		return "", invalid("local part has no stable case-folded form")
	}
	if len(s) > maxLocal { // folding may lengthen
		return "", invalid("local part longer than 64 bytes")
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return "", invalid("local part, or a part of it between dots, is empty")
		}
	}
	if first, _ := utf8.DecodeRuneInString(s); unicode.Is(unicode.M, first) {
		return "", invalid("local part begins with a combining mark")
	}
	for _, r := range s {
		if !localRune(r) {
			return "", invalid("local part has a character that is not allowed (spaces, quotes, controls and invisible ones are not)")
		}
	}
	return s, nil
}

// fold is Unicode's canonical caseless form: NFC of the full case folding of NFD. Where one round
// brings forth something that folds again, rounds follow, so that the result is a fixed point.
func fold(s string) (string, bool) {
	for range 4 {
		next := norm.NFC.String(cases.Fold().String(norm.NFD.String(s)))
		if next == s {
			return s, true
		}
		s = next
	}
	return "", false
}

// localRune allows the atoms of RFC 5322 3.2.3, dots, and beyond ASCII (RFC 6531) what a person can see.
func localRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '.' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*-/=?^_`{|}~", r)
	}
	return r != utf8.RuneError && unicode.IsGraphic(r) && !unicode.IsSpace(r) &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func canonicalDomain(s string) (string, error) {
	if s == "" {
		return "", invalid("no domain after the @")
	}
	d, err := domains.ToASCII(s)
	if err != nil || strings.HasSuffix(d, ".") {
		return "", invalid("domain is not a host name")
	}
	// A mapped name must stand for itself, or one account could have two canonical addresses.
	if again, err := domains.ToASCII(d); err != nil || again != d {
		return "", invalid("domain has no stable form")
	}
	return d, nil
}

func invalid(detail string) error {
	return domicile.E("address", domicile.Invalid, detail)
}
