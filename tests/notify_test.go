package tests

import (
	"bufio"
	"compress/flate"
	"io"
	"net"
	"strings"
	"testing"

	"domicile/tests/harness"
)

// deflated is the client's side of a connection with COMPRESS.
type deflated struct {
	net.Conn
	w *flate.Writer
}

func (d deflated) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err == nil {
		err = d.w.Flush()
	}
	return n, err
}

// compress turns COMPRESS on.
func (k *reader) compress() {
	k.t.Helper()
	k.want("COMPRESS DEFLATE", "OK")
	w, err := flate.NewWriter(k.Conn, flate.DefaultCompression)
	if err != nil {
		k.t.Fatal(err)
	}
	k.Conn, k.r = deflated{k.Conn, w}, bufio.NewReader(flate.NewReader(k.r))
}

// TestNotify has what happens at home pushed to clients that say nothing: at home, relayed and passed through from another region, and with COMPRESS
// on each of these ways.
func TestNotify(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	login := "LOGIN aoife@example.com " + c.Account(t, ireland, "aoife@example.com", "IE")
	passed := func() *reader {
		conn, err := tlsTo(t, c, c.Node(usNode).IMAPS, ireland, "eu-ireland.example.com")
		if err != nil {
			t.Fatal(err)
		}
		return newReader(t, conn)
	}
	ways := map[string]*reader{}
	for name, dial := range map[string]func() *reader{
		"at home":        func() *reader { return dialIMAP(t, c.Node(ieNode).IMAP) },
		"relayed":        func() *reader { return dialIMAP(t, c.Node(usNode).IMAP) },
		"passed through": passed,
	} {
		for _, compressed := range []bool{false, true} {
			k := dial()
			k.want(login, "OK [CAPABILITY ")
			if compressed {
				k.compress()
				name += ", compressed"
			}
			k.want("SELECT INBOX", "OK [READ-WRITE]")
			k.want("NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge FlagChange)) (PERSONAL (MessageNew MessageExpunge MailboxName))", "OK")
			ways[name] = k
		}
	}
	told := func(want ...string) {
		t.Helper()
		for name, k := range ways {
			for _, prefix := range want {
				if got := k.line(); !strings.HasPrefix(got, prefix) {
					t.Fatalf("%s: got %q, want %q", name, got, prefix)
				}
			}
		}
	}
	actor := dialIMAP(t, c.Node(ieNode).IMAP)
	actor.want(login, "OK [CAPABILITY ")
	actor.want("ENABLE IMAP4rev2", "OK")
	for range 3 {
		actor.want("CREATE Work/2026", "OK")
		told(`* LIST (\HasChildren) "/" "Work"`, `* LIST (\HasNoChildren) "/" "Work/2026"`)
		actor.want("APPEND Work {14+}\r\nSubject: 1\r\n\r\n", "OK")
		told(`* STATUS "Work" (MESSAGES 1 `)
		actor.want("APPEND INBOX {14+}\r\nSubject: 2\r\n\r\n", "OK")
		for name, k := range ways { // whose RECENT is anybody's
			for _, prefix := range []string{"* 1 EXISTS", "* ", "* 1 FETCH (UID "} {
				if got := k.line(); !strings.HasPrefix(got, prefix) {
					t.Fatalf("%s: got %q, want %q", name, got, prefix)
				}
			}
		}
		actor.want("SELECT INBOX", "OK")
		actor.want(`STORE 1 +FLAGS.SILENT (\Deleted)`, "OK")
		told("* 1 FETCH (UID ")
		actor.want("EXPUNGE", "OK")
		told("* 1 EXPUNGE")
		actor.want("DELETE Work/2026", "OK")
		told(`* LIST (\HasNoChildren) "/" "Work"`, `* LIST (\NonExistent) "/" "Work/2026"`)
		actor.want("DELETE Work", "OK")
		told(`* LIST (\NonExistent) "/" "Work"`)
	}
	for name, k := range ways {
		if before := k.want("NOTIFY NONE", "OK"); before != "" {
			t.Errorf("%s: %q", name, before)
		}
	}
	actor.want("APPEND INBOX {14+}\r\nSubject: 2\r\n\r\n", "OK")
	for name, k := range ways {
		if before := k.want("NOOP", "OK"); before != "" {
			t.Errorf("%s: %q", name, before)
		}
		k.want("LOGOUT", "OK")
		if _, err := io.Copy(io.Discard, k.r); err != nil && !strings.Contains(name, "compressed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
