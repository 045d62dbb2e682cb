package move

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"domicile"
	"domicile/residence"
	"domicile/store"
)

// both runs a move with the side doomed dying at its nth step. It returns whether that step came.
func (w *world) both(doomed domicile.Region, n int, after bool, id string) (hit bool) {
	t := w.t
	t.Helper()
	from, to := w.sides[ie], w.sides[us]
	w.sides[doomed].life.arm(n, after)
	stopWatching := w.watch()
	defer stopWatching()
	from.run()
	to.run()
	over := func() bool { return from.state(id) == Erased && to.state(id) == Erased }
	w.until("the death or the end", func() bool { return w.sides[doomed].life.isDead() || over() })
	if hit = w.sides[doomed].life.isDead(); !hit {
		return false
	}
	time.Sleep(5 * time.Millisecond) // the other side notices, or not
	w.sides[doomed].again()
	w.until("the end", over)
	return true
}

// watch looks all the time whether both sides serve.
func (w *world) watch() (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(50 * time.Microsecond): // without a pause it takes a processor from those it watches
			}
			// The target is asked first: once it serves, the source must not.
			if w.sides[us].serves() && w.sides[ie].serves() {
				w.t.Error("both sides serve")
				return
			}
		}
	}()
	return func() { close(end); <-done }
}

// TestEveryDeath kills either side at each of its steps, before and after the step is done, and lets it live again: the move
// ends as if nothing had been, and at no moment do both sides serve. DOMICILE_MOVE_STEP picks each nth step only (default 3).
func TestEveryDeath(t *testing.T) {
	every := 3
	if n, err := strconv.Atoi(os.Getenv("DOMICILE_MOVE_STEP")); err == nil && n > 0 {
		every = n
	}
	for _, doomed := range []domicile.Region{ie, us} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/done=%v", doomed, after), func(t *testing.T) {
				t.Parallel()
				first := 1
				if after {
					first = 1 + every/2
				}
				for n := first; ; n += every {
					hit := false
					t.Run(fmt.Sprint(n), func(t *testing.T) {
						w := newWorld(t)
						id := w.settle(true)
						want := w.sides[ie].portrait()
						hit = w.both(doomed, n, after, id)
						w.arrived(want, 2)
					})
					if !hit || t.Failed() {
						if n < 10 {
							t.Errorf("the move has %d steps only", n)
						}
						return
					}
				}
			})
		}
	}
}

// TestEveryCut loses each call between the sides, and each answer, several times each; and the way to the registrar.
func TestEveryCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	want := w.sides[ie].portrait()
	calls, answers := map[string]int{}, map[string]int{}
	w.cut = func(_, _ domicile.Region, method string) bool { calls[method]++; return calls[method]%3 != 0 }
	w.lost = func(_, _ domicile.Region, method string) bool { answers[method]++; return answers[method]%2 == 1 }
	defer w.watch()()
	w.sides[ie].run()
	w.sides[us].run()
	w.until("the end", func() bool { return w.sides[ie].state(id) == Erased && w.sides[us].state(id) == Erased })
	w.mu.Lock()
	w.cut, w.lost = nil, nil
	for _, method := range []string{methodOffer, methodResidence, methodPart, methodPrepare, methodHandover, methodErased} {
		if calls[method] < 3 || answers[method] < 1 {
			t.Errorf("%s was called %d times and answered %d times", method, calls[method], answers[method])
		}
	}
	w.mu.Unlock()
	w.arrived(want, 2)
}

// TestCutAtTheHandover: between the two signatures nobody serves, for as long as the link is down.
func TestCutAtTheHandover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	want := from.portrait()
	w.cut = func(_, _ domicile.Region, method string) bool { return method == methodHandover }
	from.run()
	to.run()
	w.until("the handover", func() bool { return from.state(id) == HandedOver })
	for range 20 {
		if from.serves() || to.serves() {
			t.Fatalf("Ireland serves %v, the US %v", from.serves(), to.serves())
		}
		if _, err := from.names.Resolve(ctx, annAt); domicile.KindOf(err) != domicile.Unavailable {
			t.Fatalf("the source finds %v", err)
		}
		time.Sleep(time.Millisecond)
	}
	from.again() // a start finds it handed over
	if _, _, gone := from.machine().HandedOver(ann); !gone || from.serves() {
		t.Error("after a start the source would serve")
	}
	if err := from.machine().Freeze(ctx, ann, func() error { t.Error("frozen behind the handover"); return nil }); domicile.ReasonOf(err) != domicile.ContentStoredAbroad {
		t.Errorf("a case behind the handover: %v", err)
	}
	if _, err := from.machine().Cancel(ctx, id, "ops"); domicile.ReasonOf(err) != domicile.MovePastHandover {
		t.Errorf("cancelled behind the handover: %v", err)
	}
	w.mu.Lock()
	w.cut = nil
	w.mu.Unlock()
	w.until("the end", func() bool { return from.state(id) == Erased && to.state(id) == Erased })
	w.arrived(want, 2)
}

// TestCosignedBeforeTold: the target hears of the handover when it has cosigned the log that has it, and not before: what a restored
// source forgets is then missed. The kit holds it in every move.
func TestCosignedBeforeTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	want := from.portrait()
	tried := make(chan struct{}, 100)
	w.cut = func(_, _ domicile.Region, method string) bool {
		if method == "cosign" {
			select {
			case tried <- struct{}{}:
			default:
			}
		}
		return method == "cosign"
	}
	from.run()
	to.run()
	for range 3 {
		select {
		case <-tried:
		case <-time.After(2 * time.Minute):
			t.Fatal("the target was not asked to cosign")
		}
	}
	if from.state(id) != HandedOver || to.state(id) != Received || from.serves() || to.serves() {
		t.Errorf("without a cosignature: %s, %s", from.state(id), to.state(id))
	}
	w.mu.Lock()
	w.cut = nil
	w.mu.Unlock()
	w.until("the end", func() bool { return from.state(id) == Erased && to.state(id) == Erased })
	w.arrived(want, 2)
}

// TestForgottenHandover: a source whose folder is an older copy, from before the handover, does not serve the account again when the
// target says that the handover has been.
func TestForgottenHandover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	w.lost = func(_, _ domicile.Region, method string) bool { return method == methodHandover }
	from.run()
	to.run()
	w.until("the target serves", to.serves)
	from.halt()
	r, _, err := from.machine().rows.get("out/" + id)
	if err != nil || r.State != HandedOver {
		t.Fatal(r.State, err)
	}
	r.State, r.Ownership = Copying, nil
	if err := from.machine().rows.put(r); err != nil {
		t.Fatal(err)
	}
	from.again()
	w.until("the target's answer", func() bool {
		r, _, err := from.machine().rows.get("out/" + id)
		return err == nil && (r.Tried == string(domicile.MovePastHandover) || !r.State.before())
	})
	if from.state(id) != Copying || from.serves() || !to.serves() {
		t.Errorf("the source is %s and serves %v, the target serves %v", from.state(id), from.serves(), to.serves())
	}
}

// TestRegistrarOutOfReach: the target serves with the record in hand, and says that it does once the name is claimed.
func TestRegistrarOutOfReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	want := from.portrait()
	w.cut = func(_, _ domicile.Region, method string) bool { return method == "claim" }
	from.run()
	to.run()
	w.until("the handover", func() bool { return to.state(id) == HandedOver && to.serves() })
	if got := from.state(id); got != HandedOver {
		t.Errorf("the source is %s", got)
	}
	if to.portrait() != want {
		t.Error("it serves something else")
	}
	to.again()
	w.mu.Lock()
	w.cut = nil
	w.mu.Unlock()
	w.until("the end", func() bool { return from.state(id) == Erased && to.state(id) == Erased })
	w.arrived(want, 2)
}

// TestStopped: a case, an operator, or the target's refusal ends a move before its handover, at every stage of it. The account
// serves again where it was, nothing is left at the target, and the change can be approved anew.
func TestStopped(t *testing.T) {
	for _, stage := range []struct {
		state State
		cut   string
	}{{Planned, methodOffer}, {Copying, methodResidence}, {Copying, methodPart}, {Copying, methodPrepare}} {
		for _, by := range []string{"case", "operator"} {
			t.Run(fmt.Sprintf("%s before %s by %s", stage.state, stage.cut[5:], by), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				id := w.settle(true)
				from, to := w.sides[ie], w.sides[us]
				want := from.portrait()
				parts := 0
				w.cut = func(_, _ domicile.Region, method string) bool {
					if method == methodPart && stage.cut == methodPart {
						parts++
						return parts > 2
					}
					return method == stage.cut || method == methodAbandon
				}
				from.run()
				to.run()
				w.until("the stage", func() bool {
					list, err := from.machine().Moves(ctx)
					return err == nil && len(list) == 1 && list[0].State == stage.state && list[0].Code != ""
				})
				switch by {
				case "case":
					legal := residence.Actor{Name: "law", Region: ie, Legal: true}
					if err := from.machine().Freeze(ctx, ann, func() error { return from.ledger.Freeze(ctx, ann, "case-1", legal) }); err != nil {
						t.Fatal(err)
					}
				default:
					if _, err := from.machine().Cancel(ctx, id, "ops"); err != nil {
						t.Fatal(err)
					}
				}
				if !from.serves() || from.portrait() != want {
					t.Error("it does not serve as before, at once")
				}
				from.again()
				w.mu.Lock()
				w.cut = nil
				w.mu.Unlock()
				w.until("the target to know", func() bool {
					i, err := from.machine().Move(ctx, id)
					return err == nil && i.Done && i.State == Cancelled
				})
				if i, _ := from.machine().Move(ctx, id); i.Code != string(domicile.CoolingDown) {
					t.Errorf("%+v", i)
				}
				if _, err := to.store.Imported(ctx, ann); domicile.KindOf(err) != domicile.NotExist {
					t.Errorf("the target has %v", err)
				}
				if c, err := from.ledger.Change(id); err != nil || c.State != residence.Cooling {
					t.Errorf("%+v, %v", c, err)
				}
				w.pass(time.Second)
				_, err := from.ledger.Approve(ctx, id, residence.Actor{Name: "ops2", Region: ie})
				if by == "case" {
					if domicile.ReasonOf(err) != domicile.CoolingDown {
						t.Errorf("approved under a freeze: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				from.machine().Wake()
				second := id + "-2"
				w.until("the second try", func() bool { return from.state(second) == Erased && to.state(second) == Erased })
				w.arrived(want, 2)
			})
		}
	}
}

// TestTargetRefuses: what the target does not take is not moved, and serves on.
func TestTargetRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	want := from.portrait()
	if err := to.store.CreateAccount(ctx, "", store.Account{ID: "aother", Address: annAt}); err != nil { // as no honest registrar allows
		t.Fatal(err)
	}
	from.run()
	to.run()
	w.until("the end", func() bool { i, err := from.machine().Move(ctx, id); return err == nil && i.Done })
	if from.state(id) != Cancelled || !from.serves() || from.portrait() != want {
		t.Errorf("%s, serves %v", from.state(id), from.serves())
	}
}

// TestFrozenBefore: a change whose account was frozen after its approval never becomes a move that freezes it.
func TestFrozenBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	if err := from.ledger.Freeze(ctx, ann, "case-1", residence.Actor{Name: "law", Region: ie, Legal: true}); err != nil {
		t.Fatal(err)
	}
	from.run()
	to.run()
	w.until("the end", func() bool { i, err := from.machine().Move(ctx, id); return err == nil && i.Done })
	if from.state(id) != Cancelled || !from.serves() {
		t.Errorf("%s, serves %v", from.state(id), from.serves())
	}
	for _, k := range from.kinds() {
		if k == "frozen" || k == "copying" {
			t.Errorf("it was %s", k)
		}
	}
}
