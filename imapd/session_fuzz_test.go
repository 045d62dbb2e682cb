package imapd

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// FuzzSession runs whole sessions of commands, one a line, against a store, and follows the answers as a client would: each
// command is answered once and in order, and whatever was said of the selected mailbox adds up. Lines may hold literals, in which
// the tags of the lines they swallow are.
func FuzzSession(f *testing.F) {
	f.Add("SELECT INBOX\nFETCH 1:* (FLAGS UID ENVELOPE BODYSTRUCTURE BODY[])\nSTORE 1 +FLAGS (\\Deleted)\nEXPUNGE\nNOOP\nCLOSE", uint8(50))
	f.Add("ENABLE QRESYNC\nSELECT INBOX (QRESYNC (1 1))\nUID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)\nUID EXPUNGE 1:2\nIDLE\nDONE\nUNSELECT", uint8(3))
	f.Add("CREATE a/b (USE (\\Sent))\nRENAME a x\nLIST (SUBSCRIBED RECURSIVEMATCH) \"\" (% *) RETURN (STATUS (MESSAGES DELETED))\nLSUB \"\" %\nSUBSCRIBE x/b\nDELETE x\nSELECT x/b\nDELETE x/b\nNOOP", uint8(7))
	f.Add("APPEND INBOX (\\Seen) {5+}\nhello {2+}\nhi\nSELECT INBOX\nMOVE 1:2 Trash\nCOPY * Archive\nSEARCH RETURN (SAVE) ALL\nFETCH $ UID\nAPPEND INBOX {3}\nabc", uint8(200))
	f.Add("APPEND INBOX CATENATE (URL /INBOX/;UID=1/;SECTION=1 TEXT {3+}\nabc URL {8+}\n/x/;UID=1) {2+}\nhi\nSELECT INBOX\nAPPEND Sent CATENATE (TEXT ~{1+}\nx URL \";UID=2/;PARTIAL=0.3\") CATENATE (URL /INBOX/;UID=9 TEXT {3+}\nabc)\nNOOP", uint8(40))
	f.Add("ENABLE IMAP4rev2 UTF8=ACCEPT\nEXAMINE INBOX\nSORT (ARRIVAL REVERSE SUBJECT) UTF-8 ALL\nTHREAD REFERENCES UTF-8 ALL\nUID SEARCH RETURN (COUNT PARTIAL 1:2) TEXT \"x\" UID 1:*\nSTORE 1 FLAGS ()", uint8(90))
	f.Add("GETQUOTAROOT INBOX\nID NIL\nNAMESPACE\nSTATUS INBOX (UIDNEXT RECENT MAILBOXID)\nCAPABILITY\nXYZZY \"{3+}\nLOGOUT", uint8(20))
	f.Add("ENABLE UIDONLY\nSELECT INBOX (QRESYNC (1 1 1 (1 1)))\nSELECT INBOX\nFETCH 1 UID\nUID FETCH 1:* (FLAGS BODY[TEXT])\nUID STORE 1:2 +FLAGS (\\Deleted)\nUID SEARCH 1\nUID MOVE 3 Trash\nEXPUNGE", uint8(30))
	f.Add("SELECT INBOX\nSEARCH RETURN (UPDATE CONTEXT) UNSEEN UID 2:*\nUID SORT RETURN (UPDATE COUNT) (REVERSE SUBJECT SIZE) UTF-8 NOT TEXT \"body\"\nSTORE 1:2 +FLAGS (\\Seen \\Deleted)\nAPPEND INBOX {3+}\nabc\nEXPUNGE\nCANCELUPDATE \"t1\" {2+}\nt2\nNOOP", uint8(40))
	f.Add("NOTIFY SET STATUS (SELECTED (MessageNew (UID BODY[]) MessageExpunge FlagChange)) (MAILBOXES (Sent {1+}\nx) NONE) (SUBTREE a (MailboxName))\nSELECT INBOX\nAPPEND INBOX {3+}\nabc\nIDLE\nDONE\nCREATE a/b\nRENAME a x\nNOTIFY NONE\nEXPUNGE\nNOOP", uint8(60))
	f.Add("ENABLE METADATA\nSETMETADATA INBOX (/private/comment {3+}\na\nb /shared/x ~{1+}\nx /private/y NIL)\nGETMETADATA INBOX (DEPTH infinity MAXSIZE 3) (/private/comment /shared)\nGETMETADATA (DEPTH 1) \"\" /private/a\nLIST (SUBSCRIBED) \"\" * RETURN (METADATA (/private/comment))\nSUBSCRIBE nowhere/x\nRENAME INBOX old\nNOOP", uint8(40))
	f.Add("SELECT INBOX\nREPLACE 1 INBOX (\\Draft) {5+}\nhello\nUID REPLACE 4 Sent {2+}\nhi\nREPLACE * INBOX {1+}\na {1+}\nb\nREPLACE 9 INBOX {3}\nNOOP", uint8(80))
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		if lines := strings.SplitAfter(text, "\n"); len(lines) < 60 && len(text) < 20_000 {
			w.session(t, lines, int(size)+1)
		}
	})
}

// sessions numbers the accounts of session.
var sessions atomic.Int64

// session runs commands in a session of a new account, whose client sends pieces of size bytes.
func (w *world) session(t *testing.T, lines []string, size int) {
	acct := domicile.AccountID(fmt.Sprint("f-", sessions.Add(1)))
	if err := w.store.CreateAccount(t.Context(), "", store.Account{ID: acct, Address: domicile.Address(acct) + "@example.com", Quota: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		w.deliver(acct, "INBOX", fmt.Sprintf("Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\nbody", i, i))
	}
	said := &script{}
	names := map[string]string{}
	for i, line := range lines {
		tag := fmt.Sprint("t", i)
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		names[tag] = strings.ToUpper(name)
		if names[tag] != "DONE" {
			line = tag + " " + line
		}
		for line = strings.TrimSuffix(line, "\n") + "\r\n"; line != ""; line = line[min(len(line), size):] {
			said.pieces = append(said.pieces, line[:min(len(line), size)])
		}
	}
	if err := w.home.enter(acct); err != nil {
		t.Fatal(err)
	}
	w.home.serve(wire.NewConn(said, wire.After), w.by(acct), "login", 1<<16, false)
	if n := w.faults.Load(); n > 0 {
		t.Fatalf("%d faults", n)
	}
	(&follower{t: t, names: names, last: -1}).follow(said.out.String())
	if err := w.store.DeleteAccount(t.Context(), acct); err != nil {
		t.Fatal(err)
	}
}

// templates are commands; what stands for what is in pick.
var templates = strings.Split(`SELECT BOX
SELECT BOX (CONDSTORE)
EXAMINE BOX
NOOP
CHECK
CLOSE
UNSELECT
EXPUNGE
FETCH SET (FLAGS UID RFC822.SIZE)
FETCH SET (ENVELOPE BODYSTRUCTURE BODY[HEADER] BODY[1]<0.3> MODSEQ)
UID FETCH SET (BODY[] FLAGS)
UID FETCH SET FLAGS (CHANGEDSINCE NUM VANISHED)
STORE SET +FLAGS (FLAG FLAG)
STORE SET -FLAGS.SILENT FLAG
UID STORE SET (UNCHANGEDSINCE NUM) FLAGS (FLAG)
STORE SET +FLAGS (\Deleted)
UID EXPUNGE SET
COPY SET BOX
UID COPY SET BOX
MOVE SET BOX
UID MOVE SET BOX
SEARCH RETURN (SAVE COUNT) OR FLAGGED SUBJECT 1
SEARCH SET UNSEEN
UID SEARCH RETURN (ALL) UID SET
UID SEARCH RETURN (UPDATE COUNT) OR UNSEEN SUBJECT 2
SEARCH RETURN (UPDATE CONTEXT PARTIAL 1:2) SET UNFLAGGED
UID SORT RETURN (UPDATE) (REVERSE SUBJECT) UTF-8 UNDELETED
CANCELUPDATE "tNUM" "t1NUM"
FETCH $ UID
UID STORE $ +FLAGS (\Flagged)
SORT (REVERSE ARRIVAL SUBJECT) UTF-8 ALL
UID THREAD REFERENCES UTF-8 ALL
APPEND BOX (FLAG) {5+}|hello
APPEND BOX {5+}|hello {2+}|hi
APPEND BOX {0+}|
APPEND BOX CATENATE (URL ";UID=NUM" TEXT {5+}|hello URL "/BOX/;UID=NUM/;SECTION=1")
APPEND BOX CATENATE (TEXT {5+}|hello URL /INBOX/;UID=NUM/;PARTIAL=1.3) (FLAG) {2+}|hi CATENATE (URL /BOX/;UID=NUM/;SECTION=HEADER)
REPLACE SET BOX (FLAG) {5+}|hello
UID REPLACE SET BOX {2+}|hi
REPLACE SET BOX CATENATE (URL ";UID=NUM" TEXT {5+}|hello)
APPEND BOX {70000+}
CREATE BOX
CREATE NEW/NEW (USE (\Sent))
DELETE BOX
DELETE NEW
RENAME BOX NEW
RENAME NEW NEW/NEW
SUBSCRIBE BOX
UNSUBSCRIBE NEW
LIST "" *
LIST (SUBSCRIBED RECURSIVEMATCH) "" (% N*/%) RETURN (STATUS (MESSAGES DELETED RECENT))
LSUB "" %
STATUS BOX (MESSAGES UNSEEN SIZE UIDNEXT HIGHESTMODSEQ DELETED RECENT MAILBOXID)
GETQUOTAROOT BOX
ID ("a" NIL)
NAMESPACE
CAPABILITY
IDLE
NOTIFY SET STATUS (SELECTED-DELAYED (MessageNew (UID BODY[TEXT]) MessageExpunge FlagChange)) (SUBSCRIBED (MailboxName)) (SUBTREE (a x) (MessageNew MessageExpunge SubscriptionChange))
NOTIFY SET (PERSONAL (MailboxName SubscriptionChange))
NOTIFY NONE
ENABLE CONDSTORE
ENABLE QRESYNC
ENABLE IMAP4rev2
ENABLE UIDONLY
XYZZY {3+}|abc
FETCH SET (
NOOP x`, "\n")

// command makes a command of a template.
func command(r *rand.Rand) string {
	line := templates[r.IntN(len(templates))]
	for _, hole := range [][]string{
		{"BOX", "INBOX", "INBOX", "INBOX", "Archive", "Trash", "new", "none"}, {"NEW", "new", "new/x", "other"}, {"SET", "1", "1:*", "*", "2", "2:3", "1,3", "4:2", "7"},
		{"FLAG", `\Seen`, `\Flagged`, `\Deleted`, "word", "other"}, {"NUM", "1", "2", "3", "9", "50"},
	} {
		for strings.Contains(line, hole[0]) {
			line = strings.Replace(line, hole[0], strings.ToLower(hole[1+r.IntN(len(hole)-1)]), 1)
		}
	}
	if line = strings.ReplaceAll(line, "|", "\r\n"); line == "IDLE" {
		line += "\r\nDONE"
	}
	return line
}

// TestRandomSessions runs sessions of commands that mostly make sense.
func TestRandomSessions(t *testing.T) {
	w := newWorld(t)
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		var lines []string
		for range 40 {
			lines = append(lines, command(r))
		}
		w.session(t, lines, 1+r.IntN(50))
		if t.Failed() {
			t.Fatalf("seed %d: %q", seed, lines)
		}
	}
}
