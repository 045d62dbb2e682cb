package residence

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"domicile"
)

// AsOf against its definition, and what two times must mean: what is learned later changes no answer about what was
// known before, and what holds later changes no answer about what held before.
func TestAsOfProperties(t *testing.T) {
	countries := []domicile.Country{"IE", "DE", "US", "FR"}
	rapid.Check(t, func(t *rapid.T) {
		at := func(label string) time.Time {
			return start.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, label)) * time.Hour)
		}
		var decls []Declaration
		for i := range rapid.IntRange(0, 6).Draw(t, "declarations") {
			decls = append(decls, Declaration{Country: rapid.SampledFrom(countries).Draw(t, "country"), ValidFrom: at("valid"), KnownAt: start.Add(time.Duration(2*i) * time.Hour)})
		}
		valid, known := at("asked valid"), at("asked known")
		got, ok := AsOf(decls, valid, known)
		var want Declaration
		found := false
		for _, d := range decls {
			if !d.KnownAt.After(known) && !d.ValidFrom.After(valid) {
				want, found = d, true
			}
		}
		if ok != found || got.Country != want.Country || !got.KnownAt.Equal(want.KnownAt) {
			t.Fatalf("%v, %v; want %v, %v", got, ok, want, found)
		}
		later := Declaration{Country: "US", ValidFrom: at("later valid"), KnownAt: start.Add(100 * time.Hour)}
		if again, ok2 := AsOf(append(slices.Clone(decls), later), valid, known); ok2 != ok || again.Country != got.Country {
			t.Fatal("what was known before has changed")
		}
		end := start.Add(60 * time.Hour)
		future := Declaration{Country: "US", ValidFrom: valid.Add(1), KnownAt: start.Add(50 * time.Hour)}
		before, okBefore := AsOf(decls, valid, end)
		if after, okAfter := AsOf(append(slices.Clone(decls), future), valid, end); okAfter != okBefore || after.Country != before.Country {
			t.Fatal("what held before has changed")
		}
	})
}

// Random acts on a ledger: its answers about a past known time never change, its rules are never broken, and a new
// Ledger over the same table says the same.
func TestLedgerProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := open(t)
		type memory struct {
			known time.Time
			says  string
		}
		say := func(known time.Time) string {
			s, err := b.At(acct, known, known)
			text, _ := json.Marshal(s)
			return string(text) + answer(err)
		}
		var past []memory
		who := rapid.SampledFrom([]Actor{ops1, ops2, legal, abroad})
		for range rapid.IntRange(1, 14).Draw(rt, "acts") {
			id := fmt.Sprintf("%s.%d", acct, rapid.IntRange(1, 3).Draw(rt, "change"))
			actor := who.Draw(rt, "who")
			switch rapid.SampledFrom([]string{"declare", "request", "approve", "reject", "contest", "freeze", "unfreeze"}).Draw(rt, "act") {
			case "declare":
				_ = b.Declare(ctx, Declaration{Account: acct, Country: "IE", Evidence: []Evidence{{Kind: Statement, Country: "IE"}}}, actor)
			case "request":
				_, _ = b.Request(ctx, Request{Account: acct, Country: "US", Evidence: toUS[:rapid.IntRange(1, 2).Draw(rt, "items")]}, actor)
			case "approve":
				before, _ := b.Change(id)
				held, _ := b.Frozen(acct)
				c, err := b.Approve(ctx, id, actor)
				if err == nil && before.State == Cooling && (held || actor.Name == c.By.Name || actor.Region != "eu-ireland" || b.clock().Before(c.Requested.Add(DefaultCoolDown))) {
					rt.Fatalf("approved against the rules: %+v by %+v, frozen %v", c, actor, held)
				}
			case "reject":
				_, _ = b.Reject(ctx, id, actor)
			case "contest":
				_, _ = b.Contest(ctx, id, actor)
			case "freeze":
				_ = b.Freeze(ctx, acct, "c1", actor)
			case "unfreeze":
				_ = b.Unfreeze(ctx, acct, "c1", actor)
			}
			known := b.clock().Add(time.Microsecond) // past the nanoseconds that keep entries apart
			past = append(past, memory{known, say(known)})
			b.pass(time.Duration(rapid.IntRange(1, 20).Draw(rt, "days")) * 24 * time.Hour)
		}
		b.reopen(t)
		for _, m := range past {
			if now := say(m.known); now != m.says {
				rt.Fatalf("what was known at %v has changed:\n%s\n%s", m.known, m.says, now)
			}
		}
	})
}
