package store

import (
	"strings"
	"testing"

	"domicile"
)

func TestEntryName(t *testing.T) {
	for in, want := range map[string]string{
		"/private/comment":                         "/private/comment",
		"/Shared/Vendor/CMU/Color":                 "/shared/vendor/cmu/color",
		"/private/a b":                             "/private/a b",
		"/private/" + strings.Repeat("x", 256-9):   "/private/" + strings.Repeat("x", 256-9),
		"/private/" + strings.Repeat("x", 256-9+1): "",
		"":                      "",
		"/":                     "",
		"/private":              "",
		"/private/":             "",
		"/private//a":           "",
		"/private/a/":           "",
		"//private/a":           "",
		"private/a":             "",
		"x/private/a":           "",
		"/public/a":             "",
		"/private/a*":           "",
		"/private/%":            "",
		"/private/a\x00":        "",
		"/private/a\r\nX":       "",
		"/private/a\x1f":        "",
		"/private/a\x7f":        "",
		"/private/caf\u00e9":    "",
		"/private/\xff":         "",
		"/pr\u0131vate/comment": "",
	} {
		got, err := EntryName(in)
		if got != want || (err == nil) != (want != "") || err != nil && domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}
