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
	"strings"
	"testing"

	bbolt "go.etcd.io/bbolt"

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

// bodyFile returns the path of a message's file.
func bodyFile(s *Store, id domicile.MessageID) string { return s.bodies.path(person, id) }

// A body, or a record, that was altered, cut or put into another's place does not open.
func TestSwappedAndAltered(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	at := storetest.At{Dir: dir, Region: storetest.Region, Sealer: storetest.NewSealer("x")}
	s, err := Open(Config{Dir: dir, Region: at.Region, Sealer: at.Sealer})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := &storetest.Rig{Store: s, T: t}
	newPerson(r)
	a := r.MustDeliver(person, "INBOX", strings.Repeat("a", 40<<10))
	b := r.MustDeliver(person, "INBOX", strings.Repeat("b", 40<<10))
	bytesA, bytesB := files(t, dir)[bodyFile(s, a.ID)], files(t, dir)[bodyFile(s, b.ID)]
	altered := bytes.Clone(bytesA)
	altered[len(altered)/2] ^= 1
	for name, bad := range map[string][]byte{
		"another's": bytesB, "altered": altered, "empty": nil, "cut": bytesA[:len(bytesA)-1], "longer": append(bytes.Clone(bytesA), 0),
		"cut between segments": bytesA[:32+2*(16<<10+16)],
	} {
		if err := os.WriteFile(bodyFile(s, a.ID), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadBody(person, a.ID); err == nil {
			t.Errorf("a body that is %s opened", name)
		}
		if s.Check(ctx) == nil {
			t.Errorf("Check does not see a body that is %s", name)
		}
	}
	os.WriteFile(bodyFile(s, a.ID), bytesA, 0o600)
	if err := s.Check(ctx); err != nil {
		t.Fatal(err)
	}
	table, err := s.Table("t")
	if err == nil {
		err = errors.Join(table.Put("k1", []byte("1")), table.Put("k2", []byte("2")))
	}
	if err != nil {
		t.Fatal(err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		records, other := tx.Bucket(bTables).Bucket(s.cfg.Sealer.Digest("table", "t")), s.cfg.Sealer.Digest("table key", "t", "k2")
		return records.Put(s.cfg.Sealer.Digest("table key", "t", "k1"), bytes.Clone(records.Get(other)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := table.Get("k1"); err == nil {
		t.Error("a table's record opened in another's place")
	}
	if s.Check(ctx) == nil {
		t.Error("Check does not see a record in another's place")
	}
	edit(t, s, func(m *mailbox) {
		messages := m.b.Bucket(bMessages)
		first, second := bytes.Clone(messages.Get(uidKey(1))), bytes.Clone(messages.Get(uidKey(2)))
		messages.Put(uidKey(1), second)
		messages.Put(uidKey(2), first)
	})
	if _, err := s.Messages(ctx, person, s.inboxOf(person)); err == nil {
		t.Error("swapped records opened")
	}
}

// edit changes the index behind the store's back.
func edit(t *testing.T, s *Store, fn func(inbox *mailbox)) {
	err := s.db.Update(func(tx *bbolt.Tx) error {
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

// Check finds each kind of damage.
func TestCheckFinds(t *testing.T) {
	for name, damage := range map[string]func(s *Store, m *mailbox){
		"counter":           func(_ *Store, m *mailbox) { m.unseen++; m.save() },
		"uidnext":           func(_ *Store, m *mailbox) { m.next = 1; m.save() },
		"modseq":            func(_ *Store, m *mailbox) { m.modseq = 1; m.save() },
		"no message":        func(_ *Store, m *mailbox) { m.b.Bucket(bMessages).Delete(uidKey(1)) },
		"no change":         func(_ *Store, m *mailbox) { m.b.Bucket(bChanges).Delete(changeKey(2, 1)) },
		"vanished and here": func(_ *Store, m *mailbox) { m.b.Bucket(bChanges).Put(changeKey(3, 1), isVanished) },
		"reference count":   func(_ *Store, m *mailbox) { m.ref(firstID(m)) },
		"no body entry":     func(_ *Store, m *mailbox) { m.account.b.Bucket(bBodies).Delete([]byte(firstID(m))) },
		"no file":           func(s *Store, m *mailbox) { os.Remove(bodyFile(s, firstID(m))) },
		"orphan file": func(s *Store, m *mailbox) {
			os.WriteFile(filepath.Join(filepath.Dir(bodyFile(s, firstID(m))), "a1."+string(firstID(m))+"x"), nil, 0o600)
		},
		"stray file":  func(s *Store, _ *mailbox) { os.WriteFile(filepath.Join(s.bodies.staging, "x"), nil, 0o600) },
		"usage":       func(_ *Store, m *mailbox) { m.account.b.Put(kUsage, number(1)) },
		"name":        func(_ *Store, m *mailbox) { m.account.b.Bucket(bNames).Delete(m.nameKey("INBOX")) },
		"token order": func(_ *Store, m *mailbox) { m.account.b.Bucket(bOrder).Delete(number(1)) },
		"validity":    func(_ *Store, m *mailbox) { m.validity++; m.save(); m.account.b.Put(kValidity, number(1)) },
		"moving":      func(_ *Store, m *mailbox) { m.account.b.Put(kMoving, []byte{1}) },
		"address":     func(s *Store, m *mailbox) { m.account.b.Put(kAddress, []byte("other")) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x")})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r := &storetest.Rig{Store: s, T: t}
			newPerson(r)
			if _, err := r.Deliver(person, "token", "INBOX", "body"); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(context.Background()); err != nil {
				t.Fatal("before the damage:", err)
			}
			edit(t, s, func(m *mailbox) { damage(s, m) })
			if s.Check(context.Background()) == nil {
				t.Fatal("not found")
			}
		})
	}
}

func firstID(m *mailbox) domicile.MessageID {
	records, err := m.all()
	if err != nil || len(records) == 0 {
		panic(errors.Join(errors.New("no message"), err))
	}
	return records[0].ID
}
