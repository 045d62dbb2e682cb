package store

import (
	"slices"
	"strings"

	"domicile"
)

// The system flags that a client may set (RFC 9051 2.3.2).
const (
	Seen     = "\\Seen"
	Answered = "\\Answered"
	Flagged  = "\\Flagged"
	Deleted  = "\\Deleted"
	Draft    = "\\Draft"
)

var systemFlags = []string{Answered, Flagged, Deleted, Seen, Draft}

// CanonicalFlags returns flags in their one form: system flags in canonical case
// and fixed order, then keywords as first spelled, in alphabetical order without
// regard to case, nothing twice. It refuses \Recent, unknown system flags and
// keywords that are no IMAP atom (RFC 9051 9), and more than MaxFlags.
func CanonicalFlags(flags []string) ([]string, error) {
	if len(flags) > MaxFlags {
		return nil, domicile.E("flags", domicile.TooLarge, "more than 64 flags on a message")
	}
	out := make([]string, 0, len(flags))
	for _, f := range flags {
		if strings.HasPrefix(f, "\\") {
			i := indexFlag(systemFlags, f)
			if i < 0 {
				return nil, domicile.E("flags", domicile.Invalid, "not a system flag that can be set")
			}
			f = systemFlags[i]
		} else if !isKeyword(f) {
			return nil, domicile.E("flags", domicile.Invalid, "a keyword is an IMAP atom of at most 128 bytes")
		}
		if !HasFlag(out, f) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, compareFlags)
	return out, nil
}

// ApplyFlags returns what have becomes under op with flags, both canonical. The
// spelling of a keyword that have holds already stays. TooLarge if the result is.
func ApplyFlags(have []string, op FlagOp, flags []string) ([]string, error) {
	switch op {
	case FlagsAdd:
		return combine(have, flags)
	case FlagsRemove:
		return slices.DeleteFunc(slices.Clone(have), func(f string) bool { return HasFlag(flags, f) }), nil
	case FlagsSet:
		kept := slices.DeleteFunc(slices.Clone(have), func(f string) bool { return !HasFlag(flags, f) })
		return combine(kept, flags)
	}
	return nil, domicile.E("flags", domicile.Invalid, "not a way to combine flags")
}

func combine(have, more []string) ([]string, error) {
	out := slices.Clone(have)
	for _, f := range more {
		if !HasFlag(out, f) {
			out = append(out, f)
		}
	}
	return CanonicalFlags(out)
}

// HasFlag says whether flags hold f, without regard to case.
func HasFlag(flags []string, f string) bool { return indexFlag(flags, f) >= 0 }

func indexFlag(flags []string, f string) int {
	return slices.IndexFunc(flags, func(g string) bool { return strings.EqualFold(f, g) })
}

// compareFlags puts system flags first, in the order of systemFlags.
func compareFlags(a, b string) int {
	i, j := slices.Index(systemFlags, a), slices.Index(systemFlags, b)
	switch {
	case i >= 0 && j >= 0:
		return i - j
	case i >= 0:
		return -1
	case j >= 0:
		return 1
	}
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}

// isKeyword accepts the atoms of RFC 9051 9 that do not begin with "\".
func isKeyword(f string) bool {
	if f == "" || len(f) > MaxKeyword {
		return false
	}
	for i := 0; i < len(f); i++ {
		if c := f[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}
