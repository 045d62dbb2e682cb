package message

import (
	"net/mail"
	"os"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"Thu, 26 Nov 2026 01:02:03 +0100":                  "2026-11-26T01:02:03+01:00",
		"26 Nov 2026 01:02 -0330 (a zone, (of) some kind)": "2026-11-26T01:02:00-03:30",
		"Thu , 6 nov 26 1:2:3 EST":                         "2026-11-06T01:02:03-05:00",
		"Thu,6 Nov 1998 01:02:03 GMT":                      "1998-11-06T01:02:03Z",
		"Sun, 6 Nov 99 01:02:60 UT":                        "1999-11-06T01:02:59Z",
		"6 Nov 126 01:02:03":                               "2026-11-06T01:02:03Z",
		"Thu Nov 26 01:02:03 2026":                         "2026-11-26T01:02:03Z",
		"Thu Nov 26 01:02:03 CET 2026":                     "2026-11-26T01:02:03+01:00",
		"Thu, 26-Nov-2026 01:02:03 GMT+0200":               "2026-11-26T01:02:03+02:00",
		"2026-11-26 01:02:03+01:00":                        "2026-11-26T01:02:03+01:00",
		"26 November 2026":                                 "2026-11-26T00:00:00Z",
		"Thu, 26 Nov 2026 01:02:03 +0100 CEST":             "2026-11-26T01:02:03+01:00",
		"Thu, 26 Nov 2026 99:99:99 +9999":                  "2026-11-26T00:00:00Z",
		"29 Feb 2024 01:02:03 X":                           "2024-02-29T01:02:03Z",
		"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600":  "1997-11-21T09:55:06-06:00",
		"Wed 29 May 2019 06:09:22 PM EDT":                  "2019-05-29T18:09:22-04:00",
		"29 Feb 2025 01:02:03":                             "",
		"0 Nov 2026":                                       "",
		"tomorrow":                                         "",
		"":                                                 "",
		"(26 Nov 2026":                                     "",
		"26 Nov":                                           "",
		", , 1 : - -- 1--2":                                "",
	} {
		got := ""
		if d, ok := ParseDate(in); ok {
			got = d.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// What the standard library can read of the corpus is read the same.
func TestDatesOfCorpus(t *testing.T) {
	for _, name := range corpus(t) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m := Parse(raw)
		text := m.Envelope(m.Root).Date
		got, ok := ParseDate(text)
		want, err := mail.ParseDate(text)
		if name, offset := want.Zone(); offset == 0 && name != "UTC" && name != "" {
			continue // the standard library knows no names of zones
		}
		if err == nil && (!ok || !got.Equal(want)) {
			t.Errorf("%s: %q is %v (%v), want %v", name, text, got, ok, want)
		} else if err != nil && text != "" {
			t.Logf("%s: %q: %v %v", name, text, got, ok)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add("Thu, 26 Nov 2026 01:02:03 +0100 (x)")
	f.Add("2026-11-26 01:02+01:00")
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := ParseDate(s)
		if !ok {
			return
		}
		if again, ok := ParseDate(d.Format(time.RFC1123Z)); !ok || !again.Equal(d) || again.Format(time.RFC3339) != d.Format(time.RFC3339) {
			t.Fatalf("%q is %v, and that %v", s, d, again)
		}
	})
}
