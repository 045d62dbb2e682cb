package message

import "testing"

func TestBaseSubject(t *testing.T) {
	for in, want := range map[string]string{
		"Hello":     "hello",
		"Re: Hello": "hello+",
		"RE : FWD[2]: [list] re: Hello (fwd) (FWD) ": "hello+",
		"[list] Hello":                    "hello",
		"[list] [other] Re[5]: [x] Hello": "hello+",
		"[list]":                          "[list]",
		"[Fwd: Re: Hello]":                "hello+",
		"[fwd: [fwd: a]]":                 "a+",
		"Re:":                             "+",
		"(fwd)":                           "+",
		"":                                "",
		"Regarding: x":                    "regarding: x",
		"re: [a[b] c":                     "[a[b] c+",
		"[]  x":                           "x",
		"Fw: x":                           "x+",
		"re x:":                           "re x:",
		"Ré: x":                           "re\u0301: x",
		"Re： 全角":                          "全角+",
		"[a] [b]":                         "[b]",
	} {
		s := Fold(in)
		base, reply := baseSubject(s)
		got := s[base.from:base.to]
		if reply {
			got += "+"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
