package imapd

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"domicile/store"
)

func FuzzMatches(f *testing.F) {
	f.Add("INBOX/a", "%/%")
	f.Add("Work", "W*k%")
	f.Fuzz(func(t *testing.T, name, pattern string) {
		if len(name) > 100 || len(pattern) > 100 {
			return
		}
		model := regexp.QuoteMeta(string([]byte(pattern)))
		model = strings.NewReplacer(`\*`, `.*`, `%`, `[^/]*`).Replace(model)
		re, err := regexp.Compile(`(?s)\A` + model + `\z`)
		if err != nil || !validText(name) || !validText(pattern) {
			return
		}
		if got, want := matches(name, pattern), re.MatchString(name); got != want {
			t.Fatalf("%q by %q: %v, want %v", name, pattern, got, want)
		}
	})
}

func validText(s string) bool { return strings.ToValidUTF8(s, "") == s }

// matchesNaive is the definition, for each place of the name and the pattern.
func matchesNaive(name, pattern string) bool {
	ok := make([]bool, len(name)+1)
	ok[0] = true
	for i := range len(pattern) {
		switch c := pattern[i]; c {
		case '*', '%':
			for j := 1; j <= len(name); j++ {
				ok[j] = ok[j] || ok[j-1] && (c == '*' || name[j-1] != '/')
			}
		default:
			for j := len(name); j > 0; j-- {
				ok[j] = ok[j-1] && name[j-1] == c
			}
			ok[0] = false
		}
	}
	return ok[len(name)]
}

// Names and patterns of every length around those of a machine word.
func TestMatchesLongNames(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = from[r.IntN(len(from))]
		}
		return string(b)
	}
	fit := 0
	for range 20_000 {
		name := pick("aab/", r.IntN(200))
		pattern := []byte(name)
		for range r.IntN(6) {
			from := r.IntN(len(pattern) + 1)
			to := from + r.IntN(len(pattern)-from+1)
			pattern = slices.Replace(pattern, from, to, []byte(pick("*%%a/", 1+r.IntN(2)))...)
		}
		got := matches(name, string(pattern))
		if got != matchesNaive(name, string(pattern)) {
			t.Fatalf("%q by %q: %v", name, pattern, got)
		}
		if got {
			fit++
		}
	}
	if fit < 1000 {
		t.Errorf("%d fit", fit)
	}
}

func BenchmarkMatches(b *testing.B) {
	name, pattern := strings.Repeat("a", store.MaxMailboxName), strings.Repeat("*a", maxPatternBytes/2)
	for b.Loop() {
		matches(name, pattern)
	}
}
