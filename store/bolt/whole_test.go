package bolt

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// within fails if nothing comes in a minute.
func within[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatal(what)
	}
	return v
}

// What is read whole is bounded in all, and who waits for room can give up. A message larger than all the room is read alone.
func TestWholeRoom(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	s := r.Store.(*Store)
	s.memory = newMemory(1000)
	small, big := r.MustDeliver(person, "INBOX", strings.Repeat("s", 600)).ID, r.MustDeliver(person, "INBOX", strings.Repeat("b", 5000)).ID
	holding, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := s.whole(t.Context(), person, small, nil, func([]byte) error {
			close(holding)
			<-release
			return nil
		})
		ended <- err
	}()
	within(t, holding, "the first does not come in")
	for _, id := range []domicile.MessageID{small, big} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := s.whole(ctx, person, id, nil, func([]byte) error { t.Error("two have room for one"); return nil })
		if cancel(); domicile.KindOf(err) != domicile.Unavailable {
			t.Errorf("without room: %v", err)
		}
	}
	close(release)
	if err := within(t, ended, "the first does not end"); err != nil {
		t.Error(err)
	}
	n := 0
	if _, err := s.whole(t.Context(), person, big, nil, func(raw []byte) error { n = len(raw); return nil }); err != nil || n != 5000 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A search that would wait for the indexer, which works for others, gives up with its caller.
func TestFindGivesUp(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	s := r.Store.(*Store)
	s.indexer.turn <- struct{}{} // it works for somebody else
	defer func() { <-s.indexer.turn }()
	for i := range scanMost + 1 {
		r.MustDeliver(person, "INBOX", fmt.Sprint("Subject: x\r\n\r\ntext ", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Find(ctx, person, s.inboxOf(person), store.InBody, "", "text")
		ended <- err
	}()
	cancel()
	if err := within(t, ended, "it waits for the indexer"); domicile.KindOf(err) != domicile.Unavailable {
		t.Error(err)
	}
}

// The summary of a message that was too large to have one made as it came is made once.
func TestSummaryKept(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	s := r.Store.(*Store)
	r.MustDeliver(person, "INBOX", "Subject: large\r\n\r\n"+strings.Repeat("text\r\n", maxSummarized/5))
	inbox := s.inboxOf(person)
	bodies := find(t, s, frameBody)
	for n := range 2 {
		list, err := s.Listing(t.Context(), person, inbox, 0, 10)
		if err != nil || len(list) != 1 || list[0].Summary == nil || list[0].Summary.Subject.Text != "large" {
			t.Fatalf("listing %d: %+v, %v", n, list, err)
		}
		for _, f := range bodies { // nobody makes another from this; the second time it is put right
			flip(t, s.cfg.Dir, f.Place)
		}
	}
}
