package tests

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"domicile"
	"domicile/tests/harness"
)

// saslDoor speaks one protocol's dress of SASL.
type saslDoor struct {
	net.Conn
	r     *bufio.Reader
	imap  bool
	other string // the last line that was no challenge
}

func openSASL(c net.Conn, imap bool) *saslDoor {
	d := &saslDoor{Conn: c, r: bufio.NewReader(c), imap: imap}
	c.SetDeadline(time.Now().Add(3 * time.Minute))
	d.r.ReadString('\n')
	if !imap {
		io.WriteString(c, "EHLO client.example\r\n")
		for line := "250-"; strings.HasPrefix(line, "250-"); {
			line, _ = d.r.ReadString('\n')
		}
	}
	return d
}

// offers is what the door offers.
func (d *saslDoor) offers() string {
	if d.imap {
		io.WriteString(d, "c CAPABILITY\r\n")
		line, _ := d.r.ReadString('\n')
		d.r.ReadString('\n')
		return line
	}
	io.WriteString(d, "EHLO client.example\r\n")
	for all := ""; ; {
		line, err := d.r.ReadString('\n')
		if all += line; err != nil || strings.HasPrefix(line, "250 ") {
			return all
		}
	}
}

// scram runs an exchange, and returns what the server said first of salt and iterations, and whether it let the client in and proved itself.
func (d *saslDoor) scram(mechanism string, c *scram.ClientConversation) (first string, in bool, err error) {
	begin, more := "AUTH "+mechanism+"\r\n", "334 "
	if d.imap {
		begin, more = "a AUTHENTICATE "+mechanism+"\r\n", "+ "
	}
	io.WriteString(d, begin)
	challenge := ""
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			return first, false, err
		}
		text, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), more)
		if !ok {
			d.other = line
			return first, strings.HasPrefix(line, "235 ") || strings.HasPrefix(line, "a OK"), nil
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return first, false, err
		}
		challenge = string(raw)
		if _, after, ok := strings.Cut(challenge, ",s="); ok {
			first = after
		}
		said := ""
		if !c.Done() {
			if said, err = c.Step(challenge); err != nil {
				return first, false, err
			}
		} else if !c.Valid() {
			return first, false, errors.New("the server has not proved itself")
		}
		io.WriteString(d, base64.StdEncoding.EncodeToString([]byte(said))+"\r\n")
	}
}

func scramClient(t *testing.T, address, password string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(address, password, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// loginDoors are the doors of two nodes, at home in Ireland and abroad.
func loginDoors(c *harness.Cluster) map[string]func() (*saslDoor, error) {
	doors := map[string]func() (*saslDoor, error){}
	for _, node := range []domicile.Node{ieNode, usNode} {
		for _, imap := range []bool{true, false} {
			addr := c.Node(node).Submission
			if imap {
				addr = c.Node(node).IMAP
			}
			doors[fmt.Sprintf("%s, imap %v", node, imap)] = func() (*saslDoor, error) {
				conn, err := net.DialTimeout("tcp", addr, 30*time.Second)
				if err != nil {
					return nil, err
				}
				return openSASL(conn, imap), nil
			}
		}
	}
	return doors
}

// TestScram: another library's client logs in by SCRAM-SHA-256 to read and to send, at home and through the other region, and goes on there. A
// stranger is told the same salt of a name at every node, whether it exists or not, and the same of a wrong password as of an unknown name. A
// new password is good, and the old one is not, at once.
func TestScram(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	const address = "scram@example.com"
	password := c.Account(t, ireland, address, "IE")
	try := func(name, door string, open func() (*saslDoor, error), address, password string, want bool) (salt, said string) {
		t.Helper()
		var d *saslDoor
		var in bool
		var err error
		harness.Eventually(t, 2*time.Minute, "a login at "+door, func() bool { // proofs handed over are not taken at once behind a start
			if d, err = open(); err != nil {
				return false
			}
			t.Cleanup(func() { d.Close() })
			salt, in, err = d.scram("SCRAM-SHA-256", scramClient(t, address, password).NewConversation())
			return !strings.Contains(d.other, "UNAVAILABLE") && !strings.HasPrefix(d.other, "454 ")
		})
		if err != nil || in != want {
			t.Errorf("%s at %s: %v, %v, %q", name, door, in, err, d.other)
		}
		if in && d.imap {
			io.WriteString(d, "b SELECT INBOX\r\n")
			for line := ""; !strings.HasPrefix(line, "b "); {
				if line, err = d.r.ReadString('\n'); err != nil || strings.HasPrefix(line, "b ") && !strings.HasPrefix(line, "b OK") {
					t.Fatalf("%s at %s: SELECT: %q, %v", name, door, line, err)
				}
			}
		} else if in {
			io.WriteString(d, "MAIL FROM:<scram@example.com>\r\n")
			if line, err := d.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "250 ") {
				t.Errorf("%s at %s: MAIL: %q, %v", name, door, line, err)
			}
		}
		return salt, d.other
	}
	salts, answers := map[string]map[string]bool{}, map[string]map[string]bool{}
	for door, open := range loginDoors(c) {
		for _, who := range []struct {
			name, address, password string
			in                      bool
		}{{"right", address, password, true}, {"wrong", address, "not " + password, false}, {"unknown", "no-scram@example.com", password, false}} {
			salt, said := try(who.name, door, open, who.address, who.password, who.in)
			if salts[who.address] == nil {
				salts[who.address] = map[string]bool{}
			}
			salts[who.address][salt] = true
			if !who.in {
				if answers[door] == nil {
					answers[door] = map[string]bool{}
				}
				answers[door][said] = true
			}
		}
	}
	if len(salts[address]) != 1 || len(salts["no-scram@example.com"]) != 1 {
		t.Errorf("a name has several salts: %v", salts)
	}
	for door, said := range answers {
		if len(said) != 1 {
			t.Errorf("%s: unknown and wrong differ: %v", door, said)
		}
	}
	r := c.Ctl(t, ireland, "operator", []byte("another password"), "account", "passwd", address, "--password-stdin")
	if r.Code != 0 {
		t.Fatal(r)
	}
	for door, open := range loginDoors(c) {
		try("the new one", door, open, address, "another password", true)
	}
	for door, open := range loginDoors(c) {
		try("another way to write the name", door, open, "Scram+phone@Example.COM", "another password", true)
		break
	}
	for door, open := range loginDoors(c) {
		try("the old one", door, open, address, password, false)
		break
	}
}

// TestScramPlus: where TLS ends at home a login is bound to it, if the client asked for the home's host. One that could, and was told that it cannot,
// is refused.
func TestScramPlus(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	const address = "bound@example.com"
	password := c.Account(t, ireland, address, "IE")
	const host = "eu-ireland.example.com"
	open := func(node domicile.Node, ca domicile.Region, imap bool, host string) (*saslDoor, *tls.ConnectionState) {
		t.Helper()
		addr := c.Node(node).Submissions
		if imap {
			addr = c.Node(node).IMAPS
		}
		conn, err := tlsTo(t, c, addr, ca, host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		state := conn.ConnectionState()
		return openSASL(conn, imap), &state
	}
	for _, at := range []struct {
		node domicile.Node
		imap bool
	}{{ieNode, true}, {ieNode, false}, {usNode, true}} { // the last is passed through unread: TLS ends at home
		d, state := open(at.node, ireland, at.imap, host)
		if offers := d.offers(); !strings.Contains(offers, "SCRAM-SHA-256-PLUS") {
			t.Errorf("%+v offers %q", at, offers)
		}
		cb, err := scram.NewTLSExporterBinding(state)
		if err != nil {
			t.Fatal(err)
		}
		if _, in, err := d.scram("SCRAM-SHA-256-PLUS", scramClient(t, address, password).NewConversationWithChannelBinding(cb)); err != nil || !in {
			t.Errorf("%+v: %v, %v, %q", at, in, err, d.other)
		}
		d, _ = open(at.node, ireland, at.imap, host)
		cb.Data = append([]byte("x"), cb.Data[1:]...)
		if _, in, _ := d.scram("SCRAM-SHA-256-PLUS", scramClient(t, address, password).NewConversationWithChannelBinding(cb)); in {
			t.Errorf("%+v: another channel's binding is taken", at)
		}
		d, _ = open(at.node, ireland, at.imap, host)
		if _, in, _ := d.scram("SCRAM-SHA-256", scramClient(t, address, password).NewConversationAdvertisingChannelBinding()); in {
			t.Errorf("%+v: a downgrade is not seen", at)
		}
	}
	for node, region := range map[domicile.Node]domicile.Region{ieNode: ireland, usNode: usEast} {
		d, _ := open(node, region, false, "localhost")
		if offers := d.offers(); strings.Contains(offers, "PLUS") || !strings.Contains(offers, "SCRAM-SHA-256") {
			t.Errorf("%s, asked for another host, offers %q", node, offers)
		}
	}
}

// TestAppPassword: one lets a device in where it may, by password and by SCRAM, until it is taken away; the log of the node does not show it.
func TestAppPassword(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	const address = "devices@example.com"
	password := c.Account(t, ireland, address, "IE")
	var made struct {
		List []struct{ ID, Label, Scope, Used, Password string }
	}
	ctl := func(words ...string) {
		t.Helper()
		r := c.Ctl(t, ireland, "operator", nil, append([]string{"account", "app-password"}, words...)...)
		made.List = nil
		if err := json.Unmarshal(r.Out, &made); r.Code != 0 || err != nil {
			t.Fatalf("%v: %s, %v", words, r, err)
		}
	}
	ctl("add", address, "--label", "phone", "--scope", "imap")
	phone := made.List[0]
	login := func(at domicile.Node, password string, want bool) {
		t.Helper()
		k := dialIMAP(t, c.Node(at).IMAP)
		if got, _ := k.ask(`LOGIN ` + address + ` "` + password + `"`); strings.HasPrefix(got, "OK") != want {
			t.Errorf("LOGIN at %s: %q", at, got)
		}
	}
	for _, node := range []domicile.Node{ieNode, usNode} {
		login(node, phone.Password, true)
		login(node, password, true)
	}
	conn, err := net.DialTimeout("tcp", c.Node(ieNode).IMAP, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, in, err := openSASL(conn, true).scram("SCRAM-SHA-256", scramClient(t, address, phone.Password).NewConversation()); err != nil || !in {
		t.Errorf("by SCRAM: %v, %v", in, err)
	}
	smtp, err := net.DialTimeout("tcp", c.Node(ieNode).Submission, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer smtp.Close()
	d := openSASL(smtp, false)
	fmt.Fprintf(d, "AUTH PLAIN %s\r\n", base64.StdEncoding.EncodeToString([]byte("\x00"+address+"\x00"+phone.Password)))
	if line, _ := d.r.ReadString('\n'); !strings.HasPrefix(line, "535 5.7.8") {
		t.Errorf("out of its scope: %q", line)
	}
	ctl("ls", address)
	if len(made.List) != 1 || made.List[0].Label != "phone" || made.List[0].Password != "" || made.List[0].Used == "" {
		t.Errorf("ls: %+v", made.List)
	}
	open := func(at domicile.Node, password string) *reader {
		k := dialIMAP(t, c.Node(at).IMAP)
		k.want(`LOGIN `+address+` "`+password+`"`, "OK")
		return k
	}
	lost, lostAbroad, kept := open(ieNode, phone.Password), open(usNode, phone.Password), open(ieNode, password)
	ctl("rm", address, phone.ID)
	for _, k := range []*reader{lost, lostAbroad} { // what it had opened ends, wherever it came in
		if line := k.line(); !strings.HasPrefix(line, "* BYE") {
			t.Errorf("%q", line)
		}
	}
	kept.want("NOOP", "OK")
	if len(made.List) != 0 {
		t.Errorf("rm: %+v", made.List)
	}
	login(ieNode, phone.Password, false)
	login(ieNode, password, true)
}
