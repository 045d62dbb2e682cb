package imapd

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"domicile/store"
)

// lines wants these lines next, each of which may end in a trailing ….
func (c *client) lines(want ...string) {
	c.t.Helper()
	for _, line := range want {
		prefix, open := strings.CutSuffix(line, "…")
		if got := c.line(); got != line && !(open && strings.HasPrefix(got, prefix)) {
			c.t.Fatalf("got %q, want %q", got, line)
		}
	}
}

// What happens in the selected mailbox is told between commands, with the items that were chosen, and what was not chosen is not told at all.
func TestNotifySelected(t *testing.T) {
	w, c := filled(t, 2)
	d := w.login()
	d.do("b SELECT INBOX", "b OK")
	c.do("c NOTIFY SET (SELECTED (MessageNew (FLAGS BODY[HEADER.FIELDS (Subject)]) MessageExpunge))", "c OK")
	w.put("INBOX", "Subject: 3\r\n\r\n")
	c.lines("* 3 EXISTS", "* 3 RECENT", `* 3 FETCH (UID 3 FLAGS (\Recent) BODY[HEADER.FIELDS (Subject)] {14}`, "Subject: 3", "", ")")
	d.do(`c UID STORE 1 +FLAGS.SILENT (\Deleted)`, "c OK") // FlagChange was not chosen
	d.do("d EXPUNGE", "d OK")
	c.lines("* 1 EXPUNGE")
	c.says("d UID FETCH 3 FLAGS", "d OK", `* 2 FETCH (UID 3 FLAGS (\Recent))`) // to be told is not to read
	c.do("e NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))", "e OK")
	d.do(`e UID STORE 3 +FLAGS.SILENT (\Seen)`, "e OK")
	c.lines(`* 2 FETCH (UID 3 FLAGS (\Recent \Seen))`)
	c.do("g UNSELECT", "g OK")
	d.do(`f UID STORE 3 -FLAGS.SILENT (\Seen)`, "f OK")
	c.says("h NOOP", "h OK")
}

// SELECTED-DELAYED keeps expunged messages back until a command that may tell of them, and IDLE is one.
func TestNotifyDelayed(t *testing.T) {
	w, c := filled(t, 3)
	d := w.login()
	d.do("b SELECT INBOX", "b OK")
	c.do("c NOTIFY SET (SELECTED-DELAYED (MessageNew MessageExpunge))", "c OK")
	gone := func(uid int) {
		d.do(fmt.Sprintf(`c UID STORE %d +FLAGS.SILENT (\Deleted)`, uid), "c OK")
		d.do("d EXPUNGE", "d OK")
		w.put("INBOX", "Subject: new\r\n\r\n")
	}
	gone(1)
	c.lines("* 4 EXISTS", "* 4 RECENT")
	c.says("d FETCH 2 UID", "d OK", "* 2 FETCH (UID 2)")
	c.says("e NOOP", "e OK", "* 1 EXPUNGE")
	gone(2)
	c.lines("* 4 EXISTS", "* 4 RECENT")
	c.send("f IDLE\r\n")
	c.lines("+ idling", "* 1 EXPUNGE")
	gone(3)
	c.lines("* 1 EXPUNGE", "* 3 EXISTS", "* 3 RECENT")
	c.send("DONE\r\n")
	c.want("f OK")
}

// What happens to other mailboxes is told by LIST, and what happens in them by STATUS.
func TestNotifyOthers(t *testing.T) {
	w := newWorld(t)
	c, d := w.login(), w.login()
	c.do("b ENABLE CONDSTORE", "b OK")
	c.do("c SELECT INBOX", "c OK")
	c.do("d NOTIFY SET (SELECTED (MessageNew MessageExpunge)) (MAILBOXES Junk NONE) (SUBSCRIBED (MessageNew MessageExpunge FlagChange)) (PERSONAL (MailboxName SubscriptionChange))", "d OK")
	w.put("Junk", "Subject: 1\r\n\r\n") // NONE
	w.put("Sent", "Subject: 1\r\n\r\n", store.Seen)
	c.lines(`* STATUS "Sent" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …`)
	d.do("b SELECT Sent", "b OK")
	d.do(`c STORE 1 -FLAGS.SILENT (\Seen)`, "c OK")
	if got := c.want(`* STATUS "Sent" (MESSAGES 1 `); !strings.Contains(got, " UNSEEN 1 HIGHESTMODSEQ ") {
		t.Error(got)
	}
	d.do("d CREATE Work/2026", "d OK")
	c.lines(`* LIST (\HasChildren) "/" "Work"`, `* LIST (\HasNoChildren) "/" "Work/2026"`)
	w.put("Work", "Subject: 1\r\n\r\n") // not subscribed
	d.do("e SUBSCRIBE Work", "e OK")
	c.lines(`* LIST (\HasChildren \Subscribed) "/" "Work"`)
	w.put("Work", "Subject: 2\r\n\r\n")
	c.lines(`* STATUS "Work" (MESSAGES 2 UIDNEXT 3 …`)
	d.do("f RENAME Work Done", "f OK")
	c.lines(`* LIST (\HasChildren) "/" "Done" ("OLDNAME" ("Work"))`, `* LIST (\HasNoChildren) "/" "Done/2026" ("OLDNAME" ("Work/2026"))`)
	d.do("g DELETE Done/2026", "g OK")
	c.lines(`* LIST (\NonExistent) "/" "Done/2026"`)
	w.put("INBOX", "Subject: 1\r\n\r\n")
	c.lines("* 1 EXISTS", "* 1 RECENT")
	c.do("e SELECT Sent", "e OK") // another mailbox is the selected one now
	w.put("INBOX", "Subject: 2\r\n\r\n")
	c.lines(`* STATUS "INBOX" (MESSAGES 2 …`)
	w.put("Sent", "Subject: 2\r\n\r\n")
	c.lines("* 2 EXISTS", "* 1 RECENT")
	c.do("f NOTIFY NONE", "f OK")
	d.do("h LOGOUT", "h OK")
	c.do("g UNAUTHENTICATE", "g OK")
	w.home.hubs.mu.Lock()
	defer w.home.hubs.mu.Unlock()
	if n := len(w.home.hubs.all); n != 0 {
		t.Errorf("%d accounts are watched for nobody", n)
	}
}

// An account of too many mailboxes is not watched, and one that comes to have too many not any more.
func TestNotifyOverflow(t *testing.T) {
	w := newWorld(t)
	all, err := w.store.Mailboxes(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string) {
		if _, err := w.store.CreateMailbox(t.Context(), "", ann, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	var making sync.WaitGroup
	for i := range 10 {
		making.Go(func() {
			for j := i; j < maxWatched-len(all); j += 10 {
				if _, err := w.store.CreateMailbox(t.Context(), "", ann, fmt.Sprintf("m%d", j), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	making.Wait()
	c := w.login()
	c.do("b NOTIFY SET (PERSONAL (MailboxName))", "b OK")
	create("one more")
	c.lines("* OK [NOTIFICATIONOVERFLOW] …")
	create("and one more")
	c.says("c NOOP", "c OK")
	c.do("d NOTIFY SET (PERSONAL (MailboxName))", "d NO [NOTIFICATIONOVERFLOW]")
	c.do("e NOTIFY SET (SELECTED (MessageNew MessageExpunge))", "e OK") // which needs to remember nothing
}

// A client cannot have each change held against more than so many names.
func TestNotifyIsBounded(t *testing.T) {
	c := newWorld(t).login()
	names := func(n int) string {
		return "(MAILBOXES (a" + strings.Repeat(" a", n-1) + ") NONE)"
	}
	half := names(maxNotifyNames / 2)
	c.do("b NOTIFY SET "+half+" "+half, "b OK")
	c.do("c NOTIFY SET "+half+" "+half+" "+names(1), "c BAD")
	c.do("d NOTIFY SET "+names(maxNotifyNames+1), "d BAD")
	c.do("e NOTIFY SET (PERSONAL NONE)"+strings.Repeat(" (PERSONAL NONE)", maxNotifyGroups-1), "e OK")
	c.do("f NOTIFY SET (PERSONAL NONE)"+strings.Repeat(" (PERSONAL NONE)", maxNotifyGroups), "f BAD")
}

// The room of a long command is given back when it is over, not when the next one comes.
func TestNotifyFreesLongCommands(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.do("b NOTIFY SET (PERSONAL (MailboxName))", "b OK")
	c.do("c ID ("+strings.Repeat(`"a" `, 20<<10)+")", "c BAD")
	waitFor(t, func() bool {
		if !w.home.long.TryAcquire(longMemory) {
			return false
		}
		w.home.long.Release(longMemory)
		return true
	})
}

// Pushes race with commands, deliveries and clients that leave, by whatever way.
func TestNotifyRaces(t *testing.T) {
	w, _ := filled(t, 1)
	over := make(chan struct{})
	var all, clients sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			default:
				w.put([]string{"INBOX", "Sent"}[n%2], "Subject: x\r\n\r\n")
			}
		}
	})
	for range 6 {
		c := w.login()
		clients.Go(func() {
			c.do("b SELECT INBOX", "b OK")
			for range 20 {
				c.send("c NOTIFY SET STATUS (SELECTED (MessageNew (FLAGS) MessageExpunge FlagChange)) (PERSONAL (MessageNew MessageExpunge))\r\nd UID STORE 1 +FLAGS (x)\r\n")
				for !strings.HasPrefix(c.line(), "* STATUS") {
				}
				c.send("e UID STORE 1 -FLAGS (x)\r\nf IDLE\r\nDONE\r\ng NOTIFY NONE\r\n")
				for !strings.HasPrefix(c.line(), "g OK") {
				}
			}
			c.send("h NOTIFY SET (PERSONAL (MessageNew MessageExpunge))\r\n")
			c.do("i UNAUTHENTICATE", "i OK")
			c.do("j LOGIN ann@example.com pw", "j OK")
			c.send("k NOTIFY SET (PERSONAL (MessageNew MessageExpunge))\r\n")
		})
	}
	clients.Wait()
	close(over)
	all.Wait()
}
