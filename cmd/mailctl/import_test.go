package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/admin"
	"domicile/importer"
)

// fakeNode takes what is brought in, and fails as it is told.
type fakeNode struct {
	boxes  []string
	whole  []admin.ImportAccount // what belongs to no mailbox
	bodies map[string]string     // by key
	fails  []error               // of the next calls of PutImported, which store all the same
	room   int                   // messages that fit
	ended  *admin.EndImport
}

func (n *fakeNode) BeginImport(context.Context, admin.BeginImport) (admin.Import, error) {
	return admin.Import{Import: "i1", Mailboxes: []admin.ImportMailbox{{Name: "INBOX"}, {Name: "Sent", SpecialUse: "\\Sent"}}}, nil
}

func (n *fakeNode) KnownImports(_ context.Context, in admin.KnownImports) (out admin.KnownKeys, err error) {
	keys := slices.Sorted(maps.Keys(n.bodies))
	if in.Page < len(keys) { // a page for each
		out = admin.KnownKeys{Keys: [][]byte{[]byte(keys[in.Page])}, Next: in.Page + 1}
	}
	return out, nil
}

func (n *fakeNode) MakeMailbox(_ context.Context, in admin.MakeMailbox) (admin.ImportMailbox, error) {
	n.boxes = append(n.boxes, in.Name)
	if in.UIDValidity == 66 {
		return admin.ImportMailbox{}, domicile.E("", domicile.Exist, "in use")
	}
	return admin.ImportMailbox{Name: in.Name}, nil
}

func (n *fakeNode) ImportAccount(_ context.Context, in admin.ImportAccount) (admin.ImportedAccount, error) {
	n.whole = append(n.whole, in)
	return admin.ImportedAccount{NoRoom: true}, nil
}

func (n *fakeNode) PutImported(_ context.Context, _ admin.PutImported, all []admin.ImportedMessage, _ func(io.Reader) io.Reader) (out []admin.PutResult, err error) {
	for _, m := range all {
		if len(n.bodies) >= n.room && n.bodies[string(m.Key)] == "" {
			out = append(out, admin.PutResult{Code: overQuota})
			continue
		}
		n.bodies[string(m.Key)] = string(m.Data)
		out = append(out, admin.PutResult{UID: 1})
	}
	if len(n.fails) > 0 {
		err, n.fails = n.fails[0], n.fails[1:]
		return nil, err
	}
	return out, nil
}

func (n *fakeNode) EndImport(_ context.Context, in admin.EndImport) (admin.EndedImport, error) {
	n.ended = &in
	return admin.EndedImport{Leaf: 7}, nil
}

// fakeSource has mailboxes with messages of one byte.
type fakeSource struct {
	boxes   []importer.Mailbox
	account importer.Account
	fails   []error // of the next calls of Read
}

func (s *fakeSource) Name() string              { return "fake" }
func (s *fakeSource) ID() string                { return "fake" }
func (s *fakeSource) Close() error              { return nil }
func (s *fakeSource) Account() importer.Account { return s.account }
func (s *fakeSource) Mailboxes(context.Context) ([]importer.Mailbox, error) {
	return slices.Clone(s.boxes), nil
}

func (s *fakeSource) Read(_ context.Context, _ importer.Mailbox, items []importer.Item) (out []importer.Body, err error) {
	if len(s.fails) > 0 {
		err, s.fails = s.fails[0], s.fails[1:]
		return nil, err
	}
	for _, i := range items {
		out = append(out, importer.Body{Data: i.Key[:1]})
	}
	return out, nil
}

// box is a mailbox of count messages, of a day each.
func box(name string, first byte, count int) importer.Mailbox {
	m := importer.Mailbox{Name: name, UIDValidity: 7}
	for i := range count {
		m.Items = append(m.Items, importer.Item{Key: importer.Key{first, byte(i), 1}, UID: 1, Size: 1, Date: time.Date(2020, 1, 1+i, 0, 0, 0, 0, time.UTC)})
	}
	return m
}

// bring runs an import from src to node.
func bring(t *testing.T, src *fakeSource, node *fakeNode, tune func(*importWords, *importJob)) (*importJob, error) {
	t.Helper()
	a := &app{out: io.Discard, errOut: &bytes.Buffer{}, now: time.Now, output: "json"}
	w := importWords{address: "ann@example.com"}
	if tune != nil {
		tune(&w, &importJob{})
	}
	j, err := newImportJob(a, nil, w)
	if err != nil {
		t.Fatal(err)
	}
	if tune != nil {
		tune(&w, j)
	}
	j.src, j.node = src, node
	err = j.run(t.Context())
	return j, err
}

func TestImportRun(t *testing.T) {
	src := &fakeSource{boxes: []importer.Mailbox{box("INBOX", 1, 200), box("Sent Items", 2, 3), box("Empty", 3, 0), box("Spam", 4, 1)}}
	src.boxes[1].SpecialUse = "\\Sent"
	src.fails = []error{domicile.E("", domicile.Unavailable, "the link is down")}
	node := &fakeNode{bodies: map[string]string{}, room: 1000, fails: []error{domicile.E("", domicile.Unknown, "no answer")}}
	j, err := bring(t, src, node, func(w *importWords, _ *importJob) { w.exclude = []string{"Sp*"} })
	if err != nil || j.imported != 203 || len(node.bodies) != 203 || !slices.Equal(node.boxes, []string{"INBOX", "Sent", "Empty"}) {
		t.Errorf("%v: %d brought in, %d there, %q", err, j.imported, len(node.bodies), node.boxes)
	}
	if node.ended == nil || node.ended.Interrupted {
		t.Errorf("the end: %+v", node.ended)
	}
	if j, err = bring(t, src, node, nil); err != nil || j.present != 203 || j.imported != 1 {
		t.Errorf("once more: %v, %d there, %d brought in", err, j.present, j.imported)
	}
}

// What belongs to no mailbox comes before the mail, and not in a dry run; that there is no room for it is told.
func TestImportAccount(t *testing.T) {
	src := &fakeSource{boxes: []importer.Mailbox{box("INBOX", 1, 1)}, account: importer.Account{Subscribed: []string{"Once"}, Annotations: map[string][]byte{"/private/a": []byte("x")}}}
	node := &fakeNode{bodies: map[string]string{}, room: 1000}
	if _, err := bring(t, src, node, func(w *importWords, _ *importJob) { w.dryRun = true }); err != nil || len(node.whole) != 0 {
		t.Fatal(err, node.whole)
	}
	j, err := bring(t, src, node, nil)
	if err != nil || len(node.whole) != 1 || node.whole[0].Import != "i1" || node.whole[0].Subscribed[0] != "Once" || string(node.whole[0].Annotations["/private/a"]) != "x" {
		t.Fatal(err, node.whole)
	}
	if len(j.notes) == 0 || !strings.Contains(j.notes[len(j.notes)-1], "no room") {
		t.Errorf("notes: %q", j.notes)
	}
	src.account = importer.Account{}
	if _, err := bring(t, src, node, nil); err != nil || len(node.whole) != 1 {
		t.Error("a source that knows nothing of an account:", err, node.whole)
	}
}

func TestImportStopsWhenFull(t *testing.T) {
	node := &fakeNode{bodies: map[string]string{}, room: 150}
	j, err := bring(t, &fakeSource{boxes: []importer.Mailbox{box("INBOX", 1, 200), box("Other", 2, 100)}}, node, nil)
	if err != nil || j.imported != 150 || j.skipped[overQuota] != 150 || len(j.notes) == 0 {
		t.Errorf("%v: %d brought in, %v", err, j.imported, j.skipped)
	}
	if got := j.show(nil); got != exitError(exitFailed) {
		t.Errorf("exit: %v", got)
	}
}

func TestImportGivesUp(t *testing.T) {
	node := &fakeNode{bodies: map[string]string{}, room: 1000, fails: []error{domicile.E("", domicile.Unavailable, "down"), domicile.E("", domicile.Unavailable, "down")}}
	j, err := bring(t, &fakeSource{boxes: []importer.Mailbox{box("INBOX", 1, 3)}}, node, func(_ *importWords, j *importJob) { j.patience = time.Millisecond })
	if domicile.KindOf(err) != domicile.Unavailable || j.show(err) != exitError(exitUnavailable) || !node.ended.Interrupted {
		t.Errorf("%v, %+v", err, node.ended)
	}
	node.fails = []error{domicile.E("", domicile.Conflict, "another run")}
	if _, err = bring(t, &fakeSource{boxes: []importer.Mailbox{box("New", 9, 3)}}, node, nil); domicile.KindOf(err) != domicile.Conflict {
		t.Errorf("what no second try mends: %v", err)
	}
}

func TestImportScope(t *testing.T) {
	src := &fakeSource{boxes: []importer.Mailbox{box("INBOX", 1, 3), box("A/B", 2, 1), box("A/C", 3, 1), box("bad\tname", 4, 2), {Name: "X", Err: &importer.Problem{Code: importer.Unreadable, Detail: "no"}}}}
	src.boxes[0].Items[2].Size = importer.MaxMessage + 1
	src.boxes[2].UIDValidity = 66
	node := &fakeNode{bodies: map[string]string{}, room: 1000}
	j, err := bring(t, src, node, func(w *importWords, _ *importJob) {
		w.since, w.folders, w.keepUIDs = "2020-01-01", []string{"A=Old", "A/C=Elsewhere"}, true
	})
	want := map[string]int{"bad_name": 2, "too_large": 1, "mailbox": 1, "uids_in_use": 1}
	if err != nil || j.imported != 3 || !maps.Equal(j.skipped, want) || !slices.Equal(node.boxes, []string{"INBOX", "Old/B", "Elsewhere"}) {
		t.Errorf("%v: %d brought in, %v, %q", err, j.imported, j.skipped, node.boxes)
	}
	if len(j.problems) != 4 {
		t.Errorf("problems: %+v", j.problems)
	}
	if j, err = bring(t, src, &fakeNode{bodies: map[string]string{}}, func(w *importWords, _ *importJob) { w.dryRun, w.since = true, "2020-01-02" }); err != nil || j.messages != 3 {
		t.Errorf("since the second: %d, %v", j.messages, err)
	}
}

func TestMatches(t *testing.T) {
	for pattern, names := range map[string][2]string{"Trash": {"Trash", "Trash/x Tras"}, "*": {"x", ""}, "A*c*": {"Abcd Ac", "bAc"}, "[Gmail]/*": {"[Gmail]/All", "G/All"}} {
		for _, name := range strings.Fields(names[0]) {
			if !matches(pattern, name) {
				t.Errorf("%s does not match %s", pattern, name)
			}
		}
		for _, name := range strings.Fields(names[1]) {
			if matches(pattern, name) {
				t.Errorf("%s matches %s", pattern, name)
			}
		}
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "5000": 5000, "5k": 5000, "2M": 2000000} {
		if got, err := parseRate(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"x", "5", "-5k", "M", "5G", "99999999999999999999"} {
		if got, err := parseRate(bad); err == nil {
			t.Errorf("%q: %d", bad, got)
		}
	}
	begin := time.Now()
	if n, err := io.Copy(io.Discard, pace{10000}.slow(t.Context())(strings.NewReader(strings.Repeat("x", 3000)))); n != 3000 || err != nil || time.Since(begin) < 250*time.Millisecond {
		t.Errorf("%d bytes in %s, %v", n, time.Since(begin), err)
	}
}
