package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"domicile"
)

func TestWrap(t *testing.T) {
	text := "Órdú cúirte: a word, averyveryverylongwordthatdoesnotfit and more"
	lines := wrap(text, 12)
	if got := strings.Join(lines, " "); got != text {
		t.Errorf("words were lost: %q", got)
	}
	for _, l := range lines {
		if utf8.RuneCountInString(l) > 12 && strings.Contains(l, " ") {
			t.Errorf("%q is too long", l)
		}
	}
	if got := wrap("", 10); !slices.Equal(got, []string{""}) {
		t.Errorf("wrap of nothing: %q", got)
	}
}

// TestStepsAreCounted wants an act to fail if another code came than was promised, or an error, and the last line to say so.
func TestStepsAreCounted(t *testing.T) {
	var out bytes.Buffer
	s := &story{teller: newTeller(&out, true)}
	s.do("as promised", us, "no_token", func() (string, string, error) { return "no_token", "", nil })
	s.do("another code", us, "no_token", func() (string, string, error) { return "expired", "", nil })
	s.do("an error", ie, "ok", func() (string, string, error) {
		return "", "", domicile.Refuse("x", domicile.Stayed, "rule", "detail")
	})
	s.do("an error with the right code", ie, "ok", func() (string, string, error) { return "ok", "", errors.New("no") })
	s.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 || lines[4] != `{"summary": {"steps": 4, "failed": 3}}` {
		t.Fatalf("%s", out.String())
	}
	for i, want := range []act{{"as promised", us, true, "no_token", ""}, {"another code", us, false, "expired", "no_token was promised. "}, {"an error", ie, false, "stayed", "x: refused (stayed): detail"}} {
		var got act
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, want %+v, %v", want.Step, got, want, err)
		}
	}
}

// TestNotRefusedIsAFailure: an act that must be refused and was done, or whose refusal left no receipt, does not pass.
func TestNotRefusedIsAFailure(t *testing.T) {
	s := &story{teller: newTeller(&bytes.Buffer{}, true)}
	if _, _, err := s.refused("x", "", nil); err == nil {
		t.Error("what was done passes as refused")
	}
	if _, _, err := s.refused("x", "", domicile.E("x", domicile.Unavailable, "")); err == nil {
		t.Error("what was out of reach passes as refused")
	}
	if _, _, err := s.refused("x", "", domicile.Refuse("x", domicile.NoToken, "", "")); err == nil {
		t.Error("a refusal without a receipt passes")
	}
}
