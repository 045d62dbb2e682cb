package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/store"
)

// A mailbox that is deleted under a client is an empty one, which cannot be changed; one that is renamed stays selected.
func TestMailboxGoesAway(t *testing.T) {
	w := newWorld(t)
	c, d := w.login(), w.login()
	c.do("b CREATE gone", "b OK")
	w.put("gone", "Subject: 1\r\n\r\n")
	w.put("gone", "Subject: 2\r\n\r\n")
	c.do("c SELECT gone", "c OK")
	d.do("b RENAME gone away", "b OK")
	c.says("d FETCH 2 UID", "d OK", "* 2 FETCH (UID 2)")
	w.put("away", "Subject: 3\r\n\r\n")
	c.says("e NOOP", "e OK", "* 3 EXISTS", "* 3 RECENT")
	d.do("c DELETE away", "c OK")
	c.says("f FETCH 1:3 (UID ENVELOPE BODY[])", "f OK")
	c.says("g SEARCH ALL", "g OK", "* SEARCH")
	c.says("h UID STORE 1 +FLAGS (x)", "h NO [NONEXISTENT]", "* 3 EXPUNGE", "* 2 EXPUNGE", "* 1 EXPUNGE")
	c.says("i NOOP", "i OK")
	c.says("j FETCH 1 UID", "j BAD")
	for i, verb := range []string{"UID STORE 1 FLAGS ()", "EXPUNGE", "UID EXPUNGE 1", "UID MOVE 1 INBOX"} {
		c.do(fmt.Sprintf("k%d %s", i, verb), fmt.Sprintf("k%d NO [NONEXISTENT]", i))
	}
	c.says("l UID COPY 1 INBOX", "l OK")
	c.says("m UID FETCH 1:* UID (CHANGEDSINCE 1)", "m OK", "* OK [HIGHESTMODSEQ 4] Modification sequences are told")
	c.send("n IDLE\r\n")
	c.want("+ idling")
	c.send("DONE\r\n")
	c.want("n OK")
	c.says("o CLOSE", "o OK")
}

// While an account moves nothing is read or changed, and the view stays as it was.
func TestViewOfMovingAccount(t *testing.T) {
	w, c := filled(t, 2)
	state := func(s store.AccountState) {
		if err := w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.State = s; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	state(store.Moving)
	c.says("c NOOP", "c OK")
	for i, verb := range []string{"FETCH 1 UID", "FETCH 1 BODY[]", "STORE 1 +FLAGS (x)", "COPY 1 Archive", "MOVE 1 Archive", "EXPUNGE", "SELECT INBOX"} {
		c.do(fmt.Sprintf("d%d %s", i, verb), fmt.Sprintf("d%d NO [UNAVAILABLE]", i))
	}
	state(store.Active)
	c.do("e SELECT INBOX", "e OK")
	c.says("f FETCH 1:* UID", "f OK", "* 1 FETCH (UID 1)", "* 2 FETCH (UID 2)")
}

// One message of a million costs nothing to find, and a set of all of them two numbers.
func TestRangesOfManyMessages(t *testing.T) {
	v := &view{uids: make([]store.UID, 1_000_000)}
	for i := range v.uids {
		v.uids[i] = store.UID(2*i + 1)
	}
	s := &session{view: v}
	for _, x := range []struct {
		set  imap.NumSet
		want spans
	}{
		{imap.SeqSetNum(1_000_000), spans{{999_999, 999_999}}},
		{imap.SeqSet{{Start: 1, Stop: 0}}, spans{{0, 999_999}}},
		{imap.SeqSet{{Start: 3, Stop: 4}, {Start: 5, Stop: 5}, {Start: 0, Stop: 0}, {Start: 1, Stop: 3}}, spans{{0, 4}, {999_999, 999_999}}},
		{imap.UIDSetNum(4), nil},
		{imap.UIDSetNum(5), spans{{2, 2}}},
		{imap.UIDSet{{Start: 4, Stop: 10}}, spans{{2, 4}}},
		{imap.UIDSet{{Start: 1, Stop: 0}}, spans{{0, 999_999}}},
		{imap.UIDSet{{Start: 4_000_000, Stop: 0}}, spans{{999_999, 999_999}}},
	} {
		got, err := s.ranges(x.set)
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%v: %v, %v", x.set, got, err)
		}
		if n := testing.AllocsPerRun(100, func() { s.ranges(x.set) }); n > 4 {
			t.Errorf("%v: %v allocations", x.set, n)
		}
	}
	if _, err := s.ranges(imap.SeqSetNum(1_000_001)); err == nil {
		t.Error("a message that does not exist")
	}
}

func TestSpans(t *testing.T) {
	for _, x := range []struct{ a, b, want spans }{
		{spans{{1, 9}}, spans{{3, 4}, {8, 12}}, spans{{3, 4}, {8, 9}}},
		{spans{{1, 2}, {5, 6}}, spans{{3, 4}}, nil},
		{spans{{1, 1<<32 - 1}}, spans{{1<<32 - 1, 1<<32 - 1}}, spans{{1<<32 - 1, 1<<32 - 1}}},
	} {
		if got := both(x.a, x.b); !slices.Equal(got, x.want) {
			t.Errorf("%v and %v: %v", x.a, x.b, got)
		}
	}
	if got := merged(spans{{5, 6}, {1, 2}, {3, 3}, {6, 9}, {1<<32 - 1, 1<<32 - 1}, {7, 1<<32 - 2}}); !slices.Equal(got, spans{{1, 3}, {5, 1<<32 - 1}}) {
		t.Error(got)
	}
	if got := (spans{{1, 3}, {7, 9}}).cut(2, 5); !slices.Equal(got, spans{{3, 3}, {7, 8}}) {
		t.Error(got)
	}
}

// A damaged message is left out, and keeps nobody from the others.
func TestFetchDamaged(t *testing.T) {
	w := newWorld(t)
	broken := &damaged{Store: w.store}
	w.home.cfg.Store = broken
	for i := range 3 {
		m := w.put("INBOX", fmt.Sprintf("Subject: %d\r\n\r\nbody %d\r\n", i+1, i+1))
		if i == 1 {
			broken.id = m.ID
		}
	}
	c := w.login()
	c.do("b EXAMINE INBOX", "b OK")
	got := c.do("c FETCH 1:3 BODY[]", "c NO [CORRUPTION]")
	if !strings.Contains(got, "* 1 FETCH") || strings.Contains(got, "* 2 FETCH") || !strings.Contains(got, "* 3 FETCH") {
		t.Errorf("%q", got)
	}
	if w.faults.Load() != 1 {
		t.Errorf("%d faults were logged", w.faults.Load())
	}
	c.do("d FETCH 1:3 (UID FLAGS ENVELOPE)", "d OK")
	// A large one is sent as it is read: what is found damaged then ends the connection, within the literal.
	large := w.put("INBOX", "Subject: large\r\n\r\n"+strings.Repeat("0123456789", 40_000))
	broken.id = large.ID
	c.do("e NOOP", "e OK")
	if got := c.do("f FETCH 4 BODY[]", "f NO [CORRUPTION]"); got != "" {
		t.Errorf("%.100q", got)
	}
	broken.behind = 100_000
	c.send("g FETCH 4 BODY[]\r\n")
	all, _ := io.ReadAll(c.r)
	if !strings.HasPrefix(string(all), fmt.Sprintf("* 4 FETCH (BODY[] {%d}\r\nSubject: large", large.Size)) || len(all) > 101_000 || strings.Contains(string(all), "g NO") {
		t.Errorf("%d bytes: %.100q … %.100q", len(all), all, all[max(0, len(all)-100):])
	}
}

// A message that is not sent after all has \\Seen by then, with those that follow: that is told.
func TestFetchSeenOfUnsent(t *testing.T) {
	w := newWorld(t)
	broken := &damaged{Store: w.store}
	for i := range 3 {
		if m := w.put("INBOX", fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i+1)); i == 1 {
			broken.id = m.ID
		}
	}
	w.home.cfg.Store = broken
	c := w.login()
	c.do("b SELECT INBOX (CONDSTORE)", "b OK")
	if got := c.do("c FETCH 1:3 (BODY[TEXT])", "c NO [CORRUPTION]"); !strings.Contains(got, "* 2 FETCH (UID 2 FLAGS (\\Recent \\Seen) MODSEQ (5))\r\n") || strings.Count(got, "FETCH") != 3 {
		t.Errorf("one is damaged: %q", got)
	}
	c.do(`d STORE 1:3 -FLAGS.SILENT (\Seen)`, "d OK")
	w.home.cfg.Store = unreadable{w.store}
	c.says("e FETCH 1:3 (BODY[TEXT])", "e NO [UNAVAILABLE]", "* 1 FETCH (UID 1 FLAGS (\\Recent \\Seen) MODSEQ (7))", "* 2 FETCH (UID 2 FLAGS (\\Recent \\Seen) MODSEQ (7))", "* 3 FETCH (UID 3 FLAGS (\\Recent \\Seen) MODSEQ (7))")
}

// damaged is a store in which one message is damaged on disk.
type damaged struct {
	store.Store
	id     domicile.MessageID
	behind int64 // bytes that can be read
}

func (d *damaged) Bodies(ctx context.Context, acct domicile.AccountID, ids []domicile.MessageID) iter.Seq2[io.Reader, error] {
	return func(yield func(io.Reader, error) bool) {
		i := 0
		for r, err := range d.Store.Bodies(ctx, acct, ids) {
			if ids[i] == d.id {
				r = io.MultiReader(io.LimitReader(r, d.behind), iotest.ErrReader(errors.New("damaged")))
			}
			if i++; !yield(r, err) {
				return
			}
		}
	}
}
