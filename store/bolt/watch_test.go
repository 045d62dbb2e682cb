package bolt

import (
	"slices"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// A hint names the mailboxes in which an act changed something, and no others: who follows a thousand reads those.
func TestHintsNameMailboxes(t *testing.T) {
	s, err := openAt(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, id := t.Context(), domicile.AccountID("a-ann")
	if err := s.CreateAccount(ctx, "", store.Account{ID: id, Address: "ann@example.com"}); err != nil {
		t.Fatal(err)
	}
	box := map[string]domicile.MailboxID{}
	all, err := s.Mailboxes(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		box[m.Name] = m.ID
	}
	hint, stop := s.Watch(id)
	defer stop()
	for _, act := range []struct {
		name string
		do   func() error
		want []string // nil = anything
	}{
		{"deliver", func() error {
			in, err := s.Incoming(ctx, id, 10)
			if err == nil {
				in.Write([]byte("x"))
				_, err = in.Commit(ctx, "", "Sent", nil, time.Time{})
			}
			return err
		}, []string{"Sent"}},
		{"flags", func() error {
			_, err := s.StoreFlags(ctx, "", id, box["Sent"], []store.UID{1}, store.FlagsAdd, []string{store.Deleted}, 0)
			return err
		}, []string{"Sent"}},
		{"copy", func() error { _, _, _, err := s.Copy(ctx, "", id, box["Sent"], []store.UID{1}, "Junk"); return err }, []string{"Junk"}},
		{"move", func() error { _, _, _, err := s.Move(ctx, "", id, box["Junk"], []store.UID{1}, "Trash"); return err }, []string{"Junk", "Trash"}},
		{"expunge", func() error { _, err := s.Expunge(ctx, "", id, box["Sent"], nil); return err }, []string{"Sent"}},
		{"create", func() error { _, err := s.CreateMailbox(ctx, "", id, "New", ""); return err }, nil},
		{"rename", func() error { return s.RenameMailbox(ctx, "", id, "New", "Newer") }, nil},
		{"subscribe", func() error { return s.Subscribe(ctx, "", id, "Newer", true) }, nil},
		{"delete", func() error { return s.DeleteMailbox(ctx, "", id, "Newer") }, nil},
	} {
		if err := act.do(); err != nil {
			t.Fatal(act.name, err)
		}
		got := <-hint
		slices.Sort(got)
		var want store.Hint
		for _, name := range act.want {
			want = append(want, box[name])
		}
		slices.Sort(want)
		if !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", act.name, got, want)
		}
	}
}
