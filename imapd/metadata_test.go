package imapd

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// An account has so many annotations, and its quota counts them.
func TestMetadataLimits(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	inbox, err := w.store.MailboxByName(t.Context(), ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var all []store.Annotation
	for n := range store.MaxAnnotations {
		all = append(all, store.Annotation{Entry: fmt.Sprint("/private/", n), Value: []byte("x")})
	}
	if _, err := w.store.Annotate(t.Context(), "", ann, inbox.ID, all); err != nil {
		t.Fatal(err)
	}
	c.do(`b SETMETADATA "" (/private/more "x")`, "b NO [METADATA TOOMANY]")
	c.do(`c SETMETADATA INBOX (/private/7 NIL /private/more "x")`, "c OK")
	if got := c.do(`d GETMETADATA INBOX (DEPTH infinity) (/private/7 /private/more /private/8)`, "d OK"); !strings.Contains(got, `(/private/7 NIL /private/more "x" /private/8 "x")`) {
		t.Error(got)
	}
	used, err := w.store.Used(t.Context(), ann)
	if err == nil {
		err = w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.Quota = used; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	c.do(`e SETMETADATA INBOX (/private/more "xx")`, "e NO [OVERQUOTA]")
	c.do(`f SETMETADATA INBOX (/private/more "")`, "f OK")
	c.do("g SETMETADATA INBOX ("+strings.Repeat("/private/x NIL ", maxItems)+"/private/x NIL)", "g BAD")
	c.do("h GETMETADATA INBOX ("+strings.Repeat("/private/x ", maxItems)+"/private/x)", "h BAD")
	c.do("i GETMETADATA INBOX"+strings.Repeat(" /private/x", maxItems+1), "i BAD")
	c.do("j LIST \"\" * RETURN (METADATA ("+strings.Repeat("/private/x ", maxListedEntries)+"/private/x))", "j BAD")
}

// markStore counts the names of annotations that are read, and how often all mailboxes are.
type markStore struct {
	store.Store
	names, all *atomic.Int32
}

func (m markStore) Annotated(ctx context.Context, acct domicile.AccountID, since uint64) (uint64, []store.AnnotationMark, error) {
	changed, marks, err := m.Store.Annotated(ctx, acct, since)
	for _, x := range marks {
		if x.Entry != "" {
			m.names.Add(1)
		}
	}
	return changed, marks, err
}

func (m markStore) Annotations(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID) ([]store.Annotation, error) {
	all, err := m.Store.Annotations(ctx, acct, mbox)
	m.names.Add(int32(len(all)))
	return all, err
}

func (m markStore) Mailboxes(ctx context.Context, acct domicile.AccountID) ([]store.Mailbox, error) {
	m.all.Add(1)
	return m.Store.Mailboxes(ctx, acct)
}

// Who is told what others annotate reads the names of what changed, and no others.
func TestMetadataReadsWhatChanged(t *testing.T) {
	w := newWorld(t)
	var set []store.Annotation
	for n := range 500 {
		set = append(set, store.Annotation{Entry: fmt.Sprint("/private/", n), Value: []byte("x")})
	}
	if _, err := w.store.Annotate(t.Context(), "", ann, "", set); err != nil {
		t.Fatal(err)
	}
	var names, all atomic.Int32
	w.home.cfg.Store = markStore{w.store, &names, &all}
	c := w.login()
	c.do("b ENABLE METADATA", "b OK")
	c.send("c IDLE\r\n")
	c.want("+")
	names.Store(0)
	d := w.login()
	for i := range 5 {
		d.do(fmt.Sprintf(`b SETMETADATA "" (/private/%d "y")`, i), "b OK")
		c.lines(fmt.Sprintf(`* METADATA "" /private/%d`, i))
		d.do(fmt.Sprintf(`c SETMETADATA INBOX (/private/%d "y")`, i), "c OK")
		c.lines(fmt.Sprintf(`* METADATA "INBOX" /private/%d`, i))
		d.do(fmt.Sprintf(`d SETMETADATA "" (/private/%d NIL)`, i), "d OK")
		c.lines(fmt.Sprintf(`* METADATA "" /private/%d`, i))
	}
	if n := names.Load(); n != 10 {
		t.Errorf("%d names were read", n)
	}
	if n := all.Load(); n != 0 {
		t.Errorf("all mailboxes were read %d times", n)
	}
}

// What others annotate is looked for in a turn, and later if there is none; that nothing changed is known without.
func TestMetadataTakesTurns(t *testing.T) {
	w := newWorld(t)
	c, d := w.login(), w.login()
	c.do("b ENABLE METADATA", "b OK")
	w.home.turns.Width, w.home.turns.Wait = 1, 10*time.Millisecond
	turn, err := w.home.turns.Enter(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	c.says("c NOOP", "c OK")
	d.do(`b SETMETADATA "" (/private/a "y")`, "b OK")
	c.says("d NOOP", "d OK")
	turn.Leave()
	c.says("e NOOP", "e OK", `* METADATA "" /private/a`)
	turn, err = w.home.turns.Enter(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Leave()
	w.home.cfg.Store = unseen{w.store}
	c.says("f NOOP", "f OK")
}

// unseen is a store in which nobody may look for annotations.
type unseen struct{ store.Store }

func (unseen) Annotated(context.Context, domicile.AccountID, uint64) (uint64, []store.AnnotationMark, error) {
	panic("it was looked for")
}

// Values that are too large together for one command are refused, and so is what is in them never a command.
func TestMetadataTooLong(t *testing.T) {
	c := newWorld(t).login()
	c.send("b SETMETADATA INBOX (")
	for n := range 17 {
		c.send(fmt.Sprintf("/private/%d {65536+}\r\n%s ", n, strings.Repeat("x CREATE no\r\n", 65536/13+1)[:65536]))
	}
	c.send("/private/last NIL)\r\n")
	c.want("b NO [TOOBIG]")
	if got := c.do(`c LIST "" no`, "c OK"); got != "" {
		t.Error(got)
	}
}

// What the client itself did it is not told, and what others did to the same annotation meanwhile it is.
func TestOwnAnnotations(t *testing.T) {
	name := func(entry string) annotationName { return annotationName{"b1", entry} }
	for what, c := range map[string]struct {
		known []string                 // before
		own   map[string]ownAnnotation // behind change 5
		marks map[string]uint64        // now
		want  string
	}{
		"its own":                           {own: map[string]ownAnnotation{"/a": {6, false}}, marks: map[string]uint64{"/a": 6}, want: "[]"},
		"its own, and then another's":       {own: map[string]ownAnnotation{"/a": {6, false}}, marks: map[string]uint64{"/a": 7}, want: "[/a]"},
		"its own, removed by another":       {known: []string{"/a"}, own: map[string]ownAnnotation{"/a": {6, false}}, want: "[/a]"},
		"its own new one, removed":          {own: map[string]ownAnnotation{"/a": {6, false}}, want: "[/a]"},
		"its own removal":                   {known: []string{"/a"}, own: map[string]ownAnnotation{"/a": {6, true}}, want: "[]"},
		"its own removal, and then made":    {known: []string{"/a"}, own: map[string]ownAnnotation{"/a": {6, true}}, marks: map[string]uint64{"/a": 7}, want: "[/a]"},
		"its own removal of what never was": {own: map[string]ownAnnotation{"/a": {6, true}}, want: "[]"},
		"another's, before its own":         {own: map[string]ownAnnotation{"/a": {7, false}}, marks: map[string]uint64{"/a": 7, "/b": 6}, want: "[/b]"},
	} {
		k := knownAnnotations{changed: 5, all: map[string]annotationName{}, own: map[annotationName]ownAnnotation{}}
		for _, entry := range c.known {
			k.all["key of "+entry] = name(entry)
		}
		for entry, o := range c.own {
			k.own[name(entry)] = o
		}
		var marks []store.AnnotationMark
		for entry, changed := range c.marks {
			marks = append(marks, store.AnnotationMark{Key: "key of " + entry, Mailbox: "b1", Entry: entry, Changed: changed})
		}
		if got := fmt.Sprint(k.follow(7, marks)["b1"]); got != c.want {
			t.Errorf("%s: %s is told, want %s", what, got, c.want)
		}
	}
}
