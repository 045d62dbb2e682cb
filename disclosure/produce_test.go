package disclosure

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"domicile"
	"domicile/audit"
)

var ctx = context.Background()

// treaty submits a treaty request in Ireland and returns its case.
func treaty(t *testing.T, w *world, b *bench, change func(*Claims)) (Claims, Answer) {
	t.Helper()
	c := w.request()
	if change != nil {
		change(&c)
	}
	a := submit(t, b, w.sign(c, w.treatySigners()...), irish)
	wantAnswer(t, b, a, "execute", "", "mlat/domestic-order")
	return c, a
}

// files opens a delivered archive.
func files(t *testing.T, archive []byte, id age.Identity) map[string]string {
	t.Helper()
	r, err := age.Decrypt(bytes.NewReader(archive), id)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(body)
	}
}

func TestTreatyFromRequestToDelivery(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	me := b.officer(officer1)
	claims, a := treaty(t, w, b, nil)
	if _, err := b.Release(ctx, me, a.Case); domicile.ReasonOf(err) != domicile.OrderStateWrong {
		t.Fatalf("release before production: %v", err)
	}
	p, err := b.Produce(ctx, me, a.Case, "/somewhere")
	if err != nil || p.State != "sealed" || p.To != "/somewhere" || p.Receipt != nil {
		t.Fatalf("%+v %v", p, err)
	}
	again, err := b.Produce(ctx, me, a.Case, "/elsewhere")
	if err != nil || again.SHA256 != p.SHA256 || again.To != "/elsewhere" {
		t.Fatalf("produced twice: %v", err)
	}
	var out bytes.Buffer
	if err := b.Deliver(ctx, me, a.Case, &out); domicile.ReasonOf(err) != domicile.OrderStateWrong || out.Len() > 0 {
		t.Fatalf("deliver before release: %v, %d bytes", err, out.Len())
	}
	b.reach = false
	if _, err := b.Release(ctx, me, a.Case); domicile.ReasonOf(err) != domicile.QuorumNotReached || domicile.KindOf(err) != domicile.Unavailable {
		t.Fatalf("release without cosigners: %v", err)
	}
	if err := b.Deliver(ctx, me, a.Case, &out); err == nil || out.Len() > 0 {
		t.Fatalf("deliver without quorum: %v, %d bytes", err, out.Len())
	}
	b.reach = true
	rel, err := b.Release(ctx, me, a.Case)
	if err != nil || rel.State != "released" {
		t.Fatalf("%+v %v", rel, err)
	}
	v, err := audit.VerifyReceipt(rel.Receipt, w.catalog.Pins())
	if err != nil || !strings.Contains(string(v.Leaf), p.SHA256) || strings.Contains(string(v.Leaf), "@") {
		t.Fatalf("%s %v", v.Leaf, err)
	}
	if err := b.Deliver(ctx, me, a.Case, &out); err != nil {
		t.Fatal(err)
	}
	if digestOf(out.Bytes()) != p.SHA256 || int64(out.Len()) != p.Bytes {
		t.Fatal("not the archive that was sealed")
	}
	got := files(t, out.Bytes(), w.central.identity)
	if len(got) != 6 || got["messages/000001.eml"] != string(b.mail.bodies["m-inbox-1"]) || got["messages/000002.eml"] != string(b.mail.bodies["m-inbox-2"]) {
		t.Fatalf("archive: %q", got)
	}
	if strings.Contains(got[subscriberName], "argon2") || strings.Contains(got[trafficName], "first") || !strings.Contains(got[trafficName], "dealer@") {
		t.Fatalf("records: %s %s", got[subscriberName], got[trafficName])
	}
	if got[manifestName] != string(p.Manifest) {
		t.Fatal("the manifest told is not the one in the archive")
	}
	if _, err := age.Decrypt(bytes.NewReader(out.Bytes()), w.oia.identity); err == nil {
		t.Fatal("the foreign agency can open it")
	}
	r, _ := age.Decrypt(bytes.NewReader(out.Bytes()), w.central.identity)
	if _, err := CheckProduction(r, claims.Scope); err != nil {
		t.Fatal(err)
	}
	replay := submit(t, b, mustReadToken(t, b, a.Case), irish)
	if replay.Code != domicile.Replayed || replay.Rule != "house/replay" {
		t.Fatalf("%+v", replay)
	}
	if v, err := audit.VerifyReceipt(replay.Receipt, w.catalog.Pins()); err != nil || !strings.Contains(string(v.Leaf), a.Case) {
		t.Fatalf("the receipt of a replay is that of the first use: %v", err)
	}
	info, err := b.Case(ctx, me, a.Case)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, s := range info.History {
		states = append(states, s.State)
	}
	if got := strings.Join(states, " "); got != "received authenticated preserved decided collecting sealed release_quorum released delivered" {
		t.Fatal(got)
	}
}

func mustReadToken(t *testing.T, b *bench, id string) []byte {
	t.Helper()
	token, err := b.readFile(id, "token")
	if err != nil || token == nil {
		t.Fatal(err)
	}
	return token
}

// TestNothingReadableAtRest: no file of a case shows mail, address or token.
func TestNothingReadableAtRest(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	claims, a := treaty(t, w, b, nil)
	if _, err := b.Produce(ctx, b.officer(officer1), a.Case, ""); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := filepath.WalkDir(b.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		text, err := os.ReadFile(path)
		for _, s := range []string{"aoife", "dealer", claims.JTI, "13-mj-2814", "INBOX"} {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s shows %q", filepath.Base(path), s)
			}
		}
		return err
	})
	if err != nil || n < 4 {
		t.Fatal(n, err)
	}
}

func TestScopeIsKept(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	for name, x := range map[string]struct {
		change func(*Claims)
		want   string // files, sorted, manifest and certificate left out
		not    string // in not_produced
	}{
		"one folder": {func(c *Claims) { c.Scope.Folders = []string{"Sent"}; c.Scope.Categories = []string{Content} }, "", ""},
		"one participant": {func(c *Claims) {
			c.Scope.Participants = []string{"Friend@example.org"}
			c.Scope.Categories = []string{Content}
		}, "messages/000001.eml=second", ""},
		"wider window":    {func(c *Claims) { c.Scope.Window.From = 0; c.Scope.Categories = []string{Content} }, "messages/000001.eml=first messages/000002.eml=second messages/000003.eml=too old", ""},
		"one item":        {func(c *Claims) { c.Scope.MaxItems = 1; c.Scope.Categories = []string{Content} }, "messages/000001.eml=first", "max_items"},
		"few bytes":       {func(c *Claims) { c.Scope.MaxBytes = 90; c.Scope.Categories = []string{Content} }, "messages/000001.eml=first", "max_bytes"},
		"subscriber only": {func(c *Claims) { c.Scope.Categories = []string{Subscriber} }, "records/subscriber.json=", ""},
		"traffic only":    {func(c *Claims) { c.Scope.Categories = []string{Traffic} }, "records/traffic.json=", "session records"},
	} {
		c, a := treaty(t, w, b, x.change)
		p, err := b.Produce(ctx, b.officer(officer1), a.Case, "")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		archive, err := os.ReadFile(filepath.Join(b.dir(a.Case), archiveFile))
		if err != nil {
			t.Fatal(err)
		}
		var m Manifest
		if err := json.Unmarshal(p.Manifest, &m); err != nil {
			t.Fatal(err)
		}
		var got []string
		all := files(t, archive, w.central.identity)
		for _, it := range m.Items {
			if it.Name == certificateName {
				continue
			}
			subject := ""
			for line := range strings.SplitSeq(all[it.Name], "\r\n") {
				subject += strings.TrimPrefix(line, "Subject: ")[:0]
				if s, ok := strings.CutPrefix(line, "Subject: "); ok {
					subject = s
				}
			}
			got = append(got, it.Name+"="+subject)
		}
		if strings.Join(got, " ") != x.want || len(all) != len(got)+2 {
			t.Errorf("%s: %v, want %s", name, got, x.want)
		}
		if x.not != "" && !strings.Contains(string(p.Manifest), x.not) {
			t.Errorf("%s: %s is not said to be missing", name, x.not)
		}
		if err := m.Scope.within(c.Scope); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemovedAfterPreservation(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	_, a := treaty(t, w, b, nil)
	delete(b.mail.bodies, "m-inbox-1")
	b.mail.put("m-inbox", 9, issued.AddDate(0, -1, 0), "Subject: came after preservation\r\n\r\n")
	p, err := b.Produce(ctx, b.officer(officer1), a.Case, "")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(p.Manifest); !strings.Contains(s, "removed by the account's owner") || strings.Contains(s, `"uid":9`) {
		t.Fatal(s)
	}
}

// TestCheckerFindsWhatTheCollectorMissed alters archives and scopes behind the collector's back.
func TestCheckerFindsWhatTheCollectorMissed(t *testing.T) {
	ordered := Scope{Targets: []string{"a"}, Categories: []string{Content}, Window: Window{From: 10, To: 20}, Folders: []string{"INBOX"}, MaxItems: 1, MaxBytes: 5}
	build := func(change func(*Manifest), extra string) []byte {
		m := Manifest{Scope: ordered, Items: []Item{{Name: "messages/000001.eml", Category: Content, SHA256: digestOf([]byte("mail")), Bytes: 4, Mailbox: "INBOX", Internal: 15}}}
		m.Scope.MaxBytes = 4
		change(&m)
		var buf bytes.Buffer
		tw := tar.NewWriter(&buf)
		put := func(name, body string) {
			_ = tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(body))})
			_, _ = tw.Write([]byte(body))
		}
		put("messages/000001.eml", "mail")
		if extra != "" {
			put(extra, "more")
		}
		text, _ := json.Marshal(m)
		put(manifestName, string(text))
		_ = tw.Close()
		return buf.Bytes()
	}
	none := func(*Manifest) {}
	if _, err := CheckProduction(bytes.NewReader(build(none, "")), ordered); err != nil {
		t.Fatal(err)
	}
	for name, archive := range map[string][]byte{
		"a file more":        build(none, "messages/000002.eml"),
		"a file twice":       build(none, "messages/000001.eml"),
		"a file less":        build(func(m *Manifest) { m.Items = append(m.Items, Item{Name: "x"}) }, ""),
		"another digest":     build(func(m *Manifest) { m.Items[0].SHA256 = digestOf(nil) }, ""),
		"outside the window": build(func(m *Manifest) { m.Items[0].Internal = 21 }, ""),
		"outside the folder": build(func(m *Manifest) { m.Items[0].Mailbox = "Sent" }, ""),
		"another category":   build(func(m *Manifest) { m.Items[0].Category = Traffic }, ""),
		"named a record":     build(func(m *Manifest) { m.Items[0].Name = trafficName }, ""),
		"wider window":       build(func(m *Manifest) { m.Scope.Window.To = 21 }, ""),
		"another target":     build(func(m *Manifest) { m.Scope.Targets = []string{"b"} }, ""),
		"all folders":        build(func(m *Manifest) { m.Scope.Folders = nil }, ""),
		"more categories":    build(func(m *Manifest) { m.Scope.Categories = []string{Content, Traffic} }, ""),
		"more items":         build(func(m *Manifest) { m.Scope.MaxItems = 2 }, ""),
		"cut":                build(none, "")[:700],
		"empty":              {},
	} {
		if _, err := CheckProduction(bytes.NewReader(archive), ordered); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
}

// TestTreatyProductionHasOneRecipient: whatever a bundle would say, a treaty production is sealed to this state's own
// central authority.
func TestTreatyProductionHasOneRecipient(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	kind, _ := b.law.order("mlat.request")
	for _, x := range []struct {
		to   string
		want domicile.Reason
	}{{w.central.Recipient, ""}, {w.oia.Recipient, domicile.ScopeExceedsBasis}, {w.court.Recipient, domicile.ScopeExceedsBasis},
		{w.judge.Recipient, domicile.ScopeExceedsBasis}, {"", domicile.UnknownAuthority}} {
		o := &order{token: &token{claims: &Claims{DeliveryTo: x.to}}, kind: kind}
		if _, err := b.recipient(o); domicile.ReasonOf(err) != x.want {
			t.Errorf("%v, want %q", err, x.want)
		}
	}
}

func TestStayWithdrawLift(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	me := b.officer(officer1)
	b.mail.put("m-inbox", 3, issued.AddDate(0, -1, 0), "Subject: long\r\n\r\n"+strings.Repeat("many bytes\r\n", 20000))
	_, a := treaty(t, w, b, nil)
	paper := []byte("a court's paper")
	if _, err := b.Stay(ctx, me, a.Case, nil); domicile.KindOf(err) != domicile.Invalid {
		t.Fatalf("a stay without its paper: %v", err)
	}
	if _, err := b.Lift(ctx, me, a.Case, paper); domicile.ReasonOf(err) != domicile.OrderStateWrong {
		t.Fatalf("a lift of nothing: %v", err)
	}
	stay := func() {
		t.Helper()
		if ans, err := b.Stay(ctx, me, a.Case, paper); err != nil || ans.State != "stayed" {
			t.Fatalf("%+v %v", ans, err)
		}
	}
	lift := func(want string) {
		t.Helper()
		if ans, err := b.Lift(ctx, me, a.Case, paper); err != nil || ans.State != want {
			t.Fatalf("%+v %v", ans, err)
		}
	}
	stay()
	if _, err := b.Produce(ctx, me, a.Case, ""); domicile.ReasonOf(err) != domicile.Stayed {
		t.Fatalf("produce: %v", err)
	}
	lift("decided")
	if _, err := b.Produce(ctx, me, a.Case, ""); err != nil {
		t.Fatal(err)
	}
	stay()
	if _, err := b.Release(ctx, me, a.Case); domicile.ReasonOf(err) != domicile.Stayed {
		t.Fatalf("release: %v", err)
	}
	lift("sealed")
	if _, err := b.Release(ctx, me, a.Case); err != nil {
		t.Fatal(err)
	}
	// a stay that arrives while bytes are leaving cuts them off
	cut := &cutter{after: 1, then: stay}
	if err := b.Deliver(ctx, me, a.Case, cut); domicile.ReasonOf(err) != domicile.Stayed {
		t.Fatalf("deliver over a stay: %v", err)
	}
	lift("released")
	w.status(w.judge, map[string]string{mustClaims(t, b, a.Case).JTI: "suspended"})
	if err := b.Deliver(ctx, me, a.Case, io.Discard); domicile.ReasonOf(err) != domicile.Stayed {
		t.Fatalf("deliver over a suspended status: %v", err)
	}
	w.status(w.judge, nil)
	if ans, err := b.Withdraw(ctx, me, a.Case, paper); err != nil || ans.State != "withdrawn" {
		t.Fatalf("%+v %v", ans, err)
	}
	if err := b.Deliver(ctx, me, a.Case, io.Discard); err == nil {
		t.Fatal("delivered after withdrawal")
	}
}

// cutter does something after its n-th write.
type cutter struct {
	after int
	then  func()
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.after--; c.after == 0 {
		c.then()
	}
	return len(p), nil
}

func mustClaims(t *testing.T, b *bench, id string) *Claims {
	t.Helper()
	tok, err := parseToken(mustReadToken(t, b, id))
	if err != nil {
		t.Fatal(err)
	}
	return tok.claims
}

func TestJudgement(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	first, second := b.officer(officer1), b.officer(officer2)
	referred := func() Answer {
		t.Helper()
		c := w.warrant("mail-ie", "eu-ireland", irish)
		c.IssuedUnder = "gdpr:art49(1)(e)"
		a := submit(t, b, w.sign(c, w.court.as("issuing")), irish)
		wantAnswer(t, b, a, "refer", domicile.ConflictOfLaws, "gdpr-48/transfer-ground")
		return a
	}
	a := referred()
	if _, err := b.Produce(ctx, first, a.Case, ""); domicile.ReasonOf(err) != domicile.OrderStateWrong {
		t.Fatalf("produce of a referred case: %v", err)
	}
	for _, bad := range [][2]string{{"perhaps", "x"}, {"execute", ""}, {"execute", " \n"}, {"refuse", strings.Repeat("x", maxReason+1)}} {
		if _, err := b.Judge(ctx, first, a.Case, bad[0], bad[1]); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%v: %v", bad[0], err)
		}
	}
	one, err := b.Judge(ctx, first, a.Case, "execute", "the ground holds")
	if err != nil || one.Decision != "refer" || one.Code != domicile.DualApprovalMissing || one.State != "awaiting_second_person" {
		t.Fatalf("%+v %v", one, err)
	}
	if _, err := b.Judge(ctx, first, a.Case, "execute", "I insist"); domicile.ReasonOf(err) != domicile.SelfApproval {
		t.Fatalf("one person twice: %v", err)
	}
	if _, err := b.Produce(ctx, first, a.Case, ""); domicile.ReasonOf(err) != domicile.OrderStateWrong {
		t.Fatalf("produce by one person's judgement: %v", err)
	}
	two, err := b.Judge(ctx, second, a.Case, "execute", "I concur")
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, b, two, "execute", "", "house/judgement")
	if _, err := b.Produce(ctx, second, a.Case, ""); err != nil {
		t.Fatal(err)
	}
	c, err := b.loadCase(a.Case)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Replay(*c.Record); err != nil || d.Rule != "house/judgement" {
		t.Fatalf("%+v %v", d, err)
	}
	no, err := b.Judge(ctx, first, referred().Case, "refuse", "it does not hold")
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, b, no, "refuse", domicile.ConflictOfLaws, "house/judgement")
	if _, err := b.Judge(ctx, first, no.Case, "execute", "changed my mind"); domicile.ReasonOf(err) != domicile.OrderStateWrong {
		t.Fatalf("judged twice: %v", err)
	}
}

func TestToldCaseIsNeverExecutedHere(t *testing.T) {
	w := newWorld(t)
	us, ie := w.at("us-east", "us-2018", "mlat"), w.at("eu-ireland", "gdpr-48", "mlat")
	a := submit(t, us, w.sign(w.warrant("parent-us", "us-east", irish), w.court.as("issuing")), irish)
	if !strings.Contains(a.Detail, "was told") {
		t.Fatal(a.Detail)
	}
	list, err := ie.Cases(ctx, ie.officer(officer1))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	if _, err := ie.Judge(ctx, ie.officer(officer1), list[0].Case, "execute", "why not"); domicile.ReasonOf(err) != domicile.WrongAudience {
		t.Fatalf("execute of a told case: %v", err)
	}
	if _, err := us.Judge(ctx, us.officer(officer1), a.Case, "execute", "we want it"); domicile.ReasonOf(err) != domicile.ContentStoredAbroad {
		t.Fatalf("execute where nothing rests: %v", err)
	}
	if ans, err := ie.Judge(ctx, ie.officer(officer1), list[0].Case, "object", "GDPR 48"); err != nil || ans.State != "refused" {
		t.Fatalf("%+v %v", ans, err)
	}
	c, err := us.loadCase(a.Case)
	if err != nil {
		t.Fatal(err)
	}
	if err := us.tell(ctx, c); err != nil { // repeated: nothing new
		t.Fatal(err)
	}
	if list, _ := ie.Cases(ctx, ie.officer(officer1)); len(list) != 1 {
		t.Fatal("told twice")
	}
}

func TestExportWithoutOrder(t *testing.T) {
	w := newWorld(t)
	b := w.at("us-east", "us-2018", "mlat")
	a, err := b.RefuseExport(ctx, b.officer(officer1), irish)
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, b, a, "refuse", domicile.NoToken, "house/token-required")
	a = submit(t, b, nil, irish)
	wantAnswer(t, b, a, "refuse", domicile.NoToken, "house/token-required")
}

func TestSubmitMisuse(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	me := b.officer(officer1)
	token := w.sign(w.request(), w.treatySigners()...)
	if _, err := b.Submit(ctx, me, token, "not an address", nil); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("target: %v", err)
	}
	if _, err := b.Submit(ctx, me, token, irish, make([]byte, maxDocument+1)); domicile.KindOf(err) != domicile.TooLarge {
		t.Errorf("document: %v", err)
	}
	a, err := b.Submit(ctx, me, token, irish, []byte("another paper"))
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, b, a, "refuse", domicile.BadSignature, "house/document")
	if a, err = b.Submit(ctx, me, token, irish, []byte("domestic")); err != nil || a.Decision != "execute" {
		t.Errorf("%+v %v", a, err)
	}
	nobody := w.request()
	nobody.Scope.Targets = []string{"nobody@example.com"}
	a = submit(t, b, w.sign(nobody, w.treatySigners()...), "nobody@example.com")
	wantAnswer(t, b, a, "refuse", domicile.NotPossessed, "house/target")
	lost := w.request()
	lost.Scope.Targets = []string{"lost@example.com"}
	if _, err := b.Submit(ctx, me, w.sign(lost, w.treatySigners()...), "lost@example.com", nil); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("registrar out of reach: %v", err)
	}
}

func TestMaxExecutions(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	me := b.officer(officer1)
	c := w.request()
	token := w.sign(c, w.treatySigners()...)
	one, two := submit(t, b, token, irish), submit(t, b, token, irish)
	if _, err := b.Produce(ctx, me, one.Case, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Produce(ctx, me, two.Case, ""); domicile.ReasonOf(err) != domicile.Replayed {
		t.Fatalf("two cases, one use: %v", err)
	}
	info, err := b.Case(ctx, me, two.Case)
	if err != nil || info.State != "refused" || info.Code != domicile.Replayed {
		t.Fatalf("%+v %v", info, err)
	}
}

// TestStayOfALongCase: a case with as many steps as fit can still be stayed, and withdrawn, but not be lifted again.
func TestStayOfALongCase(t *testing.T) {
	w := newWorld(t)
	us := w.at("us-east", "us-2018", "mlat")
	me := us.officer(officer1)
	a := submit(t, us, w.sign(w.warrant("mail-us", "us-east", american), w.court.as("issuing")), american)
	paper := []byte("paper")
	c, err := us.loadCase(a.Case)
	if err != nil {
		t.Fatal(err)
	}
	for len(c.Info.History) < maxSteps-4 {
		c.Info.History = append(c.Info.History, c.Info.History[len(c.Info.History)-1])
	}
	if err := us.putCase(c); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := us.Stay(ctx, me, a.Case, paper); err != nil {
			t.Fatal(err)
		}
		if _, err := us.Lift(ctx, me, a.Case, paper); domicile.KindOf(err) == domicile.TooLarge {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	us.Engine.Close()
	us.open()
	if _, err := us.Produce(ctx, me, a.Case, ""); domicile.ReasonOf(err) != domicile.Stayed {
		t.Fatalf("produce: %v", err)
	}
	if ans, err := us.Withdraw(ctx, me, a.Case, paper); err != nil || ans.State != stateWithdrawn {
		t.Fatalf("%+v %v", ans, err)
	}
}

// TestRegistryChangedUnderACase: what was decided is neither collected nor released while the registry is frozen, nor
// once it knows the signer for less, or for nothing.
func TestRegistryChangedUnderACase(t *testing.T) {
	w := newWorld(t)
	us := w.at("us-east", "us-2018", "mlat")
	me := us.officer(officer1)
	warrant := func() string {
		return submit(t, us, w.sign(w.warrant("mail-us", "us-east", american), w.court.as("issuing")), american).Case
	}
	decided, sealed := warrant(), warrant()
	if _, err := us.Produce(ctx, me, sealed, ""); err != nil {
		t.Fatal(err)
	}
	good := w.court.Authority
	for _, c := range []struct {
		name   string
		frozen bool
		change func(a *Authority)
		want   domicile.Reason
	}{
		{"frozen", true, func(*Authority) {}, domicile.UnknownAuthority},
		{"another role", false, func(a *Authority) { a.Role = "enforcing" }, domicile.WrongRole},
		{"fewer categories", false, func(a *Authority) { a.Categories = []string{Subscriber} }, domicile.WrongRole},
		{"no such orders", false, func(a *Authority) { a.OrderTypes = []string{"us.sca.subpoena"} }, domicile.WrongRole},
		{"ended", false, func(a *Authority) { a.NotAfter = issued }, domicile.UnknownAuthority},
		{"the key is another authority's", false, func(a *Authority) { a.Certificate = w.oia.Certificate; w.oia.Certificate = string(w.court.cert) }, domicile.WrongRole},
	} {
		oia := w.oia.Certificate
		c.change(&w.court.Authority)
		path := w.registry()
		if c.frozen {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append([]byte("frozen = true\n"), text...), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		us.Engine.Close()
		us.open()
		_, err := us.Produce(ctx, me, decided, "")
		if domicile.ReasonOf(err) != c.want {
			t.Errorf("%s: produce: %v", c.name, err)
		}
		if _, err := us.Release(ctx, me, sealed); domicile.ReasonOf(err) != c.want {
			t.Errorf("%s: release: %v", c.name, err)
		}
		w.court.Authority, w.oia.Certificate = good, oia
	}
	w.registry()
	us.Engine.Close()
	us.open()
	us.reach = true
	if p, err := us.Release(ctx, me, sealed); err != nil || p.State != stateReleased {
		t.Errorf("as it was: %+v %v", p, err)
	}
}
