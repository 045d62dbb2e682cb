package tests

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/tests/harness"
)

// reader is a raw IMAP client.
type reader struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
	n int
}

func newReader(t *testing.T, c net.Conn) *reader {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	k := &reader{t: t, Conn: c, r: bufio.NewReader(c)}
	if greeting := k.line(); !strings.HasPrefix(greeting, "* OK [CAPABILITY ") {
		t.Fatalf("greeting: %q", greeting)
	}
	return k
}

func dialIMAP(t *testing.T, addr string) *reader {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return newReader(t, c)
}

func (k *reader) line() string {
	line, err := k.r.ReadString('\n')
	if err != nil {
		return line + "CLOSED"
	}
	return strings.TrimSuffix(line, "\r\n")
}

// ask sends a command and returns its tagged answer without the tag, and what came before it.
func (k *reader) ask(command string) (answer, before string) {
	k.t.Helper()
	k.n++
	tag := fmt.Sprintf("t%d", k.n)
	io.WriteString(k, tag+" "+command+"\r\n")
	var all strings.Builder
	for {
		line := k.line()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok || strings.HasSuffix(line, "CLOSED") {
			if !ok {
				rest = line
			}
			return rest, all.String()
		}
		all.WriteString(line + "\r\n")
	}
}

// want sends a command whose answer must begin so.
func (k *reader) want(command, answer string) string {
	k.t.Helper()
	got, before := k.ask(command)
	if !strings.HasPrefix(got, answer) {
		k.t.Fatalf("%s: got %q, want %q", command, got, answer)
	}
	return before
}

// read returns a message as a client gets it.
func (k *reader) read(uid int) []byte {
	k.t.Helper()
	k.n++
	fmt.Fprintf(k, "t%d UID FETCH %d BODY.PEEK[]\r\n", k.n, uid)
	head := k.line()
	var size int
	if i := strings.LastIndexByte(head, '{'); i < 0 {
		k.t.Fatalf("FETCH: %q", head)
	} else if _, err := fmt.Sscanf(head[i:], "{%d}", &size); err != nil {
		k.t.Fatalf("FETCH: %q", head)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(k.r, body); err != nil {
		k.t.Fatal(err)
	}
	for line := k.line(); !strings.HasPrefix(line, fmt.Sprintf("t%d OK", k.n)); line = k.line() {
		if strings.HasSuffix(line, "CLOSED") {
			k.t.Fatal("closed in the middle of an answer")
		}
	}
	return body
}

// upload appends a message by a synchronising literal.
func (k *reader) upload(mailbox string, text []byte) string {
	k.t.Helper()
	k.n++
	fmt.Fprintf(k, "t%d APPEND %s {%d}\r\n", k.n, mailbox, len(text))
	if line := k.line(); !strings.HasPrefix(line, "+ ") {
		return line
	}
	k.Write(text)
	io.WriteString(k, "\r\n")
	for {
		line := k.line()
		if rest, ok := strings.CutPrefix(line, fmt.Sprintf("t%d ", k.n)); ok || strings.HasSuffix(line, "CLOSED") {
			return rest
		}
	}
}

// TestReadingAbroad logs in at every front of a cluster: at home, in the other region, and at nodes that hold no store. Each serves
// the account from its home, and knows no more than that of names and passwords. A home that cannot be reached is
// no wrong password.
func TestReadingAbroad(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2"}, harness.TwoRegions...)...)
	c.StartAll(t)
	aoife := c.Account(t, ireland, "aoife@example.com", "IE")
	sam := c.Account(t, usEast, "sam@example.com", "US")
	text := letter("abroad", strings.Repeat("read from anywhere\n", 20000))
	c.Deliver(t, usNode, "aoife@example.com", text)
	c.Deliver(t, ieNode, "sam@example.com", text)
	for _, node := range []domicile.Node{ieNode, "eu-ireland-2", usNode, "us-east-2"} {
		for address, password := range map[string]string{"aoife@example.com": aoife, "sam@example.com": sam} {
			k := dialIMAP(t, c.Node(node).IMAP)
			k.want("LOGIN "+address+" "+password, "OK [CAPABILITY IMAP4rev1 ")
			k.want("SELECT INBOX", "OK [READ-WRITE]")
			expect(t, [][]byte{k.read(1)}, text)
			k.want("LOGOUT", "OK")
		}
		k := dialIMAP(t, c.Node(node).IMAP)
		const wrong = "NO [AUTHENTICATIONFAILED] No such account here, or the wrong password"
		k.want("LOGIN aoife@example.com wrong", wrong)
		k.want("LOGIN nobody@example.com wrong", wrong)
	}
	c.Halt(t, ieNode)
	for _, node := range []domicile.Node{usNode, "us-east-2", "eu-ireland-2"} {
		k := dialIMAP(t, c.Node(node).IMAP)
		k.want("LOGIN aoife@example.com "+aoife, "NO [UNAVAILABLE]")
		k.want("LOGIN aoife@example.com wrong", "NO [UNAVAILABLE]")
		k.want("LOGIN sam@example.com "+sam, "OK")
	}
}

// tlsTo dials a node within TLS, by a region's authority, asking for a host.
func tlsTo(t *testing.T, c *harness.Cluster, addr string, r domicile.Region, host string) (*tls.Conn, error) {
	t.Helper()
	ca, err := os.ReadFile(c.Path(c.CA[string(r)]))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", addr, &tls.Config{RootCAs: roots, ServerName: host})
}

// TestAbroadChoice sets what an owner wants of fronts of other regions. It is asked at home, only when the owner is known
// to ask, and never by fronts of the home region or of those who name the home's host.
func TestAbroadChoice(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2"}, harness.TwoRegions...)...)
	c.StartAll(t)
	password := c.Account(t, ireland, "aoife@example.com", "IE")
	c.Deliver(t, usNode, "aoife@example.com", letter("abroad", "once"))
	choose := func(choice string) {
		t.Helper()
		if r := c.Ctl(t, ireland, "operator", nil, "account", "abroad", "aoife@example.com", choice); r.Code != 0 || r.Get("abroad") != choice {
			t.Fatalf("account abroad %s: %s", choice, r)
		}
		if r := c.Ctl(t, ireland, "operator", nil, "account", "show", "aoife@example.com"); r.Get("abroad") != choice {
			t.Errorf("account show: %s", r)
		}
	}
	for choice, want := range map[string]string{
		"refuse": "NO [AUTHORIZATIONFAILED] Refused (abroad_refused)",
		"refer":  "NO [REFERRAL imap://aoife%40example.com;AUTH=*@eu-ireland.example.com/]",
		"relay":  "OK [CAPABILITY ",
	} {
		choose(choice)
		for _, node := range []domicile.Node{usNode, "us-east-2"} {
			k := dialIMAP(t, c.Node(node).IMAP)
			k.want("LOGIN aoife@example.com wrong", "NO [AUTHENTICATIONFAILED]")
			k.want("LOGIN aoife@example.com "+password, want)
		}
		for _, node := range []domicile.Node{ieNode, "eu-ireland-2"} {
			dialIMAP(t, c.Node(node).IMAP).want("LOGIN aoife@example.com "+password, "OK")
		}
		conn, err := tlsTo(t, c, c.Node(usNode).IMAPS, ireland, "eu-ireland.example.com")
		if err != nil {
			t.Fatal(err)
		}
		newReader(t, conn).want("LOGIN aoife@example.com "+password, "OK")
	}
	if r := c.Ctl(t, ireland, "operator", nil, "account", "abroad", "aoife@example.com", "perhaps"); r.Code == 0 {
		t.Errorf("a choice that is none: %s", r)
	}
	choose("refuse")
	k := dialIMAP(t, c.Node(usNode).IMAP)
	k.want("CAPABILITY", "OK")
	k.want("LOGIN aoife@example.com "+password, "NO [AUTHORIZATIONFAILED]")
	counted(t, c.Home(ireland).HTTP, `domicile_relayed_sessions_total{front="imap",result="abroad_refused",side="home"} 3`)
}

// TestPassedThrough connects at us-east by the names of regions. Who names Ireland speaks TLS with Ireland, under Ireland's
// certificate, also through a front without a store; us-east sees no word of it. Accounts of other regions look unknown there.
func TestPassedThrough(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2"}, harness.TwoRegions...)...)
	c.StartAll(t)
	aoife := c.Account(t, ireland, "aoife@example.com", "IE")
	sam := c.Account(t, usEast, "sam@example.com", "US")
	text := letter("unread", strings.Repeat("passed through\n", 30000))
	c.Deliver(t, usNode, "aoife@example.com", text)
	for _, node := range []domicile.Node{usNode, "us-east-2", ieNode, "eu-ireland-2"} {
		conn, err := tlsTo(t, c, c.Node(node).IMAPS, ireland, "eu-ireland.example.com")
		if err != nil {
			t.Fatalf("%s: %v", node, err)
		}
		k := newReader(t, conn)
		k.want("LOGIN aoife@example.com "+aoife, "OK [CAPABILITY IMAP4rev1 ")
		k.want("SELECT INBOX", "OK [READ-WRITE]")
		expect(t, [][]byte{k.read(1)}, text)
		if got := k.upload("Drafts", text); !strings.HasPrefix(got, "OK [APPENDUID") {
			t.Fatalf("%s: APPEND: %q", node, got)
		}
		k.want("LOGOUT", "OK")
	}
	conn, err := tlsTo(t, c, c.Node(usNode).IMAPS, ireland, "eu-ireland.example.com")
	if err != nil {
		t.Fatal(err)
	}
	newReader(t, conn).want("LOGIN sam@example.com "+sam, "NO [AUTHENTICATIONFAILED]")
	conn, err = tlsTo(t, c, c.Node(usNode).IMAPS, usEast, "us-east.example.com")
	if err != nil {
		t.Fatal(err)
	}
	newReader(t, conn).want("LOGIN sam@example.com "+sam, "OK")
	if _, err := tlsTo(t, c, c.Node(usNode).IMAPS, usEast, "eu-ireland.example.com"); err == nil {
		t.Error("us-east shows a certificate for Ireland's host")
	}
	c.Halt(t, ieNode)
	if _, err := tlsTo(t, c, c.Node(usNode).IMAPS, ireland, "eu-ireland.example.com"); err == nil {
		t.Error("TLS to a home that is down")
	}
}

// TestAbroadDrains closes nodes down under sessions that idle abroad: the client is told BYE, whichever end it is, and no session
// outlives a node.
func TestAbroadDrains(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2"}, harness.TwoRegions...)...)
	c.StartAll(t)
	password := c.Account(t, ireland, "aoife@example.com", "IE")
	enter := func(node domicile.Node) []*reader {
		var all []*reader
		conn, err := tlsTo(t, c, c.Node(node).IMAPS, ireland, "eu-ireland.example.com")
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range []*reader{dialIMAP(t, c.Node(node).IMAP), newReader(t, conn), dialIMAP(t, c.Node(node).IMAP)} {
			if i < 2 {
				k.want("LOGIN aoife@example.com "+password, "OK")
				k.want("SELECT INBOX", "OK")
			}
			if i == 0 {
				io.WriteString(k, "i IDLE\r\n")
				if got := k.line(); !strings.HasPrefix(got, "+ ") {
					t.Fatalf("IDLE: %q", got)
				}
			}
			all = append(all, k)
		}
		return all
	}
	for _, x := range []struct{ at, ends domicile.Node }{{"us-east-2", "us-east-2"}, {usNode, ieNode}} {
		sessions := enter(x.at)
		c.Halt(t, x.ends)
		for i, k := range sessions {
			if i == 2 && x.at != x.ends { // not logged in, at a front that stays
				k.want("NOOP", "OK")
				continue
			}
			if got := k.line(); !strings.HasPrefix(got, "* BYE [UNAVAILABLE]") {
				t.Errorf("session %d at %s, when %s closes down: %q", i, x.at, x.ends, got)
			}
			if rest, _ := io.ReadAll(k.r); i != 0 && len(rest) > 0 || strings.Contains(string(rest), "*") { // IDLE may still have its answer
				t.Errorf("behind BYE: %q", rest)
			}
		}
	}
}
