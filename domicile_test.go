package domicile

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParseRegion(t *testing.T) {
	for s, ok := range map[string]bool{
		"eu-ireland": true, "us-east": true, "r2": true, "a": false, "": false, "-eu": false, "eu-": false,
		"EU": false, "eu_ireland": false, "eu ireland": false, strings.Repeat("a", 33): false, strings.Repeat("a", 32): true,
	} {
		if _, err := ParseRegion(s); (err == nil) != ok {
			t.Errorf("ParseRegion(%q): %v", s, err)
		}
	}
}

func TestParseCountry(t *testing.T) {
	for s, want := range map[string]Country{
		"IE": "IE", "ie": "IE", "US": "US", "XX": "", "ZZ": "", "": "", "E ": "", " I": "", "IRL": "", "UK": "", "EU": "", "i\u00e9": "",
	} {
		got, err := ParseCountry(s)
		if got != want || (want == "") != (ReasonOf(err) == UnknownCountry) {
			t.Errorf("ParseCountry(%q) = %q, %v", s, got, err)
		}
	}
	if n := len(strings.Fields(countries)); n != 249 {
		t.Errorf("%d countries listed, ISO 3166-1 assigns 249", n)
	}
	for _, c := range strings.Fields(eea) {
		if _, err := ParseCountry(c); err != nil {
			t.Error(err)
		}
	}
	if n := len(strings.Fields(eea)); n != 30 {
		t.Errorf("%d EEA states listed, there are 30", n)
	}
	if Country("GB").EEA() || Country("").EEA() || !Country("IE").EEA() {
		t.Error("EEA")
	}
}

func TestErrorsKeepKindAndReason(t *testing.T) {
	err := fmt.Errorf("outer: %w", W("crossing", Refuse("export", NoToken, "house/token", "bring a token")))
	if KindOf(err) != Refused || ReasonOf(err) != NoToken {
		t.Errorf("kind %v, reason %q", KindOf(err), ReasonOf(err))
	}
	var e *Error
	if !errors.As(err, &e) || e.Rule != "house/token" {
		t.Errorf("rule lost: %+v", e)
	}
	if W("x", nil) != nil {
		t.Error("W of nil")
	}
	if KindOf(errors.New("x")) != Other || ReasonOf(nil) != "" {
		t.Error("a foreign error has a kind")
	}
	for k := Other; k <= TooLarge; k++ {
		if ParseKind(k.String()) != k {
			t.Errorf("kind %d does not survive its name %q", k, k)
		}
	}
}

func TestNewIDIsFresh(t *testing.T) {
	a, b := NewID("a"), NewID("a")
	if a == b || len(a) != 27 || !regexp.MustCompile(`^a[a-z2-7]{26}$`).MatchString(a) {
		t.Errorf("%q, %q", a, b)
	}
}

// The closed list, the constants and docs/REASONS.md must name the same codes.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("docs/REASONS.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("reasons.go")
	if err != nil {
		t.Fatal(err)
	}
	collect := func(text []byte, pattern string) []Reason {
		var out []Reason
		for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			out = append(out, Reason(m[1]))
		}
		slices.Sort(out)
		return out
	}
	listed := slices.Sorted(slices.Values(Reasons))
	if documented := collect(page, "(?m)^\\| `([a-z_]+)` \\|"); !slices.Equal(documented, listed) {
		t.Errorf("docs/REASONS.md has\n%v\nthe list has\n%v", documented, listed)
	}
	if declared := collect(source, `Reason\s+= "([a-z_]+)"`); !slices.Equal(declared, listed) {
		t.Errorf("reasons.go declares\n%v\nthe list has\n%v", declared, listed)
	}
}
