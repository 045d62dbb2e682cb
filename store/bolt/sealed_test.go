package bolt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
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
	_, _, _, err = r.Copy(ctx, "c-"+marker, person, r.Box(person, marker+"/"+marker).ID, []store.UID{m.UID}, "INBOX")
	no(err)
	no(r.Subscribe(ctx, "n-"+marker, person, "not yet/"+marker, true))
	for _, mbox := range []domicile.MailboxID{"", r.Box(person, marker+"/"+marker).ID} {
		_, err = r.Annotate(ctx, "a-"+marker, person, mbox, []store.Annotation{{Entry: "/private/" + marker, Value: []byte(marker)}})
		no(err)
	}
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

// A body that was altered, cut, or put together from other chunks does not open.
func TestSwappedBodies(t *testing.T) {
	s, r := plainStore(t)
	a := r.MustDeliver(person, "INBOX", noise(1, 1<<20))
	b := r.MustDeliver(person, "INBOX", noise(2, 1<<20))
	var good, other bodyRecord
	var first, second chunkRecord // of a
	edit(t, s, func(m *mailbox) {
		good, _ = m.body(a.ID)
		other, _ = m.body(b.ID)
		first, _, _ = m.chunk(good.chunks[0])
		second, _, _ = m.chunk(good.chunks[1])
	})
	for name, damage := range map[string]func(m *mailbox, r *bodyRecord){
		"another's":             func(m *mailbox, r *bodyRecord) { r.place, r.chunks = other.place, other.chunks },
		"with another's end":    func(m *mailbox, r *bodyRecord) { r.place = other.place },
		"with another's chunk":  func(m *mailbox, r *bodyRecord) { r.chunks[1] = other.chunks[1] },
		"in another order":      func(m *mailbox, r *bodyRecord) { r.chunks[0], r.chunks[1] = r.chunks[1], r.chunks[0] },
		"without its start":     func(m *mailbox, r *bodyRecord) { r.chunks = r.chunks[1:] },
		"without chunks":        func(m *mailbox, r *bodyRecord) { r.chunks = nil },
		"longer":                func(m *mailbox, r *bodyRecord) { r.chunks = append(r.chunks, r.chunks[0]) },
		"without its end":       func(m *mailbox, r *bodyRecord) { r.place = segment.Place{} },
		"ending in a chunk":     func(m *mailbox, r *bodyRecord) { r.place = first.place },
		"of another size":       func(m *mailbox, r *bodyRecord) { r.size-- },
		"in no segment":         func(m *mailbox, r *bodyRecord) { r.place.Segment = 77 },
		"in a shorter frame":    func(m *mailbox, r *bodyRecord) { r.place.Length-- },
		"in a longer frame":     func(m *mailbox, r *bodyRecord) { r.place.Length++ },
		"beside its frame":      func(m *mailbox, r *bodyRecord) { r.place.Offset++ },
		"behind the file":       func(m *mailbox, r *bodyRecord) { r.place.Offset = 1 << 30 },
		"of an absurd length":   func(m *mailbox, r *bodyRecord) { r.place.Length = 1<<32 - 1 },
		"without a chunk's row": func(m *mailbox, r *bodyRecord) { m.account.b.sub(bChunks).Delete(r.chunks[0][:]) },
		"with a chunk moved":    func(m *mailbox, r *bodyRecord) { m.putChunk(r.chunks[0], chunkRecord{1, second.place}) },
		"with a chunk cut":      func(m *mailbox, r *bodyRecord) { c := first; c.place.Length--; m.putChunk(r.chunks[0], c) },
	} {
		place := func(damage func(m *mailbox, r *bodyRecord)) {
			edit(t, s, func(m *mailbox) {
				r := good
				r.chunks = slices.Clone(good.chunks)
				damage(m, &r)
				m.putBody(a.ID, r)
			})
		}
		place(damage)
		if _, err := r.ReadBody(person, a.ID); err == nil {
			t.Errorf("a body that is %s opened", name)
		}
		if s.Check(t.Context()) == nil {
			t.Errorf("Check does not see a body that is %s", name)
		}
		if _, err := r.ReadBody(person, b.ID); err != nil {
			t.Errorf("beside a body that is %s: %v", name, err)
		}
		place(func(m *mailbox, r *bodyRecord) { m.putChunk(r.chunks[0], first) })
	}
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
		messages := m.rows.sub(bMessages)
		first, second := messages.Get(uidKey(1)), messages.Get(uidKey(2))
		messages.Put(uidKey(1), second)
		messages.Put(uidKey(2), first)
	})
	if _, err := s.Messages(ctx, person, s.inboxOf(person), 0, store.MaxPage); err == nil {
		t.Error("swapped records opened")
	}
}

// Check finds each kind of damage.
func TestCheckFinds(t *testing.T) {
	for name, damage := range map[string]func(m *mailbox){
		"counter":             func(m *mailbox) { m.unseen++; m.save() },
		"uidnext":             func(m *mailbox) { m.next = 1; m.save() },
		"modseq":              func(m *mailbox) { m.modseq = 1; m.save() },
		"no message":          func(m *mailbox) { m.rows.sub(bMessages).Delete(uidKey(1)) },
		"no change":           func(m *mailbox) { m.rows.sub(bChanges).Delete(changeKey(2, 1)) },
		"vanished and here":   func(m *mailbox) { m.rows.sub(bChanges).Put(changeKey(3, 1), isVanished) },
		"a stray summary":     func(m *mailbox) { m.rows.sub(bSummaries).Put(uidKey(9), []byte("x")) },
		"a swapped summary":   func(m *mailbox) { m.rows.sub(bSummaries).Put(uidKey(1), []byte("x")) },
		"a change of no UID":  func(m *mailbox) { m.rows.sub(bChanges).Put(changeKey(2, 0), isLive) },
		"a message of no UID": func(m *mailbox) { m.rows.sub(bMessages).Put(uidKey(0), []byte("x")) },
		"reference count":     func(m *mailbox) { m.ref(firstID(m)) },
		"no body entry":       func(m *mailbox) { m.account.b.sub(bBodies).Delete([]byte(firstID(m))) },
		"a body of nobody":    func(m *mailbox) { m.newBody("mnobody", 1, nil, segment.Place{}) },
		"a chunk of nobody":   func(m *mailbox) { m.addChunk(digest{}, segment.Place{}) },
		"segment count":       func(m *mailbox) { m.b.tx.root(bSegments).Put(number(1), number(1)) },
		"a segment's count":   func(m *mailbox) { m.b.tx.root(bSegments).Put(number(9), number(1)) },
		"no count":            func(m *mailbox) { m.b.tx.root(bSegments).Delete(number(1)) },
		"usage":               func(m *mailbox) { m.account.b.Put(kUsage, number(1)) },
		"quota":               func(m *mailbox) { m.account.b.Put(kQuota, number(1)) },
		"name":                func(m *mailbox) { m.account.b.sub(bNames).Delete(m.nameKey("INBOX")) },
		"mailbox count":       func(m *mailbox) { m.countMailboxes(1) },
		"token order":         func(m *mailbox) { m.account.b.sub(bOrder).Delete(number(1)) },
		"validity":            func(m *mailbox) { m.validity++; m.save(); m.account.b.Put(kValidity, number(1)) },
		"moving":              func(m *mailbox) { m.account.b.Put(kState, isMoving) },
		"erased, unmarked":    func(m *mailbox) { m.account.b.Put(kState, isErased) },
		"erasing":             func(m *mailbox) { m.b.tx.root(bErasing).Put([]byte("a9"), nil) },
		"hidden for ever":     func(m *mailbox) { m.hidden = store.UIDRange{First: 90, Last: 99}; m.save() },
		"hidden messages": func(m *mailbox) {
			m.hidden = store.UIDRange{First: 1, Last: 1}
			m.save()
			m.leave(leftover{m.id, m.id})
		},
		"rows of another": func(m *mailbox) { m.at = "bother"; m.save() },
		"address":         func(m *mailbox) { m.account.b.Put(kAddress, []byte("other")) },
		"a stray account": func(m *mailbox) { m.s.accountIn(m.b.tx, "a9").b.Put(kUsage, number(1)) },
		"annotations":     func(m *mailbox) { m.account.b.Put(kAnnotated, annotated{entries: 1, bytes: 12}.encode()) },
		"annotated bytes": func(m *mailbox) { m.account.b.Put(kAnnotated, annotated{entries: 2, bytes: 27, changes: 1}.encode()) },
		"no annotation":   func(m *mailbox) { m.b.sub(bAnnotations).deleteSome(9) },
		"another's annotation": func(m *mailbox) {
			eachKey(m.b.sub(bAnnotations), func(k []byte) { m.account.b.sub(bAnnotations).Put(k, m.b.sub(bAnnotations).Get(k)) })
		},
		"an annotation": func(m *mailbox) {
			eachKey(m.b.sub(bAnnotations), func(k []byte) { m.b.sub(bAnnotations).Put(k, []byte("x")) })
		},
		"no subscribed name":     func(m *mailbox) { m.account.b.sub(bSubscribed).deleteSome(9) },
		"a subscribed name":      func(m *mailbox) { m.account.b.sub(bSubscribed).Put([]byte("x"), []byte("x")) },
		"a mailbox's subscribed": func(m *mailbox) { m.keepSubscribed("INBOX") },
		"a table's record":       func(m *mailbox) { m.b.tx.root(bTables).sub([]byte("x")).Put([]byte("k"), []byte("v")) },
	} {
		t.Run(name, func(t *testing.T) {
			s, r := plainStore(t)
			if _, err := r.Deliver(person, "token", "INBOX", "body"); err != nil {
				t.Fatal(err)
			}
			for _, mbox := range []domicile.MailboxID{"", r.Box(person, "INBOX").ID} {
				if _, err := r.Annotate(t.Context(), "", person, mbox, []store.Annotation{{Entry: "/private/a", Value: []byte("abc")}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.Subscribe(t.Context(), "", person, "Not/Yet", true); err != nil {
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
