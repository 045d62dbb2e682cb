package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"domicile"
	"domicile/store"
)

// manyParts has more parts than a summary says the places of.
func manyParts() string {
	var b strings.Builder
	b.WriteString("Subject: many\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 500 {
		fmt.Fprintf(&b, "--b\r\nX-Part: %d\r\n\r\npart %d\r\n", i+1, i+1)
	}
	return b.String() + "--b--\r\n"
}

var sectionGiven = regexp.MustCompile(`\](?:<\d+>)? (?:NIL|\{(\d+)\}\r\n)`)

// fetched is what FETCH gives for a section of a message; absent if there is no such part.
func (c *client) fetched(uid int, section string) (text string, absent bool) {
	c.t.Helper()
	c.send(fmt.Sprintf("f UID FETCH %d BODY.PEEK[%s\r\n", uid, section))
	var all strings.Builder
	for line := ""; !strings.HasPrefix(line, "f OK"); {
		var err error
		if line, err = c.r.ReadString('\n'); err != nil {
			c.t.Fatal(err)
		}
		all.WriteString(line)
	}
	got := all.String()
	at := sectionGiven.FindStringSubmatchIndex(got)
	if at == nil {
		c.t.Fatalf("%.200q", got)
	}
	if at[2] < 0 {
		return "", true
	}
	n, _ := strconv.Atoi(got[at[2]:at[3]])
	return got[at[1]:][:n], false
}

// What CATENATE takes of a message is what FETCH gives of it, octet for octet, and a part that FETCH does not find is a BADURL.
func TestCatenateIsFetch(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", mixed)
	w.put("INBOX", manyParts())
	w.put("INBOX", "Subject: large\r\nX: y\r\n\r\n"+strings.Repeat("0123456789abcde\n", 40_000))
	w.put("INBOX", "no header, and \x00")
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	taken, absent := 0, 0
	for uid := 1; uid <= 4; uid++ {
		for _, section := range []string{"", "HEADER", "TEXT", "1", "1.MIME", "2", "2.MIME", "2.HEADER", "2.TEXT", "2.1", "2.1.MIME", "3", "4.1", "77", "77.MIME", "501", "HEADER.FIELDS (subject x)", "HEADER.FIELDS.NOT (\"X\" b)", "2.HEADER.FIELDS (Subject)"} {
			for _, partial := range []string{"", "0.5", "3.40", "70000.300000", "99999999.1", "5.9223372036854775807"} {
				ask, url := section+"]", fmt.Sprintf(";UID=%d", uid)
				if section != "" {
					url += "/;SECTION=" + percentEncoded(section, isAchar)
				}
				if partial != "" {
					ask, url = ask+"<"+partial+">", url+"/;PARTIAL="+partial
				}
				want, none := c.fetched(uid, ask)
				if none {
					c.send("c APPEND Archive CATENATE (URL \"" + url + "\")\r\n")
					c.want("c NO [BADURL \"" + url + "\"]")
					absent++
					continue
				}
				taken++
				c.send("c APPEND Archive CATENATE (TEXT {1+}\r\n- URL \"" + url + "\" TEXT {1+}\r\n-)\r\n")
				c.want("c OK")
				if got := w.bodyOf("Archive", taken); got != "-"+want+"-" {
					t.Fatalf("%s: %d bytes %.200q, want %d %.200q", url, len(got), got, len(want), want)
				}
			}
		}
	}
	if taken < 150 || absent < 50 {
		t.Errorf("%d sections were taken, %d absent", taken, absent)
	}
	if !w.home.memory.TryAcquire(readMemory) {
		t.Error("memory was not given back")
	}
}

// bodyOf reads a message of ann.
func (w *world) bodyOf(mailbox string, uid int) string {
	w.t.Helper()
	ctx := context.Background()
	m, err := w.store.MailboxByName(ctx, ann, mailbox)
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := w.store.Messages(ctx, ann, m.ID, store.UID(uid-1), 1)
	if err != nil || len(found) == 0 || found[0].UID != store.UID(uid) {
		w.t.Fatalf("no message %d: %v", uid, err)
	}
	body, err := w.store.Body(ctx, ann, found[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// However large what is copied is, no more memory is held for it than the store reads ahead, and a piece.
func TestCatenateIsStreamed(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", "Subject: x\r\n\r\n"+strings.Repeat("0123456789abcde\n", 60_000))
	c := w.login()
	const held = pieceAhead + streamPiece // of half of what others leave
	if !w.home.memory.TryAcquire(readMemory - 2*held) {
		t.Fatal("memory is held")
	}
	c.do("b APPEND INBOX CATENATE (URL /INBOX/;UID=1)", "b OK")
	c.do("c APPEND INBOX CATENATE (URL /INBOX/;UID=1/;SECTION=TEXT URL /INBOX/;UID=1/;SECTION=HEADER URL /INBOX/;UID=1/;PARTIAL=500000)", "c NO [TOOBIG]")
	c.do("d APPEND INBOX CATENATE (URL /INBOX/;UID=1/;SECTION=TEXT URL /INBOX/;UID=1/;SECTION=HEADER URL /INBOX/;UID=1/;PARTIAL=950000)", "d OK")
	if !w.home.memory.TryAcquire(2 * held) {
		t.Error("memory was not given back")
	}
}

// bodies is a store that gives other bodies.
type bodies struct {
	store.Store
	body func(store.Store, domicile.MessageID) (io.ReadCloser, error)
}

func (b bodies) Body(_ context.Context, _ domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error) {
	return b.body(b.Store, id)
}

// cutOff is a body that cannot be read to its end.
type cutOff struct {
	io.Reader
	err error
}

func (c cutOff) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF {
		err = c.err
	}
	return n, err
}
func (cutOff) Close() error { return nil }

func TestCatenateFaults(t *testing.T) {
	raw := "Subject: x\r\n\r\nbody"
	for _, c := range []struct {
		name string
		body func() (io.ReadCloser, error)
		want string
	}{
		{"expunged a moment ago", func() (io.ReadCloser, error) { return nil, domicile.E("body", domicile.NotExist, "") }, "NO [BADURL "},
		{"not now", func() (io.ReadCloser, error) { return nil, domicile.E("body", domicile.Unavailable, "") }, "NO [UNAVAILABLE]"},
		{"damaged", func() (io.ReadCloser, error) { return cutOff{strings.NewReader(raw[:15]), errors.New("damaged")}, nil }, "NO [CORRUPTION]"},
		{"damaged at its end", func() (io.ReadCloser, error) { return cutOff{strings.NewReader(raw), errors.New("damaged")}, nil }, "NO [CORRUPTION]"},
		{"too short", func() (io.ReadCloser, error) { return cutOff{strings.NewReader(raw[:15]), io.EOF}, nil }, "NO [CORRUPTION]"},
		{"too long", func() (io.ReadCloser, error) { return cutOff{strings.NewReader(raw + "x"), io.EOF}, nil }, "NO [CORRUPTION]"},
		{"whole", func() (io.ReadCloser, error) { return cutOff{strings.NewReader(raw), io.EOF}, nil }, "OK"},
	} {
		w := newWorld(t)
		w.put("INBOX", raw)
		w.home.cfg.Store = bodies{w.store, func(store.Store, domicile.MessageID) (io.ReadCloser, error) { return c.body() }}
		k := w.login()
		k.send("b APPEND INBOX CATENATE (TEXT {1+}\r\nx URL /INBOX/;UID=1 TEXT {3+}\r\nx y)\r\nc NOOP\r\n")
		if got := k.line(); !strings.HasPrefix(got, "b "+c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
		k.want("c OK")
		if !w.home.memory.TryAcquire(readMemory) {
			t.Errorf("%s: memory was not given back", c.name)
		}
	}
}

// What the quota has no room for is not even read: it costs a client nothing to ask for it.
func TestCatenateOverQuota(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", "Subject: x\r\n\r\n"+strings.Repeat("x", 1000))
	if err := w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.Quota = 2500; return nil }); err != nil {
		t.Fatal(err)
	}
	read := 0
	w.home.cfg.Store = bodies{w.store, func(st store.Store, id domicile.MessageID) (io.ReadCloser, error) {
		read++
		return st.Body(t.Context(), ann, id)
	}}
	c := w.login()
	c.do("b APPEND INBOX CATENATE (URL /INBOX/;UID=1 URL /INBOX/;UID=1)", "b NO [OVERQUOTA]")
	if read != 1 {
		t.Errorf("%d bodies were read", read)
	}
	c.do("c APPEND INBOX CATENATE (URL /INBOX/;UID=1)", "c OK")
	c.do("d APPEND INBOX CATENATE (URL /INBOX/;UID=1)", "d NO [OVERQUOTA]")
	c.do("e SELECT INBOX", "e OK")
	c.do("f REPLACE 1 INBOX CATENATE (URL ;UID=1 TEXT {100+}\r\n"+strings.Repeat("x", 100)+")", "f OK")
}

// URLs count as literals do, over all messages of the command.
func TestCatenateIsBounded(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", "Subject: x\r\n\r\n")
	c := w.login()
	const url = " URL /INBOX/;UID=1/;PARTIAL=0.1"
	for _, shape := range []string{"CATENATE (%s)", "CATENATE (URL /INBOX/;UID=1) CATENATE (%s URL /INBOX/;UID=1) {3+}\r\nabc CATENATE (URL /INBOX/;UID=1)"} {
		own := strings.Count(shape, "URL") + strings.Count(shape, "{")
		of := func(n int) string { return fmt.Sprintf(shape, strings.TrimPrefix(strings.Repeat(url, n-own), " ")) }
		c.do("b APPEND INBOX "+of(1000), "b OK")
		c.do("c APPEND INBOX "+of(1001), "c BAD")
	}
}
