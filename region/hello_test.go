package region

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// hello returns the first bytes that a client of TLS sends.
func hello(t testing.TB, conf *tls.Config) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	go tls.Client(there, conf).Handshake()
	here.SetReadDeadline(time.Now().Add(patience))
	first := make([]byte, 16<<10)
	n, err := here.Read(first)
	if err != nil {
		t.Fatal(err)
	}
	return first[:n]
}

func TestClientHello(t *testing.T) {
	for name, want := range map[string]string{"eu-ireland.example.com": "eu-ireland.example.com", "EU-Ireland.Example.COM": "eu-ireland.example.com", "127.0.0.1": ""} {
		raw := hello(t, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		for _, r := range []io.Reader{bytes.NewReader(raw), io.MultiReader(bytes.NewReader(raw[:7]), bytes.NewReader(raw[7:]))} {
			host, read, err := ClientHello(r)
			if err != nil || host != want || !bytes.Equal(read, raw) {
				t.Errorf("%s: host %q, %d bytes of %d, %v", name, host, len(read), len(raw), err)
			}
		}
	}
	// More than a hello: what was read too much is given back, too.
	raw := append(hello(t, &tls.Config{ServerName: "a.example.com"}), "more"...)
	rest := bytes.NewReader(raw)
	if _, read, err := ClientHello(rest); err != nil || string(read)+remaining(rest) != string(raw) {
		t.Errorf("bytes are lost: %v", err)
	}
	for _, raw := range []string{"", "a1 CAPABILITY\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff", "\x16\x03\x01\x00\x05hello"} {
		if host, read, err := ClientHello(strings.NewReader(raw)); err == nil || host != "" || string(read) != raw {
			t.Errorf("%q: %q, %q, %v", raw, host, read, err)
		}
	}
	endless := io.LimitReader(zeros{}, 1<<20)
	if _, read, err := ClientHello(endless); err == nil || len(read) > maxHello {
		t.Errorf("%d bytes were read, %v", len(read), err)
	}
}

func remaining(r io.Reader) string { b, _ := io.ReadAll(r); return string(b) }

// zeros looks like the head of a record again and again.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "\x16\x03\x01\x00\x04\x01\x00\xff\xff"[i%9]
	}
	return len(p), nil
}

func FuzzClientHello(f *testing.F) {
	f.Add(hello(f, &tls.Config{ServerName: "eu-ireland.example.com"}))
	f.Add([]byte("\x16\x03\x01\x00\x05hello"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		host, read, err := ClientHello(r)
		if string(read)+remaining(r) != string(raw) || len(read) > maxHello {
			t.Errorf("%d bytes were read of %d, and some are lost", len(read), len(raw))
		}
		if err != nil && host != "" || strings.ToLower(host) != host {
			t.Errorf("host %q, %v", host, err)
		}
	})
}

func TestHostsOfTheCatalog(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	with := func(hosts ...string) *Catalog {
		c := w.next()
		c.Regions[1].Hosts = hosts
		return c
	}
	good := with("eu-ireland.example.com", "mail.example.ie")
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	if r, ok := good.RegionOfHost("mail.example.ie"); !ok || r != "eu-ireland" || good.HostOf("eu-ireland") != "eu-ireland.example.com" {
		t.Errorf("%q, %q", r, good.HostOf("eu-ireland"))
	}
	for _, host := range []string{"", "example.ie", "x"} {
		if r, ok := good.RegionOfHost(host); ok {
			t.Errorf("%q is a host of %s", host, r)
		}
	}
	if good.HostOf("us-east") != "" || good.HostOf("atlantis") != "" {
		t.Error("a host of a region that has none")
	}
	if got := good.touched(w.cat); len(got) != 1 || len(got["eu-ireland"]) == 0 {
		t.Errorf("new hosts of eu-ireland touch %v", got)
	}
	twice := with("a.example.com")
	twice.Regions[0].Hosts = []string{"a.example.com"}
	for name, c := range map[string]*Catalog{"of two regions": twice, "twice": with("a.example.com", "a.example.com"), "upper case": with("A.example.com"), "one label": with("localhost"),
		"an address": with("192.0.2.1"), "empty": with(""), "a dot at the end": with("a.example.com."), "odd": with("a_b.example.com"), "many": with(strings.Split(strings.Repeat("h,", maxHosts+1), ",")...)} {
		if c.check() == nil {
			t.Errorf("a host %s is taken", name)
		}
	}
}
