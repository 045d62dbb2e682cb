package tests

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile/region"
	"domicile/tests/harness"
)

// TestTLSDoors goes over to TLS by raw sockets at every door: SMTP and IMAP with STARTTLS, and IMAPS. Commands put behind
// STARTTLS in the clear are never answered within TLS (CVE-2011-0411); TLS below 1.2 is refused; a new certificate is shown
// from SIGHUP on, and connections that are open stay.
func TestTLSDoors(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.Launch(t, ieNode)
	home := c.Home(ireland)
	ca, err := os.ReadFile(c.Path(c.CA[string(ireland)]))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	conf := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	old := conf.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11

	doors := []struct{ name, addr, command, noop string }{
		{"smtp", home.SMTP, "STARTTLS\r\n", "NOOP\r\n"},
		{"imap", home.IMAP, "a STARTTLS\r\n", "b NOOP\r\n"},
		{"imaps", home.IMAPS, "", "b NOOP\r\n"},
	}
	serials, open := map[string]string{}, map[string]*tls.Conn{}
	for _, d := range doors {
		conn := upgraded(t, d.addr, d.command, conf)
		if err := conn.Handshake(); err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		serials[d.name], open[d.name] = serial(conn), conn
		if err := upgraded(t, d.addr, d.command, old).Handshake(); err == nil {
			t.Errorf("%s: TLS 1.1 was taken", d.name)
		}
		if d.command == "" {
			continue
		}
		plain, r := dialed(t, d.addr)
		io.WriteString(plain, d.command+d.noop+d.noop)
		if rest, err := io.ReadAll(r); err != nil || strings.Contains(string(rest), "220 ") || strings.Contains(string(rest), "OK") {
			t.Errorf("%s: commands behind STARTTLS: %q, %v; want the end of the connection", d.name, rest, err)
		}
		plain, r = dialed(t, d.addr)
		io.WriteString(plain, d.command)
		r.ReadString('\n')
		io.WriteString(plain, d.noop) // in the clear, where a handshake belongs
		if rest, _ := io.ReadAll(r); strings.Contains(string(rest), "250") || strings.Contains(string(rest), "OK") {
			t.Errorf("%s: a command in the clear behind STARTTLS: %q", d.name, rest)
		}
	}

	var keys []byte
	for _, name := range []string{"ca.pem", "ca-key.pem"} {
		raw, err := os.ReadFile(filepath.Join(c.Dir, string(ireland), name))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, raw...)
	}
	authority, err := region.LoadAuthority(keys, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := authority.IssueNode(ieNode, []string{"localhost", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(filepath.Dir(c.Path(home.Config)), "identity.pem"), renewed)
	c.Reload(t, ieNode)
	for _, d := range doors {
		harness.Eventually(t, 2*time.Minute, d.name+" to show the new certificate", func() bool {
			conn := upgraded(t, d.addr, d.command, conf)
			defer conn.Close()
			return conn.Handshake() == nil && serial(conn) != serials[d.name]
		})
		io.WriteString(open[d.name], d.noop)
		r := bufio.NewReader(open[d.name])
		line, err := r.ReadString('\n')
		if d.name == "imaps" { // its greeting comes first
			line, err = r.ReadString('\n')
		}
		if err != nil || !strings.HasPrefix(line, "250 ") && !strings.HasPrefix(line, "b OK") {
			t.Errorf("%s: a connection from before: %q, %v", d.name, line, err)
		}
	}
}

// dialed connects and, where one comes in the clear, reads the greeting.
func dialed(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return conn, r
}

// upgraded connects, sends command if there is one, and returns what is ready for a handshake.
func upgraded(t *testing.T, addr, command string, conf *tls.Config) *tls.Conn {
	t.Helper()
	if command == "" {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(2 * time.Minute))
		return tls.Client(conn, conf)
	}
	conn, r := dialed(t, addr)
	io.WriteString(conn, command)
	if line, err := r.ReadString('\n'); err != nil || r.Buffered() > 0 || !strings.HasPrefix(line, "220 ") && !strings.HasPrefix(line, "a OK") {
		t.Fatalf("STARTTLS: %q, %v", line, err)
	}
	return tls.Client(conn, conf)
}

func serial(c *tls.Conn) string {
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}
