package move

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"domicile"
	"domicile/residence"
	"domicile/store"
)

// arrived checks that ann is in the US as she was in Ireland, and nowhere else.
func (w *world) arrived(want string, epoch uint64) {
	t := w.t
	t.Helper()
	from, to := w.sides[ie], w.sides[us]
	if got := to.portrait(); got != want {
		t.Errorf("behind the move:\n%s\nbefore:\n%s", got, want)
	}
	a, err := to.store.Account(ctx, ann)
	if err != nil || a.State != store.Active || a.Epoch != epoch || a.Residence != "US" || a.Password != "$phc" || a.Quota != 1<<30 || string(a.TokenKey) != "key of eu-ireland" {
		t.Errorf("%+v, %v", a, err)
	}
	if from.serves() || !to.serves() {
		t.Errorf("Ireland serves %v, the US %v", from.serves(), to.serves())
	}
	if _, err := from.store.Account(ctx, ann); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("the account at the source: %v", err)
	}
	if raw, err := os.ReadFile(filepath.Join(from.dir, "keys", "account.keys")); err != nil || bytes.Contains(raw, []byte(ann)) {
		t.Errorf("the key at the source: %v", err)
	}
	for _, s := range w.sides {
		if loc, err := s.names.Resolve(ctx, annAt); err != nil || loc.Home != us || loc.Epoch != epoch || loc.Account != ann {
			t.Errorf("%s finds %+v, %v", s.region, loc, err)
		}
		now, err := s.ledger.Now(ann)
		if err != nil || now.Country != "US" || now.State != residence.Effective {
			t.Errorf("the ledger of %s: %+v, %v", s.region, now, err)
		}
	}
	left := 0
	if err := to.machine().rows.table.Each(func(key string, _ []byte) error {
		if isHistory(key) {
			left++
		}
		return nil
	}); err != nil || left > 0 {
		t.Errorf("%d entries rest beside the ledger, %v", left, err)
	}
}

// Parts that arrived without the source's knowing, as by a call that was given up and was carried out late, change nothing: the source goes on from where the import stands,
// whatever it has read ahead and sent.
func TestMovePartsCameLate(t *testing.T) {
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	want := from.portrait()
	var late sync.Once
	w.before = func(method string) {
		if method != methodPart {
			return
		}
		late.Do(func() {
			p := store.Part{}
			for range 2 { // of three
				var err error
				if p, err = from.store.Export(ctx, ann, p.Next, store.MaxPart); err == nil {
					err = to.store.Import(ctx, ann, p)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	from.run()
	to.run()
	w.until("the erasure", func() bool { return from.state(id) == Erased && to.state(id) == Erased })
	w.arrived(want, 2)
}

// Parts that are on their way together arrive in any order, and are taken in their own, each once. A target that does not have them wait gets them one by one.
func TestMovePartsOvertake(t *testing.T) {
	for _, alone := range []bool{false, true} {
		w := newWorld(t)
		id := w.settle(true)
		from, to := w.sides[ie], w.sides[us]
		want := from.portrait()
		w.alone = alone
		var sent atomic.Int32
		overtaken := make(chan struct{})
		w.before = func(method string) {
			if method != methodPart {
				return
			}
			switch sent.Add(1) {
			case 1: // the first or another: whichever it is
				<-overtaken
			case 3:
				close(overtaken)
			}
		}
		from.run()
		to.run()
		w.until("the erasure", func() bool { return from.state(id) == Erased && to.state(id) == Erased })
		w.arrived(want, 2)
		if n := sent.Load(); !alone && n != 3 {
			t.Errorf("%d parts were sent", n)
		}
	}
}

func TestMove(t *testing.T) {
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	want := from.portrait()
	from.run()
	to.run()
	w.until("the erasure", func() bool { return from.state(id) == Erased && to.state(id) == Erased })
	w.arrived(want, 2)
	if got := from.kinds(); !slices.Equal(got, []string{"planned", "frozen", "copying", "handed-over", "serving", "erased"}) {
		t.Errorf("the source's log has %v", got)
	}
	if got := to.kinds(); !slices.Equal(got, []string{"receiving", "received", "handed-over", "serving", "erased"}) {
		t.Errorf("the target's log has %v", got)
	}
	left, err := from.machine().Move(ctx, id)
	came, err2 := to.machine().Move(ctx, id)
	if err != nil || err2 != nil || left.Receipt == nil || came.Receipt == nil || *left.Receipt != *came.Receipt || !left.Done || !came.Done || left.Bytes != left.Total || left.Total != 5<<20+3010 {
		t.Errorf("%+v\n%+v", left, came)
	}
	if n := from.machine().Moved(); n != left.Total {
		t.Errorf("%d bytes are counted", n)
	}
	if _, err := from.machine().Cancel(ctx, id, "ops"); domicile.ReasonOf(err) != domicile.MovePastHandover {
		t.Errorf("cancelled behind the handover: %v", err)
	}

	// A repetition of a delivery from before is known; and there is a way back.
	in, err := to.store.Incoming(ctx, ann, 100)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := in.Commit(ctx, "smtp-3", "INBOX", nil, w.clock()); err != nil || m.UID != 4 {
		t.Errorf("%+v, %v", m, err)
	}
	want = to.portrait()
	back := w.approve(us, "DE")
	if back != string(ann)+".2" {
		t.Errorf("the change back is %s", back)
	}
	to.machine().Wake()
	w.until("the way back", func() bool { return to.state(back) == Erased && from.state(back) == Erased })
	if got := from.portrait(); got != want {
		t.Errorf("there and back:\n%s\nbefore:\n%s", got, want)
	}
	if a, err := from.store.Account(ctx, ann); err != nil || a.Epoch != 3 || a.Residence != "DE" || string(a.TokenKey) != "key of eu-ireland" {
		t.Errorf("%+v, %v", a, err)
	}
	h, err := from.ledger.History(ann, residence.Actor{Legal: true})
	acts := []string{}
	for _, e := range h {
		acts = append(acts, string(e.Act))
	}
	if got := strings.Join(acts, " "); err != nil || got != "declared requested approved moving moved requested approved moving moved" {
		t.Errorf("%s, %v", got, err)
	}
}

// A change between countries of one region needs no move.
func TestStays(t *testing.T) {
	w := newWorld(t)
	w.settle(false)
	id := w.approve(ie, "DE")
	from := w.sides[ie]
	from.run()
	w.until("the new residence", func() bool { c, err := from.ledger.Change(id); return err == nil && c.State == residence.Effective })
	if a, err := from.store.Account(ctx, ann); err != nil || a.Residence != "DE" || a.Epoch != 1 || a.State != store.Active {
		t.Errorf("%+v, %v", a, err)
	}
	if list, err := from.machine().Moves(ctx); err != nil || len(list) > 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// A suspended account arrives suspended.
func TestSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	if err := from.store.UpdateAccount(ctx, ann, func(a *store.Account) error { a.State = store.Suspended; return nil }); err != nil {
		t.Fatal(err)
	}
	from.run()
	to.run()
	w.until("the end", func() bool { return from.state(id) == Erased && to.state(id) == Erased })
	if a, err := to.store.Account(ctx, ann); err != nil || a.State != store.Suspended || a.Epoch != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestOpenNeedsItsParts(t *testing.T) {
	if _, err := Open(Config{}); domicile.KindOf(err) != domicile.Invalid {
		t.Error(err)
	}
}

// TestNoMail: an account that has no mail moves too; its last part is empty.
func TestNoMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	from, to := w.sides[ie], w.sides[us]
	err := errors.Join(
		from.names.Claim(ctx, annAt, ann, 1),
		from.store.CreateAccount(ctx, "", store.Account{ID: ann, Address: annAt, Residence: "IE"}),
		from.ledger.Declare(ctx, residence.Declaration{Account: ann, Country: "IE", Evidence: []residence.Evidence{{Kind: residence.Billing, Country: "IE"}}}, residence.Actor{Name: "ops", Region: ie}))
	if err != nil {
		t.Fatal(err)
	}
	id := w.approve(ie, "US")
	from.run()
	to.run()
	w.until("the end", func() bool { return from.state(id) == Cancelled || from.state(id) == Erased && to.state(id) == Erased })
	if from.state(id) != Erased || !to.serves() {
		t.Errorf("the move is %s: %s", from.state(id), strings.Join(from.logged.last, ""))
	}
}
