package tests

import (
	"strings"
	"testing"

	"domicile/tests/harness"
)

// TestMutt and TestNeomutt send by SMTP with STARTTLS and upload their own copy over IMAPS; then they open INBOX over IMAPS,
// copy all of it into a Maildir, flag one message, delete another and leave. To what they copy they add fields of their own.
func TestMutt(t *testing.T)    { mutt(t, "mutt") }
func TestNeomutt(t *testing.T) { mutt(t, "neomutt") }

func mutt(t *testing.T, program string) {
	mutt := harness.Need(t, program, "apt-get install "+program)
	script := harness.Need(t, "script", "apt-get install bsdutils") // a terminal, without which neither opens a mailbox
	p := newPerson(t, program)
	conf := p.file("muttrc", `set ssl_ca_certificates_file="$CA" ssl_starttls=yes ssl_force_tls=yes certificate_file="$DIR/certs"
set from="`+program+`@sender.example" realname="Maeve" hostname="client.example"
set smtp_url="smtp://localhost:$SMTP/" smtp_authenticators=""
set imap_user="$ADDRESS" imap_pass="$PASSWORD" folder="imaps://localhost:$IMAPS/" spoolfile="+INBOX"
set record="$DIR/sent" copy=yes fcc_attach=yes charset="utf-8" send_charset="utf-8"
set mbox_type=Maildir confirmappend=no confirmcreate=no quit=yes wait_key=no delete=yes mark_old=no header_cache="" sleep_time=0
`)
	if program == "mutt" { // with Z_PARTIAL_FLUSH, which the server must not wait behind; Debian's neomutt is built without
		conf = p.file("deflaterc", "source "+conf+"\nset imap_deflate=yes\n")
	}
	attached := p.file("blob.bin", strings.Repeat("\x01\x02\xfe\xff binary\r\n", 50))
	p.run([]byte("Dia dhuit,\n\n.\n.a line\nFrom here\n\u00e1\u00e9\u00ed\n"), mutt, "-n", "-F", conf, "-s", "letter \u00e1", "-a", attached, "--", p.address)
	// Each copy is dated when it is written, so a second may lie between them.
	expect(t, without(t, "Date", p.mailbox("INBOX")), without(t, "Date", p.maildir("sent"))...)
	open := func(mailbox, keys string) {
		rc := p.file("openrc", "source "+conf+"\npush \""+keys+"\"\n")
		p.run(nil, script, "-qec", mutt+" -n -F "+rc+" -f "+mailbox, "/dev/null")
	}
	open("sent", "<copy-message>=Sent<enter><exit>")
	same(t, "uploaded", without(t, "Content-Length", without(t, "Status", p.mailbox("Sent"))), p.maildir("sent"))

	stored := p.receive(letters()...)
	open("=INBOX", "<tag-pattern>~A<enter><tag-prefix><copy-message>$DIR/copy<enter><untag-pattern>~A<enter>"+
		"<limit>~s 'letter 3'<enter><flag-message><limit>~A<enter><delete-pattern>~s 'letter 4'<enter><sync-mailbox><exit>")
	same(t, "copied", without(t, "Content-Length", without(t, "Lines", p.maildir("copy"))), stored)
	left := p.mailbox("INBOX")
	same(t, "left", left, append(stored[:4:4], stored[5:]...))
	if got := p.flags("INBOX"); len(got) != 5 || !strings.Contains(got[3], `\Flagged`) {
		t.Errorf("flags: %q", got)
	}
}
