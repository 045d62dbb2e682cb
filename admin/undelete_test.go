package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/residence"
	"domicile/store"
)

// expungedStore adds to the fake what was expunged, and what it takes to bring it back.
type expungedStore struct {
	*importStore
	kept   []store.Expunged
	undone map[store.Token][]store.Message
	purged int
}

func (s *expungedStore) Expunged(context.Context, domicile.AccountID) ([]store.Expunged, error) {
	return slices.Clone(s.kept), nil
}

func (s *expungedStore) Undelete(_ context.Context, tok store.Token, _ domicile.AccountID, ids []domicile.MessageID, to string) ([]store.Message, error) {
	if made, ok := s.undone[tok]; ok {
		return made, nil
	}
	var made []store.Message
	for _, m := range s.kept {
		if slices.Contains(ids, m.ID) {
			made = append(made, m.Message)
		}
	}
	if len(made) != len(ids) {
		return nil, domicile.E("undelete", domicile.NotExist, "no such message was expunged")
	}
	s.kept = slices.DeleteFunc(s.kept, func(m store.Expunged) bool { return slices.Contains(ids, m.ID) })
	box := domicile.MailboxID("box " + to)
	s.messages[box] = append(s.messages[box], made...)
	s.undone[tok] = made
	return made, nil
}

func (s *expungedStore) Purge(context.Context, domicile.AccountID) error {
	s.kept = nil
	s.purged++
	return nil
}

// undeletingKit is a node that keeps what was expunged for a day, and an account with n such messages of 100 bytes, a minute apart.
func undeletingKit(t *testing.T, n int) (*kit, *expungedStore, *Client) {
	t.Helper()
	k := newKit(t, func(s *Server) { s.cfg.Undelete = 24 * time.Hour })
	s := &expungedStore{importStore: &importStore{fakeStore: k.store}, undone: map[store.Token][]store.Message{}}
	k.server.cfg.Store = s
	c := k.client("eu-ireland", "operator")
	if _, err := c.CreateAccount(t.Context(), anna()); err != nil {
		t.Fatal(err)
	}
	first := time.Now().Add(-12 * time.Hour).UTC().Truncate(time.Millisecond)
	for i := range n {
		s.kept = append(s.kept, store.Expunged{At: first.Add(time.Duration(i) * time.Minute), Message: store.Message{ID: domicile.MessageID(fmt.Sprint("m", i)), Size: 100,
			Flags: []string{"Secret-Word"}}})
	}
	return k, s, c
}

func TestUndelete(t *testing.T) {
	k, s, c := undeletingKit(t, 3)
	ctx, addr := t.Context(), "anna@example.com"
	list, err := c.Expunged(ctx, ListExpunged{Address: addr})
	if err != nil || list.Messages != 3 || list.Bytes != 300 || len(list.List) != 3 || list.Keeps != "24h0m0s" || list.More {
		t.Fatalf("%+v, %v", list, err)
	}
	if m := list.List[1]; m.ID != "m1" || !m.Expunged.Equal(s.kept[1].At) || m.Due.Sub(m.Expunged) != 24*time.Hour {
		t.Errorf("%+v", m)
	}
	if raw, _ := json.Marshal(list.List); strings.Contains(string(raw), "@") || strings.Contains(string(raw), "Word") {
		t.Errorf("a listing says more than ids, sizes and times: %s", raw)
	}
	in := Undelete{Address: addr, Token: "t", To: "Restored", IDs: []domicile.MessageID{"m0", "m2"}}
	for n, leaf := range []bool{true, false} { // the second is known by its token
		v, err := c.Undelete(ctx, in)
		if err != nil || v.Messages != 2 || v.Bytes != 200 || v.Mailbox != "Restored" || (v.Leaf != nil) != leaf || len(s.messages["box Restored"]) != 2 {
			t.Errorf("call %d: %+v, %v", n, v, err)
		}
	}
	in.Token = "another"
	if _, err := c.Undelete(ctx, in); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("what is back comes back: %v", err)
	}
	for range 2 {
		if v, err := c.Purge(ctx, addr); err != nil || v.State != "asked" || v.Messages != 1 || v.Bytes != 100 || v.Leaf == nil || s.purged != 0 {
			t.Errorf("purge, asked for: %+v, %v", v, err)
		}
	}
	if v, err := k.named("legal", "eu-ireland", "legal").Purge(ctx, addr); err != nil || v.State != "purged" || v.Messages != 1 || v.Leaf == nil || s.purged != 1 {
		t.Errorf("purge, completed: %+v, %v", v, err)
	}
	for kind, want := range map[string]int{"operator.account.expunged": 1, "operator.account.undelete": 3, "account.undelete": 1, "operator.account.purge": 3, "account.purge_asked": 2, "account.purge": 1} {
		if l := k.leaves(kind); len(l) != want || strings.Contains(strings.Join(l, ""), "anna") {
			t.Errorf("%d leaves %s, want %d: %q", len(l), kind, want, l)
		}
	}
	if l := k.leaves("account.undelete"); len(l) == 1 && (!strings.Contains(l[0], `"messages"`) || !strings.Contains(l[0], `"bytes"`)) {
		t.Errorf("a leaf without counts: %s", l[0])
	}
}

// A listing comes in parts, of which the last message asks for the next, also among those of one moment.
func TestExpungedInParts(t *testing.T) {
	_, s, c := undeletingKit(t, maxExpunged+5)
	for i := range s.kept {
		s.kept[i].At = s.kept[i%7].At
	}
	in, seen := ListExpunged{Address: "anna@example.com"}, map[domicile.MessageID]bool{}
	for range 2 {
		v, err := c.Expunged(t.Context(), in)
		if err != nil || v.Messages != len(s.kept) || v.More != (len(seen) == 0) {
			t.Fatalf("%d messages, more %v, %v", v.Messages, v.More, err)
		}
		for _, m := range v.List {
			in.Since, in.After = m.Expunged, m.ID
			seen[m.ID] = true
		}
	}
	if len(seen) != len(s.kept) {
		t.Errorf("%d of %d were listed", len(seen), len(s.kept))
	}
}

// What is due is neither shown nor brought back, though it waits to be removed; on a node that keeps nothing that is so at once.
func TestUndeleteTooLate(t *testing.T) {
	k, s, c := undeletingKit(t, 2)
	k.server.cfg.Now = func() time.Time { return s.kept[0].At.Add(24 * time.Hour) }
	v, err := c.Expunged(t.Context(), ListExpunged{Address: "anna@example.com"})
	if err != nil || v.Messages != 1 || v.List[0].ID != "m1" {
		t.Errorf("%+v, %v", v, err)
	}
	in := Undelete{Address: "anna@example.com", Token: "t", To: "INBOX", IDs: []domicile.MessageID{"m0", "m1"}}
	if _, err := c.Undelete(t.Context(), in); domicile.KindOf(err) != domicile.NotExist || len(s.kept) != 2 {
		t.Errorf("past its time: %v", err)
	}
	k.server.cfg.Undelete = 0
	if v, err := c.Expunged(t.Context(), ListExpunged{Address: "anna@example.com"}); err != nil || v.Messages != 0 || v.List == nil || v.Keeps != "0s" {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := c.Purge(t.Context(), "anna@example.com"); err != nil || v.Messages != 0 {
		t.Errorf("an operator learns that what is due has stayed: %+v, %v", v, err)
	}
	if v, err := k.named("legal", "eu-ireland", "legal").Purge(t.Context(), "anna@example.com"); err != nil || v.Messages != 2 {
		t.Errorf("a purge leaves what is due: %+v, %v", v, err)
	}
}

// A purge takes an operator and a legal officer, in this order. What a case preserves stays, and only the officer learns why: to operators,
// and to all who read the log, it looks as if no case preserved it.
func TestPurgeFrozen(t *testing.T) {
	ops := map[bool][]string{}
	for _, frozen := range []bool{false, true} {
		k, s, c := undeletingKit(t, 2)
		ctx, addr, legal := t.Context(), "anna@example.com", k.named("legal", "eu-ireland", "legal")
		if frozen {
			if err := k.cfg.Residence.Freeze(ctx, k.names.owner["anna@example.com"], "c1", residence.Actor{Name: "machine", Region: "eu-ireland"}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := legal.Purge(ctx, addr)
		k.wantRefusal(err, domicile.DualApprovalMissing)
		both := k.named("both", "eu-ireland", "operator", "legal")
		for _, by := range []*Client{both, c} {
			v, err := by.Purge(ctx, addr)
			v.Account, v.Leaf = "", nil
			ops[frozen] = append(ops[frozen], fmt.Sprintf("%+v, %v", v, err))
		}
		_, err = both.Purge(ctx, addr)
		k.wantRefusal(err, domicile.SelfApproval)
		if v, err := c.Undelete(ctx, Undelete{Address: addr, Token: "t", To: "INBOX", IDs: []domicile.MessageID{"m0"}}); err != nil || v.Messages != 1 {
			t.Errorf("undelete, frozen %v: %+v, %v", frozen, v, err)
		}
		if _, err = legal.Purge(ctx, addr); !frozen {
			if err != nil || s.purged != 1 || len(k.store.table("purges").rows) != 0 {
				t.Errorf("completed: %v, purged %d times", err, s.purged)
			}
			continue
		}
		if domicile.ReasonOf(err) != domicile.ResidenceFrozen || len(ReceiptOf(err)) == 0 || s.purged != 0 || len(s.kept) != 1 {
			t.Errorf("a case preserves it: %v, purged %d times", err, s.purged)
		}
		if leaves := strings.Join(k.leaves(""), ""); strings.Contains(leaves, "residence_frozen") || strings.Contains(leaves, "preserved") {
			t.Errorf("the public log tells of the freeze: %s", leaves)
		}
	}
	if !slices.Equal(ops[false], ops[true]) {
		t.Errorf("an operator can tell them apart: %v", ops)
	}
}

// An account that is removed takes the request along.
func TestPurgeForgotten(t *testing.T) {
	k, _, c := undeletingKit(t, 1)
	_, err1 := c.Purge(t.Context(), "anna@example.com")
	_, err2 := c.RemoveAccount(t.Context(), "anna@example.com")
	_, err3 := k.named("legal", "eu-ireland", "legal").RemoveAccount(t.Context(), "anna@example.com")
	if n := len(k.store.table("purges").rows); err1 != nil || err2 != nil || err3 != nil || n != 0 {
		t.Errorf("%d requests are left: %v, %v, %v", n, err1, err2, err3)
	}
}

// undeleteCalls makes every call for an account.
func undeleteCalls(ctx context.Context, c *Client, addr string) map[string]error {
	_, listed := c.Expunged(ctx, ListExpunged{Address: addr})
	_, undone := c.Undelete(ctx, Undelete{Address: addr, Token: "t", To: "INBOX", IDs: []domicile.MessageID{"m0"}})
	_, purged := c.Purge(ctx, addr)
	return map[string]error{"expunged": listed, "undelete": undone, "purge": purged}
}

func TestUndeleteRefused(t *testing.T) {
	k, s, c := undeletingKit(t, 1)
	ctx, addr := t.Context(), "anna@example.com"
	k.names.owner["us@example.com"] = "a9"
	for _, err := range undeleteCalls(ctx, c, "us@example.com") {
		k.wantRefusal(err, domicile.WrongRegion)
	}
	for name, err := range undeleteCalls(ctx, c, "nobody@example.com") {
		if domicile.KindOf(err) != domicile.NotExist {
			t.Errorf("%s of nobody: %v", name, err)
		}
	}
	id := k.names.owner["anna@example.com"]
	s.UpdateAccount(ctx, id, func(a *store.Account) error { a.State = store.Moving; return nil })
	for name, err := range undeleteCalls(ctx, c, addr) {
		if domicile.KindOf(err) != domicile.Unavailable {
			t.Errorf("%s of an account that moves: %v", name, err)
		}
	}
	s.UpdateAccount(ctx, id, func(a *store.Account) error { a.State = store.Active; return nil })
	for name, in := range map[string]Undelete{
		"no token":   {To: "INBOX", IDs: []domicile.MessageID{"m0"}},
		"long token": {To: "INBOX", IDs: []domicile.MessageID{"m0"}, Token: strings.Repeat("t", 65)},
		"no ids":     {To: "INBOX", Token: "t"},
		"too many":   {To: "INBOX", Token: "t", IDs: make([]domicile.MessageID, 501)},
		"bad name":   {To: "a//b", Token: "t", IDs: []domicile.MessageID{"m0"}},
	} {
		in.Address = addr
		if _, err := c.Undelete(ctx, in); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.kept) != 1 || s.purged != 0 || len(k.leaves("account.undelete"))+len(k.leaves("account.purge")) != 0 {
		t.Error("what was refused did something")
	}
}
