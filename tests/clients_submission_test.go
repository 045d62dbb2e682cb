package tests

import (
	"bytes"
	_ "embed"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile/lab"
	"domicile/tests/harness"
)

// correspondents are a person in Ireland who sends, and an account in the US that reads.
type correspondents struct {
	*person
	other, otherPassword string
}

func newCorrespondents(t *testing.T, name string) *correspondents {
	t.Helper()
	p := newPerson(t, name)
	c := &correspondents{person: p, other: name + "-us@example.com"}
	c.otherPassword = p.Account(t, usEast, c.other, "US")
	return c
}

// own are the five letters as the person's own.
func (c *correspondents) own() (all [][]byte) {
	for _, text := range letters() {
		all = append(all, bytes.Replace(text, []byte("Maeve <maeve@sender.example>"), []byte("Me <"+c.address+">"), 1))
	}
	return all
}

// arrived waits for the letters at both ends, each once and byte for byte. The queue keeps no order.
func (c *correspondents) arrived(want ...[]byte) {
	c.t.Helper()
	for _, at := range []struct {
		who  string
		read func() [][]byte
	}{{c.address, func() [][]byte { return c.mailbox("INBOX") }},
		{c.other, func() [][]byte { return c.Inbox(c.t, usEast, c.other, c.otherPassword) }}} {
		var got [][]byte
		for end := time.Now().Add(2 * time.Minute); len(got) < len(want) && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			got = at.read()
		}
		if len(got) != len(want) {
			c.t.Errorf("%s has %d messages, want %d", at.who, len(got), len(want))
		}
		for i, text := range want {
			n := 0
			for _, m := range got {
				if lab.BehindTrace(m, text) == nil {
					n++
				}
				if !strings.Contains(string(m), "with ESMTPSA id ") {
					c.t.Errorf("%s: the trace: %.300q", at.who, m)
				}
			}
			if n != 1 {
				c.t.Errorf("%s has letter %d %d times", at.who, i+1, n)
			}
		}
	}
}

// TestMsmtpSubmits sends by msmtp on both submission ports, with a checked certificate.
func TestMsmtpSubmits(t *testing.T) {
	msmtp := harness.Need(t, "msmtp", "apt-get install msmtp")
	c := newCorrespondents(t, "msmtp-submits")
	const common = "host localhost\ndomain client.example\nfrom $ADDRESS\nauth plain\nuser $ADDRESS\npassword $PASSWORD\ntls on\ntls_trust_file $CA\n" +
		"set_date_header off\nset_msgid_header off\n"
	conf := c.file("msmtprc", "account starttls\nport $SUBMISSION\ntls_starttls on\n"+common+"\naccount tls\nport $SUBMISSIONS\ntls_starttls off\n"+common)
	sent := c.own()
	for i, text := range sent {
		c.run(text, msmtp, "-C", conf, "-a", []string{"starttls", "tls"}[i%2], c.address, c.other)
	}
	c.arrived(sent...)
	conf = c.file("wrongrc", "account tls\nport $SUBMISSIONS\ntls_starttls off\n"+strings.Replace(common, "$PASSWORD", "wrong", 1))
	if out, err := c.try(sent[0], msmtp, "-C", conf, "-a", "tls", c.other); err == nil || !strings.Contains(out, "535") {
		t.Errorf("a wrong password: %v\n%s", err, out)
	}
}

// TestSwaksSubmits sends by swaks on both submission ports, by both mechanisms.
func TestSwaksSubmits(t *testing.T) {
	swaks := harness.Need(t, "swaks", "apt-get install swaks libnet-ssleay-perl")
	c := newCorrespondents(t, "swaks-submits")
	sent := c.own()
	send := func(text []byte, more ...string) (string, error) {
		file := c.file("mail", "")
		write(t, file, append(text, ".\r\n"...))
		return c.try(nil, swaks, append([]string{"--helo", "client.example", "--from", c.address, "--data", "@" + file, "--auth-user", c.address,
			"--tls-verify", "--tls-ca-path", c.ca}, more...)...)
	}
	starttls := []string{"--server", "localhost:$SUBMISSION", "--tls", "--auth", "PLAIN"}
	within := []string{"--server", "localhost:$SUBMISSIONS", "--tls-on-connect", "--auth", "LOGIN"}
	for i, text := range sent {
		how := append([]string{"--to", c.address + "," + c.other, "--auth-password", c.password}, [][]string{starttls, within}[i%2]...)
		if out, err := send(text, how...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	c.arrived(sent...)
	for want, how := range map[string][]string{
		"535 5.7.8": {"--to", c.other, "--auth-password", "wrong"}, "outside_not_served": {"--to", "someone@elsewhere.example", "--auth-password", c.password},
	} {
		if out, err := send(sent[0], append(how, within...)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("want %s: %v\n%s", want, err, out)
		}
	}
}

// TestCurlSubmits sends by curl over smtps.
func TestCurlSubmits(t *testing.T) {
	curl := harness.Need(t, "curl", "apt-get install curl")
	c := newCorrespondents(t, "curl-submits")
	sent := c.own()
	for i, text := range sent {
		url := []string{"smtps://localhost:$SUBMISSIONS/client.example", "smtp://localhost:$SUBMISSION/client.example"}[i%2]
		c.run(text, curl, "-sS", "--ssl-reqd", "--cacert", "$CA", url, "--user", c.address+":"+c.password, "--mail-from", c.address,
			"--mail-rcpt", c.address, "--mail-rcpt", c.other, "-T", "-")
	}
	c.arrived(sent...)
	if out, err := c.try(sent[0], curl, "-sS", "--cacert", "$CA", "smtps://localhost:$SUBMISSIONS/client.example", "--mail-from", c.address, "--mail-rcpt", c.other, "-T", "-"); err == nil {
		t.Errorf("without a login: %s", out)
	}
}

//go:embed clients_submission.py
var pythonSubmits string

// TestPythonSubmits runs clients_submission.py: smtplib on 587 and 465.
func TestPythonSubmits(t *testing.T) {
	python := harness.Need(t, "python3", "apt-get install python3")
	c := newCorrespondents(t, "python-submits")
	script := c.file("client.py", "")
	write(t, script, []byte(pythonSubmits))
	sent := c.own()
	for i, text := range sent {
		write(t, filepath.Join(c.dir, "out-"+strconv.Itoa(i)), text)
	}
	c.run(nil, python, script, c.ca, "$SUBMISSION", "$SUBMISSIONS", c.address, c.password, c.other, c.dir)
	c.arrived(sent...)
}
