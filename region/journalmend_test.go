package region

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/placement"
)

// sickDisk makes a journal's writes fail while it is sick.
func sickDisk(j *Journal) *atomic.Bool {
	var sick atomic.Bool
	j.fsync = func(f *os.File) error {
		if sick.Load() {
			return errors.New("no space left on device")
		}
		return f.Sync()
	}
	return &sick
}

// TestJournalMends fills the disk and makes room again: meanwhile nothing leaves, afterwards permits are given without a
// restart, and the journal holds every end and nothing that was refused.
func TestJournalMends(t *testing.T) {
	t.Parallel()
	g, _, dir := testGuard(t, "us-east", nil)
	sick := sickDisk(g.journal)
	before := must(g.Permit(t.Context(), deliveryTo("eu-ireland", 10)))
	gossip := must(g.standingFor(t.Context(), standingKey{domicile.Gossip, placement.ToRegion, "eu-ireland"}))
	sick.Store(true)
	for range 3 {
		_, err := g.Permit(t.Context(), deliveryTo("eu-ireland", 11))
		wantReason(t, err, domicile.JournalUnavailable)
	}
	wantReason(t, gossip.message(1), domicile.JournalUnavailable)
	if err := before.Close(); err != nil {
		t.Error("an end is refused where it can only wait:", err)
	}
	time.Sleep(2500 * time.Millisecond) // it tries, and must not be deceived
	_, err := g.Permit(t.Context(), deliveryTo("eu-ireland", 11))
	wantReason(t, err, domicile.JournalUnavailable)
	wantReason(t, gossip.message(1), domicile.JournalUnavailable)

	sick.Store(false)
	var after *Permit
	waitFor(t, "a permit", func() bool { after, err = g.Permit(t.Context(), deliveryTo("eu-ireland", 12)); return err == nil })
	if err := gossip.message(1); err != nil {
		t.Error(err)
	}
	after.Close()
	g.Close()
	if err := g.journal.Close(); err != nil {
		t.Fatal(err)
	}
	ends := map[string]int{}
	cuts := 0
	for _, r := range readJournal(t, dir) {
		switch {
		case r.Ceiling == 11:
			t.Errorf("a permit that was never given is on record: %+v", r)
		case r.Type == recClose:
			ends[r.ID]++
		case r.Type == recCut:
			cuts++
		}
	}
	if ends[before.p.id] != 1 || ends[after.p.id] != 1 || ends[gossip.id] != 1 || cuts != 1 {
		t.Errorf("ends %v, %d cuts", ends, cuts)
	}
}

// TestJournalMendsWhileItRotates has the disk fail while the next file is being made.
func TestJournalMendsWhileItRotates(t *testing.T) {
	t.Parallel()
	clock := newClock()
	dir := filepath.Join(t.TempDir(), "journal")
	j := must(OpenJournal(dir, testSealer{}, time.Hour, clock.now))
	sick := sickDisk(j)
	if err := j.write(Record{Type: recOpen, ID: "p1"}); err != nil {
		t.Fatal(err)
	}
	sick.Store(true)
	clock.add(2 * maxFileAge)
	if err := j.write(Record{Type: recClose, ID: "p1"}); err == nil {
		t.Fatal("written on a full disk")
	}
	sick.Store(false)
	waitFor(t, "the journal", func() bool { return j.write(Record{Type: recClose, ID: "p1"}) == nil })
	j.Close()
	j = must(OpenJournal(dir, testSealer{}, time.Hour, clock.now))
	defer j.Close()
	if len(j.files) != 2 || len(j.open) != 0 {
		t.Errorf("%d files, %d open", len(j.files), len(j.open))
	}
}

// TestJournalMendsOnlyItsOwn changes the file under a broken journal: it stays shut.
func TestJournalMendsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "journal")
	j := must(OpenJournal(dir, testSealer{}, time.Hour, nil))
	sick := sickDisk(j)
	if err := j.write(Record{Type: recOpen, ID: "p1"}); err != nil {
		t.Fatal(err)
	}
	sick.Store(true)
	if err := j.write(Record{Type: recOpen, ID: "p2"}); err == nil {
		t.Fatal("written on a full disk")
	}
	name := j.files[0].path
	raw := must(os.ReadFile(name))
	if err := os.WriteFile(name, flip(raw, journalHeader+20), 0o600); err != nil {
		t.Fatal(err)
	}
	sick.Store(false)
	time.Sleep(2500 * time.Millisecond)
	if err := j.write(Record{Type: recOpen, ID: "p3"}); err == nil {
		t.Error("a damaged journal was taken up again")
	}
	j.Close()
}
