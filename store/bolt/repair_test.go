package bolt

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
	"domicile/store/storetest"
)

// TestRepair damages each thing that the index says twice, one at a time: Check sees it, Repair mends it and says where, and then Check is
// clean, a second Repair finds nothing, and mail is as it was.
func TestRepair(t *testing.T) {
	for name, damage := range map[string]func(tx *txn, a account, inbox *mailbox){
		"counters": func(_ *txn, _ account, m *mailbox) {
			m.messages, m.unseen, m.size, m.next, m.modseq = 77, 5, 1, 2, 1
			m.save()
		},
		"no counters":              func(_ *txn, _ account, m *mailbox) { m.b.Delete(kCounters) },
		"name lost":                func(_ *txn, a account, m *mailbox) { a.b.sub(bNames).Delete(m.nameKey(store.Inbox)) },
		"name leads elsewhere":     func(_ *txn, a account, m *mailbox) { a.b.sub(bNames).Put(m.nameKey("Sent"), []byte(m.id)) },
		"name of nothing":          func(_ *txn, a account, m *mailbox) { a.b.sub(bNames).Put(m.nameKey("Nothing"), []byte("b0")) },
		"usage":                    func(_ *txn, a account, _ *mailbox) { a.b.Put(kUsage, number(1)) },
		"quota":                    func(_ *txn, a account, _ *mailbox) { a.b.Put(kQuota, number(1)) },
		"number of mailboxes":      func(_ *txn, a account, _ *mailbox) { a.b.Put(kBoxes, number(1)) },
		"UIDVALIDITY":              func(_ *txn, a account, _ *mailbox) { a.b.Put(kValidity, number(1)) },
		"moves though it does not": func(_ *txn, a account, _ *mailbox) { a.b.Put(kState, isMoving) },
		"address lost":             func(tx *txn, a account, _ *mailbox) { tx.root(bAddresses).Delete(a.b.Get(kAddress)) },
		"address key":              func(_ *txn, a account, _ *mailbox) { a.b.Put(kAddress, []byte("other")) },
		"address of nobody":        func(tx *txn, _ account, _ *mailbox) { tx.root(bAddresses).Put([]byte("stray"), []byte("a9")) },
		"references": func(_ *txn, a account, m *mailbox) {
			records, _ := m.all()
			a.ref(records[0].ID)
		},
		"body that nobody names": func(_ *txn, a account, m *mailbox) {
			records, _ := m.all()
			r, _ := a.body(records[0].ID)
			a.putBody("m-stray", r)
		},
		"body to be indexed of nobody": func(_ *txn, a account, _ *mailbox) {
			a.b.sub(bBodies).Put([]byte("m-stray"), bodyRecord{refs: 1, size: 3}.encode())
			a.unfound("m-stray")
		},
		"number of annotations":      func(_ *txn, a account, _ *mailbox) { a.b.Put(kAnnotated, annotated{}.encode()) },
		"no such number":             func(_ *txn, a account, _ *mailbox) { a.b.Put(kAnnotated, []byte("x")) },
		"annotation lost":            func(_ *txn, _ account, m *mailbox) { m.b.sub(bAnnotations).deleteSome(9) },
		"subscribed name lost":       func(_ *txn, a account, _ *mailbox) { a.b.sub(bSubscribed).deleteSome(9) },
		"subscribed twice":           func(_ *txn, a account, _ *mailbox) { a.keepSubscribed(store.Inbox) },
		"chunk of nobody":            func(_ *txn, a account, _ *mailbox) { a.putChunk(digest{1}, chunkRecord{refs: 2}) },
		"summary of no message":      func(_ *txn, _ account, m *mailbox) { m.rows.sub(bSummaries).Put(uidKey(77), []byte("x")) },
		"living bytes":               func(tx *txn, _ account, _ *mailbox) { tx.root(bSegments).Put(number(1), number(3)) },
		"living bytes of no segment": func(tx *txn, _ account, _ *mailbox) { tx.root(bSegments).Put(number(9), number(3)) },
		"change lost":                func(_ *txn, _ account, m *mailbox) { eachKey(m.rows.sub(bChanges), m.rows.sub(bChanges).Delete) },
		"change of nothing":          func(_ *txn, _ account, m *mailbox) { m.rows.sub(bChanges).Put(changeKey(2, 90), isLive) },
		"change doubled":             func(_ *txn, _ account, m *mailbox) { m.rows.sub(bChanges).Put(changeKey(1, 2), isVanished) },
		"hidden for ever":            func(_ *txn, _ account, m *mailbox) { m.hidden = store.UIDRange{First: 90, Last: 99}; m.save() },
		"token without order":        func(_ *txn, a account, _ *mailbox) { eachKey(a.b.sub(bOrder), a.b.sub(bOrder).Delete) },
		"order without token":        func(_ *txn, a account, _ *mailbox) { eachKey(a.b.sub(bTokens), a.b.sub(bTokens).Delete) },
		"token that does not open": func(_ *txn, a account, _ *mailbox) {
			eachKey(a.b.sub(bTokens), func(k []byte) { a.b.sub(bTokens).Put(k, []byte("damaged")) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := storetest.New(t, open)
			s, ctx := r.Store.(*Store), context.Background()
			newPerson(r)
			for _, text := range []string{"one", "two", "three"} {
				if _, err := r.Deliver(person, store.Token(text), store.Inbox, text); err != nil {
					t.Fatal(err)
				}
			}
			_, err := r.Annotate(ctx, "", person, r.Box(person, store.Inbox).ID, []store.Annotation{{Entry: "/private/a", Value: []byte("abc")}})
			if err := firstError(err, r.Subscribe(ctx, "", person, "Not/Yet", true)); err != nil {
				t.Fatal(err)
			}
			if mended, err := s.Repair(ctx); err != nil || len(mended) > 0 {
				t.Fatalf("nothing is wrong, and it mends %q, %v", mended, err)
			}
			before := r.List(person, store.Inbox)
			err = s.update(ctx, "", func(tx *txn) error {
				a := s.accountIn(tx, person)
				m, err := a.mailboxNamed(store.Inbox)
				if err == nil {
					damage(tx, a, m)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if s.Check(ctx) == nil {
				t.Error("the check sees nothing")
			}
			mended, err := s.Repair(ctx)
			if err != nil || len(mended) == 0 {
				t.Errorf("mended %q, %v", mended, err)
			}
			if err := s.Check(ctx); err != nil {
				t.Errorf("after it mended %q: %v", mended, err)
			}
			if again, err := s.Repair(ctx); err != nil || len(again) > 0 {
				t.Errorf("again it mends %q, %v", again, err)
			}
			after := r.List(person, store.Inbox)
			if len(after) != len(before) {
				t.Fatalf("%d messages, before %d", len(after), len(before))
			}
			for i, m := range after {
				if m.UID != before[i].UID || m.ID != before[i].ID {
					t.Errorf("%+v, before %+v", m, before[i])
				}
			}
			if _, err := r.Deliver(person, "", store.Inbox, "four"); err != nil {
				t.Error(err)
			}
		})
	}
}

func eachKey(b bucket, do func(k []byte)) {
	var keys [][]byte
	b.ForEach(func(k, _ []byte) error {
		keys = append(keys, append([]byte(nil), k...))
		return nil
	})
	for _, k := range keys {
		do(k)
	}
}

// TestCheckSaysWhose damages a body in the log: the check says whose it is, and the others are read.
func TestCheckSaysWhose(t *testing.T) {
	r := storetest.New(t, open)
	s, ctx := r.Store.(*Store), context.Background()
	newPerson(r)
	damaged, sound := r.MustDeliver(person, store.Inbox, "the first"), r.MustDeliver(person, store.Inbox, "the second")
	place := bodyPlace(t, s, damaged.ID)
	flip := func() { flipByte(t, s.log.Path(place.Segment), int64(place.Offset+place.Length-1)) }
	flip()
	t.Cleanup(flip) // the rig's own check comes after: it finds the store sound
	err := s.Check(ctx)
	if want := "mailbox " + string(r.Box(person, store.Inbox).ID) + " UID 1"; err == nil || !strings.Contains(err.Error(), "account a1, "+want) || strings.Contains(err.Error(), "UID 2") {
		t.Errorf("want %q: %v", want, err)
	}
	if _, err := r.ReadBody(person, damaged.ID); err == nil {
		t.Error("a damaged body was read")
	}
	if text, err := r.ReadBody(person, sound.ID); err != nil || text != "the second" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestNewIndex makes the index anew on request, keeps the old one, and puts it back where the log has lost something.
func TestNewIndex(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	r.MustDeliver(person, store.Inbox, "the first")
	if err := r.Store.(*Store).Compact(context.Background()); err != nil { // a base
		t.Fatal(err)
	}
	r.MustDeliver(person, store.Inbox, "the second")
	path := r.Store.(*Store).log.Path(1)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: r.At.Dir, Region: r.At.Region, Sealer: r.At.Sealer, Now: r.At.Now, NewIndex: true}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	got := r.List(person, store.Inbox)
	if _, err := os.Stat(s.path(oldIndex)); err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	r.MustDeliver(person, store.Inbox, "the third")
	r.Check()
	second := bodyPlace(t, s, got[1].ID)
	s.Close()
	at := int64(second.Offset + second.Length + 40) // in the change that delivered the second
	flipByte(t, path, at)
	if s, err := Open(cfg); domicile.KindOf(err) != domicile.Invalid || !strings.Contains(err.Error(), "the old one stays") {
		t.Errorf("%v, %v", s, err)
	}
	r.Reopen() // with the old one, which knows the second
	if got := r.List(person, store.Inbox); len(got) != 3 {
		t.Errorf("%+v", got)
	}
	flipByte(t, path, at)
}

func bodyPlace(t *testing.T, s *Store, id domicile.MessageID) (p segment.Place) {
	t.Helper()
	err := s.view(func(tx *txn) error {
		r, err := s.accountIn(tx, person).body(id)
		p = r.place
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func flipByte(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// Of an INBOX that was renamed, and of the mailbox that has its rows, each thing that says where they are is lost in turn: Repair finds them by the others.
func TestRepairRenamedInbox(t *testing.T) {
	for name, damage := range map[string]func(old, inbox *mailbox){
		"counters of INBOX":     func(_, m *mailbox) { m.b.Delete(kCounters) },
		"counters of the other": func(m, _ *mailbox) { m.b.Delete(kCounters) },
		"owner of INBOX's rows": func(_, m *mailbox) { m.rows.Delete(kOwner) },
		"owner of the others":   func(m, _ *mailbox) { m.rows.Delete(kOwner) },
	} {
		t.Run(name, func(t *testing.T) {
			r := storetest.New(t, open)
			s, ctx := r.Store.(*Store), context.Background()
			newPerson(r)
			for _, text := range []string{"one", "two", "three"} {
				r.MustDeliver(person, store.Inbox, text)
			}
			if err := s.RenameMailbox(ctx, "", person, store.Inbox, "Old"); err != nil {
				t.Fatal(err)
			}
			r.MustDeliver(person, store.Inbox, "four")
			err := s.update(ctx, "", func(tx *txn) error {
				a := s.accountIn(tx, person)
				old, err1 := a.mailboxNamed("Old")
				inbox, err2 := a.mailboxNamed(store.Inbox)
				if err1 == nil && err2 == nil {
					damage(old, inbox)
				}
				return errors.Join(err1, err2)
			})
			if err != nil || s.Check(ctx) == nil {
				t.Fatal("Check does not see it:", err)
			}
			if mended, err := s.Repair(ctx); err != nil || len(mended) == 0 {
				t.Fatal(mended, err)
			}
			if old, inbox := r.List(person, "Old"), r.List(person, store.Inbox); len(old) != 3 || len(inbox) != 1 {
				t.Errorf("%d and %d messages are there", len(old), len(inbox))
			}
			if mended, err := s.Repair(ctx); err != nil || len(mended) > 0 {
				t.Errorf("a second time it mends %q, %v", mended, err)
			}
			r.Check()
		})
	}
}
