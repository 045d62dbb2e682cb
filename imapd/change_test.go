package imapd

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"domicile"
	"domicile/store"
)

// filled is a world with n messages, and a client that selected them.
func filled(t *testing.T, n int) (*world, *client) {
	w := newWorld(t)
	for i := range n {
		w.put("INBOX", fmt.Sprintf("Subject: %d\r\n\r\n", i+1))
	}
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	return w, c
}

// says runs a command and wants these untagged lines.
func (c *client) says(command, tagged string, lines ...string) {
	c.t.Helper()
	want := ""
	if len(lines) > 0 {
		want = strings.Join(lines, "\r\n") + "\r\n"
	}
	if got := c.do(command, tagged); got != want {
		c.t.Errorf("%s:\n got %q\nwant %q", command, got, want)
	}
}

// STORE in all its forms (RFC 9051 6.4.6).
func TestStore(t *testing.T) {
	w, c := filled(t, 4)
	c.do("c NOOP", "c OK")
	d := w.login()
	d.do("b SELECT INBOX", "b OK")
	c.says(`d STORE 1,3 +FLAGS (\flagged work)`, "d OK STORE completed", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft work)`,
		`* 1 FETCH (FLAGS (\Recent \Flagged work))`, `* 3 FETCH (FLAGS (\Recent \Flagged work))`)
	c.says(`e UID STORE 3:* -FLAGS \Flagged WORK`, "e OK STORE completed", `* 3 FETCH (UID 3 FLAGS (\Recent))`, `* 4 FETCH (UID 4 FLAGS (\Recent))`)
	c.says(`f STORE 2 FLAGS.SILENT (\Seen \Recent)`, "f OK")
	c.says(`g STORE 2 +flags.silent ()`, "g OK")
	c.says(`h STORE 1 FLAGS ()`, "h OK", `* 1 FETCH (FLAGS (\Recent))`)
	c.says(`i UID STORE 99 +FLAGS (\Seen)`, "i OK")
	c.says("j NOOP", "j OK")
	d.says("c NOOP", "c OK", `* 3 FETCH (UID 3 FLAGS ())`, `* 2 FETCH (UID 2 FLAGS (\Seen))`, `* 1 FETCH (UID 1 FLAGS ())`)
	for _, bad := range []string{"", " 1", " 1 FLAGS", ` 1 FLAGS (\Seen`, ` 1 FLAG (\Seen)`, ` 5 FLAGS (\Seen)`, ` 1 ++FLAGS (x)`, ` 1 FLAGS.LOUD (x)`, ` 1 (UNCHANGEDSINCE) FLAGS (x)`, ` 1 FLAGS (x) y`, ` 1 FLAGS "x"`} {
		c.says("k STORE"+bad, "k BAD")
	}
	c.says(`l STORE 1 FLAGS (\Own)`, "l NO [CANNOT]")
	c.says(`m STORE 1 FLAGS (`+strings.Repeat("a ", 50)+`b)`, "m OK", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft work a b)`, `* 1 FETCH (FLAGS (\Recent a b))`)
	// A message that somebody else removed meanwhile is left out; its number still counts.
	d.do(`d STORE 2 +FLAGS.SILENT \Deleted`, "d OK")
	d.do("e EXPUNGE", "e OK")
	c.says(`n STORE 1:3 +FLAGS (\Answered)`, "n OK", `* 1 FETCH (FLAGS (\Recent \Answered a b))`, `* 3 FETCH (FLAGS (\Recent \Answered))`)
	c.says("o NOOP", "o OK", "* 2 EXPUNGE")
}

// Own and others' changes to the same messages: own ones are not told twice, those of others always.
func TestUpdatesOfOthers(t *testing.T) {
	w, c := filled(t, 3)
	d := w.login()
	d.do("b SELECT INBOX", "b OK")
	d.do(`c STORE 1 +FLAGS.SILENT (one)`, "c OK")
	c.says(`c STORE 2 +FLAGS.SILENT (two)`, "c OK", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft two)`, `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft two one)`, `* 1 FETCH (UID 1 FLAGS (\Recent one))`)
	d.do(`d STORE 2 +FLAGS.SILENT (three)`, "d OK")
	w.put("INBOX", "Subject: 4\r\n\r\n")
	c.says(`d STORE 3 +FLAGS.SILENT (\Seen)`, "d OK", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft two one three)`, `* 2 FETCH (UID 2 FLAGS (\Recent three two))`, "* 4 EXISTS", "* 4 RECENT")
	// What comes and goes between two looks is never told.
	w.put("INBOX", "Subject: 5\r\n\r\n", store.Deleted)
	d.do("e EXPUNGE", "e OK")
	c.says("e NOOP", "e OK")
	// An expunge waits until numbers may change, and a new message does not.
	d.do(`f STORE 1 +FLAGS.SILENT (\Deleted)`, "f OK")
	d.do("g EXPUNGE", "g OK")
	w.put("INBOX", "Subject: 6\r\n\r\n")
	c.says("f FETCH 2 UID", "f OK", "* 2 FETCH (UID 2)", "* 5 EXISTS", "* 5 RECENT")
	c.says("g SEARCH ALL", "g OK", "* SEARCH 2 3 4 5")
	c.says("h UID FETCH 2 UID", "h OK", "* 2 FETCH (UID 2)", "* 1 EXPUNGE")
	c.says("i FETCH 4 UID", "i OK", "* 4 FETCH (UID 6)")
}

var copyUID = regexp.MustCompile(`\[COPYUID \d+ (\S+) (\S+)\]`)

// COPY and MOVE (RFC 9051 6.4.7, 6.4.8; RFC 4315), and EXPUNGE.
func TestCopyMoveExpunge(t *testing.T) {
	_, c := filled(t, 9)
	c.send("c COPY 2:4,7 Archive\r\n")
	if got := c.want("c OK [COPYUID "); copyUID.FindStringSubmatch(got)[1] != "2:4,7" || copyUID.FindStringSubmatch(got)[2] != "1:4" {
		t.Error(got)
	}
	c.send("d UID MOVE 9,1:2 Archive\r\n")
	if got := c.want("* OK [COPYUID "); copyUID.FindStringSubmatch(got)[1] != "1:2,9" || copyUID.FindStringSubmatch(got)[2] != "5:7" {
		t.Error(got)
	}
	for _, want := range []string{"* 9 EXPUNGE", "* 2 EXPUNGE", "* 1 EXPUNGE", "d OK MOVE completed"} {
		c.want(want)
	}
	c.says("e FETCH 1:* UID", "e OK", "* 1 FETCH (UID 3)", "* 2 FETCH (UID 4)", "* 3 FETCH (UID 5)", "* 4 FETCH (UID 6)", "* 5 FETCH (UID 7)", "* 6 FETCH (UID 8)")
	c.says("f COPY 1 nowhere", "f NO [TRYCREATE]")
	c.says("g MOVE 1 nowhere", "g NO [TRYCREATE]")
	c.says("h UID COPY 99 Archive", "h OK COPY completed")
	c.says("i COPY 7 Archive", "i BAD")
	c.says("j MOVE 1", "j BAD")
	c.do(`k STORE 2:5 +FLAGS.SILENT (\Deleted)`, "k OK")
	c.says("l UID EXPUNGE 3,5:6,99", "l OK EXPUNGE completed", "* 4 EXPUNGE", "* 3 EXPUNGE")
	c.says("m UID EXPUNGE 3", "m OK")
	c.says("n EXPUNGE 1", "n BAD")
	c.says("o EXPUNGE", "o OK EXPUNGE completed", "* 3 EXPUNGE", "* 2 EXPUNGE")
	c.says("p EXPUNGE", "p OK")
	c.says("q UID FETCH 1:* UID", "q OK", "* 1 FETCH (UID 3)", "* 2 FETCH (UID 8)")
	// Into the mailbox itself.
	if got := c.do("r MOVE 1 INBOX", "r OK MOVE completed"); !strings.HasPrefix(got, "* OK [COPYUID ") || !strings.HasSuffix(got, "* 1 EXPUNGE\r\n* 2 EXISTS\r\n* 2 RECENT\r\n") {
		t.Errorf("%q", got)
	}
	// CLOSE expunges and says nothing; UNSELECT does not.
	c.do(`t STORE 1 +FLAGS.SILENT (\Deleted)`, "t OK")
	c.says("u UNSELECT", "u OK UNSELECT completed")
	c.says("v CLOSE", "v BAD")
	if got := c.do("w SELECT INBOX", "w OK"); !strings.HasPrefix(got, "* 2 EXISTS") {
		t.Errorf("%q", got)
	}
	c.says("x CLOSE", "x OK CLOSE completed")
	if got := c.do("y SELECT INBOX", "y OK"); !strings.HasPrefix(got, "* 1 EXISTS") {
		t.Errorf("%q", got)
	}
}

// actCounter notes the largest act on messages, and fails the third MOVE if told.
type actCounter struct {
	store.Store
	most, moves int
	failing     bool
}

func (a *actCounter) Expunge(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID) ([]store.UID, error) {
	if a.most = max(a.most, len(uids)); uids == nil {
		a.most = math.MaxInt
	}
	return a.Store.Expunge(ctx, tok, acct, mbox, uids)
}

func (a *actCounter) Move(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	a.most = max(a.most, len(uids))
	if a.moves++; a.failing && a.moves == 3 {
		return 0, nil, nil, domicile.E("move", domicile.Unavailable, "the disk is full")
	}
	return a.Store.Move(ctx, tok, acct, mbox, uids, to)
}

// MOVE, EXPUNGE and CLOSE of many messages are acts of a bounded size. Of a MOVE that fails midway the client learns what went.
func TestManyInPages(t *testing.T) {
	w := newWorld(t)
	acts := &actCounter{Store: w.store, failing: true}
	w.home.cfg.Store = acts
	const all = 2*actPage + 500
	uids := []store.UID{w.put("INBOX", "Subject: x\r\n\r\n", store.Deleted).UID}
	box, err := w.store.MailboxByName(t.Context(), ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for len(uids) < all {
		_, _, made, err := w.store.Copy(t.Context(), "", ann, box.ID, uids[:min(len(uids), all-len(uids), actPage)], "INBOX") // a larger copy passes over UIDs
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made {
			uids = append(uids, m.UID)
		}
	}
	c := w.login()
	c.do("a ENABLE QRESYNC", "a OK")
	c.do("b SELECT INBOX", "b OK")
	got := c.do("c MOVE 1:* Archive", "c NO [")
	if copyUID.FindStringSubmatch(got)[1] != "1:2000" || copyUID.FindStringSubmatch(got)[2] != "1:2000" || !strings.Contains(got, "* VANISHED 1:2000\r\n") {
		t.Errorf("%q", got)
	}
	c.says("d UID SEARCH ALL", "d OK", "* SEARCH "+strings.Trim(fmt.Sprint(uids[2*actPage:]), "[]"))
	c.do("e MOVE 1:* Archive", "e OK")
	c.do("f SELECT Archive", "f OK")
	if got := c.do("g EXPUNGE", "g OK"); got != "* VANISHED 1:2500\r\n" {
		t.Errorf("%q", got)
	}
	if acts.most != actPage {
		t.Errorf("an act has %d messages", acts.most)
	}
}

// readCounter counts how often it is asked what changed.
type readCounter struct {
	store.Store
	n atomic.Int64
}

func (r *readCounter) Changes(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, seq store.ModSeq, at store.Position, limit int) (store.Changes, error) {
	r.n.Add(1)
	return r.Store.Changes(ctx, acct, mbox, seq, at, limit)
}

// What a client did alone is not read anew. Once somebody else did something it is, and told.
func TestOwnActsAreNotRead(t *testing.T) {
	w := newWorld(t)
	reads := &readCounter{Store: w.store}
	w.home.cfg.Store = reads
	for i := range 3 {
		w.put("INBOX", fmt.Sprintf("Subject: %d\r\n\r\n", i+1))
	}
	box, err := w.store.MailboxByName(t.Context(), ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	other := func(uid store.UID, flag string) {
		t.Helper()
		if _, err := w.store.StoreFlags(t.Context(), "", ann, box.ID, []store.UID{uid}, store.FlagsAdd, []string{flag}, 0); err != nil {
			t.Fatal(err)
		}
	}
	c := w.login()
	c.do("b ENABLE CONDSTORE IMAP4rev2", "b OK")
	c.do("b SELECT INBOX", "b OK")
	says := func(want int64, command, tagged string, lines ...string) {
		t.Helper()
		before := reads.n.Load()
		c.says(command, tagged, lines...)
		if n := reads.n.Load() - before; n != want {
			t.Errorf("%s: what changed was read %d times, want %d", command, n, want)
		}
	}
	says(0, `c STORE 1 +FLAGS (\Seen)`, "c OK", `* 1 FETCH (UID 1 FLAGS (\Seen) MODSEQ (5))`)
	says(0, `d UID STORE 1:2 +FLAGS.SILENT (\Seen)`, "d OK", `* 1 FETCH (UID 1 MODSEQ (5))`, `* 2 FETCH (UID 2 MODSEQ (6))`)
	says(0, `e UID STORE 2 (UNCHANGEDSINCE 5) +FLAGS.SILENT (\Flagged)`, "e OK [MODIFIED 2]")
	says(0, `f UID FETCH 3 BODY[TEXT]`, "f OK", `* 3 FETCH (UID 3 FLAGS (\Seen) MODSEQ (7) BODY[TEXT] {0}`, ")")
	says(1, "g NOOP", "g OK")
	other(1, `\Flagged`) // 8
	says(1, `h UID STORE 2 +FLAGS.SILENT (\Draft)`, "h OK", `* 2 FETCH (UID 2 MODSEQ (9))`, `* 1 FETCH (UID 1 FLAGS (\Flagged \Seen) MODSEQ (8))`)
	other(3, `\Flagged`) // 10
	says(1, `i UID STORE 3 +FLAGS.SILENT (\Draft)`, "i OK", `* 3 FETCH (UID 3 MODSEQ (11))`, `* 3 FETCH (UID 3 FLAGS (\Flagged \Seen \Draft) MODSEQ (11))`)
	other(3, `\Answered`) // 12
	says(1, `j UID STORE 1 (UNCHANGEDSINCE 11) +FLAGS (\Seen)`, "j OK", `* 1 FETCH (UID 1 FLAGS (\Flagged \Seen) MODSEQ (8))`, `* 3 FETCH (UID 3 FLAGS (\Answered \Flagged \Seen \Draft) MODSEQ (12))`)
	says(0, `k UID STORE 3 +FLAGS.SILENT (\Deleted)`, "k OK", `* 3 FETCH (UID 3 MODSEQ (13))`)
	says(1, "l UID EXPUNGE 3", "l OK", "* 3 EXPUNGE")
	// A search whose result is updated wants to know.
	says(1, "m UID SEARCH RETURN (UPDATE) SEEN", "m OK", `* ESEARCH (TAG "m") UID`)
	says(1, `n UID STORE 1 -FLAGS.SILENT (\Seen)`, "n OK", `* 1 FETCH (UID 1 MODSEQ (15))`, `* ESEARCH (TAG "m") UID REMOVEFROM (0 1)`)
}
