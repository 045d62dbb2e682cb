package tests

import (
	"testing"

	"domicile/tests/harness"
)

// TestMsmtp sends with STARTTLS and a checked certificate.
func TestMsmtp(t *testing.T) {
	msmtp := harness.Need(t, "msmtp", "apt-get install msmtp")
	p := newPerson(t, "msmtp")
	conf := p.file("msmtprc", `account default
host localhost
port $SMTP
domain client.example
from msmtp@sender.example
tls on
tls_starttls on
tls_trust_file $CA
set_date_header off
set_msgid_header off
`)
	sent := letters()
	for _, text := range sent {
		p.run(text, msmtp, "-C", conf, p.address)
	}
	expect(t, p.mailbox("INBOX"), sent...)
}
