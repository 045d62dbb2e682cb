package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile/tests/harness"
)

// TestMbsync keeps a Maildir and the account the same over IMAPS, in both directions: new mail, new mailboxes, flags and
// removals on either side. On its way mbsync marks each message with a field X-TUID.
func TestMbsync(t *testing.T) {
	mbsync := harness.Need(t, "mbsync", "apt-get install isync")
	p := newPerson(t, "mbsync")
	conf := p.file("mbsyncrc", `IMAPAccount home
Host localhost
Port $IMAPS
User $ADDRESS
Pass $PASSWORD
SSLType IMAPS
CertificateFile $CA
SystemCertificates no

IMAPStore far
Account home

MaildirStore near
Path $DIR/mail/
Inbox $DIR/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
`)
	sync := func() { p.run(nil, mbsync, "-c", conf, "-a") }
	if err := os.MkdirAll(filepath.Join(p.dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	stored := p.receive(letters()...)
	sync()
	same(t, "pulled", without(t, "X-TUID", p.maildir("mail/INBOX")), stored)

	// A mailbox of the program's own, with mail.
	own := letters()[2:4]
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(p.dir, "mail/Notes", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range own {
		write(t, filepath.Join(p.dir, "mail/Notes/cur", "own"+string(rune('0'+i))+":2,FS"), bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	}
	sync()
	same(t, "pushed", without(t, "X-TUID", p.mailbox("Notes")), own)
	if got := p.flags("Notes"); len(got) != 2 || !strings.Contains(got[0], `\Flagged`) || !strings.Contains(got[1], `\Seen`) {
		t.Errorf("pushed flags: %q", got)
	}

	// Flags and removals, one on each side at once.
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
	same(t, "near, behind changes", without(t, "X-TUID", p.maildir("mail/INBOX")), left)
	if got := p.flags("INBOX"); len(got) != 3 || !strings.Contains(got[1], `\Flagged`) || !strings.Contains(got[1], `\Seen`) {
		t.Errorf("flags set near: %q", got)
	}
	if name := filepath.Base(p.find("mail/INBOX", "letter 1")); !strings.HasSuffix(name, ":2,RS") {
		t.Errorf("flags set far: %s", name)
	}

	// Nothing more to do: a further run changes nothing.
	before := p.flags("INBOX")
	sync()
	same(t, "once more", p.mailbox("INBOX"), left)
	if after := p.flags("INBOX"); strings.Join(after, ";") != strings.Join(before, ";") {
		t.Errorf("a run without need changed flags: %q, then %q", before, after)
	}
}
