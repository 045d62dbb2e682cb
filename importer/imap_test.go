package importer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"domicile"
)

// courier is a server in the manner of Courier's: one account, names below "INBOX.", mail of others beside them.
type courier struct {
	*testing.T
	password string
	cut      int32 // connections that are cut off in the middle of a message
	deny     bool  // it will not give the bytes of UID 4
	conns    atomic.Int32
}

func (s *courier) source() *IMAP {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	src := NewIMAP(IMAPConfig{Host: "old.example", User: "ann", Password: "right", Connect: func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}})
	s.Cleanup(func() { src.Close() })
	return src
}

func (s *courier) serve(conn net.Conn) {
	defer conn.Close()
	nth := s.conns.Add(1)
	fmt.Fprint(conn, "* OK [CAPABILITY IMAP4rev1 NAMESPACE] ready\r\n")
	for in := bufio.NewScanner(conn); in.Scan(); {
		tag, command, _ := strings.Cut(in.Text(), " ")
		status := "OK done"
		switch {
		case strings.HasPrefix(command, "LOGIN") && s.password != "right":
			status = "NO wrong password"
		case strings.HasPrefix(command, "CAPABILITY"):
			fmt.Fprint(conn, "* CAPABILITY IMAP4rev1 NAMESPACE\r\n")
		case strings.HasPrefix(command, "NAMESPACE"):
			fmt.Fprint(conn, "* NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"shared.\" \".\"))\r\n")
		case strings.HasPrefix(command, "LIST"):
			fmt.Fprint(conn, "* LIST () \".\" INBOX\r\n* LIST (\\Sent) \".\" \"INBOX.Sent.a/b\"\r\n* LIST (\\Noselect) \".\" INBOX.Sent\r\n"+
				"* LIST () \".\" \"shared.team\"\r\n* LIST () \".\" \"INBOX.Broken\"\r\n")
		case strings.HasPrefix(command, "EXAMINE") && strings.Contains(command, "Broken"):
			status = "NO it is damaged"
		case strings.HasPrefix(command, "EXAMINE") && strings.Contains(command, "Sent"):
			fmt.Fprint(conn, "* 0 EXISTS\r\n* OK [UIDVALIDITY 8] x\r\n")
		case strings.HasPrefix(command, "EXAMINE"):
			fmt.Fprint(conn, "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n")
		case strings.HasPrefix(command, "UID FETCH 1:*"):
			for n, uid := range []int{2, 4, 9} {
				fmt.Fprintf(conn, "* %d FETCH (UID %d RFC822.SIZE 14 INTERNALDATE \"04-Mar-2019 05:06:07 +0100\" FLAGS (\\Seen \\Recent $Work))\r\n", n+1, uid)
			}
		case strings.HasPrefix(command, "UID FETCH"):
			fmt.Fprint(conn, "* 1 FETCH (UID 2 BODY[] {14}\r\nSubject: 2\r\n\r\n)\r\n")
			if nth <= s.cut {
				fmt.Fprint(conn, "* 2 FETCH (UID 4 BODY[] {14}\r\nSubj")
				return
			}
			if status = "NO one has no bytes"; !s.deny {
				status = "OK done"
				fmt.Fprint(conn, "* 2 FETCH (UID 4 BODY[] {14}\r\nSubject: 4\r\n\r\n FLAGS ())\r\n")
			}
		}
		fmt.Fprintf(conn, "%s %s\r\n", tag, status)
	}
}

func TestIMAP(t *testing.T) {
	src := (&courier{T: t, password: "right"}).source()
	boxes, bodies := readBoxes(t, src)
	in := boxes["INBOX"]
	if len(boxes) != 3 || len(in.Items) != 3 || in.UIDValidity != 7 || boxes["Broken"].Err == nil || boxes["Sent/a_b"].SpecialUse != "\\Sent" {
		t.Errorf("%+v", boxes)
	}
	if i := in.Items[1]; strings.Join(i.Flags, " ") != "\\Seen $Work" || i.UID != 4 || i.Date.Unix() != 1551672367 || i.Size != 14 {
		t.Errorf("%+v", i)
	}
	if got := bodies["INBOX"]; got[0] != "Subject: 2\r\n\r\n" || got[1] != "Subject: 4\r\n\r\n" || got[2] != "!gone" {
		t.Errorf("%q", got)
	}
}

// A link that drops in the middle of a message is made anew by the next try.
func TestIMAPCutOff(t *testing.T) {
	server := &courier{T: t, password: "right", cut: 1}
	src := server.source()
	boxes, err := src.Mailboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := boxes[1]
	if _, err := src.Read(t.Context(), in, in.Items[:2]); domicile.KindOf(err) != domicile.Unavailable {
		t.Fatalf("cut off: %v", err)
	}
	got, err := src.Read(t.Context(), in, in.Items[:2])
	if err != nil || string(got[1].Data) != "Subject: 4\r\n\r\n" || server.conns.Load() != 2 {
		t.Errorf("%+v, %v, %d connections", got, err, server.conns.Load())
	}
}

func TestIMAPProblems(t *testing.T) {
	src := (&courier{T: t, password: "right", deny: true}).source()
	boxes, err := src.Mailboxes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := boxes[1]
	got, err := src.Read(t.Context(), in, in.Items[:2])
	if p, ok := errors.AsType[*Problem](got[1].Err); err != nil || got[0].Err != nil || !ok || p.Code != Unreadable {
		t.Errorf("what the server will not give: %+v, %v", got, err)
	}
	in.UIDValidity = 6
	got, err = src.Read(t.Context(), in, in.Items[:1])
	if p, ok := errors.AsType[*Problem](got[0].Err); err != nil || !ok || p.Code != Gone {
		t.Errorf("numbered anew: %+v, %v", got, err)
	}
	if _, err := (&courier{T: t}).source().Mailboxes(t.Context()); domicile.KindOf(err) != domicile.Other {
		t.Errorf("a wrong password: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&courier{T: t, password: "right"}).source().Mailboxes(ctx); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("interrupted: %v", err)
	}
}

// A certificate that does not hold, and a host that is none, are not tried again.
func TestIMAPUnreached(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	for name, connect := range map[string]func(context.Context) (net.Conn, error){
		"certificate": func(ctx context.Context) (net.Conn, error) {
			return (&tls.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		},
		"host": func(context.Context) (net.Conn, error) {
			return nil, &net.DNSError{Name: "old.example", IsNotFound: true}
		},
	} {
		if _, err := NewIMAP(IMAPConfig{Connect: connect}).Mailboxes(t.Context()); domicile.KindOf(err) != domicile.Other {
			t.Errorf("%s: %v", name, err)
		}
	}
}
