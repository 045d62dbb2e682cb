package tests

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
)

// The story's names.
const (
	usEast  = domicile.Region("us-east")
	ireland = domicile.Region("eu-ireland")
	usNode  = domicile.Node("us-east-1")
	ieNode  = domicile.Node("eu-ireland-1")
)

func letter(subject, body string) []byte {
	return lab.Canonical([]byte("From: Maeve <maeve@sender.example>\nTo: you\nSubject: " + subject + "\n\n" + body + "\n"))
}

// TestCorpus delivers every message of the shared corpus at the wrong region, and reads it at home byte for byte.
func TestCorpus(t *testing.T) {
	t.Parallel()
	root := os.Getenv("DOMICILE_SHARED")
	if root == "" {
		root = filepath.Join(harness.Root(t), "..", "shared")
	}
	root = filepath.Join(root, "corpus")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("no corpus of real messages in %s: set DOMICILE_SHARED to the folder above it", root)
	}
	mails := corpus(t, root)
	c := harness.Shared(t)
	password := c.Account(t, ireland, "corpus@example.com", "IE")
	texts := make([][]byte, len(mails))
	for i, m := range mails {
		texts[i] = m.Text
	}
	c.Deliver(t, usNode, "corpus@example.com", texts...)
	got := c.Inbox(t, ireland, "corpus@example.com", password)
	if len(got) != len(mails) {
		t.Fatalf("%d messages were read and %d sent", len(got), len(mails))
	}
	for i, m := range mails {
		if err := lab.BehindTrace(got[i], m.Text); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	t.Logf("%d messages", len(mails))
}

// corpus loads every file of it. SMTP carries no NUL, and a message without a byte is one empty line: nothing else is changed,
// and nothing left out.
func corpus(t *testing.T, root string) []lab.Mail {
	t.Helper()
	mails, err := lab.LoadMail(root)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		info, err := d.Info()
		if err == nil && info.Size() == 0 {
			mails = append(mails, lab.Mail{Name: d.Name(), Text: []byte("\r\n")})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(mails) != files {
		t.Errorf("%d of %d files can go over SMTP", len(mails), files)
	}
	return mails
}

// TestHomeDown stops the home region: mail for it is put off, mail for others goes on, and nothing is lost or doubled. Then it
// stops the registrar's region: home takes its own mail without asking anyone, and knows of no name that it does not exist.
func TestHomeDown(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	aoife := c.Account(t, ireland, "aoife@example.com", "IE")
	sam := c.Account(t, usEast, "sam@example.com", "US")
	first, second, local := letter("before", "1"), letter("after", "2"), letter("local", "3")
	c.Deliver(t, usNode, "aoife@example.com", first)
	c.Halt(t, ieNode)
	if code, err := try(t, c, usNode, "aoife@example.com", second); code != 451 {
		t.Errorf("home is down: %d (%v), want 451", code, err)
	}
	c.Deliver(t, usNode, "sam@example.com", local)
	c.Launch(t, ieNode)
	harness.Eventually(t, 2*time.Minute, "us-east to deliver again", func() bool {
		code, _ := try(t, c, usNode, "aoife@example.com", second)
		return code == 250
	})
	expect(t, c.Inbox(t, ireland, "aoife@example.com", aoife), first, second)
	expect(t, c.Inbox(t, usEast, "sam@example.com", sam), local)

	c.Halt(t, usNode)
	alone := letter("alone", "4")
	c.Deliver(t, ieNode, "aoife@example.com", alone)
	if code, err := try(t, c, ieNode, "who-knows@example.com", alone); code != 451 {
		t.Errorf("the registrar is down: %d (%v) for an unknown name, want 451", code, err)
	}
	expect(t, c.Inbox(t, ireland, "aoife@example.com", aoife), first, second, alone)
}

// try sends one message on a connection of its own and returns the reply code, 0 if the connection broke.
func try(t *testing.T, c *harness.Cluster, at domicile.Node, to string, text []byte) (int, error) {
	t.Helper()
	s, err := lab.DialSMTP(t.Context(), c.Node(at).SMTP)
	if err != nil {
		return lab.Code(err), err
	}
	defer s.Close()
	if err := s.Send("maeve@sender.example", text, to); err != nil {
		return lab.Code(err), err
	}
	return 250, nil
}

// expect wants exactly these messages, in this order.
func expect(t *testing.T, got [][]byte, want ...[]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
		return
	}
	for i := range want {
		if err := lab.BehindTrace(got[i], want[i]); err != nil {
			t.Errorf("message %d: %v", i+1, err)
		}
	}
}

// TestThreeRegions makes a lab of three regions with two nodes each, starts a region and a front late, on ports that no other
// node's file names, and has mail go through all of them.
func TestThreeRegions(t *testing.T) {
	t.Parallel()
	c := harness.New(t, "--region", "us-east=US", "--region", "eu-ireland=IE,DE", "--region", "ap-japan=JP,KR", "--nodes", "2")
	c.Launch(t, "witness-1", usNode, ieNode)
	c.Met(t, 3)
	ie := c.Account(t, ireland, "aoife@example.com", "DE")
	for _, late := range []domicile.Node{"ap-japan-1", "us-east-2"} {
		unlisted(t, c, late)
	}
	c.Launch(t, "ap-japan-1", "us-east-2")
	c.Met(t, 5)
	jp := c.Account(t, "ap-japan", "kei@example.com", "KR")
	viaFront, toJapan, fromJapan := letter("by a late front", "1"), letter("to a late region", "2"), letter("from a late region", "3")
	c.Deliver(t, "us-east-2", "aoife@example.com", viaFront)
	c.Deliver(t, ieNode, "kei@example.com", toJapan)
	c.Deliver(t, "ap-japan-1", "aoife@example.com", fromJapan)
	expect(t, c.Inbox(t, ireland, "aoife@example.com", ie), viaFront, fromJapan)
	expect(t, c.Inbox(t, "ap-japan", "kei@example.com", jp), toJapan)
}

// unlisted wants no other node's file to name an address of the node.
func unlisted(t *testing.T, c *harness.Cluster, late domicile.Node) {
	t.Helper()
	own, err := os.ReadFile(c.Path(c.Node(late).Config))
	if err != nil {
		t.Fatal(err)
	}
	var gossip string
	if _, rest, ok := strings.Cut(string(own), "[gossip]"); ok {
		_, rest, _ = strings.Cut(rest, "listen = ")
		gossip = strings.Trim(strings.SplitN(rest, "\n", 2)[0], `'" `)
	}
	if gossip == "" {
		t.Fatalf("no gossip address in %s", own)
	}
	for _, n := range c.Nodes {
		raw, err := os.ReadFile(c.Path(n.Config))
		if err != nil {
			t.Fatal(err)
		}
		if n.Name != late && bytes.Contains(raw, []byte(gossip)) {
			t.Errorf("%s names the address of %s", n.Config, late)
		}
	}
}

// TestIMAPS reads mail over TLS, with nothing but the region's CA certificate, as a mail program would.
func TestIMAPS(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	password := c.Account(t, ireland, "tess@example.com", "IE")
	sent := letter("over TLS", "1")
	c.Deliver(t, usNode, "tess@example.com", sent)
	roots := x509.NewCertPool()
	for r, name := range c.CA {
		pem, err := os.ReadFile(c.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if r == string(ireland) && !roots.AppendCertsFromPEM(pem) {
			t.Fatal("no certificate in " + name)
		}
	}
	got, err := lab.ReadMailTLS(t.Context(), c.Home(ireland).IMAPS, &tls.Config{RootCAs: roots, ServerName: "localhost"}, "tess@example.com", password, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, sent)
	if _, err := lab.ReadMailTLS(t.Context(), c.Home(usEast).IMAPS, &tls.Config{RootCAs: roots, ServerName: "localhost"}, "tess@example.com", password, "INBOX"); err == nil {
		t.Error("us-east showed a certificate of Ireland's authority")
	}
}

// TestOwnExport takes the owner's mail out at home, with the owner's consent: byte for byte what was accepted.
func TestOwnExport(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	c.Account(t, ireland, "leaving@example.com", "IE")
	sent := letter("to take along", "all of it")
	c.Deliver(t, usNode, "leaving@example.com", sent)
	to := filepath.Join(t.TempDir(), "mail")
	if r := c.Ctl(t, ireland, "operator", nil, "account", "export", "leaving@example.com", "--to", to, "--consent", "by letter, identity checked"); r.Code != 0 {
		t.Fatalf("export: %s", r)
	}
	found, err := filepath.Glob(filepath.Join(to, "INBOX", "cur", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("exported: %v, %v", found, err)
	}
	raw, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	expect(t, [][]byte{raw}, sent)
}
