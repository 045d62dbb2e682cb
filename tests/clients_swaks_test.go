package tests

import (
	"strings"
	"testing"

	"domicile/tests/harness"
)

// TestSwaks sends by SMTP with and without STARTTLS, checks the certificate, and is told why for recipients that are not ours.
func TestSwaks(t *testing.T) {
	swaks := harness.Need(t, "swaks", "apt-get install swaks libnet-ssleay-perl")
	p := newPerson(t, "swaks")
	sent := letters()
	send := func(to, at string, text []byte, more ...string) (string, error) {
		file := p.file("mail", "")
		write(t, file, append(text, ".\r\n"...)) // swaks takes a dot at the end for the end
		return p.try(nil, swaks, append([]string{"--server", "localhost:" + at, "--helo", "client.example", "--from", "swaks@sender.example",
			"--to", to, "--data", "@" + file}, more...)...)
	}
	verified := []string{"--tls", "--tls-verify", "--tls-ca-path", p.ca}
	for i, text := range sent {
		at, tls := p.smtpAt(ieNode), verified
		if i%2 == 0 {
			at, tls = p.smtpAt(usNode), nil
		}
		if out, err := send(p.address, at, text, tls...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	expect(t, p.mailbox("INBOX"), sent...)
	for to, code := range map[string]string{"nobody-here@example.com": "550 5.1.1", "someone@elsewhere.example": "550 5.7.1"} {
		if out, err := send(to, p.smtpAt(ieNode), sent[0], verified...); err == nil || !strings.Contains(out, code) {
			t.Errorf("to %s: %v\n%s", to, err, out)
		}
	}
	if out, err := send(p.address, p.smtpAt(usNode), sent[0], verified...); err == nil || strings.Contains(out, "250 2.0.0 Stored") {
		t.Errorf("us-east showed a certificate of Ireland's authority: %v\n%s", err, out)
	}
}
