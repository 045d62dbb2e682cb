package bolt

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
	"domicile/store/storetest"
)

// noise is bytes that do not compress, in lines as base64 has them.
func noise(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < n {
		for range 76 {
			b.WriteByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[r.IntN(64)])
		}
		b.WriteString("\r\n")
	}
	return b.String()[:n]
}

func alive(t *testing.T, s *Store) (sum int64) {
	t.Helper()
	err := s.view(func(tx *txn) error {
		return tx.root(bSegments).ForEach(func(_, v []byte) error { sum += int64(readNumber(v)); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// An attachment that comes again in the same account takes hardly any room, in another account all of it; and it goes with its last message.
func TestSharing(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	other := r.Person("bob")
	s := r.Store.(*Store)
	attachment := noise(1, 2<<20)
	message := func(i int) string {
		return strings.Repeat("X-Header: "+strings.Repeat("y", i%71)+"\r\n", i) + "\r\n" + attachment + "\r\n--end " + strings.Repeat("z", i) + "\r\n"
	}
	r.MustDeliver(person, "INBOX", message(1))
	one := alive(t, s)
	for i := 2; i < 10; i++ {
		r.MustDeliver(person, "INBOX", message(i*13))
	}
	if more := alive(t, s) - one; more > one {
		t.Errorf("one takes %d bytes, eight more with the same attachment %d", one, more)
	}
	before := alive(t, s)
	r.MustDeliver(other, "INBOX", message(1))
	if more := alive(t, s) - before; more < one*9/10 {
		t.Errorf("one takes %d bytes, in another account %d", one, more)
	}
	ctx := context.Background()
	box := r.Box(person, "INBOX").ID
	for i, m := range r.List(person, "INBOX") {
		want := message(1)
		if i > 0 {
			want = message((i + 1) * 13)
		}
		if body, err := r.ReadBody(person, m.ID); err != nil || body != want {
			t.Fatalf("message %d is not what was sent: %v", i, err)
		}
		if _, err := r.StoreFlags(ctx, "", person, box, []store.UID{m.UID}, store.FlagsAdd, []string{store.Deleted}, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Expunge(ctx, "", person, box, nil); err != nil {
			t.Fatal(err)
		}
	}
	if left := alive(t, s); left > one*11/10 {
		t.Errorf("%d bytes are left when only the other account's are named", left)
	}
}

// A chunk that was damaged on disk is whole again once a message with the same bytes has come, for the old messages too.
func TestSharedDamage(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	s := r.Store.(*Store)
	text := noise(9, 300_000)
	old := r.MustDeliver(person, "INBOX", text)
	var at segment.Place
	err := s.view(func(tx *txn) error {
		a := s.accountIn(tx, person)
		body, err := a.body(old.ID)
		if err != nil {
			return err
		}
		c, _, err := a.chunk(body.chunks[0])
		at = c.place
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	flipByte(t, s.log.Path(at.Segment), int64(at.Offset+at.Length/2))
	if _, err := r.ReadBody(person, old.ID); err == nil {
		t.Fatal("the damage does not show")
	}
	fresh := r.MustDeliver(person, "INBOX", text)
	for _, id := range []domicile.MessageID{fresh.ID, old.ID} {
		if body, err := r.ReadBody(person, id); err != nil || body != text {
			t.Fatalf("%s is not what was sent: %v", id, err)
		}
	}
	flipByte(t, s.log.Path(at.Segment), int64(at.Offset+at.Length/2)) // for the check at the end
}
