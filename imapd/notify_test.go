package imapd

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"domicile"
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
	c.do("d2 NOOP", "d2 OK")            // or what came is told as of a mailbox that is
	d.do("e SUBSCRIBE Work", "e OK")
	c.lines(`* LIST (\HasChildren \Subscribed) "/" "Work"`)
	w.put("Work", "Subject: 2\r\n\r\n")
	c.lines(`* STATUS "Work" (MESSAGES 2 UIDNEXT 3 …`)
	d.do("f RENAME Work Done", "f OK")
	c.lines(`* LIST (\HasChildren) "/" "Done" ("OLDNAME" ("Work"))`)
	d.do("g DELETE Done/2026", "g OK")
	c.lines(`* LIST (\HasNoChildren) "/" "Done"`, `* LIST (\NonExistent) "/" "Done/2026"`)
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

// A name is told with what is right above it, and what goes with a renamed one is not told by itself (RFC 5465 5.4).
func TestNotifyNames(t *testing.T) {
	w := newWorld(t)
	c, d := w.login(), w.login()
	d.do("a CREATE a/b/c", "a OK")
	c.do("b NOTIFY SET (SUBTREE (a x) (MailboxName)) (MAILBOXES (INBOX only/this) (MailboxName SubscriptionChange))", "b OK")
	d.do("b CREATE a/b/d", "b OK")
	c.lines(`* LIST (\HasChildren) "/" "a/b"`, `* LIST (\HasNoChildren) "/" "a/b/d"`)
	d.do("c DELETE a/b", "c OK")
	c.lines(`* LIST (\HasChildren) "/" "a"`, `* LIST (\NonExistent \HasChildren) "/" "a/b"`)
	d.do("d DELETE a/b/c", "d OK")
	c.lines(`* LIST (\NonExistent \HasChildren) "/" "a/b"`, `* LIST (\NonExistent) "/" "a/b/c"`)
	d.do("e RENAME a x", "e OK")
	c.lines(`* LIST (\HasChildren) "/" "x" ("OLDNAME" ("a"))`)
	d.do("f RENAME x/b/d x/e", "f OK") // of x/b, a name alone, RENAME tells nothing
	c.lines(`* LIST (\HasNoChildren) "/" "x/e" ("OLDNAME" ("x/b/d"))`)
	d.do("g RENAME INBOX old", "g OK") // which makes a mailbox, and leaves INBOX as it is
	d.do("h UNSUBSCRIBE INBOX", "h OK")
	c.lines(`* LIST (\HasNoChildren) "/" "INBOX"`)
	d.do("i CREATE only/this", "i OK")
	c.lines(`* LIST (\HasNoChildren) "/" "only/this"`)
	d.do("j RENAME only above", "j OK") // what is above it is not chosen, but this is
	c.lines(`* LIST (\HasNoChildren) "/" "above/this" ("OLDNAME" ("only/this"))`)
	d.do("k DELETE x/e", "k OK")
	c.lines(`* LIST (\HasNoChildren) "/" "x"`, `* LIST (\NonExistent) "/" "x/e"`)
}

// between is a store in which something is done right behind the first of the two readings of what a session is told of subscriptions.
type between struct {
	store.Store
	armed atomic.Bool
	do    func()
}

func (b *between) Mailboxes(ctx context.Context, acct domicile.AccountID) ([]store.Mailbox, error) {
	all, err := b.Store.Mailboxes(ctx, acct)
	b.happens()
	return all, err
}

func (b *between) Subscriptions(ctx context.Context, acct domicile.AccountID) ([]string, error) {
	names, err := b.Store.Subscriptions(ctx, acct)
	b.happens()
	return names, err
}

func (b *between) happens() {
	if b.armed.CompareAndSwap(true, false) {
		b.do()
	}
}

// A name that is unsubscribed while a session looks what changed is told as it is, and not as it was, once and for all.
func TestNotifyLooksTwice(t *testing.T) {
	w := newWorld(t)
	subscribe := func(name string) {
		if err := w.store.Subscribe(t.Context(), "", ann, name, false); err != nil {
			t.Error(err)
		}
	}
	b := &between{Store: w.store, do: func() { subscribe("INBOX") }}
	w.home.cfg.Store = b
	c := w.login()
	c.do("b NOTIFY SET (MAILBOXES INBOX (SubscriptionChange))", "b OK")
	b.armed.Store(true)
	subscribe("Drafts")
	c.lines(`* LIST (\HasNoChildren) "/" "INBOX"`)
	c.says("c NOOP", "c OK")
}

// What a client did itself it is not told (RFC 5465 5), and what others did at the same time it is.
func TestNotifyOwn(t *testing.T) {
	w, c := filled(t, 2)
	d := w.login()
	c.do("b NOTIFY SET (SELECTED (MessageNew (FLAGS) MessageExpunge)) (PERSONAL (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))", "b OK")
	for _, command := range []string{"CREATE Mine", "SUBSCRIBE Mine", "RENAME Mine Yours", "UNSUBSCRIBE Yours", "DELETE Yours", "APPEND Sent {14+}\r\nSubject: 1\r\n\r\n", "UID COPY 1:2 Sent"} {
		c.do("c "+command, "c OK")
	}
	c.says("d APPEND INBOX {14+}\r\nSubject: 3\r\n\r\n", "d OK", "* 3 EXISTS", "* 3 RECENT") // the items are not told of one's own
	c.says("e NOOP", "e OK")
	w.put("INBOX", "Subject: 4\r\n\r\n")
	c.lines("* 4 EXISTS", "* 4 RECENT", `* 4 FETCH (UID 4 FLAGS (\Recent))`)
	d.do("b CREATE Theirs", "b OK")
	c.lines(`* LIST (\HasNoChildren) "/" "Theirs"`)
	w.put("Sent", "Subject: 1\r\n\r\n")
	c.lines(`* STATUS "Sent" (MESSAGES 4 UIDNEXT 5 …`)
	c.do("f NOTIFY NONE", "f OK")
	c.do("g NOTIFY SET (PERSONAL (MessageNew MessageExpunge))", "g OK")
	s := func() *session {
		w.home.hubs.mu.Lock()
		defer w.home.hubs.mu.Unlock()
		for s := range w.home.hubs.all[ann].sessions {
			return s
		}
		return nil
	}()
	s.mu.Lock() // so that no push comes between
	w.put("Sent", "Subject: 1\r\n\r\n")
	s.mu.Unlock()
	c.send("h APPEND Sent {14+}\r\nSubject: 6\r\n\r\n\r\n")
	for told, done := "", false; !done || told == ""; { // in either order
		if line := c.line(); strings.HasPrefix(line, "h OK") {
			done = true
		} else if told = line; !strings.HasPrefix(line, `* STATUS "Sent" (MESSAGES `) {
			t.Fatalf("got %q", line)
		}
	}
}

// A client that chose to hear less than all is kept from believing that it knows all, and NOTIFY SET tells what was kept back (RFC 7162 3.2, RFC 5465 3.1).
func TestNotifyModSeq(t *testing.T) {
	w, c := filled(t, 3) // ModSeq 2, 3 and 4
	d := w.login()
	d.do("b SELECT INBOX", "b OK")
	c.do("a UNSELECT", "a OK")
	c.do("b ENABLE QRESYNC", "b OK")
	c.do("c SELECT INBOX", "c OK")
	c.do("d NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge))", "d OK")
	d.do(`c STORE 1 +FLAGS.SILENT (\Flagged)`, "c OK") // 5
	w.put("INBOX", "Subject: 4\r\n\r\n")               // 6
	c.lines("* 4 EXISTS", "* 1 RECENT", "* 4 FETCH (UID 4)")
	c.says("e NOOP", "e OK [HIGHESTMODSEQ 4]")
	c.says(`f STORE 2 +FLAGS.SILENT (\Deleted)`, "f OK [HIGHESTMODSEQ 4]", "* 2 FETCH (UID 2 MODSEQ (7))")
	c.says("g EXPUNGE", "g OK [HIGHESTMODSEQ 4]", "* VANISHED 2")
	c.says("h STORE 1 (UNCHANGEDSINCE 4) +FLAGS (x)", "h OK [MODIFIED 1]", "* OK [HIGHESTMODSEQ 4] Up to here all is told")
	c.says("i NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))", "i OK NOTIFY",
		`* 1 FETCH (UID 1 FLAGS (\Flagged) MODSEQ (5))`, `* 3 FETCH (UID 4 FLAGS (\Recent) MODSEQ (6))`) // all since 4, what was told too
	c.says("j NOOP", "j OK NOOP")
	c.do("k NOTIFY NONE", "k OK")
	w.put("INBOX", "Subject: 5\r\n\r\n") // 9
	c.says("l UID STORE 1 +FLAGS.SILENT (y)", "l OK [HIGHESTMODSEQ 8]", `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft y)`, "* 1 FETCH (UID 1 MODSEQ (10))")
}

// countedStore counts how often all mailboxes are read.
type countedStore struct {
	store.Store
	all *atomic.Int32
}

func (c countedStore) Mailboxes(ctx context.Context, acct domicile.AccountID) ([]store.Mailbox, error) {
	c.all.Add(1)
	return c.Store.Mailboxes(ctx, acct)
}

// What happens to messages is told without a look at all mailboxes.
func TestNotifyReadsWhatChanged(t *testing.T) {
	w := newWorld(t)
	var all atomic.Int32
	w.home.cfg.Store = countedStore{w.store, &all}
	c := w.login()
	c.do("b NOTIFY SET (PERSONAL (MessageNew MessageExpunge MailboxName))", "b OK")
	c.do("c NOOP", "c OK")
	before := all.Load()
	for i := range 5 {
		w.put("Sent", "Subject: 1\r\n\r\n")
		c.lines(fmt.Sprintf(`* STATUS "Sent" (MESSAGES %d …`, i+1))
	}
	if n := all.Load() - before; n != 0 {
		t.Errorf("all mailboxes were read %d times", n)
	}
	if _, err := w.store.CreateMailbox(t.Context(), "", ann, "New", ""); err != nil {
		t.Fatal(err)
	}
	c.lines(`* LIST (\HasNoChildren) "/" "New"`)
	if n := all.Load() - before; n == 0 {
		t.Error("nothing was counted")
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
