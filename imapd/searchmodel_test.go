package imapd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile/message"
	"domicile/store"
)

func blank(v *view, i int, uid store.UID) *candidate {
	return &candidate{view: v, index: i, uid: uid, m: &store.Message{}, summary: &message.Summary{}}
}

// modelled is a message as a straightforward evaluator sees it: its fields and texts parsed anew.
type modelled struct {
	n      int
	meta   store.Message
	m      *message.Message
	header []string // "name: value", folded
	body   []string // folded
}

func model(n int, meta store.Message, raw []byte) *modelled {
	x := &modelled{n: n, meta: meta, m: message.Parse(raw)}
	for kind, text := range x.m.Texts() {
		if kind == message.HeaderText {
			x.header = append(x.header, message.Fold(text))
		} else {
			x.body = append(x.body, message.Fold(text))
		}
	}
	return x
}

func (x *modelled) field(name, text string) bool {
	return slices.ContainsFunc(x.header, func(line string) bool {
		value, ok := strings.CutPrefix(line, message.Fold(name+": "))
		return ok && strings.Contains(value, message.Fold(text))
	})
}

func anyHolds(texts []string, text string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, message.Fold(text)) })
}

// program is a random search program, and what it means.
type program struct {
	text string
	fits func(x *modelled) bool
}

func randomProgram(r *rand.Rand, n, depth int) program {
	if depth > 0 && r.IntN(2) == 0 {
		a, b := randomProgram(r, n, depth-1), randomProgram(r, n, depth-1)
		switch r.IntN(3) {
		case 0:
			return program{"NOT " + a.text, func(x *modelled) bool { return !a.fits(x) }}
		case 1:
			return program{"OR " + a.text + " " + b.text, func(x *modelled) bool { return a.fits(x) || b.fits(x) }}
		}
		return program{"(" + a.text + " " + b.text + ")", func(x *modelled) bool { return a.fits(x) && b.fits(x) }}
	}
	words := []string{"the", "re:", "patch", "notmuch", "é", "ö", "a", "example.com", "=?", "\r\n", "q9zx", "20"}
	word := words[r.IntN(len(words))]
	literal := fmt.Sprintf("{%d+}\r\n%s", len(word), word)
	flag := []string{store.Seen, store.Flagged, store.Deleted, store.Answered, store.Draft}[r.IntN(5)]
	day := time.Date(2009, 11, 10+r.IntN(20), 0, 0, 0, 0, time.UTC)
	before := func(t time.Time) bool {
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Before(day)
	}
	size := int64(r.IntN(8000))
	a, b := 1+r.IntN(n), 1+r.IntN(n)
	field := []string{"Subject", "From", "To", "Cc", "Bcc", "Message-Id", "X-Nothing"}[r.IntN(7)]
	switch r.IntN(14) {
	case 0:
		return program{strings.ToUpper(flag[1:]), func(x *modelled) bool { return store.HasFlag(x.meta.Flags, flag) }}
	case 1:
		return program{"UN" + strings.ToUpper(flag[1:]), func(x *modelled) bool { return !store.HasFlag(x.meta.Flags, flag) }}
	case 2:
		return program{fmt.Sprintf("LARGER %d", size), func(x *modelled) bool { return x.meta.Size > size }}
	case 3:
		return program{fmt.Sprintf("SMALLER %d", size), func(x *modelled) bool { return x.meta.Size < size }}
	case 4:
		return program{fmt.Sprintf("%d:%d", a, b), func(x *modelled) bool { return x.n >= min(a, b) && x.n <= max(a, b) }}
	case 5:
		return program{fmt.Sprintf("UID %d,%d:*", a, b), func(x *modelled) bool { return x.n == a || x.n >= b }}
	case 6:
		return program{"BEFORE " + day.Format("2-Jan-2006"), func(x *modelled) bool { return before(x.meta.Internal) }}
	case 7, 8:
		return program{"SENTBEFORE " + day.Format("2-Jan-2006"), func(x *modelled) bool {
			t, ok := message.ParseDate(x.m.Envelope(x.m.Root).Date)
			return ok && before(t)
		}}
	case 9:
		return program{"BODY " + literal, func(x *modelled) bool { return anyHolds(x.body, word) }}
	case 10:
		return program{"TEXT " + literal, func(x *modelled) bool { return anyHolds(x.body, word) || anyHolds(x.header, word) }}
	case 11:
		return program{"HEADER " + field + " " + literal, func(x *modelled) bool { return x.field(field, word) }}
	case 12:
		return program{"HEADER " + field + ` ""`, func(x *modelled) bool { return x.field(field, "") }}
	}
	key := []string{"SUBJECT", "FROM", "TO", "CC", "BCC"}[r.IntN(5)]
	return program{key + " " + literal, func(x *modelled) bool { return x.field(key, word) }}
}

// putCorpus delivers all real messages, with flags and dates, and returns their models.
func (w *world) putCorpus(r *rand.Rand) (all []*modelled) {
	messages := corpus(w.t)
	var names []string
	for name := range messages {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		raw := bytes.ReplaceAll(bytes.ReplaceAll(messages[name], []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		if len(raw) == 0 {
			continue
		}
		var flags []string
		for _, f := range []string{store.Seen, store.Flagged, store.Deleted} {
			if r.IntN(3) == 0 {
				flags = append(flags, f)
			}
		}
		in, err := w.store.Incoming(context.Background(), ann, int64(len(raw)))
		if err != nil {
			w.t.Fatal(err)
		}
		io.Copy(in, bytes.NewReader(raw))
		at := time.Date(2009, 11, 10+r.IntN(20), r.IntN(24), 0, 0, 0, time.FixedZone("", (r.IntN(25)-12)*3600))
		meta, err := in.Commit(context.Background(), "", "INBOX", flags, at)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, model(len(all)+1, meta, raw))
	}
	return all
}

// Random programs over all real messages find what an evaluator finds that parses each message anew.
func TestSearchOfCorpus(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 2))
	all := w.putCorpus(r)
	search := w.searched()
	some := 0
	for range 300 {
		p, q := randomProgram(r, len(all), 4), randomProgram(r, len(all), r.IntN(2))
		p.text += " " + q.text
		var want []string
		for _, x := range all {
			if p.fits(x) && q.fits(x) {
				want = append(want, fmt.Sprint(x.n))
			}
		}
		if len(want) > 0 && len(want) < len(all) {
			some++
		}
		if got := search(p.text); got != strings.Join(want, " ") {
			t.Fatalf("%q: %s, want %s", p.text, got, want)
		}
	}
	if some < 60 {
		t.Errorf("only %d of the programs found some messages and not all", some)
	}
}
