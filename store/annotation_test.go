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

// FuzzEntryName: the form of a name is its own form, and nothing that an answer could not carry.
func FuzzEntryName(f *testing.F) {
	for _, s := range []string{"/private/comment", "/Shared/Vendor/A b", "/private//x", "/private/\"\\(){ }"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		entry, err := EntryName(name)
		if err != nil {
			return
		}
		again, err := EntryName(entry)
		if err != nil || again != entry || !strings.EqualFold(entry, name) || strings.ContainsAny(entry, "\r\n\x00*%") {
			t.Errorf("%q is %q, and that %q, %v", name, entry, again, err)
		}
	})
}
