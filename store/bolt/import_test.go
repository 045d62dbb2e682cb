package bolt

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// outOf returns the parts, of so many bytes of bodies, of an account with one message.
func outOf(t *testing.T, body string, size int64) (parts []store.Part) {
	t.Helper()
	r := storetest.New(t, open)
	newPerson(r)
	r.MustDeliver(person, "INBOX", body)
	if err := r.UpdateAccount(t.Context(), person, func(a *store.Account) error { a.State = store.Moving; return nil }); err != nil {
		t.Fatal(err)
	}
	for p := (store.Part{}); !p.Last; parts = append(parts, p) {
		var err error
		if p, err = r.Export(t.Context(), person, p.Next, size); err != nil {
			t.Fatal(err)
		}
	}
	return parts
}

func activate(a *store.Account) error {
	a.State = store.Active
	return nil
}

// However small the pieces are that a body comes in, in one part or in many, its chunks are not, and it is the same afterwards.
func TestSmallPieces(t *testing.T) {
	body := noise(7, 300<<10)
	parts := outOf(t, body, 4000)
	together := gathered(parts)
	for name, parts := range map[string][]store.Part{"many parts": parts, "one part": together} {
		r := storetest.New(t, open)
		if err := importParts(r, parts); err != nil {
			t.Fatal(name, err)
		}
		s := r.Store.(*Store)
		if err := s.Activate(t.Context(), person, activate); err != nil {
			t.Fatal(name, err)
		}
		id := r.List(person, "INBOX")[0].ID
		if got, err := r.ReadBody(person, id); err != nil || got != body {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		s.view(func(tx *txn) error {
			if rec, err := s.accountIn(tx, person).body(id); err != nil || len(rec.chunks) > len(body)/minChunk {
				t.Errorf("%s: %d chunks of %d bytes, %v", name, len(rec.chunks), len(body), err)
			}
			return nil
		})
	}
}

// gathered puts the pieces of all parts into one.
func gathered(parts []store.Part) []store.Part {
	var before, rest []store.Part
	for _, p := range parts {
		if len(p.Items) > 0 && p.Items[0].Piece != nil {
			rest = append(rest, p)
		} else if len(rest) == 0 {
			before = append(before, p)
		} else {
			rest = append(rest, p)
		}
	}
	one := rest[0]
	one.Items = nil
	for _, p := range rest {
		for len(p.Items) > 0 {
			one.Items, p.Items = append(one.Items, p.Items[0]), p.Items[1:]
		}
	}
	one.Next, one.Last = rest[len(rest)-1].Next, rest[len(rest)-1].Last
	return append(before, one)
}

// slowSealer opens nothing of what an account has, once it is armed, until it is let go.
type slowSealer struct {
	store.Sealer
	mu         sync.Mutex
	armed      bool // guarded by mu
	came, free chan struct{}
}

func (s *slowSealer) arm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.came, s.free = true, make(chan struct{}), make(chan struct{})
}

func (s *slowSealer) OpenRecord(acct domicile.AccountID, sealed, associated []byte) ([]byte, error) {
	s.mu.Lock()
	came, wait := s.came, s.free
	stop := s.armed && acct == person && !bytes.Equal(associated, accountPlace(person)) // that is opened by others too
	if stop {
		s.armed = false
	}
	s.mu.Unlock()
	if stop {
		close(came)
		<-wait
	}
	return s.Sealer.OpenRecord(acct, sealed, associated)
}

// Others write while an account that comes in is checked as a whole, with its last part and when it is activated.
func TestImportBesideWriters(t *testing.T) {
	parts := outOf(t, strings.Repeat("a", 100), 1000)
	slow := &slowSealer{}
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		slow.Sealer = at.Sealer
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: slow, Now: at.Now})
	})
	other := r.Person("other")
	last := len(parts) - 1
	if err := importParts(r, parts[:last]); err != nil {
		t.Fatal(err)
	}
	beside := func(act string, do func() error) {
		t.Helper()
		release := sync.OnceFunc(func() { close(slow.free) })
		t.Cleanup(release)
		ended, delivered := make(chan error, 1), make(chan error, 1)
		go func() { ended <- do() }()
		within(t, slow.came, act+": it checks nothing")
		go func() {
			_, err := r.Deliver(other, "", "INBOX", "beside")
			delivered <- err
		}()
		if err := within(t, delivered, act+": others wait for the check"); err != nil {
			t.Error(err)
		}
		release()
		if err := within(t, ended, act+" does not end"); err != nil {
			t.Errorf("%s: %v", act, err)
		}
	}
	slow.arm()
	beside("the last part", func() error { return importParts(r, parts[last:]) })
	slow.arm()
	beside("the activation", func() error { return r.Activate(t.Context(), person, activate) })
	if len(r.List(person, "INBOX")) != 1 {
		t.Error("it has not its message")
	}
}

// Of expunged UIDs an import takes no more than a mailbox remembers, whatever its parts say that it has forgotten.
func TestImportedVanishedAreBounded(t *testing.T) {
	parts := outOf(t, "x", 1000)
	var box store.Mailbox
	var at int
	for i, item := range parts[0].Items {
		if m := item.Mailbox; m != nil && m.Name == store.Inbox {
			m.UIDNext, m.HighestModSeq = 1<<20, 1<<20
			box, at = *m, i+1
		}
	}
	for at < len(parts[0].Items) && parts[0].Items[at].Message != nil { // INBOX may be the last of it
		at++
	}
	first := parts[0]
	first.Items, first.Last = first.Items[:at:at], false
	gone := func(uid store.UID, seq store.ModSeq, some bool) store.Item {
		return store.Item{Vanished: &store.Vanished{Mailbox: box.ID, UID: uid, ModSeq: seq, Some: some}}
	}
	first.Items = append(first.Items, gone(10, 1000, true))
	first.Next = "0"
	r := storetest.New(t, open)
	if err := r.Store.Import(t.Context(), person, first); err != nil {
		t.Fatal(err)
	}
	part := store.Part{After: "0"}
	for n := range 6 {
		part.Next, part.Items = part.After+"0", nil
		for i := range store.UID(1000) {
			part.Items = append(part.Items, gone(100+2*(store.UID(n)*1000+i), store.ModSeq(n+1), false))
		}
		if err := r.Store.Import(t.Context(), person, part); err != nil {
			t.Fatal(err)
		}
		part.After = part.Next
	}
	s := r.Store.(*Store)
	err := s.view(func(tx *txn) error {
		m, err := s.accountIn(tx, person).mailbox(box.ID)
		if err != nil {
			return err
		}
		f, err := m.forgotten()
		if n := m.rows.sub(bChanges).count(); n > 1 || f.runs > 0 || f.seq != 1000 || f.uids.Last < 10_000 {
			t.Errorf("%d entries are kept, and %+v", n, f)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	part.Next, part.Items = part.After+"0", []store.Item{gone(10, 2000, true)}
	if err := r.Store.Import(t.Context(), person, part); domicile.KindOf(err) != domicile.Invalid {
		t.Error("it forgets twice:", err)
	}
}
