package bolt

import (
	"testing"

	"domicile"
	"domicile/store/storetest"
)

// TestRenumber: every mailbox gets a UIDVALIDITY that none of the account had before, each its own, and all else stays.
func TestRenumber(t *testing.T) {
	r := storetest.New(t, open)
	ann, bob := r.Person("ann"), r.Person("bob")
	before := map[domicile.MailboxID]uint32{}
	used := map[domicile.AccountID]map[uint32]bool{ann: {}, bob: {}}
	for _, who := range []domicile.AccountID{ann, bob} {
		all, err := r.Store.Mailboxes(t.Context(), who)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			before[m.ID], used[who][m.UIDValidity] = m.UIDValidity, true
		}
	}
	for range 2 {
		if err := r.Store.(*Store).Renumber(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, who := range []domicile.AccountID{ann, bob} {
			all, err := r.Store.Mailboxes(t.Context(), who)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range all {
				if used[who][m.UIDValidity] || m.UIDValidity <= before[m.ID] || m.UIDNext == 0 {
					t.Errorf("%s: %d after %d", m.Name, m.UIDValidity, before[m.ID])
				}
				used[who][m.UIDValidity], before[m.ID] = true, m.UIDValidity
			}
		}
	}
}
