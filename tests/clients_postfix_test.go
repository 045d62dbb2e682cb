package tests

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile/lab"
	"domicile/tests/harness"
)

// TestPostfix has a Postfix of its own relay mail in by SMTP, only over TLS with a certificate that it checks. A message for
// two regions, of which we take one in a transaction, arrives at both once, and what we refuse Postfix returns to its sender.
func TestPostfix(t *testing.T) {
	postfix := harness.Need(t, "postfix", "apt-get install postfix")
	harness.NeedRoot(t, "Postfix starts for no other user")
	p := newPerson(t, "postfix")
	p.Account(t, ireland, "sender-postfix@example.com", "IE")
	american := p.Account(t, usEast, "postfix-us@example.com", "US")
	port, log := p.startPostfix(postfix, "relayhost = [localhost]:$SMTP\n"+tlsOf("smtp"))
	send := func(from string, text []byte, to ...string) { p.relay(port, from, text, to...) }
	arrive := p.arrive
	sent := letters()
	for i, text := range sent {
		send("postfix@sender.example", text, p.address)
		if got := arrive(i + 1); len(got) != i+1 {
			text, _ := os.ReadFile(log)
			t.Fatalf("%d messages came, %d were sent\n%s", len(got), i+1, text)
		}
	}
	got := p.mailbox("INBOX")
	expect(t, got, sent...)
	if !strings.Contains(string(got[0]), "with ESMTPS id") {
		t.Errorf("not by TLS: %.400q", got[0])
	}

	both := bytes.Replace(sent[0], []byte("letter 1"), []byte("to both"), 1)
	send("postfix@sender.example", both, p.address, "postfix-us@example.com")
	expect(t, arrive(len(sent) + 1)[len(sent):], both)
	harness.Eventually(t, 2*time.Minute, "the other region's copy", func() bool {
		return len(p.Inbox(t, usEast, "postfix-us@example.com", american)) > 0
	})
	expect(t, p.Inbox(t, usEast, "postfix-us@example.com", american), both)

	send(p.address, letter("returned", "1"), "nobody-by-postfix@example.com")
	back := arrive(len(sent) + 2)
	if len(back) != len(sent)+2 || !strings.Contains(string(back[len(sent)+1]), "Return-Path: <>") || !strings.Contains(string(back[len(sent)+1]), "550 5.1.1") {
		t.Errorf("no notice of what was refused: %d messages, the last %.1000q", len(back), back[len(back)-1])
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "Verified TLS connection established to localhost") {
		t.Errorf("Postfix's log tells of no verified connection: %v\n%s", err, text)
	}
}

// TestPostfixLMTP has a Postfix relay mail in by LMTP over checked TLS. A message for two regions goes in one transaction and arrives at
// both once; of one whose recipients are partly unknown, Postfix returns what concerns those alone.
func TestPostfixLMTP(t *testing.T) {
	postfix := harness.Need(t, "postfix", "apt-get install postfix")
	harness.NeedRoot(t, "Postfix starts for no other user")
	p := newPerson(t, "postfix-lmtp")
	american := p.Account(t, usEast, "postfix-lmtp-us@example.com", "US")
	port, log := p.startPostfix(postfix, "default_transport = lmtp:inet:[localhost]:$LMTP\nlmtp_dns_support_level = disabled\n"+tlsOf("lmtp"))
	sent := letters()
	for i, text := range sent {
		p.relay(port, "postfix@sender.example", text, p.address)
		if got := p.arrive(i + 1); len(got) != i+1 {
			text, _ := os.ReadFile(log)
			t.Fatalf("%d messages came, %d were sent\n%s", len(got), i+1, text)
		}
	}
	got := p.mailbox("INBOX")
	expect(t, got, sent...)
	if !strings.Contains(string(got[0]), "with LMTPS id") {
		t.Errorf("not by LMTP within TLS: %.400q", got[0])
	}
	both := bytes.Replace(sent[0], []byte("letter 1"), []byte("to both"), 1)
	p.relay(port, p.address, both, p.address, "nobody-by-lmtp@example.com", "postfix-lmtp-us@example.com")
	harness.Eventually(t, 2*time.Minute, "the other region's copy", func() bool {
		return len(p.Inbox(t, usEast, "postfix-lmtp-us@example.com", american)) > 0
	})
	abroad := p.Inbox(t, usEast, "postfix-lmtp-us@example.com", american)
	expect(t, abroad, both)
	all := p.arrive(len(sent) + 2)[len(sent):] // the copy, and Postfix's notice of the unknown one
	if len(all) != 2 {
		t.Fatalf("%d messages came", len(all))
	}
	if strings.Contains(string(all[0]), "Return-Path: <>") {
		all[0], all[1] = all[1], all[0]
	}
	expect(t, all[:1], both)
	if a, b := lmtpID.FindString(string(all[0])), lmtpID.FindString(string(abroad[0])); a == "" || a != b {
		t.Errorf("not one transaction: %q and %q", a, b)
	}
	if notice := string(all[1]); !strings.Contains(notice, "550 5.1.1") || strings.Count(notice, "Final-Recipient:") != 1 {
		t.Errorf("the notice: %.1000q", notice)
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "Verified TLS connection established to localhost") {
		t.Errorf("Postfix's log tells of no verified connection: %v\n%s", err, text)
	}
}

var lmtpID = regexp.MustCompile(`with LMTPS id \w+`)

// relay hands a message to Postfix.
func (p *person) relay(port, from string, text []byte, to ...string) {
	p.t.Helper()
	s, err := lab.DialSMTP(p.t.Context(), "127.0.0.1:"+port)
	if err != nil {
		p.t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(from, text, to...); err != nil {
		p.t.Fatal(err)
	}
}

// arrive waits until so many messages are in the INBOX, or two minutes, and returns those that are.
func (p *person) arrive(count int) (got [][]byte) {
	p.t.Helper()
	for end := time.Now().Add(2 * time.Minute); len(got) < count && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		got = p.mailbox("INBOX")
	}
	return got
}

// tlsOf is Postfix's settings for a client of its, smtp or lmtp, that sends over TLS with a checked certificate or not at all.
func tlsOf(client string) string {
	return strings.ReplaceAll("C_tls_security_level = secure\nC_tls_secure_cert_match = hostname\nC_tls_CAfile = $CA\nC_tls_loglevel = 1\n", "C_", client+"_")
}

// startPostfix runs a Postfix whose every file lies in the person's folder and which listens on loopback alone, and sends by the
// settings how. It returns its port and its log. It is stopped at the end of the test.
func (p *person) startPostfix(postfix, how string) (port, log string) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	port = p.port(l.Addr().String())
	l.Close()
	conf, queue, log := filepath.Join(p.dir, "etc"), filepath.Join(p.dir, "queue"), filepath.Join(p.dir, "postfix.log")
	p.file("etc/main.cf", `compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/data
maillog_file = $DIR/postfix.log
maillog_file_prefixes = $DIR
myhostname = relay.sender.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
smtp_dns_support_level = disabled
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
service_throttle_time = 1s
qmgr_ipc_timeout = 10s
`+how)
	p.file("etc/master.cf", "127.0.0.1:"+port+` inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
showq unix n - n - - showq
flush unix n - n 1000? 0 flush
`)
	for _, dir := range []string{conf, p.dir, filepath.Dir(p.dir)} { // Postfix's own user must get to its files
		if err := os.Chmod(dir, 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		p.t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	for dir, uid := range map[string]int{"data": uid, "queue": 0} {
		if err := os.Mkdir(filepath.Join(p.dir, dir), 0o755); err != nil {
			p.t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(p.dir, dir), uid, -1); err != nil {
			p.t.Fatal(err)
		}
	}
	p.t.Cleanup(func() {
		stopPostfix(p.t, postfix, conf, filepath.Join(queue, "pid/master.pid"))
		if text, _ := os.ReadFile(log); p.t.Failed() {
			p.t.Logf("Postfix's log:\n%s", text)
		}
	})
	if out, err := p.try(nil, postfix, "-c", conf, "start"); err != nil {
		text, _ := os.ReadFile(log)
		p.t.Fatalf("postfix start: %v\n%s\n%s", err, out, text)
	}
	return port, log
}

// stopPostfix stops it and waits until its master process is gone.
func stopPostfix(t *testing.T, postfix, conf, pidFile string) {
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		return // it never ran
	}
	proc := filepath.Join("/proc", strings.TrimSpace(string(raw)))
	if _, err := os.Stat(proc); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, postfix, "-c", conf, "stop").CombinedOutput(); err != nil {
		t.Errorf("postfix stop: %v\n%s", err, out)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(proc); err != nil {
			return
		}
	}
	t.Errorf("Postfix still runs as process %s", raw)
}
