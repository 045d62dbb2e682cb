package bolt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

const marker = "xyzzymarker"

// files returns every file under a folder: its name and bytes.
func files(t *testing.T, dir string) map[string][]byte {
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// readable says in which file a marker can be read, in the forms that a careless writer would leave.
func readable(t *testing.T, dir string) (found []string) {
	forms := [][]byte{[]byte(marker), []byte(hex.EncodeToString([]byte(marker)))}
	for i := range 3 {
		b := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + marker))
		forms = append(forms, []byte(b[4:len(b)-4]))
	}
	for path, b := range files(t, dir) {
		for _, form := range forms {
			if bytes.Contains(bytes.ToLower(b), bytes.ToLower(form)) || strings.Contains(strings.ToLower(path), string(form)) {
				found = append(found, path)
			}
		}
	}
	return found
}

func TestNothingReadable(t *testing.T) {
	ctx := context.Background()
	r := storetest.New(t, open)
	no := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	no(r.CreateAccount(ctx, "t-"+marker, store.Account{ID: person, Address: marker + "@" + marker + ".example",
		Recipient: marker, Password: marker, Residence: "IE"}))
	_, err := r.CreateMailbox(ctx, "m-"+marker, person, marker+"/"+marker, "")
	no(err)
	m, err := r.Deliver(person, "d-"+marker, marker+"/"+marker, strings.Repeat("Subject: "+marker+"\r\n", 5000), marker)
	no(err)
	_, _, err = r.Copy(ctx, "c-"+marker, person, r.Box(person, marker+"/"+marker).ID, []store.UID{m.UID}, "INBOX")
	no(err)
	table, err := r.Table(marker)
	no(err)
	no(table.Put("key "+marker, []byte("value "+marker)))
	in, err := r.Incoming(ctx, person, 1<<20) // a body still coming in
	no(err)
	_, err = in.Write([]byte(strings.Repeat(marker, 10_000)))
	no(err)
	no(r.Store.(*Store).Compact(ctx)) // a base, too
	if found := readable(t, r.At.Dir); len(found) > 0 {
		t.Fatal("can be read in", found)
	}
	in.Abort()

	// The search itself can find.
	plain := t.TempDir()
	no(os.WriteFile(filepath.Join(plain, "a"), []byte("xx"+base64.StdEncoding.EncodeToString([]byte("a "+marker+" b"))), 0o600))
	no(os.WriteFile(filepath.Join(plain, "b"), []byte("xx "+strings.ToUpper(marker)), 0o600))
	if found := readable(t, plain); len(found) != 2 {
		t.Fatal("the search is blind:", found)
	}
}

// edit changes the index behind the store's back.
func edit(t *testing.T, s *Store, fn func(inbox *mailbox)) {
	t.Helper()
	err := s.update(context.Background(), "", func(tx *txn) error {
		m, err := s.named(tx, person, store.Inbox)
		if err == nil {
			fn(m)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func firstID(m *mailbox) domicile.MessageID {
	records, err := m.all()
	if err != nil || len(records) == 0 {
		panic(errors.Join(errors.New("no message"), err))
	}
	return records[0].ID
}

// plainStore is a store that no rig checks at its end, since it is damaged there.
func plainStore(t *testing.T) (*Store, *storetest.Rig) {
	s, err := openAt(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := &storetest.Rig{Store: s, T: t}
	newPerson(r)
	return s, r
}

// noise is a text that does not compress, so that a body of n bytes takes n/chunkSize chunks of that size.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	from := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	from.Read(b)
	return string(b)
}

// A body that was altered, cut, or put together from other chunks does not open.
func TestSwappedBodies(t *testing.T) {
	s, r := plainStore(t)
	a := r.MustDeliver(person, "INBOX", noise(1, 3*chunkSize))
	b := r.MustDeliver(person, "INBOX", noise(2, 3*chunkSize))
	records := map[domicile.MessageID]bodyRecord{}
	s.view(func(tx *txn) (err error) {
		for _, m := range []store.Message{a, b} {
			records[m.ID], err = s.accountIn(tx, person).body(m.ID)
		}
		return err
	})
	place := func(change func(r *bodyRecord, other bodyRecord)) {
		rec := records[a.ID]
		rec.places = slices.Clone(rec.places)
		change(&rec, records[b.ID])
		edit(t, s, func(m *mailbox) { m.putBody(a.ID, rec) })
	}
	for name, change := range map[string]func(r *bodyRecord, other bodyRecord){
		"another's":           func(r *bodyRecord, other bodyRecord) { r.places = other.places },
		"partly another's":    func(r *bodyRecord, other bodyRecord) { r.places[1] = other.places[1] },
		"in another order":    func(r *bodyRecord, _ bodyRecord) { r.places[0], r.places[1] = r.places[1], r.places[0] },
		"cut between chunks":  func(r *bodyRecord, _ bodyRecord) { r.places, r.size = r.places[:2], 2*chunkSize },
		"without its start":   func(r *bodyRecord, _ bodyRecord) { r.places, r.size = r.places[1:], 2*chunkSize },
		"longer":              func(r *bodyRecord, _ bodyRecord) { r.places = append(r.places, r.places[2]) },
		"nowhere":             func(r *bodyRecord, _ bodyRecord) { r.places = nil },
		"in no segment":       func(r *bodyRecord, _ bodyRecord) { r.places[1].Segment = 77 },
		"in a shorter chunk":  func(r *bodyRecord, _ bodyRecord) { r.places[1].Length-- },
		"in a longer chunk":   func(r *bodyRecord, _ bodyRecord) { r.places[1].Length++ },
		"beside its chunk":    func(r *bodyRecord, _ bodyRecord) { r.places[1].Offset++ },
		"behind the file":     func(r *bodyRecord, _ bodyRecord) { r.places[1].Offset = 1 << 30 },
		"of another size":     func(r *bodyRecord, _ bodyRecord) { r.size-- },
		"longer than chunks":  func(r *bodyRecord, _ bodyRecord) { r.size++ },
		"of an absurd length": func(r *bodyRecord, _ bodyRecord) { r.places[1].Length = 1<<32 - 1 },
	} {
		place(change)
		if _, err := r.ReadBody(person, a.ID); err == nil {
			t.Errorf("a body that is %s opened", name)
		}
		if s.Check(t.Context()) == nil {
			t.Errorf("Check does not see a body that is %s", name)
		}
		if _, err := r.ReadBody(person, b.ID); err != nil {
			t.Errorf("beside a body that is %s: %v", name, err)
		}
	}
	place(func(*bodyRecord, bodyRecord) {})
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A record that was put into another's place does not open.
func TestSwappedRecords(t *testing.T) {
	ctx := context.Background()
	s, r := plainStore(t)
	r.MustDeliver(person, "INBOX", "a")
	r.MustDeliver(person, "INBOX", "b")
	table, err := s.Table("t")
	if err == nil {
		err = errors.Join(table.Put("k1", []byte("1")), table.Put("k2", []byte("2")))
	}
	if err != nil {
		t.Fatal(err)
	}
	edit(t, s, func(m *mailbox) {
		records, digest := m.b.tx.root(bTables).sub(s.cfg.Sealer.Digest("table", "t")), s.cfg.Sealer.Digest
		records.Put(digest("table key", "t", "k1"), records.Get(digest("table key", "t", "k2")))
	})
	if _, _, err := table.Get("k1"); err == nil {
		t.Error("a table's record opened in another's place")
	}
	if s.Check(ctx) == nil {
		t.Error("Check does not see a record in another's place")
	}
	edit(t, s, func(m *mailbox) {
		messages := m.b.sub(bMessages)
		first, second := messages.Get(uidKey(1)), messages.Get(uidKey(2))
		messages.Put(uidKey(1), second)
		messages.Put(uidKey(2), first)
	})
	if _, err := s.Messages(ctx, person, s.inboxOf(person)); err == nil {
		t.Error("swapped records opened")
	}
}

// Check finds each kind of damage.
func TestCheckFinds(t *testing.T) {
	for name, damage := range map[string]func(m *mailbox){
		"counter":           func(m *mailbox) { m.unseen++; m.save() },
		"uidnext":           func(m *mailbox) { m.next = 1; m.save() },
		"modseq":            func(m *mailbox) { m.modseq = 1; m.save() },
		"no message":        func(m *mailbox) { m.b.sub(bMessages).Delete(uidKey(1)) },
		"no change":         func(m *mailbox) { m.b.sub(bChanges).Delete(changeKey(2, 1)) },
		"vanished and here": func(m *mailbox) { m.b.sub(bChanges).Put(changeKey(3, 1), isVanished) },
		"reference count":   func(m *mailbox) { m.ref(firstID(m)) },
		"no body entry":     func(m *mailbox) { m.account.b.sub(bBodies).Delete([]byte(firstID(m))) },
		"a body of nobody":  func(m *mailbox) { m.newBody("mnobody", 1, nil) },
		"segment count":     func(m *mailbox) { m.b.tx.root(bSegments).Put(number(1), number(1)) },
		"a segment's count": func(m *mailbox) { m.b.tx.root(bSegments).Put(number(9), number(1)) },
		"no count":          func(m *mailbox) { m.b.tx.root(bSegments).Delete(number(1)) },
		"usage":             func(m *mailbox) { m.account.b.Put(kUsage, number(1)) },
		"quota":             func(m *mailbox) { m.account.b.Put(kQuota, number(1)) },
		"name":              func(m *mailbox) { m.account.b.sub(bNames).Delete(m.nameKey("INBOX")) },
		"mailbox count":     func(m *mailbox) { m.countMailboxes(1) },
		"token order":       func(m *mailbox) { m.account.b.sub(bOrder).Delete(number(1)) },
		"validity":          func(m *mailbox) { m.validity++; m.save(); m.account.b.Put(kValidity, number(1)) },
		"moving":            func(m *mailbox) { m.account.b.Put(kState, isMoving) },
		"erased, unmarked":  func(m *mailbox) { m.account.b.Put(kState, isErased) },
		"erasing":           func(m *mailbox) { m.b.tx.root(bErasing).Put([]byte("a9"), nil) },
		"address":           func(m *mailbox) { m.account.b.Put(kAddress, []byte("other")) },
		"a stray account":   func(m *mailbox) { m.s.accountIn(m.b.tx, "a9").b.Put(kUsage, number(1)) },
		"a table's record":  func(m *mailbox) { m.b.tx.root(bTables).sub([]byte("x")).Put([]byte("k"), []byte("v")) },
	} {
		t.Run(name, func(t *testing.T) {
			s, r := plainStore(t)
			if _, err := r.Deliver(person, "token", "INBOX", "body"); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(context.Background()); err != nil {
				t.Fatal("before the damage:", err)
			}
			edit(t, s, damage)
			if s.Check(context.Background()) == nil {
				t.Fatal("not found")
			}
		})
	}
}
