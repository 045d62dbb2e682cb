package residence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
)

var ctx = context.Background()

const (
	acct  = domicile.AccountID("aq2f")
	other = domicile.AccountID("aq2g")
)

func TestDeclare(t *testing.T) {
	b := open(t)
	item := func(c domicile.Country) []Evidence { return []Evidence{{Kind: Billing, Country: c}} }
	for _, c := range []struct {
		name string
		d    Declaration
		who  Actor
		want string
	}{
		{"XX", Declaration{Account: acct, Country: "XX", Evidence: item("IE")}, ops1, "unknown_country"},
		{"nowhere", Declaration{Account: acct, Evidence: item("IE")}, ops1, "unknown_country"},
		{"no evidence", Declaration{Account: acct, Country: "IE"}, ops1, "evidence_insufficient"},
		{"evidence for elsewhere", Declaration{Account: acct, Country: "IE", Evidence: item("US")}, ops1, "evidence_contradicts"},
		{"evidence for nowhere", Declaration{Account: acct, Country: "IE", Evidence: item("XX")}, ops1, "unknown_country"},
		{"from next year on", Declaration{Account: acct, Country: "IE", Evidence: item("IE"), ValidFrom: start.AddDate(1, 0, 0)}, ops1, "invalid"},
		{"no account", Declaration{Country: "IE", Evidence: item("IE")}, ops1, "invalid"},
		{"an address", Declaration{Account: "anna@example.com", Country: "IE", Evidence: item("IE")}, ops1, "invalid"},
		{"a path", Declaration{Account: "../x", Country: "IE", Evidence: item("IE")}, ops1, "invalid"},
		{"by nobody", Declaration{Account: acct, Country: "IE", Evidence: item("IE")}, Actor{}, "invalid"},
		{"Ireland", Declaration{Account: acct, Country: "ie", Evidence: item("ie"), ValidFrom: start.AddDate(-1, 0, 0)}, ops1, ""},
		{"Ireland again", Declaration{Account: acct, Country: "IE", Evidence: item("IE")}, ops1, ""},
		{"another country instead", Declaration{Account: acct, Country: "DE", Evidence: item("DE")}, ops1, "exist"},
	} {
		if got := answer(b.Declare(ctx, c.d, c.who)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	s, err := b.Now(acct)
	if err != nil || s.Country != "IE" || s.State != Effective || !s.Since.Equal(start.AddDate(-1, 0, 0)) || s.Declaration.Evidence[0].ObservedAt != start {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := b.Now(other); domicile.KindOf(err) != domicile.NotExist {
		t.Error(err)
	}
	if len(b.log) != 1 {
		t.Errorf("recorded %v", b.log)
	}
}

// A change from asking to approval, and what is known of it at each time.
func TestChange(t *testing.T) {
	b := open(t)
	b.declare(t, acct, "IE")
	b.pass(time.Hour)
	c := b.request(t, acct)
	if c.State != Cooling || c.From != "IE" || c.To != "US" || c.By != ops1 {
		t.Errorf("%+v", c)
	}
	if _, err := b.Request(ctx, Request{Account: acct, Country: "DE", Evidence: nil}, ops2); answer(err) != "cooling_down" {
		t.Error(err)
	}
	if _, err := b.Approve(ctx, c.ID, ops2); answer(err) != "cooling_down" {
		t.Error(err)
	}
	b.pass(DefaultCoolDown)
	if _, err := b.Approve(ctx, c.ID, ops1); answer(err) != "self_approval" {
		t.Error(err)
	}
	if _, err := b.Approve(ctx, c.ID, abroad); answer(err) != "wrong_region" {
		t.Error(err)
	}
	for range 2 { // the answer of the first may have been lost
		got, err := b.Approve(ctx, c.ID, ops2)
		if err != nil || got.State != Approved || got.Reviewer != ops2.Name {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	s, _ := b.Now(acct)
	if s.Country != "IE" || s.State != Approved {
		t.Errorf("an approved change rests until the move: %+v", s)
	}
	for known, want := range map[time.Time]State{start: Effective, start.Add(time.Hour): Cooling, b.clock(): Approved} {
		if s, err := b.At(acct, known, known); err != nil || s.State != want {
			t.Errorf("known at %v: %s, %v; want %s", known, s.State, err, want)
		}
	}
	if got, want := strings.Join(b.log, ","), "declared aq2f,requested aq2f,approved aq2f"; got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
	if _, err := b.Reject(ctx, c.ID, ops1); err != nil {
		t.Fatal(err)
	}
	if s, _ := b.Now(acct); s.State != Effective || s.Change != nil {
		t.Errorf("%+v", s)
	}
}

func TestChangeRefusedForItsEvidence(t *testing.T) {
	b := open(t)
	b.declare(t, acct, "IE")
	if c, err := b.Request(ctx, Request{Account: acct, Country: "US", Evidence: toUS[:1]}, ops1); answer(err) != "evidence_insufficient" || c.State != Rejected {
		t.Errorf("%+v, %v", c, err)
	}
	mixed := []Evidence{{Kind: Billing, Country: "US"}, {Kind: SIM, Country: "IE"}}
	c, err := b.Request(ctx, Request{Account: acct, Country: "US", Evidence: mixed}, ops1)
	if answer(err) != "evidence_contradicts" || c.State != Contested {
		t.Errorf("%+v, %v", c, err)
	}
	if s, _ := b.Now(acct); s.State != Contested || s.Country != "IE" {
		t.Errorf("%+v", s)
	}
	b.pass(DefaultCoolDown)
	if _, err := b.Approve(ctx, c.ID, ops2); answer(err) != "evidence_contradicts" {
		t.Error(err)
	}
	if c := b.request(t, acct); c.State != Cooling { // cleared up with the customer
		t.Errorf("%+v", c)
	}
	for req, want := range map[*Request]string{
		{Account: other, Country: "US", Evidence: toUS}:                                   "not_exist",
		{Account: acct, Country: "XX", Evidence: toUS}:                                    "unknown_country",
		{Account: acct, Country: "US", Evidence: make([]Evidence, 99)}:                    "too_large",
		{Account: acct, Country: "US", Evidence: toUS, ValidFrom: start.AddDate(1, 0, 0)}: "invalid",
	} {
		if _, err := b.Request(ctx, *req, ops1); answer(err) != want {
			t.Errorf("%+v: %v, want %s", req, err, want)
		}
	}
	for _, id := range []string{"", "x", "aq2f", "aq2f.", "aq2f.99", "aq2g.1", "../x.1", strings.Repeat("a", 999) + ".1"} {
		if _, err := b.Approve(ctx, id, ops2); answer(err) != "not_exist" {
			t.Errorf("approve %q: %v", id, err)
		}
	}
	changes, err := b.Changes()
	if err != nil || len(changes) != 3 {
		t.Errorf("%+v, %v", changes, err)
	}
}

// Two accounts go through the same acts, one of them frozen. No operator can tell which.
func TestFreezeDoesNotShow(t *testing.T) {
	b := open(t)
	if err := b.Freeze(ctx, acct, "case-1", legal); err != nil { // before anything is declared
		t.Fatal(err)
	}
	show := func(a domicile.AccountID) string {
		var out []any
		s, err := b.Now(a)
		out = append(out, s.For(ops1), fmt.Sprint(err))
		h, err := b.History(a, ops1)
		out = append(out, h, fmt.Sprint(err))
		text, _ := json.Marshal(out)
		return strings.ReplaceAll(string(text), string(a), "ACCOUNT")
	}
	both := func(what string, do func(domicile.AccountID) error) {
		t.Helper()
		one, two := do(acct), do(other)
		if fmt.Sprint(one) != fmt.Sprint(two) {
			t.Errorf("%s: frozen: %v, free: %v", what, one, two)
		}
	}
	both("declare", func(a domicile.AccountID) error { b.declare(t, a, "IE"); return nil })
	if err := b.Freeze(ctx, acct, "case-2", legal); err != nil {
		t.Fatal(err)
	}
	both("ask", func(a domicile.AccountID) error {
		c, err := b.Request(ctx, Request{Account: a, Country: "US", Evidence: toUS}, ops1)
		if want := string(a) + ".1"; c.ID != want {
			t.Errorf("id %s, want %s", c.ID, want)
		}
		return err
	})
	both("ask again", func(a domicile.AccountID) error {
		_, err := b.Request(ctx, Request{Account: a, Country: "US", Evidence: toUS}, ops1)
		return err
	})
	both("approve early", func(a domicile.AccountID) error { _, err := b.Approve(ctx, string(a)+".1", ops2); return err })
	if one, two := dropTimes(show(acct)), dropTimes(show(other)); one != two {
		t.Errorf("it shows:\n%s\n%s", one, two)
	}
	b.pass(DefaultCoolDown + time.Second)
	if _, err := b.Approve(ctx, "aq2f.1", ops2); answer(err) != "cooling_down" {
		t.Error(err)
	}
	if _, err := b.Approve(ctx, "aq2f.1", legal); answer(err) != "residence_frozen" {
		t.Error(err)
	}
	if s, _ := b.Now(acct); s.For(legal).State != Frozen || len(s.For(legal).Cases) != 2 || s.For(ops1).State != Cooling || s.For(ops1).Cases != nil {
		t.Errorf("%+v", s)
	}
	for i, id := range []string{"case-1", "case-1", "case-2"} {
		if held, err := b.Frozen(acct); err != nil || !held {
			t.Errorf("%d: %v, %v", i, held, err)
		}
		if err := b.Unfreeze(ctx, acct, id, legal); err != nil {
			t.Error(err)
		}
	}
	if held, _ := b.Frozen(acct); held {
		t.Error("still frozen after the last case")
	}
	if h, _ := b.History(acct, legal); len(h) != 6 {
		t.Errorf("legal sees %d entries, want 6", len(h))
	}
	if _, err := b.Approve(ctx, "aq2f.1", ops2); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", strings.Repeat("c", 999)} {
		if err := b.Freeze(ctx, acct, bad, legal); answer(err) != "invalid" {
			t.Errorf("case %q: %v", bad, err)
		}
	}
}

// dropTimes cuts the nanoseconds by which known times of one account are kept apart.
func dropTimes(s string) string {
	var out strings.Builder
	for part := range strings.SplitSeq(s, `Z"`) {
		if i := strings.LastIndex(part, `"2026-`); i >= 0 {
			part = part[:i] + `"TIME`
		}
		out.WriteString(part)
	}
	return out.String()
}

func TestNothingWithoutALeaf(t *testing.T) {
	b := open(t)
	b.declare(t, acct, "IE")
	b.full = errors.New("log is full")
	for name, err := range map[string]error{
		"declare": b.Declare(ctx, Declaration{Account: other, Country: "IE", Evidence: []Evidence{{Kind: Statement, Country: "IE"}}}, ops1),
		"request": func() error {
			_, err := b.Request(ctx, Request{Account: acct, Country: "US", Evidence: toUS}, ops1)
			return err
		}(),
		"freeze": b.Freeze(ctx, acct, "c1", legal),
	} {
		if domicile.KindOf(err) != domicile.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.full = nil
	b.reopen(t)
	if s, err := b.Now(acct); err != nil || s.State != Effective {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := b.Now(other); domicile.KindOf(err) != domicile.NotExist {
		t.Error(err)
	}
	b.declare(t, other, "IE") // and it can be tried again
	b.request(t, acct)
	if got, want := strings.Join(b.log, ","), "declared aq2f,declared aq2g,requested aq2f"; got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
}

// Neither the leaf nor its failure can be written: then it is not said that nothing was done.
func TestLedgerSaysWhenItIsUnsure(t *testing.T) {
	d := Declaration{Account: acct, Country: "IE", Evidence: []Evidence{{Kind: Statement, Country: "IE"}}}
	for what, full := range map[string]error{"void": errors.New("log is full"), "recorded": nil} {
		b := open(t)
		b.full = full
		b.table.failAt = 3 // after the first look and the entry
		if err := b.Declare(ctx, d, ops1); domicile.KindOf(err) != domicile.Unknown {
			t.Errorf("%s: %v", what, err)
		}
		b.full = nil
		if err := b.Declare(ctx, d, ops1); err != nil {
			t.Errorf("%s, again: %v", what, err)
		}
		if h, err := b.History(acct, legal); err != nil || len(h) != 1 {
			t.Errorf("%s: %d entries, %v", what, len(h), err)
		}
	}
}

// Each call of the table fails once, with nothing written and with the answer lost; then the process starts anew. What
// the ledger says is in the log, what was answered stays, and all can be tried again.
func TestLedgerSurvivesEveryFailure(t *testing.T) {
	for _, reached := range []bool{false, true} {
		for at := 1; ; at++ {
			b := open(t)
			b.table.failAt, b.table.reached = at, reached
			d := Declaration{Account: acct, Country: "IE", Evidence: []Evidence{{Kind: Statement, Country: "IE"}}}
			declared := b.Declare(ctx, d, ops1)
			frozen := b.Freeze(ctx, acct, "c1", legal)
			if b.table.calls < at {
				break
			}
			b.table.failAt = 0
			b.reopen(t)
			what := fmt.Sprintf("call %d, reached %v, declare %v, freeze %v", at, reached, declared, frozen)
			_, err := b.Now(acct)
			held, _ := b.Frozen(acct)
			if (err == nil) != slices.Contains(b.log, "declared aq2f") || held != slices.Contains(b.log, "frozen aq2f") {
				t.Errorf("%s: declared %v, frozen %v, log %v", what, err == nil, held, b.log)
			}
			if declared == nil && err != nil || frozen == nil && !held {
				t.Errorf("%s: what was answered is gone", what)
			}
			if err := errors.Join(b.Declare(ctx, d, ops1), b.Freeze(ctx, acct, "c1", legal)); err != nil {
				t.Errorf("%s: again: %v", what, err)
			}
			if h, err := b.History(acct, legal); err != nil || len(h) != 2 {
				t.Errorf("%s: %d entries, %v", what, len(h), err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	table := &memTable{rows: map[string]string{}}
	record := func(context.Context, Entry) error { return nil }
	for name, cfg := range map[string]Config{
		"no region": {Table: table, Record: record}, "no table": {Region: "eu-ireland", Record: record},
		"no record": {Region: "eu-ireland", Table: table}, "a negative rest": {Region: "eu-ireland", Table: table, Record: record, CoolDown: -1},
	} {
		if _, err := Open(cfg); answer(err) != "invalid" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "{", `{"v":2}`, `{}`} {
		table.rows["aq2f/000001"] = bad
		if _, err := Open(Config{Region: "eu-ireland", Table: table, Record: record}); err == nil {
			t.Errorf("entry %q is accepted", bad)
		}
	}
}

// Operators act at once: each change is entered once, in one order, and known times never repeat.
func TestLedgerRace(t *testing.T) {
	b := open(t)
	b.declare(t, acct, "IE")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, _ = b.Request(ctx, Request{Account: acct, Country: "US", Evidence: toUS}, ops1)
			_ = b.Freeze(ctx, acct, fmt.Sprintf("c%d", i%3), legal)
			_, _ = b.Now(acct)
			_, _ = b.Changes()
		})
	}
	wg.Wait()
	h, err := b.History(acct, legal)
	if err != nil || len(h) != 1+1+3 {
		t.Errorf("%d entries, %v", len(h), err)
	}
	for i := 1; i < len(h); i++ {
		if !h[i].KnownAt.After(h[i-1].KnownAt) {
			t.Errorf("known times %v, then %v", h[i-1].KnownAt, h[i].KnownAt)
		}
	}
}

// However many changes were asked for, a case can still freeze the account.
func TestFullOfRequests(t *testing.T) {
	b := open(t)
	for n := 1; n <= maxEntries-forFreezes; n++ {
		raw, err := json.Marshal(Entry{Version: entryVersion, Account: acct, Act: ActRefused})
		if err != nil {
			t.Fatal(err)
		}
		b.table.rows[entryKey(acct, n)], b.table.rows[entryKey(acct, n)+fateSuffix] = string(raw), string(void)
	}
	declared := Declaration{Account: acct, Country: "IE", Evidence: []Evidence{{Kind: Billing, Country: "IE"}}}
	if err := b.Declare(ctx, declared, ops1); domicile.KindOf(err) != domicile.TooLarge {
		t.Errorf("one entry too many: %v", err)
	}
	if err := b.Freeze(ctx, acct, "c1", legal); err != nil {
		t.Fatal(err)
	}
	if frozen, err := b.Frozen(acct); err != nil || !frozen {
		t.Errorf("frozen %v, %v", frozen, err)
	}
}
