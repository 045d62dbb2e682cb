package importer

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func openMbox(t *testing.T, form Form, text string) *Mbox {
	t.Helper()
	s, err := OpenMbox(form, filepath.Join(files(t, map[string]string{"mbox": text}), "mbox"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

const dated = " Sat Sep 13 12:26:40 2020\n"

func TestMbox(t *testing.T) {
	first := "From ann@example.com" + dated + "Subject: one\nStatus: RO\nX-Status: AF\nX-Keywords: $Work   \nX-UID: 4\nX-IMAPbase: 77 9 $Work\n\nbody\n\n"
	for _, c := range []struct {
		name string
		form Form
		text string
		want []string
	}{
		{"empty", Guess, "", nil},
		{"one", Guess, first, []string{"Subject: one\r\n\r\nbody\r\n"}},
		{"no blank line at the end", Guess, strings.TrimSuffix(first, "\n"), []string{"Subject: one\r\n\r\nbody\r\n"}},
		{"CRLF", Guess, strings.ReplaceAll(first+first, "\n", "\r\n"), []string{"Subject: one\r\n\r\nbody\r\n", "Subject: one\r\n\r\nbody\r\n"}},
		{"blank lines at the end are the message's", Rd, "From a" + dated + "A: b\n\nx\n\n\n\nFrom b" + dated + "\n\n", []string{"A: b\r\n\r\nx\r\n\r\n\r\n", "\r\n"}},
		{"From within a paragraph", Rd, "From a" + dated + "A: b\n\nx\nFrom here" + dated + "\n\nFrom here on\n\n", []string{"A: b\r\n\r\nx\r\nFrom here Sat Sep 13 12:26:40 2020\r\n\r\n\r\nFrom here on\r\n"}},
		{"mboxrd", Rd, "From a" + dated + "A: b\n\n>From x\n>>From y\n> From z\n\n", []string{"A: b\r\n\r\nFrom x\r\n>From y\r\n> From z\r\n"}},
		{"mboxo", O, "From a" + dated + "A: b\n\n>From x\n>>From y\n\n", []string{"A: b\r\n\r\nFrom x\r\n>>From y\r\n"}},
		{"mboxcl2", Cl2, "From a" + dated + "A: b\nContent-Length: 43\n\n1\n\nFrom x" + dated + ">From y\n\nFrom b" + dated + "A: c\n\nz\n\n",
			[]string{"A: b\r\n\r\n1\r\n\r\nFrom x Sat Sep 13 12:26:40 2020\r\n>From y\r\n", "A: c\r\n\r\nz\r\n"}},
		{"a length that leads nowhere is a field of the sender", Guess, "From a" + dated + "Content-Length: 5\n\n>From x\n\nFrom b" + dated + "A: c\n\n\n",
			[]string{"Content-Length: 5\r\n\r\nFrom x\r\n", "A: c\r\n\r\n"}},
		{"a length that lies far outside", Guess, "From a" + dated + "Content-Length: 999999999\n\nx\n\n", []string{"Content-Length: 999999999\r\n\r\nx\r\n"}},
		{"a folded field", Guess, "From a" + dated + "X-Keywords: a\n b\nSubject: c\n d\n\nx\n\n", []string{"Subject: c\r\n d\r\n\r\nx\r\n"}},
		{"what UW-IMAP keeps", Guess, "From MAILER-DAEMON" + dated + "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 77 9\n\nThis text is part of the format\n\n" + first,
			[]string{"Subject: one\r\n\r\nbody\r\n"}},
	} {
		_, bodies := readBoxes(t, openMbox(t, c.form, c.text))
		if !slices.Equal(bodies["INBOX"], c.want) {
			t.Errorf("%s: %q", c.name, bodies["INBOX"])
		}
	}
	boxes, _ := readBoxes(t, openMbox(t, Guess, first))
	got := boxes["INBOX"].Items[0]
	if strings.Join(got.Flags, " ") != "\\Answered \\Flagged \\Seen $Work" || got.Date.Unix() != 1600000000 || got.UID != 4 || boxes["INBOX"].UIDValidity != 77 {
		t.Errorf("%+v", got)
	}
}

// What mail programs alter in place does not make another message; an equal one does.
func TestMboxKeys(t *testing.T) {
	one := "From a" + dated + "Subject: one\n\nbody\n\n"
	read := "From a" + dated + "Subject: one\nStatus: RO\nX-UID: 3\n\nbody\n\n"
	other := "From a" + dated + "Subject: other\n\nbody\n\n"
	keys := func(text string) (all []Key) {
		boxes, _ := readBoxes(t, openMbox(t, Guess, text))
		for _, i := range boxes["INBOX"].Items {
			all = append(all, i.Key)
		}
		return all
	}
	a, b := keys(one+other+one), keys(other+read+read)
	if a[0] != b[1] || a[1] != b[0] || a[2] != b[2] || a[0] == a[2] {
		t.Errorf("%x\n%x", a, b)
	}
}

func TestMboxFolder(t *testing.T) {
	one := "From a" + dated + "Subject: one\n\nbody\n\n"
	s, err := OpenMbox(Guess, files(t, map[string]string{"Inbox": one, "Inbox.msf": "index", "Archive": one, "Archive.sbd/2019.mbox": one + one, ".hidden": one, "notes.txt": "no mail"}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	boxes, bodies := readBoxes(t, s)
	if len(boxes) != 4 || len(bodies["INBOX"]) != 1 || len(bodies["Archive/2019"]) != 2 || len(bodies["Archive"]) != 1 || boxes["notes.txt"].Err == nil {
		t.Errorf("%v, %v", bodies, boxes["notes.txt"].Err)
	}
	if _, err := openMbox(t, Guess, "hello\n").Mailboxes(t.Context()); err == nil {
		t.Error("a file that is no mbox is taken for one")
	}
}

func TestMboxChanged(t *testing.T) {
	one := "From a" + dated + "Subject: one\n\nbody\n\n"
	s := openMbox(t, Guess, one+one)
	boxes, err := s.Mailboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path, []byte(strings.ReplaceAll(one, "one", "two")), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(t.Context(), boxes[0], boxes[0].Items)
	if err != nil || got[0].Err == nil || got[1].Err == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFromDate(t *testing.T) {
	for line, want := range map[string]string{
		"From a@b Sat Sep 13 12:26:40 2020":          "2020-09-13T12:26:40Z",
		"From - Sat Sep  5 12:26:40 2020":            "2020-09-05T12:26:40Z",
		"From a b Sat Sep 13 12:26:40 2020 +0200":    "2020-09-13T12:26:40+02:00",
		"From 17@xxx Sat Sep 13 12:26:40 +0000 2020": "2020-09-13T12:26:40Z",
		"From a Sat Sep 13 12:26 2020":               "2020-09-13T12:26:00Z",
		"From me to you":                             "", "From ": "", "From a Sat Sep 41 12:26:40 2020": "",
	} {
		got, ok := fromDate(line)
		if ok != (want != "") || ok && got.Format(time.RFC3339) != want {
			t.Errorf("%q: %s, %v", line, got, ok)
		}
	}
}

// FuzzMbox holds that no bytes are lost between messages, that reading never fails, and that a long line costs no memory.
func FuzzMbox(f *testing.F) {
	f.Add([]byte("From a"+dated+"Content-Length: 3\n\nx\n\n\nFrom b"+dated+"Status: R\n y\n\n>From z\n"), uint8(0))
	f.Add([]byte("From a\n\n\nFrom b"+dated), uint8(1))
	f.Add([]byte("\r\n\r\nFrom a"+dated+"X-IMAP: 4294967296\nContent-Length: -1\n\n"), uint8(2))
	f.Fuzz(func(t *testing.T, raw []byte, which uint8) {
		form := []Form{Guess, O, Rd, Cl2}[which%4]
		at := int64(-1)
		err := split(bytes.NewReader(raw), int64(len(raw)), form, func(start, end int64) error {
			if start >= end || at >= 0 && start != at || end > int64(len(raw)) {
				t.Fatalf("a message from %d to %d, and the one before ended at %d", start, end, at)
			}
			at = end
			_, text, _ := clean(raw[start:end], form)
			if len(text) > int(end-start) {
				t.Fatalf("%d bytes of %d", len(text), end-start)
			}
			crlf(unquote(text, form))
			return nil
		})
		if err == nil && at >= 0 && at != int64(len(raw)) {
			t.Fatalf("the end, from %d, is in no message", at)
		}
	})
}
