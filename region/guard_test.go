package region

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/placement"
)

func disclosure(body string) Request {
	return Request{Crossing: placement.Crossing{Class: domicile.Disclosure, Kind: placement.Sealed, Party: placement.ToAuthority,
		Account: "a1", Home: "eu-ireland", Case: "c1", Released: true, Ceiling: int64(len(body))}, Digest: sha256.Sum256([]byte(body))}
}

// TestPermitMisuse is the table of the border: each wrong use sends no byte and has its own reason.
func TestPermitMisuse(t *testing.T) {
	clock := newClock()
	g, _, _ := testGuard(t, "eu-ireland", clock.now)
	other, _, _ := testGuard(t, "eu-ireland", clock.now)
	stream := deliveryTo("us-east", 10)
	permit := func(g *Guard, r Request) *Permit {
		t.Helper()
		p, err := g.Permit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	write := func(p *Permit, body string) func(io.Writer) error {
		return func(out io.Writer) error {
			w, err := g.Writer(p, out)
			if err != nil {
				return err
			}
			_, err = io.WriteString(w, body)
			return errors.Join(err, w.Close())
		}
	}
	send := func(p *Permit, body string) func(io.Writer) error {
		return func(out io.Writer) error { return g.Send(p, out, strings.NewReader(body)) }
	}
	spent := permit(g, stream)
	if err := write(spent, "ok")(io.Discard); err != nil {
		t.Fatal(err)
	}
	closed := permit(g, stream)
	closed.Close()
	copied := permit(g, stream)
	twin := *copied
	if err := write(copied, "ok")(io.Discard); err != nil {
		t.Fatal(err)
	}
	expired := permit(g, stream)
	clock.add(permitLife + time.Second)

	for _, c := range []struct {
		name string
		use  func(io.Writer) error
		want domicile.Reason
	}{
		{"nil", write(nil, "x"), domicile.NoPermit},
		{"zero", write(&Permit{}, "x"), domicile.NoPermit},
		{"spent", write(spent, "x"), domicile.PermitSpent},
		{"closed", write(closed, "x"), domicile.PermitSpent},
		{"a copy of a spent one", write(&twin, "x"), domicile.PermitSpent},
		{"expired", write(expired, "x"), domicile.NoPermit},
		{"borrowed from another guard", write(permit(other, stream), "x"), domicile.PermitForeign},
		{"sealed used as a stream", write(permit(g, disclosure("x")), "x"), domicile.PermitForeign},
		{"stream used as sealed", send(permit(g, stream), "x"), domicile.PermitForeign},
		{"standing used as a stream", write(permit(g, Request{Crossing: placement.Crossing{Class: domicile.Lookup,
			Kind: placement.Standing, Party: placement.ToRegion, To: "us-east", Ceiling: 10}}), "x"), domicile.PermitForeign},
		{"over the ceiling", write(permit(g, stream), "12345678901"), domicile.PermitExceeded},
		{"sealed, other bytes", send(permit(g, disclosure("yes")), "not"), domicile.PermitExceeded},
		{"sealed, too few", send(permit(g, disclosure("yes")), "ye"), domicile.PermitExceeded},
		{"sealed, too many", send(permit(g, disclosure("yes")), "yesyes"), domicile.PermitExceeded},
		{"sealed, nil", send(nil, "x"), domicile.NoPermit},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			wantReason(t, c.use(&out), c.want)
			if out.Len() != 0 {
				t.Errorf("%d bytes left", out.Len())
			}
		})
	}
	t.Run("right", func(t *testing.T) {
		var out bytes.Buffer
		if err := send(permit(g, disclosure("yes")), "yes")(&out); err != nil || out.String() != "yes" {
			t.Errorf("%q, %v", out.String(), err)
		}
	})
}

func TestPermitRefused(t *testing.T) {
	g, log, _ := testGuard(t, "us-east", nil)
	change := func(r Request, f func(*Request)) Request { f(&r); return r }
	for name, c := range map[string]struct {
		req  Request
		want domicile.Reason
	}{
		"no class":                   {Request{}, domicile.EgressClassUnknown},
		"another guard's region":     {change(deliveryTo("eu-ireland", 1), func(r *Request) { r.From = "eu-ireland" }), domicile.WrongRegion},
		"content away from its home": {change(deliveryTo("eu-ireland", 1), func(r *Request) { r.Home = "us-east" }), domicile.EgressNotAllowed},
		"not released":               {change(disclosure("x"), func(r *Request) { r.Home, r.Released = "us-east", false }), domicile.QuorumNotReached},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := g.Permit(t.Context(), c.req)
			wantReason(t, err, c.want)
			wantKind(t, err, domicile.Refused)
			if p != nil {
				t.Error("a permit was given")
			}
		})
	}
	if k := log.kinds(); len(k) != 2 { // unknown class and disclosure
		t.Errorf("leaves: %v", k)
	}
}

func TestPermitUsedOnceByMany(t *testing.T) {
	g, _, _ := testGuard(t, "us-east", nil)
	p := must(g.Permit(t.Context(), deliveryTo("eu-ireland", 10)))
	var won sync.Map
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := g.Writer(p, io.Discard); err == nil {
				won.Store(i, true)
			}
		})
	}
	wg.Wait()
	n := 0
	won.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d won", n)
	}
}

func TestWrittenDownFirst(t *testing.T) {
	t.Run("journal fails", func(t *testing.T) {
		g, _, _ := testGuard(t, "us-east", nil)
		g.journal.fsync = func(*os.File) error { return errors.New("disk on fire") }
		_, err := g.Permit(t.Context(), deliveryTo("eu-ireland", 1))
		wantReason(t, err, domicile.JournalUnavailable)
		wantKind(t, err, domicile.Unavailable)
	})
	t.Run("a refusal that cannot be written", func(t *testing.T) {
		g, _, _ := testGuard(t, "us-east", nil)
		g.journal.fsync = func(*os.File) error { return errors.New("disk on fire") }
		r := deliveryTo("eu-ireland", 1)
		r.Home = "us-east"
		_, err := g.Permit(t.Context(), r)
		wantReason(t, err, domicile.JournalUnavailable)
	})
	t.Run("log fails", func(t *testing.T) {
		g, log, _ := testGuard(t, "eu-ireland", nil)
		log.err = errors.New("no log")
		_, err := g.Permit(t.Context(), disclosure("x"))
		wantReason(t, err, domicile.JournalUnavailable)
		log.err = nil
	})
	t.Run("standing", func(t *testing.T) {
		g, _, _ := testGuard(t, "us-east", nil)
		k := standingKey{domicile.Lookup, placement.ToRegion, "eu-ireland"}
		p := must(g.standingFor(t.Context(), k))
		if err := p.message(100); err != nil {
			t.Fatal(err)
		}
		wantReason(t, p.message(1<<20), domicile.PermitExceeded)
		g.journal.broken.Store(true)
		wantReason(t, p.message(100), domicile.JournalUnavailable)
	})
}

func TestJournalTellsTheStory(t *testing.T) {
	clock := newClock()
	g, log, dir := testGuard(t, "eu-ireland", clock.now)
	w := must(g.Writer(must(g.Permit(t.Context(), deliveryTo("us-east", 10))), io.Discard))
	io.WriteString(w, "hello")
	w.Close()
	must(g.Permit(t.Context(), deliveryTo("us-east", 7))) // dies unused
	clock.add(permitLife + time.Second)
	g.bury()
	g.Permit(t.Context(), deliveryTo("", 7))
	p := must(g.standingFor(t.Context(), standingKey{domicile.Lookup, placement.ToRegion, "us-east"}))
	p.message(3)
	p.message(4)
	g.Close()
	g.journal.Close()
	if k := log.kinds(); len(k) != 1 || k[0] != "journal.commitment" {
		t.Errorf("leaves %v", k)
	}
	var got []string
	for _, r := range readJournal(t, dir) {
		s := r.Type + " " + string(r.Class)
		switch {
		case r.Digest != "":
			sum := sha256.Sum256([]byte("hello"))
			if r.Digest[:8] != hexOf(sum[:])[:8] || r.Bytes != 5 {
				t.Errorf("%+v", r)
			}
			s += " digest"
		case r.Count > 0:
			if r.Count != 2 || r.Bytes != 7 {
				t.Errorf("%+v", r)
			}
			s += " count"
		}
		got = append(got, s)
	}
	want := "open delivery; close delivery digest; open delivery; close delivery; refused delivery; open lookup; total lookup count; close lookup count; commitment "
	if s := strings.Join(got, "; "); s != want && s != strings.Replace(want, "close delivery digest; open delivery", "open delivery; close delivery digest", 1) {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	clock := newClock()
	g, _, dir := testGuard(t, "us-east", clock.now)
	for range refusalsASecond + 30 {
		_, err := g.Permit(t.Context(), deliveryTo("", 1))
		wantReason(t, err, domicile.EgressNotAllowed)
	}
	g.Close()
	g.journal.Close()
	var each, counted int64
	for _, r := range readJournal(t, dir) {
		if r.Type == recRefused && r.Count == 0 {
			each++
		} else if r.Type == recRefused {
			counted += r.Count
		}
	}
	if each != refusalsASecond || counted != 30 {
		t.Errorf("%d written one by one, %d counted", each, counted)
	}
}

func TestJournalAfterACrash(t *testing.T) {
	clock := newClock()
	dir := filepath.Join(t.TempDir(), "j")
	j := must(OpenJournal(dir, testSealer{}, time.Hour, clock.now))
	for _, id := range []string{"p1", "p2"} {
		if err := j.write(Record{Type: recOpen, ID: id, Ceiling: 99}); err != nil {
			t.Fatal(err)
		}
	}
	j.write(Record{Type: recClose, ID: "p1"})
	j.Close() // p2 is open, as after a crash
	name := must(filepath.Glob(filepath.Join(dir, "*.journal")))[0]
	whole := must(os.ReadFile(name))

	if _, err := OpenJournal(dir, testSealer{}, 0, nil); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("no retention: %v", err)
	}
	for _, torn := range [][]byte{nil, whole[journalHeader : journalHeader+9], bytes.Repeat([]byte{0}, 100)} {
		os.WriteFile(name, append(bytes.Clone(whole), torn...), 0o600)
		j, err := OpenJournal(dir, testSealer{}, time.Hour, clock.now)
		if err != nil {
			t.Fatalf("torn by %d: %v", len(torn), err)
		}
		if _, err := OpenJournal(dir, testSealer{}, time.Hour, clock.now); domicile.KindOf(err) != domicile.Unavailable {
			t.Errorf("opened twice: %v", err)
		}
		j.Close()
		rs := readJournal(t, dir)
		last := rs[len(rs)-1]
		if last.Type != recClose || last.ID != "p2" || !last.Unknown || last.Ceiling != 99 {
			t.Errorf("p2 was closed as %+v", last)
		}
		if (len(torn) > 0) != (rs[len(rs)-2].Type == recCut) {
			t.Errorf("torn by %d, and the records are %+v", len(torn), rs)
		}
	}
	for i, damage := range map[string][]byte{
		"a bit":       flip(whole, journalHeader+10),
		"the header":  flip(whole, 3),
		"a long tail": append(bytes.Clone(whole), bytes.Repeat([]byte{1}, maxTorn+1)...),
	} {
		os.WriteFile(name, damage, 0o600)
		os.WriteFile(filepath.Join(dir, fileName(99)), nil, 0o600) // so that it is not the last
		if _, err := OpenJournal(dir, testSealer{}, time.Hour, clock.now); err == nil {
			t.Errorf("damage of %s was taken", i)
		}
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func TestJournalRetention(t *testing.T) {
	clock := newClock()
	dir := filepath.Join(t.TempDir(), "j")
	log := &testLog{}
	j := must(OpenJournal(dir, testSealer{}, 48*time.Hour, clock.now))
	files := func() int { return len(must(filepath.Glob(filepath.Join(dir, "*.journal")))) }
	day := func(id string, close bool) {
		j.write(Record{Type: recOpen, ID: id})
		if close {
			j.write(Record{Type: recClose, ID: id})
		}
		clock.add(25 * time.Hour)
	}
	day("a", true)
	day("b", false)
	day("c", true)
	day("d", true)
	if n := files(); n != 4 {
		t.Errorf("%d files, though nothing was committed to the log", n)
	}
	if err := j.Commit(context.Background(), log); err != nil {
		t.Fatal(err)
	}
	clock.add(25 * time.Hour)
	day("e", true)
	if n := files(); n != 5 && n != 4 { // a's is gone; b is open and keeps its own and, as they are a chain, those after it
		t.Errorf("%d files", n)
	}
	before := files()
	j.write(Record{Type: recClose, ID: "b"})
	j.Commit(context.Background(), log)
	clock.add(25 * time.Hour)
	day("f", true)
	if n := files(); n >= before {
		t.Errorf("%d files before b was closed, %d after", before, n)
	}
	j.Close()
	j, err := OpenJournal(dir, testSealer{}, time.Hour, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	n := len(log.kinds())
	j.Commit(context.Background(), log)
	j.Commit(context.Background(), log)
	if len(log.kinds()) != n+1 {
		t.Errorf("%d leaves after one news, %d before", len(log.kinds()), n)
	}
	j.Close()
}

func TestJournalGroups(t *testing.T) {
	dir := t.TempDir()
	j := must(OpenJournal(dir, testSealer{}, time.Hour, nil))
	var mu sync.Mutex
	syncs := 0
	j.fsync = func(f *os.File) error {
		mu.Lock()
		syncs++
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		return f.Sync()
	}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if err := j.write(Record{Type: recRefused}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	j.Close()
	if n := len(readJournal(t, dir)); n != 200 || syncs > 100 {
		t.Errorf("%d records under %d fsyncs", n, syncs)
	}
}

// A record that nobody waits for costs no fsync of its own, and needs nobody to get to the disk.
func TestJournalEndsShare(t *testing.T) {
	dir := t.TempDir()
	j := must(OpenJournal(dir, testSealer{}, time.Hour, nil))
	var syncs atomic.Int32
	j.fsync = func(f *os.File) error { syncs.Add(1); return f.Sync() }
	j.unwaited = time.Hour
	j.enqueue(Record{Type: recClose}, nil)
	if err := j.write(Record{Type: recRefused}); err != nil || syncs.Load() != 1 {
		t.Errorf("%d fsyncs, %v", syncs.Load(), err)
	}
	j.unwaited = time.Millisecond
	j.enqueue(Record{Type: recClose}, nil)
	waitFor(t, "the end on the disk", func() bool { return len(readJournal(t, dir)) == 3 })
	j.enqueue(Record{Type: recClose}, nil)
	j.Close()
	if n := len(readJournal(t, dir)); n != 4 {
		t.Errorf("%d records", n)
	}
}
