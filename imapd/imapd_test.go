package imapd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"domicile/message"
)

// Every message of the corpus comes back byte for byte, and no message is so broken that a client could not ask what it is.
func TestCorpus(t *testing.T) {
	w := newWorld(t)
	messages := corpus(t)
	var raws [][]byte
	for _, raw := range messages {
		raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		if len(raw) > 0 {
			w.put("INBOX", string(raw))
			raws = append(raws, raw)
		}
	}
	c, err := imapclient.DialInsecure(w.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("ann@example.com", "pw").Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	all := imap.SeqSet{imap.SeqRange{Start: 1, Stop: 0}}
	whole := &imap.FetchItemBodySection{Peek: true}
	header := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierHeader}
	text := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierText}
	got, err := c.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{whole}}).Collect()
	if err != nil || len(got) != len(raws) {
		t.Fatalf("%d of %d messages: %v", len(got), len(raws), err)
	}
	for i, m := range got {
		if !bytes.Equal(m.FindBodySection(whole), raws[i]) {
			t.Fatalf("message %d came back otherwise", i+1)
		}
	}
	got, err = c.Fetch(all, &imap.FetchOptions{Envelope: true, RFC822Size: true, UID: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection: []*imap.FetchItemBodySection{header, text}}).Collect()
	if err != nil || len(got) != len(raws) {
		t.Fatalf("%d of %d messages: %v", len(got), len(raws), err)
	}
	for i, m := range got {
		if string(m.FindBodySection(header))+string(m.FindBodySection(text)) != string(raws[i]) || m.RFC822Size != int64(len(raws[i])) || m.BodyStructure == nil {
			t.Fatalf("message %d does not add up", i+1)
		}
	}
	got, err = c.Fetch(all, &imap.FetchOptions{BodyStructure: &imap.FetchItemBodyStructure{}}).Collect()
	if err != nil || len(got) != len(raws) {
		t.Fatalf("BODY of %d of %d messages: %v", len(got), len(raws), err)
	}
	partsOf(t, c, raws)
}

// partsOf fetches every part of some messages by its number.
func partsOf(t *testing.T, c *imapclient.Client, raws [][]byte) {
	n := 0
	for i, raw := range raws {
		m := message.Parse(raw)
		for j, p := range m.Root.Parts {
			body := &imap.FetchItemBodySection{Peek: true, Part: []int{j + 1}}
			mime := &imap.FetchItemBodySection{Peek: true, Part: []int{j + 1}, Specifier: imap.PartSpecifierMIME}
			got, err := c.Fetch(imap.SeqSetNum(uint32(i+1)), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{body, mime}}).Collect()
			if err != nil || len(got) != 1 {
				t.Fatal(err)
			}
			if !bytes.Equal(got[0].FindBodySection(body), m.Body(p)) || !bytes.Equal(got[0].FindBodySection(mime), m.Header(p)) {
				t.Fatalf("message %d, part %d", i+1, j+1)
			}
			if n++; n > 100 {
				return
			}
		}
	}
}

// The worst messages still have a structure.
func TestHostileMessages(t *testing.T) {
	w := newWorld(t)
	for _, raw := range []string{
		"x", "\r\n", "Content-Type: multipart/mixed\r\n\r\n", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--",
		"Content-Type: message/rfc822\r\n\r\n", strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 300),
		"Subject: \xff\xfe \"q\\\r\nFrom: \"\x80\" <a@b>, g: ;\r\nContent-Type: text/\"x\"; name=\"\xe9\r\n\r\n\xff",
		"\x00\x00", "To: " + strings.Repeat("a@b, ", 5000) + "\r\n\r\n",
	} {
		w.put("INBOX", raw)
	}
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	for i := 1; i <= 9; i++ {
		got := c.do(fmt.Sprintf("c FETCH %d (ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[1] BODY.PEEK[9.9] BODY.PEEK[HEADER.FIELDS.NOT (x)])", i), "c OK")
		if !strings.HasPrefix(got, fmt.Sprintf("* %d FETCH (ENVELOPE (", i)) || !strings.Contains(got, "BODY[9.9] NIL") {
			t.Errorf("%d: %.300q", i, got)
		}
	}
	got := c.do("d FETCH 7 ENVELOPE", "d OK")
	if !strings.Contains(got, "\xff\xfe \"q\\") || !strings.Contains(got, `(NIL NIL "g" NIL)(NIL NIL NIL NIL)`) {
		t.Errorf("%q", got)
	}
}

// What others do shows at the next command, or during IDLE.
func TestUpdates(t *testing.T) {
	w := newWorld(t)
	first := w.put("INBOX", "Subject: 1\r\n\r\n")
	w.put("INBOX", "Subject: 2\r\n\r\n")
	c, d := w.login(), w.login()
	c.do("b SELECT INBOX", "b OK")
	d.do("b SELECT INBOX", "b OK")
	d.do("c STORE 2 +FLAGS (\\Flagged new)", "c OK")
	w.put("INBOX", "Subject: 3\r\n\r\n")
	if got, want := c.do("c NOOP", "c OK"), "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft new)\r\n* 2 FETCH (UID 2 FLAGS (\\Recent \\Flagged new))\r\n* 3 EXISTS\r\n* 3 RECENT\r\n"; got != want {
		t.Errorf("%q", got)
	}
	// Numbers hold while a FETCH by number is answered: an expunge elsewhere is told later.
	d.do("d STORE 1 +FLAGS.SILENT (\\Deleted)", "d OK")
	d.do("e EXPUNGE", "e OK")
	if got := c.do("d FETCH 2 UID", "d OK"); strings.Contains(got, "EXPUNGE") || !strings.HasPrefix(got, "* 2 FETCH (UID 2") {
		t.Errorf("%q", got)
	}
	if got := c.do("e FETCH 1 BODY[]", "e OK"); got != "" {
		t.Errorf("a message that is gone: %q", got)
	}
	if got := c.do("f NOOP", "f OK"); got != "* 1 EXPUNGE\r\n" {
		t.Errorf("%q", got)
	}
	c.send("g IDLE\r\n")
	c.want("+ idling")
	w.put("INBOX", "Subject: 4\r\n\r\n")
	c.want("* 3 EXISTS")
	c.want("* 3 RECENT")
	d.do("f STORE 1 +FLAGS.SILENT (\\Deleted)", "f OK")
	c.want("* 1 FETCH (UID 2 FLAGS (\\Recent \\Flagged \\Deleted new))")
	d.do("g EXPUNGE", "g OK")
	c.want("* 1 EXPUNGE")
	c.send("DONE\r\n")
	c.want("g OK")
	if _, err := w.store.Body(context.Background(), ann, first.ID); err == nil {
		t.Error("the expunged body is still there")
	}
	// The mailbox goes away under its readers.
	c.do("h CREATE gone", "h OK")
	c.do("i SELECT gone", "i OK")
	c.send("j APPEND gone {3+}\r\nabc\r\n")
	c.want("* 1 EXISTS")
	c.want("* 1 RECENT")
	c.want("j OK")
	d.do("h DELETE gone", "h OK")
	c.do("k NOOP", "k OK")
	c.do("l FETCH 1 FLAGS", "l BAD")
	c.do("m UID STORE 1 FLAGS ()", "m NO [NONEXISTENT]")
}

// A client that goes away in IDLE, or at any moment, leaves nothing behind.
func TestClientsThatVanish(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", strings.Repeat("x", 1<<19))
	var puts sync.WaitGroup
	defer puts.Wait()
	for range 20 {
		c := w.login()
		c.do("b SELECT INBOX", "b OK")
		c.send("c IDLE\r\n")
		c.want("+ idling")
		puts.Go(func() { w.put("INBOX", "Subject: x\r\n\r\n") })
		c.Close()
		d := w.login()
		d.do("b SELECT INBOX", "b OK")
		d.send("c FETCH 1 BODY[]\r\nd FETCH 1:* BODYSTRUCTURE\r\n")
		d.Close()
		e := w.login()
		e.send("b APPEND INBOX {1000}\r\n")
		e.want("+ ")
		e.send("half")
		e.Close()
	}
	deadline := time.Now().Add(time.Minute)
	for {
		w.home.mu.Lock()
		n := len(w.home.sessions)
		w.home.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are still served", n)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !w.home.memory.TryAcquire(readMemory) {
		t.Error("memory was not given back")
	}
	if n := w.faults.Load(); n > 0 {
		t.Errorf("clients that went away were taken for %d faults of the store", n)
	}
}

func TestPlainLoginOnlyInLabs(t *testing.T) {
	w := newWorldIn(t, false)
	c := w.dial()
	if got := c.do("a CAPABILITY", "a OK"); !strings.Contains(got, "LOGINDISABLED") || strings.Contains(got, "AUTH=") {
		t.Errorf("%q", got)
	}
	c.do("b LOGIN ann@example.com pw", "b NO [PRIVACYREQUIRED]")
	c.do("c AUTHENTICATE PLAIN AGFubkBleGFtcGxlLmNvbQBwdw==", "c NO [PRIVACYREQUIRED]")
}

// A long answer goes out in few writes, and a literal in the middle of a client's set of commands works.
func TestPipelining(t *testing.T) {
	w := newWorld(t)
	for i := range 50 {
		w.put("INBOX", fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	c := w.login()
	c.send("b SELECT INBOX\r\nc FETCH 1:* FLAGS\r\nd CREATE {1+}\r\nx\r\ne APPEND x {3+}\r\nabc\r\nf STATUS x (MESSAGES)\r\ng LOGOUT\r\n")
	all, err := io.ReadAll(c.r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"b OK", "* 50 FETCH (FLAGS (\\Recent))", "c OK", "d OK", "e OK [APPENDUID", "* STATUS \"x\" (MESSAGES 1)", "f OK", "g OK"} {
		if !strings.Contains(string(all), want) {
			t.Errorf("no %q in %.2000q", want, all)
		}
	}
}

func TestShutdown(t *testing.T) {
	w := newWorld(t)
	idle, idling := w.login(), w.login()
	idling.send("b IDLE\r\n")
	idling.want("+ idling")
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.home.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	idle.want("* BYE [UNAVAILABLE]")
	idling.want("* BYE [UNAVAILABLE]")
}

// One request that names a large message many times is sent as it goes, and what the client does not read is not made.
func TestManyLargeSections(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", "Subject: x\r\n\r\n"+strings.Repeat("y", 4<<20))
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	c.send("c FETCH 1 (" + strings.TrimSuffix(strings.Repeat("BODY.PEEK[TEXT] ", 1000), " ") + ")\r\n")
	n, err := io.CopyN(io.Discard, c.r, 40<<20)
	if err != nil || n != 40<<20 {
		t.Fatal(n, err)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.home.memory.Acquire(ctx, readMemory); err != nil {
		t.Error("memory was not given back")
	}
}
