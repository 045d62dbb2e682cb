package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
)

// at restores a time, and returns what the store's newest segment of then held, and from where its tables came.
func (u *inUse) at(when time.Time) (mail, newest string, err error) {
	u.t.Helper()
	n := u.n
	n.Data = filepath.Join(u.t.TempDir(), "data")
	_, err = RestoreFrom(u.t.Context(), n, Recovery{Dir: u.repo, At: when, Rewind: func(dir, from string, at time.Time) (time.Time, error) {
		if !at.Equal(when) {
			u.t.Errorf("rewound to %s, not to %s", at, when)
		}
		for name, text := range contents(u.t, dir) {
			if strings.HasPrefix(name, "segments/") {
				mail += name[len("segments/"):] + ": " + text + "\n"
			}
		}
		for name, text := range contents(u.t, from) {
			if strings.HasPrefix(name, "base/") {
				newest += text
			}
		}
		return at, nil
	}})
	if left, _ := os.ReadDir(filepath.Join(n.Data, newestDir)); len(left) > 0 {
		u.t.Errorf("%d files are left beside the store", len(left))
	}
	return mail, newest, err
}

func (u *inUse) make(m *Mirror) Set {
	u.t.Helper()
	s, err := m.Make(u.t.Context(), nil)
	if err != nil {
		u.t.Fatal(err)
	}
	return s
}

// TestPoints: times of an older line are restored from it, with tables and log of the newest; a time that is not held is refused, and the
// nearest are named.
func TestPoints(t *testing.T) {
	u := newInUse(t)
	m := u.open()
	u.happen(0)
	first := u.make(m)
	u.happen(1)
	second := u.now
	if err := m.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.now = u.now.Add(time.Hour)
	if err := os.Remove(filepath.Join(u.n.Data, lineFile)); err != nil { // as a restored folder has none
		t.Fatal(err)
	}
	m = u.open()
	began := u.now
	u.happen(2)
	third := u.make(m)

	for _, at := range []time.Time{first.Made, second, began.Add(-time.Millisecond), third.Made, third.Made.Add(time.Hour)} {
		mail, newest, err := u.at(at)
		if err != nil {
			t.Fatal(err)
		}
		if newest != "base 2" || strings.Contains(mail, "mail 2") != !at.Before(third.Made) {
			t.Errorf("at %s: tables of %q, mail %s", at, newest, mail)
		}
	}
	for at, want := range map[time.Time][]string{
		first.Made.Add(-time.Millisecond): {first.Made.Format(PointLayout)},
		began:                             {began.Add(-time.Millisecond).Format(PointLayout), third.Made.Format(PointLayout)},
	} {
		_, _, err := u.at(at)
		wantKind(t, err, domicile.NotExist)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("at %s: %v does not name %s", at, err, w)
			}
		}
	}
	if s := m.State(); len(s.Points) != 2 || !s.Points[1].Until.Equal(s.Copied) || s.Copied.IsZero() {
		t.Errorf("%+v", s)
	}
}

// TestPointsAcrossAGap: what the store removed before it was copied parts the times; on both sides they are restored. Until the set behind it is there, the newest state is
// that of before, with no more of the log than the store has.
func TestPointsAcrossAGap(t *testing.T) {
	u := newInUse(t)
	m := u.open()
	u.happen(0)
	u.make(m)
	u.happen(1)
	if err := m.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole := m.Health().Copied
	err := filepath.WalkDir(u.repo, func(path string, _ fs.DirEntry, err error) error { // which the system dates by a clock of its own
		return errors.Join(err, os.Chtimes(path, whole, whole))
	})
	if err != nil {
		t.Fatal(err)
	}
	leaves := u.log.Head().Size
	for i := range 3 {
		u.store.sizes = append(u.store.sizes, 0)
		u.now = u.now.Add(time.Hour)
		u.happen(i + 2)
	}
	u.store.first = 2 // compaction was at it while nobody copied
	restart := func() {
		m = u.open()
		if !m.Newest().IsZero() || m.Round(t.Context()) == nil {
			t.Fatal("a gap, and it goes on as if there were none")
		}
	}
	restart()
	// Cut off before the set is there, behind the leaves.
	m.vault.step = func(name string, do func() error) error {
		if strings.Contains(name, setDir) {
			return errors.New("cut off")
		}
		return do()
	}
	if _, err := m.Make(t.Context(), nil); err == nil {
		t.Fatal("it was not cut off")
	}
	restart()
	n := u.n
	n.Data = filepath.Join(t.TempDir(), "data")
	got, err := RestoreFrom(t.Context(), n, Recovery{Dir: u.repo, Rewind: asItIs})
	if err != nil || got.Leaves != leaves {
		t.Errorf("%d leaves of the log, want %d: %v", got.Leaves, leaves, err)
	}
	if all := contents(t, n.Data); !strings.Contains(all["store/segments/00000001.seg"], "mail 1") || all["store/segments/00000004.seg"] != "" {
		t.Error("the newest whole state is not that of before the gap")
	}
	set := u.make(m)
	if m.Newest().IsZero() || u.open().Newest().IsZero() {
		t.Error("a set is there, and the gap still open")
	}
	points, err := Points(u.repo)
	if err != nil || len(points) != 2 || points[0].Until.After(whole) || !points[1].From.Equal(set.Made) {
		t.Fatalf("%+v, %v", points, err)
	}
	if mail, newest, err := u.at(points[0].Until); err != nil || !strings.Contains(mail, "mail 0") || strings.Contains(mail, "mail 2") || newest != "base 3" {
		t.Errorf("before the gap: %s, tables of %s, %v", mail, newest, err)
	}
	_, _, err = u.at(set.Made.Add(-time.Millisecond))
	wantKind(t, err, domicile.NotExist)
}

// TestGapBehindAnEmptySegment: a repository that was full before the first byte of a segment has a file of it without one. The times before the gap that is marked there
// are restored.
func TestGapBehindAnEmptySegment(t *testing.T) {
	u := newInUse(t)
	m := u.open()
	u.happen(0)
	first := u.make(m)
	u.store.sizes = append(u.store.sizes, 0)
	u.happen(1)
	m.vault.step = func(name string, do func() error) error {
		if name == "write "+segmentName(2) {
			return errors.New("full")
		}
		return do()
	}
	for range 2 {
		if m.Round(t.Context()) == nil {
			t.Fatal("it is full, and nobody said so")
		}
		u.now = u.now.Add(2 * patience)
	}
	m.vault.step = run
	u.store.sizes, u.store.first = append(u.store.sizes, 0), 2
	u.happen(2)
	u.make(m)
	points, err := Points(u.repo)
	if err != nil || len(points) != 2 {
		t.Fatalf("%+v, %v", points, err)
	}
	for _, when := range []time.Time{first.Made, points[0].Until} {
		if mail, _, err := u.at(when); err != nil || !strings.Contains(mail, "mail 0") || strings.Contains(mail, "mail 2") {
			t.Errorf("at %s: %s, %v", when, mail, err)
		}
	}
}

// TestPruneKeeps: daily and weekly sets that are kept alone are restored after all else went, at whatever step a pruning was cut off before; and a dry run
// removes nothing.
func TestPruneKeeps(t *testing.T) {
	keep := Retention{Within: 36 * time.Hour, Daily: 3, Weekly: 2}
	for at := 0; ; at++ {
		u := newInUse(t)
		m := u.open()
		var sets []Set
		for i := range 10 { // two a day
			u.store.first = max(0, len(u.store.sizes)-2) // compaction keeps two segments
			u.happen(i)
			sets = append(sets, u.make(m))
			u.store.sizes = append(u.store.sizes, 0)
			u.now = u.now.Add(12 * time.Hour)
		}
		before := size(t, u.repo)
		plan, err := m.Prune(t.Context(), keep, true)
		if err != nil || size(t, u.repo) != before || len(plan.Removed) == 0 {
			t.Fatalf("a dry run: %+v, %v", plan, err)
		}
		steps := 0
		m.vault.step = func(name string, do func() error) error {
			steps++
			if steps/2 != at {
				return do()
			}
			if steps%2 == 0 {
				return errors.New("not done: " + name)
			}
			return errors.Join(do(), errors.New("done, and failed: "+name))
		}
		_, err = m.Prune(t.Context(), keep, false)
		all := at > 0 && steps/2 < at
		if (err == nil) != all {
			t.Fatalf("step %d of %d: %v", at, steps, err)
		}
		check := func() {
			t.Helper()
			for i, s := range sets {
				if !containsSet(plan.Kept, s) {
					continue
				}
				if mail, _, err := u.at(s.Made); err != nil || !strings.Contains(mail, fmt.Sprintf("mail %d ", i)) {
					t.Fatalf("step %d: set %d is kept, and has %q: %v", at, i, mail, err)
				}
			}
			if mail, _, err := u.at(u.now); err != nil || !strings.Contains(mail, "mail 9 ") {
				t.Fatalf("step %d: the newest: %q, %v", at, mail, err)
			}
		}
		if at%8 == 0 || all {
			check()
		}
		m.vault.step = run
		did, err := m.Prune(t.Context(), keep, false)
		if err != nil || len(did.Kept) != len(plan.Kept) {
			t.Fatalf("step %d: again: %+v, %v", at, did, err)
		}
		if !all {
			continue
		}
		check()
		if after := size(t, u.repo); after >= before || m.Health().Bytes != after {
			t.Errorf("%d bytes before, %d after, %d said", before, after, m.Health().Bytes)
		}
		var days []string
		for _, s := range plan.Kept {
			days = append(days, s.Made.Format("02T15"))
		}
		if got, want := strings.Join(days, " "), "28T20 29T20 30T08 30T20"; got != want {
			t.Errorf("kept %s, want %s", got, want)
		}
		gone := sets[2].Made
		_, _, err = u.at(gone)
		wantKind(t, err, domicile.NotExist)
		return
	}
}

func containsSet(all []Set, s Set) bool {
	for _, o := range all {
		if o == s {
			return true
		}
	}
	return false
}

// TestRetention: the newest set of each day and week that has one, counted back from the newest.
func TestRetention(t *testing.T) {
	var all []Set
	for _, made := range []string{"2026-09-30T08", "2026-11-01T08", "2026-11-02T08", "2026-11-15T08", "2026-11-15T20", "2026-11-16T08", "2026-11-26T08", "2026-11-26T20"} {
		at, err := time.Parse("2006-01-02T15", made)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Set{"l", made, at})
	}
	last := len(all) - 1
	for _, c := range []struct {
		first int
		keep  Retention
		want  string
	}{
		{last, Retention{}, "2026-11-26T20"},
		{last - 1, Retention{}, "2026-11-26T08 2026-11-26T20"},
		{last, Retention{Daily: 3}, "2026-11-15T20 2026-11-16T08 2026-11-26T20"},
		{last, Retention{Weekly: 4}, "2026-11-02T08 2026-11-15T20 2026-11-16T08 2026-11-26T20"},
	} {
		var kept []string
		for _, s := range choose(all, c.first, c.keep).Kept {
			kept = append(kept, s.Name)
		}
		if got := strings.Join(kept, " "); got != c.want {
			t.Errorf("%+v keeps %s, want %s", c.keep, got, c.want)
		}
	}
}
