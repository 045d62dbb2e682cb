package imapd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
)

// talk runs a door over what a client sends, to its end, and returns what it answers.
func talk(srv *Server, sent string) string {
	c := &script{pieces: []string{sent}}
	d := newDoor(srv, c)
	d.serve()
	return c.out.String()
}

func (s *script) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (s *script) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

// tried is a front that notes the logins it is asked for, and lets nobody in.
func tried(t testing.TB) (*Server, *[]string) {
	var logins []string
	srv := newServer(Config{Region: "us-east", Hostname: "front", Lab: true, Check: &login.Checker{Address: anyAddress, Kept: noting{&logins}, Tries: login.NewGuesses(login.FirstDelay, anyAddress)},
		Resolve: func(_ context.Context, a domicile.Address) (placement.Location, error) {
			logins = append(logins, string(a))
			return placement.Location{}, domicile.E("resolve", domicile.NotExist, "")
		}})
	srv.cancel() // no delays
	return srv, &logins
}

func anyAddress(s string) (domicile.Address, error) { return domicile.Address(s), nil }

// noting notes the passwords that it is asked for.
type noting struct{ logins *[]string }

func (n noting) Check(_, pw string) (bool, error) {
	(*n.logins)[len(*n.logins)-1] += " " + pw
	return false, nil
}
func (noting) CheckApp(string, string) bool                             { return false }
func (noting) Salt(string) ([]byte, int)                                { return []byte("salt"), 4096 }
func (noting) Verifier(string, string) (string, error)                  { return "", nil }
func (noting) Proof(string, []byte, int, string, []byte) ([]byte, bool) { return nil, false }

// The forms in which a client may log in, and those that are no login.
func TestLoginForms(t *testing.T) {
	for sent, want := range map[string]string{
		"a LOGIN ann pw\r\n":                        "ann pw",
		"a login \"ann\" \"p w\"\r\n":               "ann p w",
		"a LOGIN \"a\\\"n\\\\n\" pw\r\n":            `a"n\n pw`,
		"a LOGIN ann {2}\r\npw\r\n":                 "ann pw",
		"a LOGIN {3}\r\nann {2}\r\npw\r\n":          "ann pw",
		"a LOGIN {3+}\r\nann {2+}\r\npw\r\n":        "ann pw",
		"a LOGIN {3+}\r\nann \"pw\"\r\n":            "ann pw",
		"a LOGIN ann {4}\r\np\r\nw\r\n":             "ann p\r\nw",
		"a LOGIN ann p]w\r\n":                       "ann p]w",
		"a LOGIN \"jos\u00e9\" pw\r\n":              "jos\u00e9 pw",
		"a LOGIN ann \"\"\r\n":                      "ann ",
		"a LOGIN ann pw\n":                          "ann pw",
		"a AUTHENTICATE PLAIN AGFubgBwdw==\r\n":     "ann pw",
		"a AUTHENTICATE plain\r\nAGFubgBwdw==\r\n":  "ann pw",
		"a AUTHENTICATE PLAIN YW5uAGFubgBwdw==\r\n": "ann pw",
		"a LOGIN ann\r\n":                           "",
		"a LOGIN ann pw more\r\n":                   "",
		"a LOGIN  ann pw\r\n":                       "",
		"a LOGIN (ann) pw\r\n":                      "",
		"a LOGIN ann p*w\r\n":                       "",
		"a LOGIN \"ann\"pw x\r\n":                   "",
		"a LOGIN ann{2}\r\npw\r\n":                  "",
		"a LOGIN ann {2} \r\npw\r\n":                "",
		"a LOGIN \"a\\nn\" pw\r\n":                  "",
		"a LOGIN \"\xff\" pw\r\n":                   "",
		"a LOGIN ann {3}\r\np\x00w\r\n":             "",
		"a LOGIN ann {4097}\r\n":                    "",
		"a LOGIN ann {99999999999999999999+}\r\n":   "",
		"a AUTHENTICATE PLAIN AGFubgBwdw\r\n":       "",
		"a AUTHENTICATE PLAIN =\r\n":                "",
		"a AUTHENTICATE PLAIN\r\n*\r\n":             "",
		"a AUTHENTICATE PLAIN Ym9iAGFubgBwdw==\r\n": "",
		"a AUTHENTICATE CRAM-MD5\r\n":               "",
		"a AUTHENTICATE {5+}\r\nPLAIN\r\n":          "",
	} {
		srv, logins := tried(t)
		got := talk(srv, sent)
		if (want == "") != (len(*logins) == 0) || want != "" && (len(*logins) != 1 || (*logins)[0] != want) {
			t.Errorf("%q: logins %q, want %q; answer %q", sent, *logins, want, got)
		}
	}
}

// Bytes of a literal are never a command, whatever became of the command that they belong to.
func TestLiteralsAreNoCommands(t *testing.T) {
	for _, sent := range []string{
		"a LOGIN ann {16+}\r\nb LOGIN x secret\r\n",
		"a LOGIN ann {9999+}\r\nb LOGIN x secret\r\n",
		"a LOGIN {9999999999999999999+}\r\nb LOGIN x secret\r\n",
		"a CREATE {20+}\r\nb LOGIN x secret\r\n\r\n\r\n",
		"a CREATE {9999+}\r\nb LOGIN x secret\r\n",
		"{18+}\r\nb LOGIN x secret\r\n\r\n",
		"a NOOP {18+} \r\nb LOGIN x secret\r\n\r\n",
		"a LOGIN \"ann{18+}\r\nb LOGIN x secret\r\n\r\n",
		"a LOGIN ann pw\rb LOGIN x secret\r\n",
		"a LOGIN ann p\x00\r\n",
		"a STARTTLS\r\nb LOGIN x secret\r\n",
		"a AUTHENTICATE PLAIN {18+}\r\nb LOGIN x secret\r\n\r\n",
	} {
		srv, logins := tried(t)
		srv.cfg.TLS = testTLS()
		talk(srv, sent)
		for _, l := range *logins {
			if l == "x secret" {
				t.Errorf("%q logged in", sent)
			}
		}
	}
}

// What a client hears before it is logged in.
func TestDoor(t *testing.T) {
	srv, _ := tried(t)
	got := talk(srv, "a CAPABILITY\r\nb ID (\"name\" \"x\" \"version\" NIL)\r\nc ID NIL\r\nd ID {1+}\r\nx\r\ne NOOP\r\nf NOOP x\r\ng IDLE\r\nh LOGOUT\r\ni NOOP\r\n")
	want := strings.Join([]string{
		"* OK [CAPABILITY " + shown + " AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN] front ready",
		"* CAPABILITY " + shown + " AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN", "a OK CAPABILITY completed",
		`* ID ("name" "domicile")`, "b OK ID completed", `* ID ("name" "domicile")`, "c OK ID completed",
		`d BAD "(" is missing`, "e OK NOOP completed", "f BAD More than the command takes",
		"g BAD Not a command for somebody who is not logged in", "* BYE Logging out", "h OK LOGOUT completed", "",
	}, "\r\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Who speaks another protocol is shown out before its body is reached.
	got = talk(srv, "POST / HTTP/1.1\r\nHost: front\r\nContent-Length: 18\r\nAccept: *\r\n\r\nb LOGIN ann pw\r\n")
	if !strings.HasSuffix(got, "* BYE Not IMAP\r\n") || strings.Contains(got, "b ") {
		t.Errorf("%q", got)
	}
	srv.cfg.Lab = false
	if got = talk(srv, "a LOGIN ann pw\r\nb AUTHENTICATE PLAIN AGFubgBwdw==\r\n"); !strings.Contains(got, " LOGINDISABLED]") || strings.Count(got, "NO [PRIVACYREQUIRED]") != 2 {
		t.Errorf("%q", got)
	}
	long := talk(srv, "a ID ("+strings.Repeat("\"x\" ", 4000)+"\r\nb NOOP\r\n")
	if !strings.Contains(long, "* BYE [TOOBIG]") || strings.Contains(long, "b OK") {
		t.Errorf("%q", long)
	}
}

// However bytes are cut into packets, the door ends, answers in whole lines, and asks for no more logins than there are commands.
func FuzzDoor(f *testing.F) {
	f.Add([]byte("a LOGIN {3+}\r\nann {2}\r\npw\r\nb ID (\"a\" NIL)\r\nc NOOP\r\n"), uint8(3))
	f.Add([]byte("a AUTHENTICATE PLAIN\r\nAGFubgBwdw==\r\n"), uint8(1))
	f.Add([]byte("a CREATE \"x{30+}\r\nc CREATE hidden\r\n\"\r\n"), uint8(200))
	f.Fuzz(func(t *testing.T, raw []byte, size uint8) {
		srv, logins := tried(t)
		c := &script{}
		for rest, n := raw, max(1, int(size)); len(rest) > 0; rest = rest[min(n, len(rest)):] {
			c.pieces = append(c.pieces, string(rest[:min(n, len(rest))]))
		}
		newDoor(srv, c).serve()
		if !c.closed {
			t.Error("the connection is left open")
		}
		out := c.out.String()
		if out == "" || !strings.HasSuffix(out, "\r\n") || strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\n") {
			t.Errorf("%q", out)
		}
		if len(*logins) > bytes.Count(raw, []byte("\n")) || len(*logins) > maxFails {
			t.Errorf("%d logins from %q", len(*logins), raw)
		}
	})
}

// network is other nodes, made up.
type network func(to domicile.Region, front string, r region.SessionRequest) error

func (n network) OpenSession(_ context.Context, to domicile.Region, front string, r region.SessionRequest) (*region.Conn, error) {
	return nil, n(to, front, r)
}

// What a home says is told in IMAP's words, and what is no word of a home is never a wrong password.
func TestAnswersOfHomes(t *testing.T) {
	for _, c := range []struct {
		from error
		want string
	}{
		{domicile.E("login", domicile.NotExist, ""), "NO [AUTHENTICATIONFAILED] No such account here, or the wrong password"},
		{domicile.E("login", domicile.Unavailable, ""), "NO [UNAVAILABLE] Not now; try again later"},
		{domicile.E("login", domicile.Invalid, "no such method"), "NO [UNAVAILABLE] Not now; try again later"},
		{domicile.E("login", domicile.TooLarge, ""), "NO [LIMIT] The account has too many sessions; end one first"},
		{errors.New("anything"), "NO [UNAVAILABLE] Not now; try again later"},
		{domicile.Refuse("login", domicile.AccountSuspended, "", ""), "NO [AUTHORIZATIONFAILED] The account is suspended"},
		{domicile.Refuse("login", domicile.AbroadRefused, "", ""), "NO [AUTHORIZATIONFAILED] Refused (abroad_refused)"},
		{domicile.Refuse("login", domicile.ReadAtHome, "", ""), "NO [REFERRAL imap://ann%40example.com;AUTH=*@eu.example.com/] The mail is read at its home"},
	} {
		srv, _ := tried(t)
		srv.cfg.Resolve = func(context.Context, domicile.Address) (placement.Location, error) {
			return placement.Location{Account: "a1", Home: "eu-ireland"}, nil
		}
		srv.cfg.HostOf = func(domicile.Region) string { return "eu.example.com" }
		srv.cfg.Network = network(func(to domicile.Region, front string, r region.SessionRequest) error {
			if to != "eu-ireland" || front != "imap" || r.Client != "127.0.0.1" || r.Login.Name != "ann@example.com" || r.Login.Password != "pw" || r.Tag != "a" {
				t.Errorf("asked %s for %s with %+v", to, front, r)
			}
			return c.from
		})
		if got := talk(srv, "a LOGIN ann@example.com pw\r\n"); !strings.Contains(got, "a "+c.want+"\r\n") {
			t.Errorf("%v: got %q, want %q", c.from, got, c.want)
		}
		srv.cfg.HostOf = func(domicile.Region) string { return "" }
		if got := talk(srv, "a LOGIN ann@example.com pw\r\n"); strings.Contains(got, "[REFERRAL") {
			t.Errorf("a referral to nowhere: %q", got)
		}
	}
	srv, _ := tried(t)
	srv.cfg.Resolve = func(context.Context, domicile.Address) (placement.Location, error) {
		return placement.Location{}, domicile.E("resolve", domicile.Unavailable, "")
	}
	if got := talk(srv, "a LOGIN ann@example.com pw\r\n"); !strings.Contains(got, "a NO [UNAVAILABLE]") {
		t.Errorf("the registrar is out of reach: %q", got)
	}
}

func TestReferralNames(t *testing.T) {
	for in, want := range map[string]string{"ann@example.com": "ann%40example.com", "a b;c/d%": "a%20b%3Bc%2Fd%25", "jos\u00e9": "jos%C3%A9", "a+b": "a+b"} {
		if got := percentEncoded(in, isAchar); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// A connection that is not logged in is told BYE when the front closes down, at once if it is idle.
func TestDoorDrains(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.srv.Shutdown(ctx) }()
	c.want("* BYE [UNAVAILABLE]")
	c.want("CLOSED")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAheadKeepsOrder(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	go func() { fmt.Fprint(there, "two"); there.Close() }()
	a := ahead{here, bufio.NewReader(io.MultiReader(strings.NewReader("one"), here))}
	if got, err := io.ReadAll(a); string(got) != "onetwo" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
