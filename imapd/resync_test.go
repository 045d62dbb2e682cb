package imapd

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"domicile"
	"domicile/store"
)

// CONDSTORE (RFC 7162 3.1): STORE that loses no update, FETCH of what changed.
func TestCondstore(t *testing.T) {
	w, c := filled(t, 4) // modification sequences 2 to 5
	d := w.login()
	if got := d.do("b SELECT INBOX (CONDSTORE)", "b OK"); !strings.Contains(got, "* OK [HIGHESTMODSEQ 5]") {
		t.Errorf("%q", got)
	}
	// 3.1.3: the first UNCHANGEDSINCE turns it on, and is told where the mailbox stands.
	c.says(`c UID STORE 1:2 (UNCHANGEDSINCE 2) +FLAGS.SILENT (\Flagged)`, "c OK [MODIFIED 2] ", "* OK [HIGHESTMODSEQ 5] Modification sequences are told", "* 1 FETCH (UID 1 MODSEQ (6))")
	c.says(`d STORE 1:3 (UNCHANGEDSINCE 4) +FLAGS (work)`, "d OK [MODIFIED 1] ", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft work)`,
		`* 2 FETCH (UID 2 FLAGS (\Recent work) MODSEQ (7))`, `* 3 FETCH (UID 3 FLAGS (\Recent work) MODSEQ (7))`)
	c.says(`e STORE 1:* (UNCHANGEDSINCE 0) FLAGS ()`, "e OK [MODIFIED 1:4] ")
	c.says(`f STORE 1 (UNCHANGEDSINCE 6) -FLAGS (\Flagged)`, "f OK STORE completed", `* 1 FETCH (UID 1 FLAGS (\Recent) MODSEQ (8))`)
	d.says("c NOOP", "c OK", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft work)`, `* 2 FETCH (UID 2 FLAGS (work) MODSEQ (7))`, `* 3 FETCH (UID 3 FLAGS (work) MODSEQ (7))`, `* 1 FETCH (UID 1 FLAGS () MODSEQ (8))`)
	// A change by somebody else makes a conditional STORE fail, and is told.
	d.do(`d STORE 4 +FLAGS.SILENT (\Answered)`, "d OK")
	c.says(`g STORE 4 (UNCHANGEDSINCE 8) +FLAGS (\Seen)`, "g OK [MODIFIED 4]", `* 4 FETCH (UID 4 FLAGS (\Recent \Answered) MODSEQ (9))`)
	// 3.1.4: FETCH of what changed.
	c.says("h FETCH 1:* (FLAGS) (CHANGEDSINCE 7)", "h OK", `* 1 FETCH (FLAGS (\Recent) MODSEQ (8))`, `* 4 FETCH (FLAGS (\Recent \Answered) MODSEQ (9))`)
	c.says("i UID FETCH 2:3 UID (CHANGEDSINCE 6)", "i OK", "* 2 FETCH (UID 2 MODSEQ (7))", "* 3 FETCH (UID 3 MODSEQ (7))")
	c.says("j FETCH 1:* FLAGS (CHANGEDSINCE 9)", "j OK")
	c.says("k FETCH 1 MODSEQ", "k OK", "* 1 FETCH (MODSEQ (8))")
	// \Seen that FETCH sets.
	c.says("l FETCH 2 BODY[TEXT]", "l OK", `* 2 FETCH (UID 2 FLAGS (\Recent \Seen work) MODSEQ (10) BODY[TEXT] {0}`, ")")
	c.says("m NOOP", "m OK")
}

// QRESYNC (RFC 7162 3.2): a client that comes back is told all that happened, in one round trip.
func TestQresync(t *testing.T) {
	w, c := filled(t, 10) // modification sequences 2 to 11
	d := w.login()
	d.says("b SELECT INBOX (QRESYNC (1 1))", "b BAD")
	d.says("c ENABLE QRESYNC", "c OK", "* ENABLED QRESYNC")
	got := d.do("d SELECT INBOX", "d OK")
	_, validity, _ := strings.Cut(got, "UIDVALIDITY ")
	validity, _, _ = strings.Cut(validity, "]")

	c.do(`c STORE 2,4,9 +FLAGS.SILENT (\Deleted)`, "c OK") // 12
	c.do("d EXPUNGE", "d OK")                              // 13
	c.do(`e UID STORE 3 +FLAGS.SILENT (\Seen)`, "e OK")    // 14
	w.put("INBOX", "Subject: 11\r\n\r\n")                  // 15
	w.put("INBOX", "Subject: 12\r\n\r\n", store.Deleted)   // 16
	c.do("f NOOP", "f OK")
	c.do("g UID EXPUNGE 12", "g OK") // 17
	// VANISHED instead of EXPUNGE, and not while numbers must hold.
	d.says("e FETCH 10 UID", "e OK [HIGHESTMODSEQ 11] ", "* 10 FETCH (UID 10)", `* 3 FETCH (UID 3 FLAGS (\Seen) MODSEQ (14))`, "* 11 EXISTS", "* 0 RECENT")
	d.says("f STORE 1 FLAGS.SILENT ()", "f OK [HIGHESTMODSEQ 11] ", "* 1 FETCH (UID 1 MODSEQ (2))")
	d.says("g NOOP", "g OK [HIGHESTMODSEQ 17] ", "* VANISHED 2,4,9")
	d.says("h FETCH 7 UID", "h OK FETCH completed", "* 7 FETCH (UID 10)")

	e := w.login()
	e.do("b ENABLE QRESYNC", "b OK")
	tail := func(params string) string {
		t.Helper()
		got := e.do(fmt.Sprintf("c SELECT INBOX (QRESYNC (%s))", params), "c OK [READ-WRITE]")
		_, after, found := strings.Cut(got, "] Mailbox id\r\n")
		if !found || !strings.Contains(got, "* OK [HIGHESTMODSEQ 17]") {
			t.Errorf("%s: %q", params, got)
		}
		return after
	}
	for params, want := range map[string]string{
		validity + " 11":             "* VANISHED (EARLIER) 2,4,9,12\r\n* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))\r\n* 8 FETCH (UID 11 FLAGS () MODSEQ (15))\r\n",
		validity + " 11 1:10":        "* VANISHED (EARLIER) 2,4,9\r\n* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))\r\n",
		validity + " 14 4:6":         "",
		validity + " 13 1:3":         "* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))\r\n",
		validity + " 17":             "",
		validity + " 999":            "",
		"1 11":                       "", // another mailbox of that name
		validity + " 11 9 (1:3 1:3)": "* VANISHED (EARLIER) 9\r\n",
		validity + " 14 (1,3:4 1:3)": "* VANISHED (EARLIER) 12\r\n* 8 FETCH (UID 11 FLAGS () MODSEQ (15))\r\n",
		// 3.2.5.2: the seventh message still is UID 10, so that the client knows of what went before it; the second one is not UID 4.
		validity + " 11 (1,7 1,10)":                        "* VANISHED (EARLIER) 12\r\n* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))\r\n* 8 FETCH (UID 11 FLAGS () MODSEQ (15))\r\n",
		validity + " 11 1:9 (7:8 10:11)":                   "* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))\r\n",
		validity + " 11 1:10 (1:2,7 1,4,10)":               "* VANISHED (EARLIER) 2,4,9\r\n* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))\r\n",
		validity + " 11 1:10 (7:4294967295 10:4294967295)": "* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))\r\n",
		validity + " 1 3":                                  "* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))\r\n",
		validity + " 1 1:2,4,4294967":                      "* VANISHED (EARLIER) 2,4,9,12\r\n",
	} {
		if got := tail(params); strings.HasPrefix(params, validity+" 1 1:2") {
			if !strings.HasPrefix(got, "* VANISHED (EARLIER) 2,4\r\n* 1 FETCH (UID 1 ") || strings.Count(got, "FETCH") != 1 {
				t.Errorf("%s: %q", params, got)
			}
		} else if got != want {
			t.Errorf("%s:\n got %q\nwant %q", params, got, want)
		}
	}
	for _, params := range []string{"", "(QRESYNC)", "(QRESYNC 1 1)", "(QRESYNC (1))", "(QRESYNC (0 1))", "(QRESYNC (1 0))", "(QRESYNC (1 1 *))", "(QRESYNC (1 1 $))", "(QRESYNC (1 1 1:3 (1)))", "(QRESYNC (1 1 (1 *)))",
		"(QRESYNC (1 1 1 (1 1)) x)", "(QRESYNC (1 1 1 2))", "(NONSENSE)", "()"} {
		e.says("d SELECT INBOX "+params, "d BAD")
	}
	// 3.2.6: UID FETCH with VANISHED.
	e.says("e UID FETCH 1:12 (FLAGS) (CHANGEDSINCE 11 VANISHED)", "e OK", "* VANISHED (EARLIER) 2,4,9,12", "* 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (14))", "* 8 FETCH (UID 11 FLAGS () MODSEQ (15))")
	e.says("f UID FETCH 1:3 (FLAGS) (VANISHED CHANGEDSINCE 14)", "f OK")
	e.says("g FETCH 1:3 (FLAGS) (CHANGEDSINCE 14 VANISHED)", "g BAD")
	e.says("h UID FETCH 1:3 (FLAGS) (VANISHED)", "h BAD")
	// 3.2.7, 6851: own expunges tell where the mailbox stands.
	e.do(`i STORE 1:2 +FLAGS.SILENT (\Deleted)`, "i OK")
	e.says("j EXPUNGE", "j OK [HIGHESTMODSEQ 19] ", "* VANISHED 1,3")
	if got := e.do("k UID MOVE 11 Archive", "k OK [HIGHESTMODSEQ 20] "); !strings.HasPrefix(got, "* OK [COPYUID") || !strings.HasSuffix(got, "* VANISHED 11\r\n") {
		t.Errorf("%q", got)
	}
	e.says("l EXPUNGE", "l OK EXPUNGE completed")
	e.says("m SELECT nowhere", "m NO [NONEXISTENT]", "* OK [CLOSED] The mailbox that was open is closed")
	e.says("n FETCH 1 UID", "n BAD")
}

// meanwhile is a store in which something is done once, right before or behind a look at what changed.
type meanwhile struct {
	store.Store
	before, behind func()
}

func (m *meanwhile) Changes(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.ModSeq, at store.Position, n int) (store.Changes, error) {
	if after != 3 { // it is SELECT itself that looks, or an update
		return m.Store.Changes(ctx, acct, mbox, after, at, n)
	}
	m.before()
	defer m.behind()
	return m.Store.Changes(ctx, acct, mbox, after, at, n)
}

// A message that is new to a client, and goes while it selects the mailbox with what it knows, was told to exist: so it is told that it vanished, whether it went
// before the server looked what changed or before it read the message.
func TestQresyncMeanwhile(t *testing.T) {
	w := newWorld(t)
	for range 4 { // modification sequences 2 to 5
		w.put("INBOX", "Subject: It goes\r\n\r\n", store.Deleted)
	}
	inbox, err := w.store.MailboxByName(t.Context(), ann, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	expunge := func(uid store.UID) func() {
		return func() {
			if _, err := w.store.Expunge(t.Context(), "", ann, inbox.ID, []store.UID{uid}); err != nil {
				t.Error(err)
			}
		}
	}
	w.home.cfg.Store = &meanwhile{w.store, expunge(3), expunge(4)}
	c := w.login()
	c.do("b ENABLE QRESYNC", "b OK")
	got := c.do(fmt.Sprintf("c SELECT INBOX (QRESYNC (%d 3))", inbox.UIDValidity), "c OK [READ-WRITE]")
	if !strings.Contains(got, "* 4 EXISTS\r\n") || !strings.Contains(got, "* VANISHED 3:4\r\n") || strings.Contains(got, "EARLIER") {
		t.Errorf("%q", got)
	}
}
