package disclosure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/region"
)

// memLog is a ledger in memory, which can be told to fail.
type memLog struct {
	mu    sync.Mutex
	raw   [][]byte
	spent map[[2]string][]uint64
	fail  func() (before, after error)
}

func (l *memLog) Append(_ context.Context, e audit.Entry) (audit.Leaf, error) { return l.add(e, nil) }

func (l *memLog) Spend(_ context.Context, s audit.Spend, e audit.Entry) (audit.Leaf, error) {
	return l.add(e, &s)
}

func (l *memLog) add(e audit.Entry, s *audit.Spend) (audit.Leaf, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, after := l.fail()
	if before != nil {
		return audit.Leaf{}, before
	}
	at := uint64(len(l.raw))
	if s != nil {
		key := [2]string{s.Issuer, s.JTI}
		if len(l.spent[key]) >= s.Max {
			return audit.Leaf{Index: l.spent[key][0]}, domicile.Refuse("spend", domicile.Replayed, "", "")
		}
		l.spent[key] = append(l.spent[key], at)
	}
	raw, err := json.Marshal(map[string]any{"case": e.Case, "kind": e.Kind, "public": e.Public, "time": issued})
	if err != nil {
		return audit.Leaf{}, err
	}
	l.raw = append(l.raw, raw)
	return audit.Leaf{Index: at, Time: issued}, after
}

func (l *memLog) Spent(s audit.Spend) (audit.Leaf, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	uses := l.spent[[2]string{s.Issuer, s.JTI}]
	if len(uses) < s.Max {
		return audit.Leaf{}, false, nil
	}
	return audit.Leaf{Index: uses[0]}, true, nil
}

func (l *memLog) Receipt(index uint64, _ bool) ([]byte, error) {
	return fmt.Appendf(nil, "receipt of %d", index), nil
}

func (l *memLog) Leaves(first uint64, fn func(uint64, []byte) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := first; i < uint64(len(l.raw)); i++ {
		if err := fn(i, l.raw[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *memLog) Head() audit.Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return audit.Head{Size: uint64(len(l.raw))}
}

// openDoor lets everything out: the guard has tests of its own.
type openDoor struct{}

func (openDoor) Permit(context.Context, region.Request) (*region.Permit, error) { return nil, nil }
func (openDoor) Send(_ *region.Permit, w io.Writer, body io.ReadSeeker) error {
	_, err := io.Copy(w, body)
	return err
}

// inMemory takes log and guard out of a bench.
func (b *bench) inMemory(fail func() (before, after error)) *memLog {
	b.Engine.Close()
	l := &memLog{spent: map[[2]string][]uint64{}, fail: fail}
	b.parts.log, b.parts.guard, b.parts.retry = l, openDoor{}, time.Hour
	b.parts.verify = func([]byte, audit.Pins) error { return nil }
	return l
}

var errKilled = errors.New("killed")

// journey takes one order to its delivery, going on with whatever is there.
func journey(b *bench, token []byte) (*bytes.Buffer, error) {
	me := b.officer(officer1)
	list, err := b.Cases(ctx, me)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		if _, err := b.Submit(ctx, me, token, irish, nil); err != nil {
			return nil, err
		}
		if list, err = b.Cases(ctx, me); err != nil {
			return nil, err
		}
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%d cases", len(list))
	}
	id := list[0].Case
	if _, err := b.Produce(ctx, me, id, ""); err != nil {
		return nil, err
	}
	if _, err := b.Release(ctx, me, id); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	return &out, b.Deliver(ctx, me, id, &out)
}

// TestKilledAnywhere kills the engine at each write of a case's life, once with the write not done and once with it done
// and the answer lost. After a restart the journey ends, and the log has each step exactly once and one spent token.
func TestKilledAnywhere(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	for _, done := range []bool{false, true} {
		for kill := 1; ; kill++ {
			name := fmt.Sprintf("write %d, done %v", kill, done)
			n := 0
			fail := func() (before, after error) {
				n++
				switch {
				case n < kill || kill < 0:
					return nil, nil
				case n == kill && done:
					return nil, errKilled
				}
				return errKilled, nil // a dead process writes nothing more
			}
			log := b.inMemory(fail)
			b.mail.tables = map[string]*fakeTable{}
			b.open()
			b.mail.tables["cases"].fail = fail
			token := w.sign(w.request(), w.treatySigners()...)
			_, err := journey(b, token)
			if err == nil {
				if kill < 20 {
					t.Fatalf("only %d writes", kill-1)
				}
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatalf("%s: %v", name, err)
			}
			b.Engine.Close()
			kill2 := kill
			kill = -1
			b.open()
			out, err := journey(b, token)
			kill = kill2
			if err != nil {
				t.Fatalf("%s: after restart: %v", name, err)
			}
			if got := files(t, out.Bytes(), w.central.identity); len(got) != 6 {
				t.Fatalf("%s: %d files", name, len(got))
			}
			checkLeaves(t, name, log)
		}
	}
}

func checkLeaves(t *testing.T, name string, log *memLog) {
	t.Helper()
	seen := map[string]bool{}
	for _, raw := range log.raw {
		var l struct {
			Case   string
			Public map[string]string
		}
		if err := json.Unmarshal(raw, &l); err != nil {
			t.Fatal(err)
		}
		key := l.Case + "/" + l.Public["step"]
		if seen[key] {
			t.Errorf("%s: step %s is in the log twice", name, l.Public["step"])
		}
		seen[key] = true
	}
	if len(seen) != 9 || len(log.spent) != 1 {
		t.Errorf("%s: %d steps, %d spent", name, len(seen), len(log.spent))
	}
	for _, uses := range log.spent {
		if len(uses) != 1 {
			t.Errorf("%s: spent %d times", name, len(uses))
		}
	}
}

// TestNoticeOutlivesRestart: a notice that could not be told is told after a restart.
func TestNoticeOutlivesRestart(t *testing.T) {
	w := newWorld(t)
	us := w.at("us-east", "us-2018", "mlat")
	us.inMemory(func() (error, error) { return nil, nil })
	us.open()
	w.cut = true
	a := mustSubmit(t, us, w.sign(w.warrant("parent-us", "us-east", irish), w.court.as("issuing")), irish)
	if c, err := us.loadCase(a.Case); err != nil || c.Notice == nil || c.Notice.Told {
		t.Fatalf("%+v %v", c.Notice, err)
	}
	us.Engine.Close()
	us.open()
	us.mu.Lock()
	waiting := us.todo[a.Case]
	us.mu.Unlock()
	if !waiting {
		t.Fatal("the notice was forgotten")
	}
	if err := us.goOn(ctx, a.Case); domicile.KindOf(err) != domicile.Unavailable {
		t.Fatal(err)
	}
}

func mustSubmit(t *testing.T, b *bench, token []byte, target string) Answer {
	t.Helper()
	a, err := b.Submit(ctx, b.officer(officer1), token, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
