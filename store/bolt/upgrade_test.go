package bolt

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// sample is what testdata/format-2.tar.gz holds: a folder as the release with that format left it.
type sample struct {
	Accounts []store.Account
	Changes  map[string]storetest.Snapshot // by account and mailbox: all since the beginning
	Coming   store.Arrival                 // of a3, of which a part has come
	Rest     []store.Part                  // the parts of it that have not; their bytes are left out
}

func readSample(t *testing.T) (s sample) {
	t.Helper()
	b, err := os.ReadFile("testdata/format-2.json")
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unpackSample returns a folder of format 2.
func unpackSample(t *testing.T) string { return unpack(t, "format-2") }

func unpack(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open("testdata/" + name + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if err == io.EOF {
			return filepath.Join(dir, name)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if err == nil && h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else if err == nil {
			var out *os.File
			if out, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
				_, err = io.Copy(out, in)
				err = errors.Join(err, out.Close())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func sampleConfig(dir string) Config {
	sealer := storetest.NewSealer("sample")
	for _, id := range []domicile.AccountID{"a1", "a2", "a3"} {
		sealer.CreateAccountKey(id)
	}
	return Config{Dir: dir, Region: storetest.Region, Sealer: sealer}
}

// wantSample holds a store against the sample, up to the end of the import.
func wantSample(t *testing.T, s *Store) {
	t.Helper()
	ctx, want, r := t.Context(), readSample(t), &storetest.Rig{Store: s, T: t}
	if err := s.Check(ctx); err != nil {
		t.Fatal(err)
	}
	accounts, err := s.Accounts(ctx, "", store.MaxPage)
	slices.SortFunc(accounts, func(a, b store.Account) int { return strings.Compare(string(a.Address), string(b.Address)) })
	if err != nil || !reflect.DeepEqual(accounts, want.Accounts) {
		t.Fatalf("accounts %+v, %v", accounts, err)
	}
	boxes := 0
	for _, a := range accounts {
		all, err := s.Mailboxes(ctx, a.ID)
		if err != nil {
			t.Fatal(err)
		}
		boxes += len(all)
		var subscribed []string
		for _, m := range all {
			if m.Subscribed {
				subscribed = append(subscribed, m.Name)
			}
			got, err := storetest.Since(s, a.ID, m.ID, 1)
			if err != nil {
				t.Fatal(err)
			}
			key := string(a.ID) + " " + m.Name
			if text, wanted := asJSON(t, got), asJSON(t, want.Changes[key]); text != wanted {
				t.Errorf("%s: %s, want %s", key, text, wanted)
			}
			for _, c := range got.Changed {
				if body, err := r.ReadBody(a.ID, c.ID); err != nil || int64(len(body)) != c.Size {
					t.Errorf("%s, UID %d: %d bytes of %d, %v", key, c.UID, len(body), c.Size, err)
				}
			}
			if _, err := s.Listing(ctx, a.ID, m.ID, 0, 100); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		names, err := s.Subscriptions(ctx, a.ID)
		if slices.Sort(subscribed); err != nil || len(names) == 0 || !slices.Equal(names, subscribed) {
			t.Errorf("%q are subscribed, want %q, %v", names, subscribed, err)
		}
	}
	if boxes != len(want.Changes) {
		t.Errorf("%d mailboxes, want %d", boxes, len(want.Changes))
	}
	coming, err := s.Imported(ctx, "a3")
	if err != nil || !reflect.DeepEqual(coming, want.Coming) {
		t.Fatalf("what comes in is %+v, %v", coming, err)
	}
}

func asJSON(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`"Changed":null`, `"Changed":[]`, `"Flags":[]`, `"Flags":null`).Replace(string(b))
}

// finishSample brings the rest of a3 in, and sends and expunges as ever.
func finishSample(t *testing.T, s *Store) {
	t.Helper()
	ctx, r := t.Context(), &storetest.Rig{Store: s, T: t}
	for _, p := range readSample(t).Rest {
		for _, i := range p.Items {
			if i.Piece != nil {
				i.Piece.Data = []byte(strings.Repeat("y", i.Piece.Length))
			}
		}
		if err := s.Import(ctx, "a3", p); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Activate(ctx, "a3", func(a *store.Account) error { a.State = store.Active; return nil }); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range r.List("a3", "INBOX") {
		body, err := r.ReadBody("a3", m.ID)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, body)
	}
	if !slices.Contains(got, strings.Repeat("y", 30)) {
		t.Errorf("the body that came in two parts is not among %q", got)
	}
	for _, id := range []domicile.AccountID{"a1", "a2", "a3"} {
		m := r.MustDeliver(id, "INBOX", "after the upgrade", store.Deleted)
		box := r.Box(id, "INBOX")
		if uids, err := s.Expunge(ctx, "", id, box.ID, nil); err != nil || !slices.Contains(uids, m.UID) {
			t.Fatal(uids, err)
		}
	}
	if err := s.DeleteAccount(ctx, "a2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestUpgrade(t *testing.T) {
	for _, lose := range []bool{false, true} { // the index, after the upgrade
		cfg := sampleConfig(unpackSample(t))
		for range 2 {
			s, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			wantSample(t, s)
			s.Close()
			for _, name := range []string{oldBodies, oldStaging, indexFile + ".upgrade"} {
				if _, err := os.Stat(filepath.Join(cfg.Dir, name)); !os.IsNotExist(err) {
					t.Errorf("%s is still there: %v", name, err)
				}
			}
			if lose {
				os.Remove(filepath.Join(cfg.Dir, indexFile))
			}
		}
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		finishSample(t, s)
		s.Close()
	}
}

// Format 4 knew subscriptions of mailboxes alone: they are those of the names. The folder has one in its base, and one that is in the log alone.
func TestUpgradeOfFormat4(t *testing.T) {
	ctx, want := t.Context(), []string{"Archive", "Drafts", "INBOX", "Later", "Sent", "Trash", "Work/2026"}
	for _, lose := range []bool{false, true} { // the index, before
		cfg := sampleConfig(unpack(t, "format-4"))
		if lose {
			os.Remove(filepath.Join(cfg.Dir, indexFile))
		}
		for range 2 {
			s, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			names, err := s.Subscriptions(ctx, "a1")
			if err := firstError(err, s.Check(ctx)); err != nil || !slices.Equal(names, want) {
				t.Fatalf("%q are subscribed, want %q, %v", names, want, err)
			}
			if err := firstError(s.DeleteMailbox(ctx, "", "a1", "Later"), s.RenameMailbox(ctx, "", "a1", "Work", "Later")); err != nil {
				t.Fatal(err)
			}
			work, err := s.MailboxByName(ctx, "a1", "Later/2026")
			if later, err2 := s.MailboxByName(ctx, "a1", "Later"); err != nil || err2 != nil || work.Subscribed || !later.Subscribed {
				t.Fatal(work, later, err, err2)
			}
			if err := firstError(s.RenameMailbox(ctx, "", "a1", "Later", "Work"), s.Close()); err != nil {
				t.Fatal(err)
			}
			if f := formatIn(t, cfg.Dir); f != format {
				t.Fatal("format", f)
			}
			s, err = Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.CreateMailbox(ctx, "", "a1", "Later", "")
			if err := firstError(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Format 1 is format 2 without accounts that come in, and with tokens that have no text.
func TestUpgradeOfFormat1(t *testing.T) {
	cfg := sampleConfig(unpackSample(t))
	db, err := bbolt.Open(filepath.Join(cfg.Dir, indexFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.DeleteBucket([]byte("importing")), tx.Bucket(bMeta).Put(kFormat, number(1)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Imported(t.Context(), "a3"); domicile.KindOf(err) != domicile.NotExist {
		t.Fatal(err)
	}
}

// An upgrade that is cut short at any step leaves a folder that the next one brings to its end, however often.
func TestCrashInUpgrade(t *testing.T) {
	d := &disk{}
	cfg := sampleConfig(unpackSample(t))
	cfg.step, cfg.SegmentSize = d.step, smallSegments
	d.arm(-1, false)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	steps := slices.Clone(d.seen)
	d.disarm()
	s.Close()
	if !slices.Contains(steps, "put base") || !slices.Contains(steps, "put index") || !slices.Contains(steps, "write segment") {
		t.Fatal("steps", steps)
	}
	for i, name := range steps {
		for _, after := range []bool{false, true} {
			cfg.Dir = unpackSample(t)
			for range 2 {
				d.arm(i, after)
				if s, err := Open(cfg); err == nil { // the second try may have less to do
					s.Close()
				}
			}
			d.disarm()
			s, err := Open(cfg)
			if err != nil {
				t.Fatalf("after a crash at %d %s, done=%v: %v", i, name, after, err)
			}
			wantSample(t, s)
			s.Close()
		}
	}
}

// What cannot be brought over is refused, and the folder is as it was.
func TestUpgradeRefuses(t *testing.T) {
	remove := func(pattern string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			all, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil || len(all) == 0 {
				t.Fatal(pattern, err)
			}
			for _, path := range all {
				os.RemoveAll(path)
			}
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		config func(c *Config)
		kind   domicile.Kind
		says   string
	}{
		"another region":        {nil, func(c *Config) { c.Region = "us-east" }, domicile.Refused, "us-east"},
		"another root key":      {nil, func(c *Config) { c.Sealer = storetest.NewSealer("other") }, domicile.Invalid, "another root key"},
		"a newer format":        {func(t *testing.T, dir string) { setFormat(t, dir, format+1) }, nil, domicile.Invalid, "newer release"},
		"no index":              {remove(indexFile), nil, domicile.Invalid, "there are bodies"},
		"an index of no bytes":  {func(t *testing.T, dir string) { os.Truncate(filepath.Join(dir, indexFile), 0) }, nil, domicile.Invalid, "there are bodies"},
		"an index that was cut": {func(t *testing.T, dir string) { os.Truncate(filepath.Join(dir, indexFile), 8192) }, nil, domicile.Invalid, "there are bodies"},
		"a body is missing":     {remove("bodies/jy/*"), nil, domicile.Other, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := sampleConfig(unpackSample(t))
			if c.damage != nil {
				c.damage(t, cfg.Dir)
			}
			if c.config != nil {
				c.config(&cfg)
			}
			before := files(t, cfg.Dir)
			for range 2 {
				s, err := Open(cfg)
				if err == nil {
					s.Close()
				}
				if err == nil || domicile.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("error is %v, want %q", err, c.says)
				}
			}
			now := files(t, cfg.Dir)
			for path, b := range before {
				if path == filepath.Join(cfg.Dir, indexFile) {
					if len(now[path])+len(now[path+".damaged"]) == 0 && len(b) > 0 {
						t.Error("the index is gone")
					}
				} else if string(now[path]) != string(b) {
					t.Error(fmt.Sprint("it refused and changed ", path))
				}
			}
		})
	}
}

// A damaged body is brought over as one: its message is an error, its file is kept, and all others are as they were.
func TestUpgradeOfDamagedBody(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"cut":   func(path string) error { return os.Truncate(path, 200_000) },
		"empty": func(path string) error { return os.Truncate(path, 0) },
		"altered": func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)*2/3] ^= 1 // behind chunks that others may share
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := sampleConfig(unpackSample(t))
			all, err := filepath.Glob(filepath.Join(cfg.Dir, "bodies/jy/*"))
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			acct, id, _ := strings.Cut(filepath.Base(all[0]), ".")
			if err := damage(all[0]); err != nil {
				t.Fatal(err)
			}
			s, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := os.Stat(filepath.Join(cfg.Dir, damagedBodies, acct+"."+id)); err != nil {
				t.Error(err)
			}
			r, lost := &storetest.Rig{Store: s, T: t}, 0
			for _, a := range readSample(t).Accounts {
				boxes, err := s.Mailboxes(t.Context(), a.ID)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range boxes {
					for _, msg := range r.List(a.ID, m.Name) {
						body, err := r.ReadBody(a.ID, msg.ID)
						damaged := string(msg.ID) == id
						if damaged {
							lost++
						}
						if (err != nil) != damaged || !damaged && int64(len(body)) != msg.Size {
							t.Errorf("message %s: %d bytes of %d, %v", msg.ID, len(body), msg.Size, err)
						}
					}
				}
			}
			if lost == 0 {
				t.Error("the damaged message is not listed")
			}
			err = s.Check(t.Context())
			if err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), id) {
				t.Errorf("a check should find that message alone: %v", err)
			}
		})
	}
}
