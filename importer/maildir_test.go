package importer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// files writes files below a new folder; a name that ends in "/" is a folder.
func files(t *testing.T, all map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range all {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			path, text = filepath.Join(path, "x"), ""
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readBoxes lists a source and reads all of it: the mailboxes, and by name the bodies, "!CODE" for what cannot be read.
func readBoxes(t *testing.T, s Source) (map[string]Mailbox, map[string][]string) {
	t.Helper()
	boxes, err := s.Mailboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName, bodies := map[string]Mailbox{}, map[string][]string{}
	for _, b := range boxes {
		byName[b.Name] = b
		got, err := s.Read(t.Context(), b, b.Items)
		if err != nil {
			t.Fatal(err)
		}
		bodies[b.Name] = nil
		for _, g := range got {
			text := string(g.Data)
			if p, ok := errors.AsType[*Problem](g.Err); ok {
				text = "!" + p.Code
			}
			bodies[b.Name] = append(bodies[b.Name], text)
		}
	}
	return byName, bodies
}

func openMaildir(t *testing.T, all map[string]string) *Maildir {
	t.Helper()
	s, err := OpenMaildir(files(t, all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestMaildir(t *testing.T) {
	s := openMaildir(t, map[string]string{
		"new/1600000003.M3P1.host":                   "Subject: new\n\nunread\n",
		"cur/1600000002.M2P1.host,S=20,W=22:2,FRSab": "Subject: two\r\n\r\nkept as it is\r\n",
		"cur/1600000001.M1P1.host:2,T":               "Subject: one\n\n\xff\x00 bytes\n",
		"cur/.hidden":                                "no message",
		"tmp/1600000009.M9P1.host":                   "half",
		"dovecot-keywords":                           "0 $Work\n1 bad(keyword\n",
		"dovecot-uidlist":                            "3 V77 N9 Gabc\n4 :1600000003.M3P1.host\n8 W22 :1600000002.M2P1.host,S=20,W=22:2,S\n",
		"subscriptions":                              "V\t2\n\nSent\t2024\n",
		".Sent.2024/cur/1700000000.M1P1.host:2,S":    "Subject: sent\n\n",
		".Entw&APw-rfe/cur/":                         "",
		"Plain/Below/cur/1600000000.x:2,":            "Subject: fs layout\n\n",
		".Archive/new/":                              "",
		".Archive/cur/1600000001.M1P1.host:2,":       "Subject: another mailbox\n\n",
		".Sent.2024/dovecot.index.log":               "not mail",
		".Archive/tmp/x":                             "not mail",
		"cur/1600000004.M4P1.host:2,D":               "D",
		"cur/1600000005.nodate":                      "x",
		"cur/notatime.host:2,P":                      "y",
	})
	boxes, bodies := readBoxes(t, s)
	if len(boxes) != 5 {
		t.Errorf("mailboxes: %v", bodies)
	}
	want := []string{"Subject: new\r\n\r\nunread\r\n", "Subject: two\r\n\r\nkept as it is\r\n", "Subject: one\r\n\r\n\xff\x00 bytes\r\n", "D", "x", "y"}
	if !slices.Equal(bodies["INBOX"], want) {
		t.Errorf("INBOX: %q", bodies["INBOX"])
	}
	in := boxes["INBOX"]
	for i, flags := range []string{"", "\\Answered \\Flagged \\Seen $Work", "\\Deleted", "\\Draft", "", "$Forwarded"} {
		if got := strings.Join(in.Items[i].Flags, " "); got != flags {
			t.Errorf("flags of %d: %q, want %q", i, got, flags)
		}
	}
	if in.UIDValidity != 77 || in.Items[0].UID != 4 || in.Items[1].UID != 8 || in.Items[2].UID != 0 {
		t.Errorf("UIDs: %+v", in)
	}
	if d := in.Items[1].Date; d.Unix() != 1600000002 {
		t.Errorf("a file copied without its time has the date %s", d)
	}
	if d := in.Items[5].Date; d.Format(time.DateTime) != "2024-05-06 07:08:09" {
		t.Errorf("without a date in the name: %s", d)
	}
	if boxes["Sent/2024"].Subscribed != true || boxes["Archive"].Subscribed || !in.Subscribed {
		t.Error("subscriptions are not those of the file")
	}
	if _, ok := boxes["Entwürfe"]; !ok || len(bodies["Plain/Below"]) != 1 {
		t.Errorf("mailboxes: %v", bodies)
	}
	if boxes["Archive"].Items[0].Key == in.Items[2].Key {
		t.Error("files of one name in two mailboxes have one key")
	}
}

// A mail program sets flags, and moves from new to cur, while an import runs: the message is the same.
func TestMaildirRenamed(t *testing.T) {
	s := openMaildir(t, map[string]string{"new/1600000003.M3P1.host": "a", "cur/1600000004.M3P1.host:2,": "b", "cur/1600000005.M3P1.host:2,": "c"})
	before, err := s.Mailboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"new/1600000003.M3P1.host": "cur/1600000003.M3P1.host:2,S", "cur/1600000004.M3P1.host:2,": "cur/1600000004.M3P1.host:2,FS"} {
		if err := os.Rename(filepath.Join(s.path, from), filepath.Join(s.path, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(s.path, "cur/1600000005.M3P1.host:2,")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(t.Context(), before[0], before[0].Items)
	if err != nil || string(got[0].Data) != "a" || string(got[1].Data) != "b" || got[2].Err == nil {
		t.Errorf("%+v, %v", got, err)
	}
	after, err := s.Mailboxes(t.Context())
	if err != nil || after[0].Items[0].Key != before[0].Items[0].Key || after[0].Items[1].Key != before[0].Items[1].Key {
		t.Errorf("a renamed file has another key: %v", err)
	}
}

func TestMaildirCompressed(t *testing.T) {
	var gz, zs bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write([]byte("Subject: gzip\n\n"))
	w.Close()
	z, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	z.Write([]byte("Subject: zstd\n\n"))
	z.Close()
	s := openMaildir(t, map[string]string{"cur/1600000001.a:2,": gz.String(), "cur/1600000002.b:2,": zs.String(), "cur/1600000003.c:2,": gz.String()[:20],
		"cur/1600000004.d:2,": "CRYPTED\x03\x07\x02", "cur/1600000005.e:2,": "BZh: a field\n\n"})
	_, bodies := readBoxes(t, s)
	want := []string{"Subject: gzip\r\n\r\n", "Subject: zstd\r\n\r\n", "!unreadable", "!unreadable", "BZh: a field\r\n\r\n"}
	if !slices.Equal(bodies["INBOX"], want) {
		t.Errorf("%q", bodies["INBOX"])
	}
}

// Links out of the folder are not followed, and a folder without mail is refused.
func TestMaildirLinks(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openMaildir(t, map[string]string{"cur/1600000001.a:2,": "a"})
	if err := os.Symlink(secret, filepath.Join(s.path, "cur/1600000002.b:2,")); err != nil {
		t.Fatal(err)
	}
	if _, bodies := readBoxes(t, s); !slices.Equal(bodies["INBOX"], []string{"a"}) {
		t.Errorf("%q", bodies)
	}
	if _, err := openMaildir(t, map[string]string{"README": "no mail"}).Mailboxes(t.Context()); err == nil {
		t.Error("a folder without mail is taken for an empty Maildir")
	}
}

func FuzzMaildirNames(f *testing.F) {
	f.Add("1600000000.M1P1.host:2,FRSabz", "3 V7 N9\n4 W1 :x:2,S\n", ".Entw&APw-rfe.&-.&AGE")
	f.Add("x;2,", "3 V7\n5 :a\n4 :b\n", "&&&")
	f.Fuzz(func(t *testing.T, name, list, folder string) {
		base, letters := splitName(name)
		if !strings.HasPrefix(name, base) {
			t.Errorf("%q has the unique name %q", name, base)
		}
		for _, flag := range nameFlags(letters, map[int]string{0: "$Work", 25: "no keyword"}) {
			if !slices.Equal(keepFlags([]string{flag}), []string{flag}) {
				t.Errorf("%q gives the flag %q", name, flag)
			}
		}
		fileDate(base, time.Unix(1700000000, 0))
		if uids, validity := parseUIDList([]byte(list)); (uids == nil) != (validity == 0) {
			t.Errorf("%q: %v, %d", list, uids, validity)
		}
		folderMailbox(folder)
	})
}

// Some tools write names that are not unique in the world.
func TestMaildirPlainNames(t *testing.T) {
	one, _ := readBoxes(t, openMaildir(t, map[string]string{"cur/1:2,": "a"}))
	other, _ := readBoxes(t, openMaildir(t, map[string]string{"cur/1:2,": "bb"}))
	if one["INBOX"].Items[0].Key == other["INBOX"].Items[0].Key {
		t.Error("messages of two Maildirs, both in a file 1, are taken for one")
	}
}
