package imapd

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"domicile"
	"domicile/store"
)

// fetchOne asks for items of the first message, and returns them as they came.
func fetchOne(c *client, what string) string {
	c.t.Helper()
	got := strings.TrimSuffix(c.do("f FETCH 1 "+what, "f OK"), "\r\n")
	rest, ok := strings.CutPrefix(got, "* 1 FETCH (")
	if !ok || !strings.HasSuffix(rest, ")") {
		c.t.Fatalf("%s: %q", what, got)
	}
	return strings.TrimSuffix(rest, ")")
}

const mixed = "Subject: outer\r\nX-A: 1\r\nx-a: 2\r\n folded\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n" +
	"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nYW\r\nIA\r\nYw==\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\none\r\n--c\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<b>tw=\r\no</b>\r\n--c--\r\n" +
	"--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: x-own\r\n\r\nraw\r\n--b--\r\n"

// Every item and section of RFC 9051 6.4.5 and of the extensions.
func TestFetchItems(t *testing.T) {
	w := newWorld(t)
	m := w.put("INBOX", mixed, "$Work")
	c := w.login()
	c.do("b EXAMINE INBOX", "b OK")
	if got := c.do("c FETCH 1 MODSEQ", "c OK"); got != fmt.Sprintf("* OK [HIGHESTMODSEQ %d] Modification sequences are told\r\n* 1 FETCH (MODSEQ (%d))\r\n", m.ModSeq, m.ModSeq) {
		t.Errorf("%q", got)
	}
	date := `INTERNALDATE " 4-Mar-2026 05:06:07 +0000"`
	envelope := `ENVELOPE (NIL "outer" NIL NIL NIL NIL NIL NIL NIL NIL)`
	size := fmt.Sprintf("RFC822.SIZE %d", len(mixed))
	header, text, _ := strings.Cut(mixed, "\r\n\r\n")
	header += "\r\n\r\n"
	inner := mixed[strings.Index(mixed, "Subject: inner"):strings.Index(mixed, "\r\n--b\r\nContent-Type: application/x")]
	innerHeader, innerText, _ := strings.Cut(inner, "\r\n\r\n")
	innerHeader += "\r\n\r\n"
	literal := func(s string) string { return fmt.Sprintf("{%d}\r\n%s", len(s), s) }
	for _, x := range []struct{ ask, want string }{
		{"UID", "UID 1"},
		{"(uid flags)", `UID 1 FLAGS (\Recent $Work)`},
		{"FAST", `FLAGS (\Recent $Work) ` + date + " " + size},
		{"ALL", `FLAGS (\Recent $Work) ` + date + " " + size + " " + envelope},
		{"(ENVELOPE EMAILID THREADID)", "EMAILID (" + string(m.ID) + ") THREADID NIL " + envelope},
		{"SAVEDATE", "SAVEDATE " + m.Saved.Format(imapTime)},
		{"(MODSEQ)", fmt.Sprintf("MODSEQ (%d)", m.ModSeq)},
		{"BODY[]", "BODY[] " + literal(mixed)},
		{"RFC822", "RFC822 " + literal(mixed)},
		{"RFC822.HEADER", "RFC822.HEADER " + literal(header)},
		{"RFC822.TEXT", "RFC822.TEXT " + literal(text)},
		{"body.peek[header]", "BODY[HEADER] " + literal(header)},
		{"BODY[TEXT]<2.3>", "BODY[TEXT]<2> " + literal(text[2:5])},
		{"BODY[TEXT]<99999.3>", "BODY[TEXT]<99999> " + literal("")},
		{"BODY[]<9223372036854775807.9223372036854775807>", "BODY[]<9223372036854775807> " + literal("")},
		{fmt.Sprintf("BODY[]<%d.9>", len(mixed)-3), fmt.Sprintf("BODY[]<%d> ", len(mixed)-3) + literal("-\r\n")},
		{"BODY[HEADER.FIELDS (X-A subject)]", "BODY[HEADER.FIELDS (X-A subject)] " + literal("Subject: outer\r\nX-A: 1\r\nx-a: 2\r\n folded\r\n\r\n")},
		{`BODY[HEADER.FIELDS ("X-A" {7+}` + "\r\nsubject)]<1.3>", "BODY[HEADER.FIELDS (X-A subject)]<1> " + literal("ubj")},
		{"BODY[HEADER.FIELDS.NOT (x-a content-type)]", "BODY[HEADER.FIELDS.NOT (x-a content-type)] " + literal("Subject: outer\r\n\r\n")},
		{"BODY[HEADER.FIELDS (none)]", "BODY[HEADER.FIELDS (none)] " + literal("\r\n")},
		{"BODY[1]", "BODY[1] " + literal("YW\r\nIA\r\nYw==")},
		{"BODY[1.MIME]", "BODY[1.MIME] " + literal("Content-Transfer-Encoding: base64\r\n\r\n")},
		{"BODY[1.HEADER]", "BODY[1.HEADER] NIL"},
		{"BODY[2]", "BODY[2] " + literal(inner)},
		{"BODY[2.HEADER]", "BODY[2.HEADER] " + literal(innerHeader)},
		{"BODY[2.HEADER.FIELDS (SUBJECT)]", "BODY[2.HEADER.FIELDS (SUBJECT)] " + literal("Subject: inner\r\n\r\n")},
		{"BODY[2.TEXT]", "BODY[2.TEXT] " + literal(innerText)},
		{"BODY[2.2]", "BODY[2.2] " + literal("<b>tw=\r\no</b>")},
		{"BODY[2.3]", "BODY[2.3] NIL"},
		{"(BODY[4]<0.1> BODY[1]<1.1>)", "BODY[4]<0> NIL BODY[1]<1> " + literal("W")},
		{"BINARY[1]", "BINARY[1] ~" + literal("ab\x00c")},
		{"BINARY.PEEK[1]<1.2>", "BINARY[1]<1> ~" + literal("b\x00")},
		{"BINARY[2.2]", "BINARY[2.2] " + literal("<b>two</b>")},
		{"BINARY.SIZE[2.2]", "BINARY.SIZE[2.2] 10"},
		{"BINARY[]", "BINARY[] " + literal(mixed)},
		{"(BINARY[9] BINARY.SIZE[])", fmt.Sprintf("BINARY[9] NIL BINARY.SIZE[] %d", len(mixed))},
		{"PREVIEW", `PREVIEW "ab c"`},
		{"(PREVIEW (LAZY) UID)", `UID 1 PREVIEW "ab c"`},
	} {
		if got := fetchOne(c, x.ask); got != x.want {
			t.Errorf("%s:\n got %q\nwant %q", x.ask, got, x.want)
		}
	}
	if got := fetchOne(c, "FULL"); !strings.Contains(got, envelope+` BODY (("text" "plain" `) || strings.Contains(got, "BODYSTRUCTURE") {
		t.Errorf("FULL: %q", got)
	}
	c.do("g FETCH 1 BINARY[3]", "g NO [UNKNOWN-CTE]")
	c.do("h FETCH 1 (UID BINARY.SIZE[3])", "h NO [UNKNOWN-CTE]")
	large := "Subject: large\r\n\r\n" + strings.Repeat("text\r\n", streamAt/6)
	w.put("INBOX", large)
	c.do("i NOOP", "i OK")
	if got, want := c.do("j FETCH 2 BINARY.SIZE[]", "j OK"), fmt.Sprintf("* 2 FETCH (BINARY.SIZE[] %d)\r\n", len(large)); got != want {
		t.Errorf("%.100q, want %q", got, want)
	}
}

// unreadable is a store that cannot give bodies now.
type unreadable struct{ store.Store }

func (unreadable) Bodies(_ context.Context, _ domicile.AccountID, ids []domicile.MessageID) iter.Seq2[io.Reader, error] {
	return func(yield func(io.Reader, error) bool) {
		for range ids {
			if !yield(nil, domicile.E("body", domicile.Unavailable, "no key now")) {
				return
			}
		}
	}
}

type panicsBeside struct{ store.Store }

func (panicsBeside) Messages(context.Context, domicile.AccountID, domicile.MailboxID, store.UID, int) ([]store.Message, error) {
	panic("a message that nobody foresaw")
}

// A panic beside the session, where it reads ahead, does not end the node.
func TestFetchPanics(t *testing.T) {
	w, _ := filled(t, pageSize/4+1)
	w.home.cfg.Store = panicsBeside{w.store}
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	c.do("c FETCH 1:* BODY.PEEK[]", "c NO [SERVERBUG]")
	c.do("d NOOP", "d OK")
}

// What the store cannot give now is answered with NO, and the session goes on.
func TestFetchUnreadable(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", mixed)
	w.home.cfg.Store = unreadable{w.store}
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	c.do("c FETCH 1 BODY.PEEK[]", "c NO [UNAVAILABLE]")
	c.do("d NOOP", "d OK")
}

// What is no FETCH is BAD, and nothing is sent.
func TestFetchSyntax(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", mixed)
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	for _, bad := range []string{"", " 1", " 1 ", " 1 ()", " 1 (FAST)", " 1 NONSENSE", " 1 (UID  FLAGS)", " 1 (UID FLAGS", " 1 UID FLAGS", " 0 UID", " 2 UID", " 1:2 UID", " x UID", " 1 BODY.PEEK",
		" 1 BODY[", " 1 BODY[1", " 1 BODY[0]", " 1 BODY[1.]", " 1 BODY[.1]", " 1 BODY[1..2]", " 1 BODY[MIME]", " 1 BODY[1.2.NONSENSE]", " 1 BODY[HEADER.FIELDS]", " 1 BODY[HEADER.FIELDS ()]",
		" 1 BODY[]<0.0>", " 1 BODY[]<1>", " 1 BODY[]<-1.5>", " 1 BODY[]<99999999999999999999.1>", " 1 BODY[4294967296]", " 1 BINARY", " 1 BINARY[TEXT]", " 1 BINARY[1.MIME]", " 1 BINARY.SIZE[1]<0.1>", " 1 RFC822.PEEK",
		" 1 UID (CHANGEDSINCE)", " 1 UID (CHANGEDSINCE 1 VANISHED)", " 1 UID (NONSENSE)", " 1 UID ()", " 1 PREVIEW (EAGER)", " 1 BODY[" + strings.Repeat("1.", 300) + "1]", " 1 ALL FAST", " 1 (UID)x", " 1,,1 UID"} {
		if got := c.do("c FETCH"+bad, "c BAD"); got != "" {
			t.Errorf("%q: %q", bad, got)
		}
		c.do("n NOOP", "n OK") // many in a row would end the connection
	}
	if got := c.do("d FETCH 1 FLAGS", "d OK"); strings.Contains(got, "Seen") {
		t.Errorf("what was refused marked a message: %q", got)
	}
}

// \Seen is set by what reads a message, and told at once.
func TestFetchSeen(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		w.put("INBOX", mixed)
	}
	c, d := w.login(), w.login()
	c.do("b SELECT INBOX", "b OK")
	d.do("b SELECT INBOX", "b OK")
	for i, peek := range []string{"BODY.PEEK[]", "RFC822.HEADER", "BINARY.PEEK[1]", "BINARY.SIZE[1]", "PREVIEW", "ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE"} {
		if got := c.do(fmt.Sprintf("c FETCH %d %s", i+1, peek), "c OK"); strings.Contains(got, "FLAGS") {
			t.Errorf("%s: %q", peek, got)
		}
	}
	for i, read := range []string{"BODY[]", "RFC822", "RFC822.TEXT", "BINARY[1]", "BODY[HEADER]", "(BODY.PEEK[1] BODY[2])"} {
		if got := c.do(fmt.Sprintf("c FETCH %d %s", i+1, read), "c OK"); !strings.Contains(got, `FLAGS (\Recent \Seen)`) {
			t.Errorf("%s: %.200q", read, got)
		}
	}
	before, err := w.store.MailboxByName(t.Context(), ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.do("d UID FETCH 1:* BODY[1]", "d OK"); strings.Count(got, "FLAGS (") != 20-6 {
		t.Errorf("%d of 20 were told to be read now", strings.Count(got, "FLAGS ("))
	}
	after, err := w.store.MailboxByName(t.Context(), ann, "INBOX")
	if err != nil || after.HighestModSeq != before.HighestModSeq+1 || after.Unseen != 0 {
		t.Errorf("%+v, before %+v: %v", after, before, err)
	}
	if got := c.do("e NOOP", "e OK"); got != "" {
		t.Errorf("own changes told twice: %q", got)
	}
	if got := d.do("c NOOP", "c OK"); strings.Count(got, "FETCH (UID") != 20 {
		t.Errorf("the other session was told: %q", got)
	}
}

// PARTIAL asks for a part of the messages of a set (RFC 9394 3.3).
func TestFetchPartial(t *testing.T) {
	_, c := filled(t, 10)
	c.do(`c STORE 3,5 +FLAGS.SILENT (\Deleted)`, "c OK")
	c.do("d EXPUNGE", "d OK")
	for ask, want := range map[string]string{
		"1:* UID (PARTIAL 1:3)": "1 2 4", "1:* UID (PARTIAL 3:4)": "4 6", "1:* UID (PARTIAL -1:-2)": "9 10", "1:* UID (PARTIAL -9:-7)": "1 2", "1:* UID (PARTIAL 9:99)": "", "2:6,9 UID (PARTIAL 2:4)": "4 6 9",
		"1:* UID (PARTIAL -1:-1 CHANGEDSINCE 1)": "10", "99 UID (PARTIAL 1:1)": "", "1:* UID (CHANGEDSINCE 10 PARTIAL 1:9)": "10",
	} {
		var got []string
		for line := range strings.Lines(c.do("e UID FETCH "+ask, "e OK")) {
			if _, uid, found := strings.Cut(line, "(UID "); found {
				uid, _, _ = strings.Cut(uid, ")")
				uid, _, _ = strings.Cut(uid, " ")
				got = append(got, uid)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", ask, got, want)
		}
	}
	for _, bad := range []string{"UID FETCH 1 UID (PARTIAL)", "UID FETCH 1 UID (PARTIAL 0:1)", "UID FETCH 1 UID (PARTIAL 1:-1)", "UID FETCH 1 UID (PARTIAL 1)", "UID FETCH 1 UID (PARTIAL 1:2 PARTIAL 1:2)", "FETCH 1 UID (PARTIAL 1:1)"} {
		c.says("f "+bad, "f BAD")
	}
}
