package imapd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// What is kept of flags says what the store says, whatever others do between two searches, and what SELECT tells from it is so too.
func TestSearchFlagsFollow(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(7, 8))
	for range flagLeast + 50 {
		w.put("INBOX", "Subject: x\r\n\r\n")
	}
	ctx := context.Background()
	box, err := w.store.MailboxByName(ctx, ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	c := w.login()
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	c.do("a SELECT INBOX", "a OK")
	other := w.login()
	for range 40 {
		uid := store.UID(1 + r.IntN(int(box.UIDNext)+100))
		switch r.IntN(4) {
		case 0:
			w.put("INBOX", "Subject: y\r\n\r\n", store.Flagged)
		case 1:
			if _, err := w.store.Expunge(ctx, "", ann, box.ID, []store.UID{uid}); err != nil {
				t.Fatal(err)
			}
		default:
			op := []store.FlagOp{store.FlagsSet, store.FlagsAdd, store.FlagsRemove}[r.IntN(3)]
			flags := []string{store.Seen, store.Flagged, store.Deleted, "$Other"}[r.IntN(3):]
			if _, err := w.store.StoreFlags(ctx, "", ann, box.ID, []store.UID{uid, uid + 1, uid + 2}, op, flags, 0); err != nil {
				t.Fatal(err)
			}
		}
		c.do("b NOOP", "b OK")
		for _, flags := range []string{"UNSEEN FLAGGED", "OR DELETED SEEN", "NOT (SEEN FLAGGED)"} {
			kept := c.do("c UID SEARCH "+flags, "c OK")
			if read := c.do("d UID SEARCH LARGER 0 "+flags, "d OK"); kept != read {
				t.Fatalf("%s: %s, and %s", flags, kept, read)
			}
		}
		first, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(c.do("e SEARCH LARGER 0 UNSEEN", "e OK"), "* SEARCH")), " ")
		all := strings.Count(c.do("f SEARCH LARGER 0", "f OK"), " ") - 1
		told := other.do("g SELECT INBOX", "g OK")
		for _, want := range []string{fmt.Sprintf("* %d EXISTS\r\n", all), "[UNSEEN " + first + "]"} {
			if !strings.Contains(told, want) {
				t.Fatalf("SELECT lacks %q: %s", want, told)
			}
		}
	}
	if told := other.do("h SELECT INBOX", "h OK"); strings.Count(told, "$Other") != 2 {
		t.Errorf("SELECT does not tell of a keyword: %s", told)
	}
	if w.home.flags.of[box.ID] == nil {
		t.Error("nothing was kept")
	}
}

// What is kept is bounded: the longest unused goes first.
func TestSearchFlagsAreBounded(t *testing.T) {
	var x flagIndexes
	const each = flagMemory/flagSize/4 - flagFixed
	name := func(i int) domicile.MailboxID { return domicile.MailboxID(fmt.Sprint(i)) }
	for i := range 4 {
		x.keep(x.get(name(i)), each)
	}
	x.keep(x.get(name(0)), each)
	x.keep(x.get(name(4)), each)
	var left []string
	for i := range 5 {
		if x.of[name(i)] != nil {
			left = append(left, fmt.Sprint(i))
		}
	}
	if got := strings.Join(left, " "); got != "0 2 3 4" || x.size > flagMemory {
		t.Errorf("%s are left, %d bytes", got, x.size)
	}
	x.keep(x.get(name(9)), 2*flagMemory)
	if len(x.of) != 0 || x.size != 0 {
		t.Errorf("%d are left, %d bytes", len(x.of), x.size)
	}
}
