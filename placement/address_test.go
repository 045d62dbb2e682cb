package placement

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"domicile"
)

type vector struct{ text, want string } // want "" = refused

// vectors reads the table of docs/FORMATS.md, so that the page and the code cannot drift apart.
func vectors(t testing.TB) []vector {
	page, err := os.ReadFile("../docs/FORMATS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Addresses\n")
	section, _, _ = strings.Cut(section, "\n## ")
	unquote := func(s string) string {
		out, err := strconv.Unquote(s)
		if err != nil {
			t.Fatalf("docs/FORMATS.md: %s: %v", s, err)
		}
		return out
	}
	var out []vector
	for _, m := range regexp.MustCompile("(?m)^\\| `(\".*?\")` \\| (?:`(\".*\")`|[^`]+) \\|$").FindAllStringSubmatch(section, -1) {
		v := vector{text: unquote(m[1])}
		if m[2] != "" {
			v.want = unquote(m[2])
		}
		out = append(out, v)
	}
	if rows := strings.Count(section, "\n| `"); len(out) != rows || rows < 50 {
		t.Fatalf("docs/FORMATS.md: %d of %d rows of the address table were understood", len(out), rows)
	}
	return out
}

func TestAddressVectors(t *testing.T) {
	for _, v := range vectors(t) {
		got, err := ParseAddress(v.text)
		if string(got) != v.want {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", v.text, got, err, v.want)
		}
		if (err != nil) != (v.want == "") || err != nil && domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("ParseAddress(%q): %v", v.text, err)
		}
		if err != nil && len(v.text) > 6 && strings.Contains(err.Error(), v.text) {
			t.Errorf("the error repeats the address: %v", err)
		}
	}
}

func TestAddressLengths(t *testing.T) {
	label := strings.Repeat("d", 61)
	domain := label + "." + label + "." + label // 185 bytes
	for n, ok := range map[int]bool{254: true, 255: false} {
		local := strings.Repeat("a", 60)
		a := local + "@" + domain + "." + strings.Repeat("e", n-len(local)-len(domain)-2-4) + ".com"
		if len(a) != n {
			t.Fatal(len(a))
		}
		if _, err := ParseAddress(a); (err == nil) != ok {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// U+0149 has two bytes; it folds to two characters of three bytes together.
	if _, err := ParseAddress(strings.Repeat("\u0149", 32) + "@example.com"); err == nil {
		t.Error("a local part that folding makes longer than 64 bytes is accepted")
	}
	if _, err := ParseAddress(strings.Repeat("a", 1<<20) + "@example.com"); err == nil {
		t.Error("a megabyte is accepted")
	}
}

// One person's two spellings must be one account, and no spelling may have two canonical forms.
func FuzzParseAddress(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if a != "" {
				t.Fatalf("an error and an address: %q", a)
			}
			return
		}
		if again, err := ParseAddress(string(a)); err != nil || again != a {
			t.Fatalf("%q -> %q -> %q, %v", s, a, again, err)
		}
		if len(a) > 254 || len(a.Local()) > 64 || a.Local() == "" || a.Domain() == "" || strings.ContainsAny(string(a), "+ \t\r\n\x00\"<>") {
			t.Fatalf("%q -> %q", s, a)
		}
		if upper, err := ParseAddress(strings.ToUpper(string(a.Local())) + "@" + strings.ToUpper(a.Domain())); isASCII(string(a)) && (err != nil || upper != a) {
			t.Fatalf("upper case of %q is %q, %v", a, upper, err)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > '~' }) < 0
}
