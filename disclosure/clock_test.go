package disclosure

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"domicile"
)

// TestClockUnsure: while the clock disagrees with the cosigners' nothing is decided, judged, collected, released or delivered, no
// token is spent, and each time the reason says so; preservation and refusals that need no date go on. When the clock is
// right again the same token is good.
func TestClockUnsure(t *testing.T) {
	w := newWorld(t)
	b, us := w.at("eu-ireland", "gdpr-48", "mlat"), w.at("us-east", "us-2018")
	me := b.officer(officer1)
	unsure := domicile.Refuse("trust the clock", domicile.ClockUnsure, ruleClock, "5 h ahead")
	wrong := error(unsure)
	b.Engine.Close()
	b.cfg.Clock = func(context.Context) error { return wrong }
	b.open()

	token := w.sign(w.request(), w.treatySigners()...)
	wantAnswer(t, b, submit(t, b, token, irish), refuse, domicile.ClockUnsure, ruleClock)
	wantAnswer(t, b, submit(t, b, nil, irish), refuse, domicile.NoToken, ruleNoToken)

	// A case that was told waits for a person on any day: it is preserved and referred.
	told := submit(t, us, w.sign(w.warrant("parent-us", "us-east", irish), w.court.as("issuing")), irish)
	wantAnswer(t, us, told, refer, domicile.ContentStoredAbroad, ruleAbroad)
	var referred string
	cases, err := b.Cases(ctx, me)
	for _, c := range cases {
		if c.State == stateReferred {
			referred = c.Case
		}
	}
	if err != nil || referred == "" {
		t.Fatalf("the told case is not referred: %+v, %v", cases, err)
	}

	wrong = nil
	a := submit(t, b, token, irish)
	wantAnswer(t, b, a, execute, "", "mlat/domestic-order")
	steps := []struct {
		name string
		do   func() error
	}{
		{"judge", func() error { _, err := b.Judge(ctx, me, referred, execute, "for the test"); return err }},
		{"produce", func() error { _, err := b.Produce(ctx, me, a.Case, filepath.Join(w.dir, "out")); return err }},
		{"release", func() error { _, err := b.Release(ctx, me, a.Case); return err }},
		{"deliver", func() error { return b.Deliver(ctx, me, a.Case, &bytes.Buffer{}) }},
	}
	for _, s := range steps {
		wrong = unsure
		if err := s.do(); domicile.ReasonOf(err) != domicile.ClockUnsure {
			t.Errorf("%s with a wrong clock: %v", s.name, err)
		}
		if s.name == "judge" { // what is judged is not this test's
			continue
		}
		wrong = nil
		if err := s.do(); err != nil {
			t.Errorf("%s with the clock right again: %v", s.name, err)
		}
	}
	if _, err := b.Judge(ctx, me, referred, refuse, "on any day"); err != nil {
		t.Errorf("a refusal by a person: %v", err)
	}
}

// TestClockUnsureAfterCrash: a case that a crash left before its decision is preserved and waits, and is decided when the clock
// is right again.
func TestClockUnsureAfterCrash(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	c := b.newCase(irish)
	token := w.sign(w.request(), w.treatySigners()...)
	o, f := b.checker().authenticate(token)
	if f != nil {
		t.Fatal(f.Detail)
	}
	c.describe(o)
	c.Account, c.Home = "acct-irish", "eu-ireland"
	if err := b.saveFile(c.Info.Case, "token", token); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	err := b.step(ctx, c, act{state: stateReceived, by: "legal-1"})
	b.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Clock = func(context.Context) error {
		return domicile.Refuse("trust the clock", domicile.ClockUnsure, ruleClock, "")
	}
	b.Engine.cfg.Clock = b.cfg.Clock
	if err := b.goOn(ctx, c.Info.Case); domicile.ReasonOf(err) != domicile.ClockUnsure {
		t.Errorf("%v", err)
	}
	if info, err := b.Case(ctx, b.officer(officer1), c.Info.Case); err != nil || info.State != statePreserved {
		t.Errorf("%s, %v", info.State, err)
	}
	b.Engine.cfg.Clock = func(context.Context) error { return nil }
	if err := b.goOn(ctx, c.Info.Case); err != nil {
		t.Error(err)
	}
	if info, err := b.Case(ctx, b.officer(officer1), c.Info.Case); err != nil || info.Decision != execute {
		t.Errorf("%+v, %v", info, err)
	}
}
