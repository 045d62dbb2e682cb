package tests

import (
	"os"
	"path/filepath"
	"testing"

	"domicile/tests/harness"
)

// TestGetmail takes mail away over IMAPS and hands it to a program that files it, of two mailboxes, and removes it from the account.
func TestGetmail(t *testing.T) {
	getmail := harness.Need(t, "getmail", "apt-get install getmail6")
	p := newPerson(t, "getmail")
	stored := p.receive(letters()...)
	p.imap("INBOX", "CREATE Kept", "COPY 2 Kept")
	for _, sub := range []string{"mail/cur", "mail/new", "mail/tmp", "state"} {
		if err := os.MkdirAll(filepath.Join(p.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	conf := p.file("getmailrc", `[retriever]
type = SimpleIMAPSSLRetriever
server = localhost
port = $IMAPS
username = $ADDRESS
password = $PASSWORD
mailboxes = ("INBOX", "Kept")
ca_certs = $CA

[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat > $DIR/mail/new/$$")
allow_root_commands = true

[options]
delete = true
delivered_to = false
received = false
read_all = true
`)
	take := func() { p.run(nil, getmail, "--getmaildir", "$DIR/state", "--rcfile", conf) }
	got := func() [][]byte { return without(t, "X-getmail-retrieved-from-mailbox", p.maildir("mail")) }
	take()
	same(t, "fetched", got(), append(stored[:len(stored):len(stored)], stored[1]))
	same(t, "left", p.mailbox("INBOX"), nil)
	same(t, "left in Kept", p.mailbox("Kept"), nil)
	take()
	same(t, "once more", got(), append(stored[:len(stored):len(stored)], stored[1]))
}
