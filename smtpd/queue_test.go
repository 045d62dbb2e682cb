package smtpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/store"
	"domicile/store/storetest"
)

// rig is a region's queue in a world, which can fail at each step and be opened again.
type rig struct {
	*world
	second store.Store // of berlin, where dora lives
	cfg    QueueConfig
	q      *Queue
	stop   func() // ends Run

	mu       sync.Mutex
	clock    time.Duration
	outcomes map[Outcome]int
	fault    func(step string) (before, after bool) // nil = none
	dead     bool                                   // as after a crash: no step does anything any more
	carried  func(home domicile.Region, d delivery) error
}

var errCrash = errors.New("the process died here")

func newRig(t *testing.T) *rig {
	r := &rig{world: newWorld(t), outcomes: map[Outcome]int{}}
	r.second = newStore(t, storetest.NewSealer("berlin"), berlin, "dora")
	r.away.other = NewHome(r.second, maxSize, quiet())
	r.cfg = QueueConfig{Dir: filepath.Join(t.TempDir(), "outbound"), Region: ireland, Hostname: "mx.eu-ireland.test", MaxSize: maxSize,
		Store: r.store, Sealer: r.seal, Log: quiet(), Count: func(o Outcome) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.outcomes[o]++
		}}
	return r
}

// step is a step of a process that may die before it or behind it.
func (r *rig) step(name string, do func() error) error {
	r.mu.Lock()
	before, after := r.dead, false
	if !r.dead && r.fault != nil {
		before, after = r.fault(name)
		r.dead = before || after
	}
	r.mu.Unlock()
	if before {
		return errCrash
	}
	err := do()
	if after {
		return errCrash
	}
	return err
}

// open opens the queue, as at the start of a process.
func (r *rig) open() *Queue {
	r.t.Helper()
	front := r.door(MX, ireland, r.home)
	q, err := openQueue(r.cfg, func(ctx context.Context, home domicile.Region, d delivery, body io.Reader) (out *accepted, err error) {
		if r.carried != nil {
			if err := r.carried(home, d); err != nil {
				return nil, err
			}
		}
		name := "deliver"
		if d.Sender == "" {
			name = "notice"
		}
		err = r.step(name, func() (err error) {
			out, err = front.route.deliver(ctx, home, d, body)
			return err
		})
		return out, err
	}, r.resolve, r.step)
	if err != nil {
		r.t.Fatal(err)
	}
	q.now = func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return time.Now().Add(r.clock)
	}
	q.pause, q.crowded = func(int) time.Duration { return time.Millisecond }, 10*time.Millisecond
	r.q = q
	return q
}

// run starts deliveries; end ends them.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	q := r.q
	go func() { q.Run(ctx); close(done) }()
	r.stop = func() { cancel(); <-done }
	r.t.Cleanup(r.stop)
}

// reopen is the end of one process and the start of the next, which has no faults.
func (r *rig) reopen() {
	if r.stop != nil {
		r.stop()
	}
	r.mu.Lock()
	r.dead, r.fault = false, nil
	r.mu.Unlock()
	r.open()
	r.run()
}

// submit queues a message of ann's.
func (r *rig) submit(text string, to ...string) (string, error) {
	d, err := r.q.draft("a-ann")
	if err != nil {
		return "", err
	}
	defer d.abort()
	if _, err := io.WriteString(d, text); err != nil {
		return "", err
	}
	e := &entry{Sender: "ann+tag@example.com", Trace: "Received: by mx.eu-ireland.test with ESMTPSA id " + d.id + ";\r\n\tMon, 2 Mar 2026 10:00:00 +0000\r\n"}
	for _, name := range to {
		e.To = append(e.To, &rcptFate{Address: domicile.Address(name + "@example.com")})
	}
	return d.id, d.commit(e)
}

// until waits for something that the queue does in its own time.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			list, err := r.q.List(10)
			r.t.Fatalf("waited in vain for %s: %+v, %v", what, list, err)
		}
	}
}

func (r *rig) empty() {
	r.t.Helper()
	r.until("an empty queue", func() bool { return len(r.q.itemsLeft()) == 0 })
	r.until("no work", func() bool { r.q.mu.Lock(); defer r.q.mu.Unlock(); return r.q.working == 0 })
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	files, err := os.ReadDir(r.cfg.Dir)
	if err != nil || len(files) != 0 {
		r.t.Errorf("files are left: %v, %v", files, err)
	}
	if r.q.total != 0 || len(r.q.usage) != 0 || len(r.q.due) != 0 {
		r.t.Errorf("of an empty queue: %d bytes, %d accounts, %d due", r.q.total, len(r.q.usage), len(r.q.due))
	}
	r.q.table.Each(func(id string, _ []byte) error { r.t.Errorf("a record is left: %s", id); return nil })
}

func (q *Queue) itemsLeft() (ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id := range q.items {
		ids = append(ids, id)
	}
	return ids
}

func (r *rig) got(name string) []string {
	r.t.Helper()
	if name == "dora" {
		return inbox(r.t, r.second, name)
	}
	return r.inbox(name)
}

func (r *rig) counted(o Outcome) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes[o]
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock += d
}

const letterText = "From: Ann <ann@example.com>\r\nSubject: a letter\r\n\r\nfirst\r\n..second\r\n"

func TestQueueDelivers(t *testing.T) {
	r := newRig(t)
	r.open()
	r.run()
	id, err := r.submit(letterText, "bob", "dora", "nobody", "bob", "full")
	if err != nil {
		t.Fatal(err)
	}
	r.empty()
	want := "Return-Path: <ann+tag@example.com>\r\nReceived: by mx.eu-ireland.test with ESMTPSA id " + id + ";\r\n\tMon, 2 Mar 2026 10:00:00 +0000\r\n" + letterText
	for _, name := range []string{"bob", "dora"} {
		if got := r.got(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s has %q", name, got)
		}
	}
	notices := r.got("ann")
	if len(notices) != 1 {
		t.Fatalf("%d notices", len(notices))
	}
	n := notices[0]
	for _, want := range []string{"Return-Path: <>\r\n", "Final-Recipient: rfc822; nobody@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n",
		"Final-Recipient: rfc822; full@example.com\r\nAction: failed\r\nStatus: 5.2.2\r\n", "Subject: a letter\r\n", "To: <ann+tag@example.com>", "Auto-Submitted: auto-replied\r\n"} {
		if !strings.Contains(n, want) {
			t.Errorf("the notice lacks %q:\n%s", want, n)
		}
	}
	for _, not := range []string{"bob@", "dora@", "first"} {
		if strings.Contains(n, not) {
			t.Errorf("the notice holds %q", not)
		}
	}
	if d, f, told := r.counted(Delivered), r.counted(Failed), r.counted(Noticed); d != 3 || f != 2 || told != 1 {
		t.Errorf("delivered %d, failed %d, noticed %d", d, f, told)
	}
}

// A process dies before each step, or behind it, and another takes over: what was queued is delivered once, a failure is told once, and
// what could not be queued is nowhere, unless it died between writing it down and knowing that it had.
func TestQueueCrash(t *testing.T) {
	steps := map[string]int{}
	probe := newRig(t)
	probe.fault = func(name string) (bool, bool) { steps[name]++; return false, false }
	probe.open()
	probe.run()
	if _, err := probe.submit(letterText, "bob", "dora", "nobody"); err != nil {
		t.Fatal(err)
	}
	probe.empty()
	for _, name := range []string{"create", "write", "sync", "close", "sync folder", "put", "save", "deliver", "notice", "remove", "unlink"} {
		if steps[name] == 0 {
			t.Fatalf("step %q was never made: %v", name, steps)
		}
	}
	for name, times := range steps {
		for nth := 1; nth <= times; nth++ {
			for _, late := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %d late=%v", strings.ReplaceAll(name, " ", "_"), nth, late), func(t *testing.T) {
					t.Parallel()
					r, n := newRig(t), 0
					r.fault = func(step string) (bool, bool) {
						if step == name {
							n++
						}
						hit := step == name && n == nth
						return hit && !late, hit && late
					}
					r.open()
					r.run()
					_, err := r.submit(letterText, "bob", "dora", "nobody")
					if err == nil {
						r.until("the crash", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.dead })
					}
					r.reopen()
					r.empty()
					least, most := 1, 1
					if err != nil {
						least, most = 0, 0
						if name == "put" && late {
							most = 1 // it was written down, and nobody knew
						}
					}
					for _, who := range []string{"bob", "dora", "ann"} {
						if got := len(r.got(who)); got < least || got > most {
							t.Errorf("queued: %v; %s has %d messages", err, who, got)
						}
					}
				})
			}
		}
	}
}

// A home out of reach, an answer that was lost, a directory that does not answer: it is tried again until it is delivered, once.
func TestQueueTriesAgain(t *testing.T) {
	r := newRig(t)
	n := 0
	r.carried = func(home domicile.Region, _ delivery) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n++; n < 4 {
			return domicile.E("link", domicile.Unavailable, "")
		}
		return nil
	}
	r.setDown(domicile.E("x", domicile.Unavailable, ""))
	r.open()
	r.run()
	id, err := r.submit(letterText, "dora")
	if err != nil {
		t.Fatal(err)
	}
	r.until("tries in vain", func() bool { v, err := r.q.Show(id); return err == nil && v.Tries > 2 && v.To[0].Status == "4.4.1" })
	r.away.set(nil, domicile.E("link", domicile.Unknown, "answer lost"))
	r.setDown(nil)
	r.until("lost answers", func() bool {
		v, err := r.q.Show(id)
		return err == nil && v.To[0].Status == "4.3.0" && len(r.got("dora")) == 1
	})
	r.away.set(nil, nil)
	r.empty()
	if got := r.got("dora"); len(got) != 1 {
		t.Errorf("dora has %d", len(got))
	}
	if len(r.got("ann")) != 0 || r.counted(Deferred) < 4 {
		t.Errorf("notices: %d, deferred: %d", len(r.got("ann")), r.counted(Deferred))
	}
}

func TestQueueExpires(t *testing.T) {
	r := newRig(t)
	r.away.other = nil
	r.open()
	r.run()
	id, err := r.submit(letterText, "dora", "bob", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	r.until("a try", func() bool { v, err := r.q.Show(id); return err == nil && v.Tries > 1 })
	got := r.got("ann")
	if len(got) != 1 || !strings.Contains(got[0], "rfc822; nobody@example.com") || strings.Contains(got[0], "dora@") {
		t.Fatalf("of the unknown one: %q", got)
	}
	r.pass(DefaultQueueExpire)
	r.empty()
	if got = r.got("ann")[1:]; len(got) != 1 || !strings.Contains(got[0], "Final-Recipient: rfc822; dora@example.com\r\nAction: failed\r\nStatus: 5.4.7\r\n") || strings.Contains(got[0], "bob@") {
		t.Errorf("notices: %q", got)
	}
	if len(r.got("bob")) != 1 || r.counted(Expired) != 1 {
		t.Errorf("bob has %d, expired %d", len(r.got("bob")), r.counted(Expired))
	}
}

// A notice that its reader has no room for is tried for as long as a message, then given up, and said so.
func TestQueueNoticeIsGivenUp(t *testing.T) {
	r := newRig(t)
	r.carried = func(_ domicile.Region, d delivery) error {
		if d.Sender == "" {
			return domicile.E("x", domicile.TooLarge, "")
		}
		return nil
	}
	r.open()
	r.run()
	id, err := r.submit(letterText, "nobody")
	if err != nil {
		t.Fatal(err)
	}
	r.until("tries", func() bool { v, err := r.q.Show(id); return err == nil && v.Tries > 2 && v.To[0].State == "failed" })
	r.pass(DefaultQueueExpire)
	r.empty()
	if r.counted(NoticeLost) != 1 || r.counted(Noticed) != 0 {
		t.Errorf("%v", r.outcomes)
	}
}

// Erasing an account erases what it has in the queue: nothing of it is delivered, and nothing of it rests.
func TestQueueErasedAccount(t *testing.T) {
	for _, running := range []bool{true, false} {
		r := newRig(t)
		r.away.other = nil
		r.open()
		if running {
			r.run()
		}
		id, err := r.submit(letterText, "dora")
		if err != nil {
			t.Fatal(err)
		}
		if running {
			r.until("a try", func() bool { v, err := r.q.Show(id); return err == nil && v.Tries > 0 })
		}
		if err := r.store.DeleteAccount(t.Context(), "a-ann"); err != nil {
			t.Fatal(err)
		}
		r.away.mu.Lock()
		r.away.other = NewHome(r.second, maxSize, quiet())
		r.away.mu.Unlock()
		if !running {
			r.reopen()
		}
		r.empty()
		if got := r.got("dora"); len(got) != 0 {
			t.Errorf("dora has %d", len(got))
		}
	}
}

func TestQueueDiscard(t *testing.T) {
	r := newRig(t)
	r.away.other = nil
	r.open()
	for range 3 {
		if _, err := r.submit(letterText, "dora"); err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	if n := len(r.q.of("a-ann")); n != 3 || r.q.Idle("a-ann") {
		t.Errorf("%d wait", n)
	}
	if n := len(r.q.of("a-bob")); n != 0 || !r.q.Idle("a-bob") {
		t.Errorf("bob has %d", n)
	}
	for _, id := range r.q.of("a-ann") {
		if _, err := r.q.Hold(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.q.Stats(); s.Held != 3 || s.Waiting != 0 || s.Bytes < 3*entryCost {
		t.Errorf("%+v", s)
	}
	if err := r.q.Discard(t.Context(), "a-ann"); err != nil {
		t.Fatal(err)
	}
	r.empty()
	if n := len(r.got("ann")); n != 0 || !r.q.Idle("a-ann") {
		t.Errorf("%d notices", n)
	}
}

// Nothing of a suspended account is sent until it is resumed.
func TestQueueSuspended(t *testing.T) {
	r := newRig(t)
	state := func(s store.AccountState) {
		t.Helper()
		if err := r.store.UpdateAccount(t.Context(), "a-ann", func(a *store.Account) error { a.State = s; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	state(store.Suspended)
	r.open()
	looks := make(chan struct{}, 1000)
	r.q.pause = func(int) time.Duration {
		select {
		case looks <- struct{}{}:
		default:
		}
		return time.Millisecond
	}
	r.run()
	if _, err := r.submit(letterText, "bob"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		<-looks
	}
	if got := r.got("bob"); len(got) != 0 || r.counted(Deferred) != 0 {
		t.Errorf("bob has %d", len(got))
	}
	state(store.Active)
	r.empty()
	if got := r.got("bob"); len(got) != 1 {
		t.Errorf("bob has %d", len(got))
	}
}

func TestQueueOperators(t *testing.T) {
	r := newRig(t)
	r.away.other = nil
	r.open()
	r.q.pause = func(int) time.Duration { return time.Hour }
	r.run()
	id, err := r.submit(letterText, "dora", "bob")
	if err != nil {
		t.Fatal(err)
	}
	tries := func(n int) {
		t.Helper()
		r.until("a try", func() bool { v, err := r.q.Show(id); return err == nil && v.Tries == n })
	}
	tries(1)
	v, err := r.q.Show(id)
	if err != nil || v.Account != "a-ann" || v.Sender != "ann+tag@example.com" || v.Size != int64(len(letterText)) || v.Held || len(v.To) != 2 ||
		v.To[0].State != "waiting" || v.To[0].Status != "4.4.1" || v.To[1].State != "delivered" {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err := r.q.Hold(t.Context(), id); err != nil || !v.Held {
		t.Fatalf("%+v, %v", v, err)
	}
	r.reopen() // a hold outlives a restart, and the time that messages are tried for
	r.q.pause = func(int) time.Duration { return time.Hour }
	r.pass(2 * DefaultQueueExpire)
	r.q.nudge()
	if s := r.q.Stats(); s.Held != 1 || s.Waiting != 0 || s.Oldest < DefaultQueueExpire {
		t.Errorf("%+v", s)
	}
	r.pass(-2 * DefaultQueueExpire)
	if v, err := r.q.Retry(t.Context(), id); err != nil || v.Held {
		t.Fatalf("%+v, %v", v, err)
	}
	tries(2)
	if list, err := r.q.List(10); err != nil || len(list) != 1 || list[0].ID != id {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := r.q.Drop(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.empty()
	if got := r.got("ann"); len(got) != 1 || !strings.Contains(got[0], "554 5.7.1 It was taken out of the queue by an operator") || strings.Contains(got[0], "bob@") {
		t.Errorf("notices: %q", got)
	}
	if r.counted(Dropped) != 1 {
		t.Errorf("%v", r.outcomes)
	}
	for _, act := range []func(context.Context, string) (Queued, error){r.q.Retry, r.q.Hold, r.q.Drop} {
		if _, err := act(t.Context(), id); domicile.KindOf(err) != domicile.NotExist {
			t.Errorf("of a message that is gone: %v", err)
		}
	}
	if _, err := r.q.Show(id); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("%v", err)
	}
}

// An operator's act waits for a delivery under way, and gives up with its caller.
func TestQueueOperatorWaits(t *testing.T) {
	r := newRig(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	r.carried = func(domicile.Region, delivery) error { close(begun); <-goOn; return nil }
	r.open()
	r.run()
	id, err := r.submit(letterText, "bob")
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.q.Hold(ctx, id); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("%v", err)
	}
	got := make(chan error)
	go func() { _, err := r.q.Drop(t.Context(), id); got <- err }()
	close(goOn)
	if err := <-got; domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("dropped behind its delivery: %v", err)
	}
	if len(r.got("bob")) != 1 || len(r.got("ann")) != 0 {
		t.Error("it was not delivered, or its sender was told that it was not")
	}
}

func TestQueueLimits(t *testing.T) {
	r := newRig(t)
	r.away.other = nil
	r.cfg.AccountBytes, r.cfg.MaxBytes = 3*entryCost, 4*entryCost
	r.open()
	var ids []string
	for range 2 {
		id, err := r.submit(letterText, "dora")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if _, err := r.submit(strings.Repeat("x", 2*entryCost), "dora"); !errors.Is(err, errQueueFull) {
		t.Errorf("within a message: %v", err)
	}
	if _, err := r.submit(letterText, "dora"); !errors.Is(err, errQueueFull) {
		t.Errorf("more than an account may have: %v", err)
	}
	d, err := r.q.draft("a-bob")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.q.draft("a-full"); !errors.Is(err, errQueueFull) {
		t.Errorf("more than all may have: %v", err)
	}
	d.abort()
	if q := r.open(); q.total != 2*(entryCost+int64(len(letterText))) || q.usage["a-ann"] != q.total {
		t.Errorf("after a restart %d bytes count, %d of ann's", q.total, q.usage["a-ann"])
	}
	r.run()
	for _, id := range ids {
		if _, err := r.q.Drop(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	r.empty()
	if _, err := r.submit(letterText, "bob"); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	r.empty()
}

func TestQueueRate(t *testing.T) {
	r := newRig(t)
	r.cfg.Rate = 10
	q := r.open()
	now := time.Now()
	q.now = func() time.Time { return now }
	for range 10 {
		if !q.allow("a-ann") {
			t.Fatal("refused below the rate")
		}
	}
	if q.allow("a-ann") || !q.allow("a-bob") {
		t.Error("the rate is not each account's")
	}
	now = now.Add(12 * time.Minute)
	more := 0
	for q.allow("a-ann") {
		more++
	}
	if more != 2 {
		t.Errorf("12 minutes give %d of ten an hour", more)
	}
}

// A message that was damaged on disk, or lost: its sender is told, and nobody gets a part of it.
func TestQueueDamage(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"lost": os.Remove,
		"cut":  func(path string) error { return os.Truncate(path, 200) },
		"altered": func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)-1] ^= 1
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		},
	} {
		r := newRig(t)
		r.open()
		id, err := r.submit(letterText+strings.Repeat("more\r\n", 10000), "bob", "dora")
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(r.q.path(id)); err != nil {
			t.Fatal(err)
		}
		r.run()
		r.empty()
		if got := r.got("ann"); len(got) != 1 || !strings.Contains(got[0], "Status: 5.3.0") {
			t.Errorf("%s: notices: %q", name, got)
		}
		if len(r.got("bob"))+len(r.got("dora")) != 0 {
			t.Errorf("%s: a part was delivered", name)
		}
	}
}

// A record that cannot be read keeps its file, and stops nobody else's.
func TestQueueDamagedRecord(t *testing.T) {
	r := newRig(t)
	r.open()
	id, err := r.submit(letterText, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.q.table.Put(id, []byte{entryVersion + 1, 0}); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if _, err := os.Stat(r.q.path(id)); err != nil {
		t.Error(err)
	}
	if _, err := r.submit(letterText, "bob"); err != nil {
		t.Fatal(err)
	}
	r.until("the other one", func() bool { return len(r.got("bob")) == 1 })
}

// A home that does not move takes no more than its share of the deliveries.
func TestQueueStuckHome(t *testing.T) {
	r := newRig(t)
	goOn := make(chan struct{})
	var mu sync.Mutex
	at, most := 0, 0
	r.carried = func(home domicile.Region, _ delivery) error {
		if home != berlin {
			return nil
		}
		mu.Lock()
		at++
		most = max(most, at)
		mu.Unlock()
		<-goOn
		mu.Lock()
		at--
		mu.Unlock()
		return nil
	}
	r.open()
	for range 2 * queueWorkers {
		if _, err := r.submit(letterText, "dora"); err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	r.until("a stuck home", func() bool { mu.Lock(); defer mu.Unlock(); return at == queueEach })
	if _, err := r.submit(letterText, "bob"); err != nil {
		t.Fatal(err)
	}
	r.until("bob's", func() bool { return len(r.got("bob")) == 1 })
	close(goOn)
	r.until("all of dora's", func() bool { return len(r.got("dora")) == 2*queueWorkers })
	if most != queueEach {
		t.Errorf("%d at once", most)
	}
}

// Nothing of a queued message can be read on disk: neither in its file nor in the store that has its record.
func TestQueueRestsSealed(t *testing.T) {
	r := newRig(t)
	r.open()
	const marker = "plughxyzzy"
	id, err := r.submit("Subject: "+marker+"\r\n\r\n"+marker+"\r\n", marker)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(r.q.path(id))
	if err != nil || len(raw) < 40 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	record, ok, err := r.q.table.Get(id)
	if err != nil || !ok {
		t.Fatal(err)
	}
	for _, b := range [][]byte{raw, record, []byte(id)} {
		for _, word := range []string{marker, "ann@", "ann+tag"} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%q is readable", word)
			}
		}
	}
}

// The longest entry fits a record of the store, whatever is answered.
func TestQueueLongestEntry(t *testing.T) {
	r := newRig(t)
	r.away.other = nil
	r.open()
	e := &entry{Sender: "ann@example.com", Trace: strings.Repeat("x", maxTrace), Queued: time.Now()}
	for i := range maxRecipients {
		a := fmt.Sprintf("%03d", i) + strings.Repeat("&", 61) + "@" + strings.Repeat("abcdefghi.", 18) + "example"
		if _, err := placement.ParseAddress(a); err != nil {
			t.Fatal(err)
		}
		f := &rcptFate{Address: domicile.Address(a)}
		e.answer(f, refusal(domicile.Refuse("x", domicile.Reason(longest(domicile.Reasons)), "", ""), 1), time.Now())
		e.answer(f, expired(DefaultQueueExpire, f), time.Now())
		e.To = append(e.To, f)
	}
	d, err := r.q.draft("a-ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.commit(e); err != nil {
		t.Fatal(err)
	}
}

func longest(all []domicile.Reason) domicile.Reason {
	return slices.MaxFunc(all, func(a, b domicile.Reason) int { return len(a) - len(b) })
}
