package bolt

import (
	"slices"
	"testing"

	"domicile/store"
	"domicile/store/storetest"
)

// However a mailbox's messages go, what it remembers of them stays within the bound, and what it forgot is told as all that is not there.
func TestVanishedIsBounded(t *testing.T) {
	r := storetest.New(t, open)
	s := r.Store.(*Store)
	newPerson(r)
	r.MustDeliver(person, "INBOX", "x")
	box, kept := s.inboxOf(person), func() (f forgotten) {
		edit(t, s, func(m *mailbox) {
			var err error
			if f, err = m.forgotten(); err != nil {
				t.Fatal(err)
			}
			if n := m.rows.sub(bChanges).count(); n != int(m.messages)+int(f.runs) {
				t.Fatalf("%d entries, %d messages, %+v", n, m.messages, f)
			}
		})
		return f
	}
	edit(t, s, func(m *mailbox) { // as after many expunges, every second UID at a ModSeq of its own
		m.next, m.modseq = 2*store.VanishedRuns+10, store.VanishedRuns+20
		for i := range store.UID(store.VanishedRuns) {
			m.rows.sub(bChanges).Put(changeKey(store.ModSeq(i)+10, 2*i+3), isVanished)
		}
		m.save()
		if f, err := m.remembered(); err != nil || f.runs != store.VanishedRuns { // a store of an earlier format: they were never counted
			t.Fatalf("%+v, %v", f, err)
		}
	})
	before := r.Box(person, "INBOX")
	m := r.MustDeliver(person, "INBOX", "x", store.Deleted)
	if _, err := s.Expunge(t.Context(), "", person, box, nil); err != nil {
		t.Fatal(err)
	}
	if f := kept(); f.runs != store.VanishedRuns/2 || f.seq != store.VanishedRuns/2+10 || f.uids != (store.UIDRange{First: 3, Last: store.VanishedRuns + 3}) {
		t.Fatalf("it keeps %+v", f)
	}
	exact := func(seq store.ModSeq, want []store.UID) {
		t.Helper()
		c, err := storetest.Since(s, person, box, seq)
		if err != nil || !slices.Equal(c.Vanished, want) {
			t.Fatalf("since %d: %d UIDs vanished, want %d; %v", seq, len(c.Vanished), len(want), err)
		}
	}
	exact(before.HighestModSeq, []store.UID{m.UID})
	c, err := storetest.Since(s, person, box, 5)
	if err != nil || len(c.Vanished) < store.VanishedRuns+1 || c.Vanished[0] != 3 || c.Vanished[len(c.Vanished)-1] != m.UID || slices.Contains(c.Vanished, 1) {
		t.Fatalf("of before: %d, %v", len(c.Vanished), err)
	}

	// A run of many is one entry.
	r.MustDeliver(person, "INBOX", "x", store.Deleted)
	first := r.Box(person, "INBOX").UIDNext - 1
	uids := []store.UID{first}
	for len(uids) < 500 {
		_, _, made, err := s.Copy(t.Context(), "", person, box, uids, "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made {
			uids = append(uids, m.UID)
		}
	}
	runs, high := kept().runs, r.Box(person, "INBOX").HighestModSeq
	if _, err := s.Expunge(t.Context(), "", person, box, nil); err != nil {
		t.Fatal(err)
	}
	if n := kept().runs; n != runs+1 {
		t.Errorf("a run takes %d entries", n-runs)
	}
	exact(high, uids)
}

// Values that no release wrote are no runs.
func TestReadVanished(t *testing.T) {
	for _, c := range []struct {
		first store.UID
		value []byte
		want  store.UIDRange
		is    bool
	}{
		{5, isLive, store.UIDRange{First: 5, Last: 5}, false},
		{5, nil, store.UIDRange{First: 5, Last: 5}, false},
		{5, isVanished, store.UIDRange{First: 5, Last: 5}, true},
		{5, vanishedValue(store.UIDRange{First: 5, Last: 305}), store.UIDRange{First: 5, Last: 305}, true},
		{0, isVanished, store.UIDRange{}, false},
		{1 << 31, []byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}, store.UIDRange{First: 1 << 31, Last: 1 << 31}, false},
		{5, []byte{1, 0x80}, store.UIDRange{First: 5, Last: 5}, false},
		{5, []byte{1, 1, 1}, store.UIDRange{First: 5, Last: 5}, false},
	} {
		if run, is := readVanished(c.first, c.value); run != c.want || is != c.is {
			t.Errorf("%d %x: %v, %v", c.first, c.value, run, is)
		}
	}
}
