package tests

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
	"domicile/tests/scan"
)

// TestMarkerScan is promise P1: a marker stands in the address, the subject, the body and the name and content of an
// attachment of mail that arrives in the wrong region; nodes are killed in the middle of DATA, the front and the home in
// turn. Then every file that any node wrote is searched, in its own folder and in its HOME and TMPDIR. It must be nowhere
// readable: not abroad, and at home only sealed.
func TestMarkerScan(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2"}, harness.TwoRegions...)...)
	c.StartAll(t)
	marker := strings.ToLower(domicile.NewID("mk")[:18])
	address := marker + "@example.com"
	password := c.Account(t, ireland, address, "IE")
	whole := marked(marker, address, 1)
	c.Deliver(t, usNode, address, whole)
	c.Deliver(t, ieNode, address, whole)      // the same again, at home
	c.Deliver(t, "us-east-2", address, whole) // and by a node that is a front and no more
	if strays := c.Strays(t); len(strays) > 0 {
		t.Errorf("nodes have files open outside their folders: %v", strays)
	}
	if r := c.Ctl(t, usEast, "operator", nil, "account", "export", address, "--to", filepath.Join(c.Root, "export")); r.Code != 3 || r.Get("refused") != "no_token" {
		t.Errorf("export at us-east: %s", r)
	}
	for _, victim := range []domicile.Node{usNode, ieNode, "us-east-2"} {
		cutShort(t, c, victim, address, marked(marker, address, 40))
	}
	last := marked(marker, address, 2)
	harness.Eventually(t, 2*time.Minute, "mail to go home again", func() bool {
		code, _ := try(t, c, usNode, address, last)
		return code == 250
	})
	expect(t, c.Inbox(t, ireland, address, password), whole, whole, whole, last)
	c.Kill9(t, usNode)
	c.Kill9(t, ieNode)
	c.Kill9(t, "us-east-2")
	hits, files, err := scan.Tree(c.Root, marker)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hits {
		t.Error(h)
	}
	if files < 30 {
		t.Errorf("only %d files were searched", files)
	}
	control(t, c, marker)
}

// control plants the marker where nodes write, and wants it found: or the search above proves nothing.
func control(t *testing.T, c *harness.Cluster, marker string) {
	t.Helper()
	planted := filepath.Join(c.Path(c.Node(usNode).Data), "spool", "q1")
	if err := os.MkdirAll(filepath.Dir(planted), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(planted, []byte(base64.StdEncoding.EncodeToString([]byte("x"+marker))), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(planted)
	if hits, _, err := scan.Tree(c.Root, marker); err != nil || len(hits) != 1 {
		t.Errorf("the planted marker was not found: %v, %v", hits, err)
	}
}

// cutShort begins a message at us-east (at the victim, if that is one of its nodes) and kills a node before its end. The message must not be acknowledged.
func cutShort(t *testing.T, c *harness.Cluster, victim domicile.Node, address string, text []byte) {
	t.Helper()
	front := victim
	if victim == ieNode {
		front = usNode
	}
	var s *lab.Sender
	harness.Eventually(t, 2*time.Minute, "us-east to take a transaction", func() (ok bool) {
		var err error
		if s, err = lab.DialSMTP(t.Context(), c.Node(front).SMTP); err != nil {
			return false
		}
		if err = s.Begin("maeve@sender.example", address); err != nil {
			s.Close()
		}
		return err == nil
	})
	if _, err := s.Write(text[:len(text)/2]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // let it be on its way
	c.Kill9(t, victim)
	s.Write(text[len(text)/2:]) // the connection may be gone
	if msg, err := s.Command(250, "."); err == nil {
		t.Errorf("%s was killed in the middle of DATA, and the message acknowledged: %s", victim, msg)
	}
	s.Close()
	c.Launch(t, victim)
}

// marked is a message with the marker in every place that a leak could come from. size makes it longer, by 10 KiB each.
func marked(marker, address string, size int) []byte {
	attached := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("attached "+marker+"\n"), 20))
	return lab.Canonical([]byte("From: \"" + marker + "\" <" + marker + "@sender.example>\nTo: <" + address + ">\nSubject: about " + marker +
		"\nMessage-ID: <" + marker + "@sender.example>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"" + marker + "\"\n\n--" + marker +
		"\nContent-Type: text/plain\n\n" + strings.Repeat("The word is "+marker+".\n"+strings.Repeat("filler ", 140)+"\n", size*10) + "--" + marker +
		"\nContent-Type: application/octet-stream; name=\"" + marker + ".bin\"\nContent-Disposition: attachment; filename=\"" + marker +
		".bin\"\nContent-Transfer-Encoding: base64\n\n" + attached + "\n--" + marker + "--\n"))
}
