package residence

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
)

var machine = Actor{Name: "eu-ireland-1", Region: "eu-ireland"}

// approved makes a change that a second person has approved.
func (b *bench) approved(t testing.TB) Change {
	t.Helper()
	b.declare(t, acct, "IE")
	c := b.request(t, acct)
	b.pass(DefaultCoolDown + time.Second)
	c, err := b.Approve(ctx, c.ID, ops2)
	if err != nil {
		t.Fatal(err)
	}
	b.pass(time.Minute)
	return c
}

// text is what JSON says of v.
func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestMove(t *testing.T) {
	b := open(t)
	c := b.approved(t)
	if _, err := b.Moved(ctx, c.ID, machine); answer(err) != "conflict" {
		t.Errorf("a change that does not move became effective: %v", err)
	}
	for _, step := range []struct {
		act     func(context.Context, string, Actor) (Change, error)
		state   State
		country domicile.Country
	}{{b.Moving, Moving, "IE"}, {b.Moving, Moving, "IE"}, {b.Moved, Effective, "US"}, {b.Moved, Effective, "US"}} {
		got, err := step.act(ctx, c.ID, machine)
		if err != nil || got.State != step.state || got.Reviewer != ops2.Name {
			t.Fatalf("%+v, %v; want %s", got, err, step.state)
		}
		if s, err := b.Now(acct); err != nil || s.State != step.state || s.Country != step.country {
			t.Fatalf("%+v, %v; want %s", s, err, step.state)
		}
		b.pass(time.Hour)
	}
	if n := len(b.log); n != 5 { // declared, requested, approved, moving, moved
		t.Errorf("recorded %v", b.log)
	}
	before, err := b.At(acct, b.clock(), c.Reviewed)
	if err != nil || before.Country != "IE" {
		t.Errorf("known before the move: %+v, %v", before, err)
	}
	if _, err := b.Reject(ctx, c.ID, ops1); answer(err) != "conflict" {
		t.Errorf("a change that is effective was rejected: %v", err)
	}
	if _, err := b.Request(ctx, Request{Account: acct, Country: "IE", Evidence: []Evidence{{Kind: Bank, Country: "IE"}, {Kind: Tax, Country: "IE"}}}, ops1); answer(err) != "cooling_down" {
		t.Errorf("a second change within 180 days: %v", err)
	}
}

// A move that ended before its handover rests anew, frozen or not, and looks the same to everyone but legal roles.
func TestMoveReturned(t *testing.T) {
	views := map[bool]string{}
	for _, held := range []bool{false, true} {
		b := open(t)
		c := b.approved(t)
		if _, err := b.Moving(ctx, c.ID, machine); err != nil {
			t.Fatal(err)
		}
		if held {
			if err := b.Freeze(ctx, acct, "case-1", legal); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Request(ctx, Request{Account: acct, Country: "DE"}, ops1); answer(err) != "cooling_down" {
			t.Errorf("a change asked for while another moves: %v", err)
		}
		for range 2 {
			if got, err := b.Returned(ctx, c.ID, machine); err != nil || got.State != Cooling || got.Reviewer != "" {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		_, err := b.Approve(ctx, c.ID, ops2)
		if answer(err) != "cooling_down" {
			t.Errorf("approved again before it has rested: %v", err)
		}
		s, _ := b.Now(acct)
		h, _ := b.History(acct, ops1)
		changes, _ := b.Changes()
		views[held] = dropTimes(strings.Join([]string{err.Error(), text(t, s.For(ops1)), text(t, h), text(t, changes)}, "\n"))
		b.pass(DefaultCoolDown + time.Second)
		_, err = b.Approve(ctx, c.ID, ops2)
		if _, moving := b.Moving(ctx, c.ID, machine); held && answer(moving) == "" || !held && (err != nil || moving != nil) {
			t.Errorf("held %v: approved %v, moving %v", held, err, moving)
		}
	}
	if views[false] != views[true] {
		t.Errorf("a freeze gives itself away:\n%s\n%s", views[false], views[true])
	}
	b := open(t)
	c := b.approved(t)
	if err := b.Freeze(ctx, acct, "case-1", legal); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Moving(ctx, c.ID, machine); answer(err) != "residence_frozen" {
		t.Errorf("a frozen account moves: %v", err)
	}
}

// What the last home knew can be asked in the next one, for every pair of times.
func TestCarry(t *testing.T) {
	b := open(t)
	if err := b.Freeze(ctx, acct, "case-0", legal); err != nil {
		t.Fatal(err)
	}
	if err := b.Unfreeze(ctx, acct, "case-0", legal); err != nil {
		t.Fatal(err)
	}
	c := b.approved(t)
	if _, err := b.Moving(ctx, c.ID, machine); err != nil {
		t.Fatal(err)
	}
	carried, err := b.Carry(acct)
	if err != nil || slices.ContainsFunc(carried, Entry.secret) || len(carried) != 4 {
		t.Fatalf("%+v, %v", carried, err)
	}
	if got, err := Approval(carried, c.ID, "eu-ireland"); err != nil || got.To != "US" {
		t.Fatalf("%+v, %v", got, err)
	}
	far := open(t)
	far.pass(b.clock().Sub(start))
	for range 2 {
		if err := far.Receive(ctx, acct, carried); err != nil {
			t.Fatal(err)
		}
	}
	far.reopen(t)
	for _, l := range []*bench{b, far} {
		if _, err := l.Moved(ctx, c.ID, machine); err != nil {
			t.Fatal(err)
		}
	}
	if len(far.log) != len(carried)+1 {
		t.Errorf("recorded %v", far.log)
	}
	for valid := start.Add(-time.Hour); valid.Before(b.clock().Add(2 * time.Hour)); valid = valid.Add(6 * time.Hour) {
		for _, known := range []time.Time{start.Add(-1), start.Add(time.Second), c.Requested, c.Reviewed, endOfTime} {
			was, err1 := b.At(acct, valid, known)
			is, err2 := far.At(acct, valid, known)
			if answer(err1) != answer(err2) || was.Country != is.Country || was.State != is.State && known != endOfTime {
				t.Fatalf("valid %s, known %s: %s %s %v, and behind the move %s %s %v", valid, known, was.Country, was.State, err1, is.Country, is.State, err2)
			}
		}
	}

	// And back: only what is new is added.
	far.pass(DefaultBetween)
	b.pass(DefaultBetween)
	home, err := far.Request(ctx, Request{Account: acct, Country: "IE", Evidence: []Evidence{{Kind: Bank, Country: "IE"}, {Kind: Tax, Country: "IE"}}}, Actor{Name: "ops", Region: "eu-ireland"})
	if err != nil || home.ID != string(acct)+".2" {
		t.Fatalf("%+v, %v", home, err)
	}
	back, err := far.Carry(acct)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := b.History(acct, legal)
	if err := b.Receive(ctx, acct, back); err != nil {
		t.Fatal(err)
	}
	if after, _ := b.History(acct, legal); len(after) != len(before)+1 || after[len(after)-1].Change != home.ID {
		t.Errorf("%d entries became %d", len(before), len(after))
	}
}

func TestMinimise(t *testing.T) {
	b := open(t)
	b.declare(t, acct, "IE")
	items := []Evidence{{Kind: Bank, Country: "US", Source: "the bank's letter"}, {Kind: Tax, Country: "US", Session: "s-1", Expires: start.AddDate(1, 0, 0)}}
	c, err := b.Request(ctx, Request{Account: acct, Country: "US", Evidence: items}, ops1)
	if err != nil {
		t.Fatal(err)
	}
	b.table.minimised = true
	for range 2 {
		if err := b.Minimise(acct); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Change(c.ID)
	want := []Evidence{{Kind: Bank, Country: "US", Strength: Strong}, {Kind: Tax, Country: "US", Strength: Strong}}
	if err != nil || !slices.Equal(got.Evidence, want) || got.By != ops1 || !got.Requested.Equal(c.Requested) {
		t.Errorf("%+v, %v", got, err)
	}
	for key, row := range b.table.rows {
		if strings.Contains(row, "letter") || strings.Contains(row, "s-1") {
			t.Errorf("%s has %s", key, row)
		}
	}
}

// What another region sends is held against the form of a ledger, and a move against who approved it.
func TestCarriedIsChecked(t *testing.T) {
	b := open(t)
	c := b.approved(t)
	good, err := b.Carry(acct)
	if err != nil {
		t.Fatal(err)
	}
	with := func(fn func([]Entry) []Entry) []Entry { return fn(slices.Clone(good)) }
	for name, bad := range map[string][]Entry{
		"another account":    with(func(e []Entry) []Entry { e[0].Account = other; return e }),
		"another version":    with(func(e []Entry) []Entry { e[1].Version = 2; return e }),
		"out of order":       with(func(e []Entry) []Entry { e[0], e[1] = e[1], e[0]; return e }),
		"twice":              with(func(e []Entry) []Entry { return append(e, e[len(e)-1]) }),
		"of the future":      with(func(e []Entry) []Entry { e[len(e)-1].KnownAt = b.clock().Add(time.Hour); return e }),
		"a freeze":           with(func(e []Entry) []Entry { e[0].Act = ActFrozen; return e }),
		"evidence at will":   with(func(e []Entry) []Entry { e[0].Evidence = make([]Evidence, 17); return e }),
		"a name at will":     with(func(e []Entry) []Entry { e[0].By.Name = strings.Repeat("x", 129); return e }),
		"more than a ledger": make([]Entry, maxEntries),
	} {
		far := open(t)
		far.pass(b.clock().Sub(start))
		if err := far.Receive(ctx, acct, bad); err == nil {
			t.Errorf("%s was taken", name)
		}
		if len(far.log) > 0 || len(far.table.rows) > 0 {
			t.Errorf("%s left %v", name, far.log)
		}
	}
	approval := len(good) - 1
	for name, bad := range map[string][]Entry{
		"nothing":               nil,
		"no approval":           good[:approval],
		"approved by who asked": with(func(e []Entry) []Entry { e[approval].By = ops1; return e }),
		"approved by nobody":    with(func(e []Entry) []Entry { e[approval].By.Name = ""; return e }),
		"approved elsewhere":    with(func(e []Entry) []Entry { e[approval].By = abroad; return e }),
		"asked for elsewhere":   with(func(e []Entry) []Entry { e[approval-1].By = abroad; return e }),
		"rejected since":        with(func(e []Entry) []Entry { return append(e, Entry{Act: ActRejected, Change: c.ID}) }),
		"returned since":        with(func(e []Entry) []Entry { return append(e, Entry{Act: ActReturned, Change: c.ID}) }),
		"done already":          with(func(e []Entry) []Entry { return append(e, Entry{Act: ActMoved, Change: c.ID}) }),
	} {
		if _, err := Approval(bad, c.ID, "eu-ireland"); answer(err) != "move_not_approved" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Approval(good, string(acct)+".9", "eu-ireland"); answer(err) != "move_not_approved" {
		t.Errorf("another change: %v", err)
	}
}
