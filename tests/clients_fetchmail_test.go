package tests

import (
	"path/filepath"
	"testing"

	"domicile/tests/harness"
)

// TestFetchmail takes mail away, over IMAPS and over IMAP with STARTTLS, hands it to a program that files it, and removes it
// from the account.
func TestFetchmail(t *testing.T) {
	fetchmail := harness.Need(t, "fetchmail", "apt-get install fetchmail")
	p := newPerson(t, "fetch")
	for name, door := range map[string][2]string{
		"imaps":    {"$IMAPS", "ssl"},
		"starttls": {"$IMAP", `sslproto "TLS1.2+"`},
	} {
		stored := p.receive(letters()...)
		conf := p.file("rc-"+name, `set no bouncemail
set invisible
defaults no rewrite
poll localhost protocol IMAP service `+door[0]+` auth password
	user "$ADDRESS" password "$PASSWORD"
	`+door[1]+` sslcertck sslcertfile "$CA" fetchall
	mda "cat > `+filepath.Join(p.dir, name)+`.$$"
`)
		p.run(nil, fetchmail, "-f", conf, "--pidfile", filepath.Join(p.dir, "pid"), "--nosyslog")
		files, _ := filepath.Glob(filepath.Join(p.dir, name+".*"))
		got := make([][]byte, len(files))
		for i, f := range files {
			got[i] = readCRLF(t, f)
		}
		same(t, name, got, stored)
		if left := p.mailbox("INBOX"); len(left) != 0 {
			t.Errorf("%s: %d messages were left", name, len(left))
		}
	}
}
