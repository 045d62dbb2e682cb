package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"domicile/tests/harness"
)

// TestCurlAtEveryDoor sends by SMTP, in the clear and with STARTTLS, and over IMAP, IMAP with STARTTLS and IMAPS lists mailboxes, reads
// what came, uploads and searches.
func TestCurlAtEveryDoor(t *testing.T) {
	curl := harness.Need(t, "curl", "apt-get install curl")
	p := newPerson(t, "curl")
	sent := letters()
	for i, text := range sent {
		url, tls := "smtp://localhost:$SMTP/client.example", []string{"--ssl-reqd", "--cacert", "$CA"}
		if i%2 == 0 {
			url, tls = "smtp://127.0.0.1:"+p.smtpAt(usNode)+"/client.example", nil
		}
		p.run(text, curl, append(tls, "-sS", url, "--mail-from", "curl@sender.example", "--mail-rcpt", p.address, "-T", "-")...)
	}
	stored := p.mailbox("INBOX")
	expect(t, stored, sent...)
	if !strings.Contains(string(stored[1]), "with ESMTPS id") || strings.Contains(string(stored[0]), "ESMTPS") {
		t.Errorf("the trace does not tell TLS from no TLS: %.300q, %.300q", stored[0], stored[1])
	}

	for i, door := range [][]string{
		{"imap://localhost:$IMAP"},
		{"imap://localhost:$IMAP", "--ssl-reqd", "--cacert", "$CA"},
		{"imaps://localhost:$IMAPS", "--cacert", "$CA"},
	} {
		do := func(path string, args ...string) string {
			args = append(append([]string{"-sS", "--user", p.address + ":" + p.password, door[0] + path}, door[1:]...), args...)
			return p.run(nil, curl, args...)
		}
		if got := do("/"); !strings.Contains(got, "INBOX") {
			t.Errorf("%s: LIST: %q", door[0], got)
		}
		if got := do("/INBOX;MAILINDEX=[1-5]"); got != string(bytes.Join(stored, nil)) {
			t.Errorf("%s: INBOX is %.3000q, want %.3000q", door[0], got, bytes.Join(stored, nil))
		}
		if got := do("/INBOX?SUBJECT%20%22letter%203%22"); strings.TrimSpace(got) != "* SEARCH 3" {
			t.Errorf("%s: SEARCH: %q", door[0], got)
		}
		_, text, _ := bytes.Cut(stored[1], []byte("\r\n\r\n"))
		if got := do("/INBOX;UID=2;SECTION=TEXT"); got != string(text) {
			t.Errorf("%s: the text of 2 is %.300q, want %.300q", door[0], got, text)
		}
		for command, want := range map[string]string{
			"FETCH 1:* (UID FLAGS)":                 "* 5 FETCH (UID 5 FLAGS (",
			"STATUS INBOX (MESSAGES UIDNEXT)":       `* STATUS "INBOX" (MESSAGES 5 UIDNEXT 6)`,
			`LIST "" (INBOX) RETURN (SUBSCRIBED)`:   `* LIST (\HasNoChildren \Subscribed) "/" "INBOX"`,
			"UID SEARCH RETURN (MIN MAX COUNT) 2:4": "UID MIN 2 MAX 4 COUNT 3",
			"SORT (REVERSE SUBJECT) UTF-8 2:3":      "* SORT 3 2",
			"GETQUOTAROOT INBOX":                    `* QUOTAROOT "INBOX"`,
			"UID STORE 1 +FLAGS (\\Flagged)":        "* 1 FETCH (UID 1 FLAGS (",
		} {
			if got := do("/INBOX", "-X", command); !strings.Contains(got, want) {
				t.Errorf("%s: %s: %q, want %q", door[0], command, got, want)
			}
		}
		box := "up" + strconv.Itoa(i)
		do("", "-X", "CREATE "+box)
		file := filepath.Join(p.dir, "upload")
		if err := os.WriteFile(file, sent[3], 0o600); err != nil {
			t.Fatal(err)
		}
		do("/"+box, "-T", file)
		same(t, door[0]+": uploaded", p.mailbox(box), sent[3:4])
	}
	if out, err := p.try(nil, curl, "-sS", "--user", p.address+":wrong", "imaps://localhost:$IMAPS/", "--cacert", "$CA"); err == nil {
		t.Errorf("a wrong password: %q", out)
	}
}

// TestCurlAbroad reads and uploads at us-east: where TLS ends there, and where it names Ireland's host and is passed through, and so believes
// nothing but Ireland's authority.
func TestCurlAbroad(t *testing.T) {
	curl := harness.Need(t, "curl", "apt-get install curl")
	p := newPerson(t, "curl-abroad")
	sent := letters()
	p.Deliver(t, usNode, p.address, sent...)
	stored := p.mailbox("INBOX")
	irish := p.ca
	p.abroad()
	host := "eu-ireland.example.com"
	for i, door := range [][]string{
		{"imap://localhost:$IMAP", "--ssl-reqd", "--cacert", "$CA"},
		{"imaps://localhost:$IMAPS", "--cacert", "$CA"},
		{"imaps://" + host + ":$IMAPS", "--cacert", irish, "--resolve", host + ":$IMAPS:127.0.0.1"},
	} {
		do := func(path string, args ...string) string {
			args = append(append([]string{"-sS", "--user", p.address + ":" + p.password, door[0] + path}, door[1:]...), args...)
			return p.run(nil, curl, args...)
		}
		if got := do("/INBOX;MAILINDEX=[1-5]"); got != string(bytes.Join(stored, nil)) {
			t.Errorf("%s: INBOX is %.3000q, want %.3000q", door[0], got, bytes.Join(stored, nil))
		}
		_, text, _ := bytes.Cut(stored[1], []byte("\r\n\r\n"))
		if got := do("/INBOX;UID=2;SECTION=TEXT"); got != string(text) {
			t.Errorf("%s: the text of 2 is %.300q, want %.300q", door[0], got, text)
		}
		for command, want := range map[string]string{
			"FETCH 1:* (UID FLAGS)":                 "* 5 FETCH (UID 5 FLAGS (",
			"STATUS INBOX (MESSAGES UIDNEXT)":       `* STATUS "INBOX" (MESSAGES 5 UIDNEXT 6)`,
			`LIST "" (INBOX) RETURN (SUBSCRIBED)`:   `* LIST (\HasNoChildren \Subscribed) "/" "INBOX"`,
			"UID SEARCH RETURN (MIN MAX COUNT) 2:4": "UID MIN 2 MAX 4 COUNT 3",
			"SORT (REVERSE SUBJECT) UTF-8 2:3":      "* SORT 3 2",
			"GETQUOTAROOT INBOX":                    `* QUOTAROOT "INBOX"`,
			"UID STORE 1 +FLAGS (\\Flagged)":        "* 1 FETCH (UID 1 FLAGS (",
		} {
			if got := do("/INBOX", "-X", command); !strings.Contains(got, want) {
				t.Errorf("%s: %s: %q, want %q", door[0], command, got, want)
			}
		}
		box := "up" + strconv.Itoa(i)
		do("", "-X", "CREATE "+box)
		do("/"+box, "-T", p.file("upload", string(sent[3])))
		same(t, door[0]+": uploaded", p.mailbox(box), sent[3:4])
	}
	if out, err := p.try(nil, curl, "-sS", "--user", p.address+":"+p.password, "imaps://"+host+":$IMAPS/", "--cacert", "$CA", "--resolve", host+":$IMAPS:127.0.0.1"); err == nil {
		t.Errorf("us-east answers for Ireland: %q", out)
	}
}
