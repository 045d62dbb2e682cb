package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile/tests/harness"
)

// TestOfflineIMAP keeps a Maildir and the account the same over IMAPS, in both directions: new mail, flags and removals on
// either side, and a mailbox made near.
func TestOfflineIMAP(t *testing.T) {
	offlineimap := harness.Need(t, "offlineimap", "apt-get install offlineimap3")
	p := newPerson(t, "offline")
	conf := p.file("offlineimaprc", `[general]
accounts = home
metadata = $DIR/meta
socktimeout = 30

[Account home]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = $DIR/mail

[Repository far]
type = IMAP
remotehost = localhost
remoteport = $IMAPS
remoteuser = $ADDRESS
remotepass = $PASSWORD
ssl = yes
ssl_version = tls1_2
tls_level = tls_compat
sslcacertfile = $CA
usecompression = yes
`)
	sync := func() { p.run(nil, offlineimap, "-o", "-u", "basic", "-c", conf) }
	stored := p.receive(letters()...)
	sync()
	same(t, "pulled", p.maildir("mail/INBOX"), stored)

	own := letters()[:2]
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(p.dir, "mail/Notes", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range own {
		write(t, filepath.Join(p.dir, "mail/Notes/cur", "1700000000_"+string(rune('0'+i))+".1.own:2,FS"), bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	}
	sync()
	same(t, "pushed", p.mailbox("Notes"), own)

	p.imap("INBOX", "STORE 1 +FLAGS (\\Answered \\Seen)", "STORE 2 +FLAGS (\\Deleted)", "EXPUNGE")
	here := p.find("mail/INBOX", "letter 3")
	if err := os.Rename(here, filepath.Join(p.dir, "mail/INBOX/cur", strings.Split(filepath.Base(here), ":")[0]+":2,FS")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(p.find("mail/INBOX", "letter 4")); err != nil {
		t.Fatal(err)
	}
	sync()
	left := [][]byte{stored[0], stored[2], stored[4]}
	same(t, "far, behind changes", p.mailbox("INBOX"), left)
	same(t, "near, behind changes", p.maildir("mail/INBOX"), left)
	if got := p.flags("INBOX"); len(got) != 3 || !strings.Contains(got[1], `\Flagged`) || !strings.Contains(got[1], `\Seen`) {
		t.Errorf("flags set near: %q", got)
	}
	if name := filepath.Base(p.find("mail/INBOX", "letter 1")); !strings.HasSuffix(name, ":2,RS") {
		t.Errorf("flags set far: %s", name)
	}
}
