package bolt

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// mirrored copies a store in use, as a backup does: a base and what is durable of the segments, those from before the base at its size then.
func mirrored(t *testing.T, s *Store, dir string) {
	t.Helper()
	no := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	no(os.MkdirAll(filepath.Join(dir, segmentsDir), 0o700))
	no(s.WithBase(func(lsn uint64, base string, _ []Segment) error {
		return os.CopyFS(filepath.Join(dir, baseDir, filepath.Base(base)), os.DirFS(base))
	}))
	for _, seg := range s.Segments() {
		in, err := os.Open(seg.Path)
		no(err)
		out, err := os.Create(filepath.Join(dir, segmentsDir, filepath.Base(seg.Path)))
		no(err)
		_, err = io.CopyN(out, in, seg.Size)
		no(err)
		no(out.Close())
		no(in.Close())
	}
}

func bodies(t *testing.T, r *storetest.Rig, s store.Store, acct domicile.AccountID) (all []string) {
	t.Helper()
	boxes, err := s.Mailboxes(t.Context(), acct)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		if b.Name != "INBOX" {
			continue
		}
		list, err := s.Messages(t.Context(), acct, b.ID, 0, store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			body, err := s.Body(t.Context(), acct, m.ID)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(body)
			body.Close()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(raw))
		}
	}
	return all
}

// otherKey is a sealer under which an account has another key than it had: it came back from another region.
type otherKey struct {
	store.Sealer
	id   domicile.AccountID
	kept bool
}

func (k *otherKey) OpenRecord(id domicile.AccountID, sealed, associated []byte) ([]byte, error) {
	if id == k.id {
		return nil, domicile.E("test sealer", domicile.Invalid, "it does not open")
	}
	return k.Sealer.OpenRecord(id, sealed, associated)
}

func (k *otherKey) DestroyAccountKey(id domicile.AccountID) error {
	k.kept = k.kept && id != k.id
	return k.Sealer.DestroyAccountKey(id)
}

// TestCameBack: an account that got another key since is not there in a store that was restored, and keeps that key; the others are.
func TestCameBack(t *testing.T) {
	small := func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now})
	}
	r := storetest.New(t, small)
	ann, bob := r.Person("ann"), r.Person("bob")
	r.MustDeliver(ann, "INBOX", "Subject: a\r\n\r\n")
	r.MustDeliver(bob, "INBOX", "Subject: b\r\n\r\n")
	dir := filepath.Join(t.TempDir(), "copy")
	mirrored(t, r.Store.(*Store), dir)
	if _, err := Rewind(dir, "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	other := &otherKey{r.At.Sealer, bob, true}
	for range 2 {
		c, err := Open(Config{Dir: dir, Region: r.At.Region, Sealer: other, Now: r.At.Now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.EraseKeyless(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := bodies(t, r, c, ann); len(got) != 1 {
			t.Errorf("ann has %d messages", len(got))
		}
		if _, err := c.Account(t.Context(), bob); domicile.KindOf(err) != domicile.NotExist {
			t.Errorf("bob: %v", err)
		}
		if err := c.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !other.kept {
		t.Error("the key that it has now is destroyed")
	}
}

// TestRewind: a copy of a store in use is the store at a time: what came later is gone, but for the region's tables; accounts erased later are erased again,
// though the copy has them.
func TestRewind(t *testing.T) {
	small := func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, SegmentSize: 4096})
	}
	r := storetest.New(t, small)
	s := r.Store.(*Store)
	s.Retain(0)
	ann, bob := r.Person("ann"), r.Person("bob")
	table, err := r.Table("names")
	if err != nil {
		t.Fatal(err)
	}
	put := func(value string) {
		t.Helper()
		if err := table.Put("k", []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	put("early")
	if err := table.Put("gone", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		r.MustDeliver(ann, "INBOX", fmt.Sprintf("Subject: early %d\r\n\r\n%s\r\n", i, noise(uint64(i), 3000)))
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := s.WithBase(func(lsn uint64, base string, _ []Segment) error {
		return os.CopyFS(filepath.Join(dir, baseDir, filepath.Base(base)), os.DirFS(base))
	}); err != nil {
		t.Fatal(err)
	}
	r.Pass(time.Hour)
	between := r.At.Now()
	r.Pass(time.Hour)
	for i := range 5 {
		r.MustDeliver(ann, "INBOX", fmt.Sprintf("Subject: late %d\r\n\r\n%s\r\n", i, noise(uint64(i+10), 3000)))
	}
	put("late")
	if err := r.DeleteAccount(t.Context(), bob); err != nil {
		t.Fatal(err)
	}
	carol := r.Person("carol")
	whole := filepath.Join(t.TempDir(), "whole")
	mirrored(t, s, whole)
	if err := os.CopyFS(filepath.Join(dir, segmentsDir), os.DirFS(filepath.Join(whole, segmentsDir))); err != nil {
		t.Fatal(err)
	}
	openCopy := func(dir, newest string, at time.Time) *Store {
		t.Helper()
		if last, err := Rewind(dir, newest, at); err != nil || !at.IsZero() && last.After(at) {
			t.Fatal(last, err)
		}
		c, err := Open(Config{Dir: dir, Region: r.At.Region, Sealer: r.At.Sealer, Now: r.At.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Check(context.Background()); err != nil {
				t.Error(err)
			}
			c.Close()
		})
		return c
	}
	gapped := filepath.Join(t.TempDir(), "gapped")
	if err := os.CopyFS(gapped, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	all := s.Segments()
	if err := os.Truncate(filepath.Join(gapped, segmentsDir, filepath.Base(all[len(all)-2].Path)), all[len(all)-2].Size/2); err != nil {
		t.Fatal(err)
	}
	if _, err := Rewind(gapped, "", time.Time{}); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("a segment that lacks its end: %v", err)
	}

	// The tables of another folder of later, as of another line of a repository.
	put("late")
	if err := table.Put("later", []byte("still later")); err != nil {
		t.Fatal(err)
	}
	if gone, err := table.CompareAndSwap("gone", []byte("x"), nil); !gone || err != nil {
		t.Fatal(gone, err)
	}
	other, later := filepath.Join(t.TempDir(), "other"), filepath.Join(t.TempDir(), "later")
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	mirrored(t, s, later)
	abroad := openCopy(other, later, between)
	if n, err := abroad.EraseKeyless(t.Context()); n != 1 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	if got := bodies(t, r, abroad, ann); len(got) != 5 {
		t.Errorf("of then, with the tables of later: %d messages", len(got))
	}
	if all, err := abroad.Table("names"); err != nil {
		t.Error(err)
	} else if v, ok, err := all.Get("later"); string(v) != "still later" || !ok || err != nil {
		t.Errorf("a table's entry of later: %q, %v, %v", v, ok, err)
	} else if _, ok, err := all.Get("gone"); ok || err != nil {
		t.Errorf("an entry that was deleted later is there: %v", err)
	}

	now := openCopy(whole, "", time.Time{})
	if got, want := bodies(t, r, now, ann), bodies(t, r, s, ann); fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 10 {
		t.Errorf("the whole: %d messages, want %d", len(got), len(want))
	}
	then := openCopy(dir, dir, between)
	if n, err := then.EraseKeyless(t.Context()); n != 1 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	if got, want := bodies(t, r, then, ann), bodies(t, r, s, ann)[:5]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("of then: %d messages, want %d", len(got), len(want))
	}
	for _, gone := range []domicile.AccountID{bob, carol} {
		if _, err := then.Account(t.Context(), gone); domicile.KindOf(err) != domicile.NotExist {
			t.Errorf("account %s: %v", gone, err)
		}
	}
	tables, err := then.Table("names")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok, err := tables.Get("k"); string(v) != "late" || !ok || err != nil {
		t.Errorf("the region's table was taken back: %q, %v, %v", v, ok, err)
	}
	if _, err := Rewind(dir, dir, between); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("once more: %v", err)
	}
}

// TestRetain: what somebody copies is not compacted away before it is.
func TestRetain(t *testing.T) {
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, SegmentSize: 1 << 20})
	})
	s := r.Store.(*Store)
	who := r.Person("ann")
	fill := func() {
		t.Helper()
		for i := range 4 {
			r.MustDeliver(who, "INBOX", noise(uint64(i), 600<<10))
		}
		inbox := r.Box(who, "INBOX").ID
		var uids []store.UID
		for _, m := range r.List(who, "INBOX") {
			uids = append(uids, m.UID)
		}
		if _, err := r.StoreFlags(t.Context(), "", who, inbox, uids, store.FlagsAdd, []string{store.Deleted}, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Expunge(t.Context(), "", who, inbox, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.Retain(1)
	fill()
	before := s.Segments()
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Segments(); got[0].Number != before[0].Number {
		t.Errorf("segment %d went", before[0].Number)
	}
	s.Retain(before[1].Number)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Segments(); got[0].Number != before[1].Number {
		t.Errorf("the first segment is %d, want %d", got[0].Number, before[1].Number)
	}
}
