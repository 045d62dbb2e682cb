package imapd

import (
	"regexp"
	"strings"
	"testing"
	"time"
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

func TestMatchesInLinearTime(t *testing.T) {
	start := time.Now()
	name := strings.Repeat("a", 1024)
	for range 10 {
		matches(name, strings.Repeat("*a", 500)+"b")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("%v", d)
	}
}
