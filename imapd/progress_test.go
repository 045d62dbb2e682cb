package imapd

import (
	"context"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// stalling is a store whose acts and readings wait, from a call of one of them on, as long as the test wants.
type stalling struct {
	store.Store
	mu    sync.Mutex
	calls int           // that pass yet; negative = all
	gate  chan struct{} // closed when the others may pass
}

// after has calls wait behind n more; let them go by the function that it returns.
func (s *stalling) after(n int) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.calls, s.gate = n, gate
	return func() { close(gate) }
}

func (s *stalling) wait() {
	s.mu.Lock()
	s.calls--
	calls, gate := s.calls, s.gate
	s.mu.Unlock()
	if gate != nil && calls < 0 {
		<-gate
	}
}

func (s *stalling) Commit(ctx context.Context, tok store.Token, acct domicile.AccountID, mailbox string, letters []store.Letter, instead *store.Instead) (uint32, []store.Message, error) {
	s.wait()
	return s.Store.Commit(ctx, tok, acct, mailbox, letters, instead)
}

func (s *stalling) Messages(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Message, error) {
	s.wait()
	return s.Store.Messages(ctx, acct, mbox, after, limit)
}

func (s *stalling) Listing(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Listed, error) {
	s.wait()
	return s.Store.Listing(ctx, acct, mbox, after, limit)
}

func (s *stalling) Find(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, in store.Where, field, needle string) ([]store.UID, error) {
	s.wait()
	return s.Store.Find(ctx, acct, mbox, in, field, needle)
}

func (s *stalling) Body(ctx context.Context, acct domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error) {
	s.wait()
	return s.Store.Body(ctx, acct, id)
}

func (s *stalling) StoreFlags(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, op store.FlagOp, flags []string, unless store.ModSeq) (store.Stored, error) {
	s.wait()
	return s.Store.StoreFlags(ctx, tok, acct, mbox, uids, op, flags, unless)
}

func (s *stalling) Copy(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	s.wait()
	return s.Store.Copy(ctx, tok, acct, mbox, uids, to)
}

func (s *stalling) Move(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	s.wait()
	return s.Store.Move(ctx, tok, acct, mbox, uids, to)
}

func (s *stalling) Expunge(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID) ([]store.UID, error) {
	s.wait()
	return s.Store.Expunge(ctx, tok, acct, mbox, uids)
}

var inProgress = regexp.MustCompile(`^\* OK \[INPROGRESS \((NIL|"[^"\]]+") (?:NIL NIL|(\d+) (\d+|NIL))\)\] `)

// progressing has a session told every moment how its command goes on.
func progressing(t *testing.T, messages int) (*stalling, *client) {
	w := newWorld(t)
	for i := range messages {
		w.put("INBOX", fmt.Sprintf("Subject: %d\r\n\r\nbody", i))
	}
	st := &stalling{Store: w.store}
	w.home.cfg.Store = st
	w.home.pace = time.Millisecond
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	return st, c
}

// A client whose command waits for the store is told again and again that it goes on, by the command's tag, and behind the tagged answer not any more.
func TestProgress(t *testing.T) {
	for _, command := range []string{"SEARCH TEXT body", "SEARCH LARGER 1", "SORT (SUBJECT) UTF-8 ALL", "UID THREAD REFERENCES UTF-8 ALL", "FETCH 1:* FLAGS", "UID FETCH 1:* BODY[]", "STORE 1 +FLAGS (\\Flagged)",
		"COPY 1 Archive", "MOVE 1 Archive", "UID MOVE 2 Archive", "EXPUNGE", "UID EXPUNGE 1:*", "CLOSE", "APPEND INBOX {3+}\r\nabc", "APPEND INBOX CATENATE (URL /INBOX/;UID=1)", "REPLACE 1 INBOX {3+}\r\nabc"} {
		st, c := progressing(t, 3)
		release := st.after(0)
		c.send("waits " + command + "\r\n")
		for range 3 {
			if got := inProgress.FindStringSubmatch(c.line()); got == nil || got[1] != `"waits"` {
				t.Fatalf("%s: %q", command, got)
			}
		}
		release()
		for line := ""; !strings.HasPrefix(line, "waits "); {
			if line = c.line(); strings.HasPrefix(line, "waits ") && (!strings.HasPrefix(line, "waits OK") || strings.Contains(line, "INPROGRESS")) || line == "CLOSED" {
				t.Fatalf("%s: %q", command, line)
			}
		}
		for _, line := range strings.Split(c.do("next NOOP", "next OK"), "\r\n") {
			if got := inProgress.FindStringSubmatch(line); got != nil && got[1] != `"next"` {
				t.Errorf("behind the answer of %s: %q", command, line)
			}
		}
	}
}

// A tag that cannot be told is NIL, and how far it is is told nevertheless: it does not fall, and stays below the goal.
func TestProgressNumbers(t *testing.T) {
	const messages = 2*pageSize + 10
	st, c := progressing(t, messages)
	release := st.after(2)
	c.send("w] FETCH 1:* FLAGS\r\n")
	for last := 0; last < pageSize; {
		line := c.line()
		got := inProgress.FindStringSubmatch(line)
		if got == nil {
			if !strings.HasPrefix(line, "* ") || !strings.Contains(line, " FETCH (FLAGS (") {
				t.Fatal(line)
			}
			continue
		}
		at, _ := strconv.Atoi(got[2])
		if got[1] != "NIL" || at < last || at > 2*pageSize || got[3] != strconv.Itoa(messages) {
			t.Fatal(line)
		}
		last = at
	}
	release()
	for line := ""; !strings.HasPrefix(line, "w] OK"); {
		if line = c.line(); line == "CLOSED" {
			t.Fatal(line)
		}
		if got := inProgress.FindStringSubmatch(line); got != nil && got[2] == got[3] {
			t.Fatal(line)
		}
	}
	p := &progress{tag: "a"}
	for i, want := range []string{`("a" NIL NIL)`, `("a" 0 2)`, `("a" 1 2)`, `("a" 1 2)`} {
		if i == 1 {
			p.toGo(2)
		}
		p.reached(max(i-1, 0))
		if got := p.response(); !strings.Contains(got, "[INPROGRESS "+want+"] ") || !inProgress.MatchString(got) {
			t.Errorf("%d: %q, want %s", i, got, want)
		}
	}
}

// stalledBodies is a store whose bodies stall when n bytes of them were read.
type stalledBodies struct {
	store.Store
	n    int64
	gate chan struct{}
}

func (s stalledBodies) Bodies(ctx context.Context, acct domicile.AccountID, ids []domicile.MessageID) iter.Seq2[io.Reader, error] {
	return func(yield func(io.Reader, error) bool) {
		for body, err := range s.Store.Bodies(ctx, acct, ids) {
			if err == nil {
				body = io.MultiReader(io.LimitReader(body, s.n), held(s.gate), body)
			}
			if !yield(body, err) {
				return
			}
		}
	}
}

type held chan struct{}

func (h held) Read([]byte) (int, error) { <-h; return 0, io.EOF }

// A literal that has begun is not interrupted, however long it takes.
func TestProgressWithinLiteral(t *testing.T) {
	w := newWorld(t)
	raw := "Subject: x\r\n\r\n" + strings.Repeat("y", 2*streamAt)
	w.put("INBOX", raw)
	gate := make(chan struct{})
	w.home.cfg.Store = stalledBodies{w.store, firstRead + 1000, gate}
	w.home.pace = time.Millisecond
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	c.send("c FETCH 1 BODY.PEEK[]\r\n")
	line := c.line()
	for inProgress.MatchString(line) { // before the first byte
		line = c.line()
	}
	if want := fmt.Sprintf("* 1 FETCH (BODY[] {%d}", len(raw)); line != want {
		t.Fatalf("%q, want %q", line, want)
	}
	got := make([]byte, len(raw))
	if _, err := io.ReadFull(c.r, got[:firstRead]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // in which it could be told often
	close(gate)
	if _, err := io.ReadFull(c.r, got[firstRead:]); err != nil || string(got) != raw {
		t.Fatal("the literal is not the message", err)
	}
	c.want(")")
}

// Who waits for a client has nothing to tell it: IDLE is silent, and what ends a session has the last word.
func TestProgressOfWaiting(t *testing.T) {
	_, c := progressing(t, 1)
	c.send("c IDLE\r\n")
	c.want("+ ")
	time.Sleep(50 * time.Millisecond)
	c.send("DONE\r\n")
	c.want("c OK")
}
