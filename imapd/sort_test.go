package imapd

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile/message"
)

func TestSort(t *testing.T) {
	w := newWorld(t)
	for _, m := range []struct{ from, to, cc, subject, date string }{
		{"Zoe <bob@x.test>", "u@x.test", "z@x.test", "Re: b", "Mon, 02 Feb 2026 10:00:00 +0000"},
		{"alice@x.test", "V <w@x.test>", "", "[list] B (fwd)", "Mon, 02 Feb 2026 09:00:00 -0500"},
		{"=?utf-8?q?=C3=89mile?= <carl@x.test>", "U <x@x.test>", "a@x.test", "a_", "Mon, 02 Feb 2026 10:30:00 +0100"},
		{"BOB@y.test", "", "", "az", "none"},
	} {
		w.put("INBOX", fmt.Sprintf("From: %s\r\nTo: %s\r\nCc: %s\r\nSubject: %s\r\nDate: %s\r\n\r\n%s", m.from, m.to, m.cc, m.subject, m.date, strings.Repeat("x", len(m.subject)*10)))
	}
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	for keys, want := range map[string]string{
		"ARRIVAL": "1 2 3 4", "REVERSE ARRIVAL": "1 2 3 4", "DATE": "3 1 2 4", "REVERSE DATE": "4 2 1 3", "FROM": "2 1 4 3", "REVERSE FROM": "3 1 4 2", "TO": "4 1 2 3", "CC": "2 4 3 1",
		"SUBJECT": "4 3 1 2", "SUBJECT REVERSE DATE": "4 3 2 1", "DISPLAYFROM": "2 4 3 1", "DISPLAYTO": "4 3 1 2", "SIZE": "4 3 1 2", "SUBJECT SUBJECT REVERSE SUBJECT SIZE": "4 3 1 2",
	} {
		if got := strings.TrimSpace(c.do("c SORT ("+keys+") UTF-8 ALL", "c OK")); got != "* SORT "+want {
			t.Errorf("%s: %s, want %s", keys, got, want)
		}
	}
	for _, x := range []string{"SORT () UTF-8 ALL", "SORT (FOO) UTF-8 ALL", "SORT (REVERSE) UTF-8 ALL", "SORT (REVERSE REVERSE DATE) UTF-8 ALL", "SORT DATE UTF-8 ALL", "SORT (DATE) ALL", "SORT (DATE) UTF-8",
		"THREAD UTF-8 ALL", "THREAD JWZ UTF-8 ALL", "THREAD REFERENCES ALL", "THREAD REFERENCES UTF-8"} {
		c.send("d " + x + "\r\n")
		if got := c.line(); !strings.HasPrefix(got, "d BAD") {
			t.Errorf("%s: %s", x, got)
		}
	}
}

// All real messages are sorted by each key as their parsed headers say.
func TestSortOfCorpus(t *testing.T) {
	w := newWorld(t)
	all := w.putCorpus(rand.New(rand.NewPCG(5, 6)))
	text := func(get func(e message.Envelope) []message.Address, display bool) func(x *modelled) string {
		return func(x *modelled) string {
			list := get(x.m.Envelope(x.m.Root))
			if len(list) == 0 {
				return ""
			}
			a := list[0]
			switch name := message.DecodeHeader(a.Name); {
			case !display, a.Kind == message.GroupStart && name == "":
				return message.Fold(a.Mailbox)
			case name != "":
				return message.Fold(name)
			}
			return message.Fold(a.Mailbox + "@" + a.Host)
		}
	}
	date := func(x *modelled) int64 {
		if at, ok := message.ParseDate(x.m.Envelope(x.m.Root).Date); ok {
			return at.Unix()
		}
		return x.meta.Internal.Unix()
	}
	from := func(e message.Envelope) []message.Address { return e.From }
	to := func(e message.Envelope) []message.Address { return e.To }
	cc := func(e message.Envelope) []message.Address { return e.Cc }
	compare := map[string]func(a, b *modelled) int{
		"ARRIVAL": func(a, b *modelled) int { return a.meta.Internal.Compare(b.meta.Internal) },
		"SIZE":    func(a, b *modelled) int { return cmp.Compare(a.meta.Size, b.meta.Size) },
		"DATE":    func(a, b *modelled) int { return cmp.Compare(date(a), date(b)) },
	}
	for name, key := range map[string]func(x *modelled) string{"FROM": text(from, false), "TO": text(to, false), "CC": text(cc, false),
		"DISPLAYFROM": text(from, true), "DISPLAYTO": text(to, true), "SUBJECT": func(x *modelled) string { return x.m.Summarize().BaseSubject() }} {
		compare[name] = func(a, b *modelled) int { return cmp.Compare(strings.ToUpper(key(a)), strings.ToUpper(key(b))) }
	}
	c := w.login()
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	c.do("b SELECT INBOX", "b OK")
	for name, by := range compare {
		for _, reverse := range []string{"", "REVERSE "} {
			sorted := slices.Clone(all)
			slices.SortStableFunc(sorted, func(a, b *modelled) int {
				if reverse != "" {
					return by(b, a)
				}
				return by(a, b)
			})
			want := "* SORT"
			for _, x := range sorted {
				want += fmt.Sprint(" ", x.n)
			}
			if got := strings.TrimSpace(c.do("c SORT ("+reverse+name+") UTF-8 ALL", "c OK")); got != want {
				t.Errorf("%s%s:\n%.300s, want\n%.300s", reverse, name, got, want)
			}
		}
	}
	got := c.do("d THREAD REFERENCES UTF-8 ALL", "d OK")
	numbers := strings.FieldsFunc(got[len("* THREAD"):], func(r rune) bool { return r < '0' || r > '9' })
	slices.Sort(numbers)
	if n := len(slices.Compact(numbers)); n != len(all) || len(numbers) != n {
		t.Errorf("%d messages in threads, %d different ones, of %d", len(numbers), n, len(all))
	}
}

// A sort that has no room says so, and gives back what it took.
func TestSortWithoutRoom(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.put("INBOX", "Subject: "+strings.Repeat("x", 600)+"\r\n\r\n")
	}
	w.home.memory = newShares(2*roomStep - 2)
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	c.do("c SORT (SUBJECT) UTF-8 ALL", "c NO [LIMIT]")
	c.do("d THREAD REFERENCES UTF-8 ALL", "d NO [LIMIT]")
	w.home.memory = newShares(2 * roomStep)
	c = w.login()
	c.do("b SELECT INBOX", "b OK")
	for range 3 {
		c.do("e SORT (SUBJECT) UTF-8 ALL", "e OK")
		c.do("f THREAD REFERENCES UTF-8 ALL", "f OK")
	}
	r := &room{memory: &share{of: w.home.memory, acct: ann}}
	if r.take(roomStep) != nil || r.take(1) == nil {
		t.Error("room is not counted")
	}
	r.release()
	if !w.home.memory.TryAcquire(2 * roomStep) {
		t.Error("room was not given back")
	}
}

func TestPartial(t *testing.T) {
	for _, x := range []struct {
		p           partial
		n, from, to int
	}{
		{partial{from: 1, to: 2, last: false}, 5, 0, 2}, {partial{from: 4, to: 9, last: false}, 5, 3, 5}, {partial{from: 6, to: 9, last: false}, 5, 5, 5}, {partial{from: 1, to: 4294967295, last: false}, 0, 0, 0},
		{partial{from: 1, to: 2, last: true}, 5, 3, 5}, {partial{from: 4, to: 9, last: true}, 5, 0, 2}, {partial{from: 6, to: 9, last: true}, 5, 0, 0}, {partial{from: 1, to: 4294967295, last: true}, 5, 0, 5},
	} {
		if from, to := x.p.of(x.n); from != x.from || to != x.to {
			t.Errorf("%v of %d: %d to %d", x.p, x.n, from, to)
		}
	}
}
