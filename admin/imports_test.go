package admin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// importStore adds to the fake what an import stores with: mailboxes by name, tokens and a quota.
type importStore struct {
	*fakeStore
	tokens map[store.Token]store.Message
	acts   [][]store.Token // what was committed together
	room   int64
	notes  []store.Annotation // of all mailboxes
	names  []string           // subscribed
}

func (s *importStore) Annotations(context.Context, domicile.AccountID, domicile.MailboxID) ([]store.Annotation, error) {
	return s.notes, nil
}

func (s *importStore) Annotate(_ context.Context, _ store.Token, _ domicile.AccountID, _ domicile.MailboxID, set []store.Annotation) (uint64, error) {
	if len(s.notes)+len(set) > 2 {
		return 0, domicile.E("annotate", domicile.TooLarge, "")
	}
	s.notes = append(s.notes, set...)
	return 1, nil
}

func (s *importStore) MailboxByName(_ context.Context, id domicile.AccountID, name string) (store.Mailbox, error) {
	for _, b := range s.boxes[id] {
		if b.Name == name {
			return b, nil
		}
	}
	return store.Mailbox{}, domicile.E("mailbox", domicile.NotExist, "")
}

func (s *importStore) CreateMailbox(_ context.Context, _ store.Token, id domicile.AccountID, name, use string) (store.Mailbox, error) {
	b := store.Mailbox{ID: domicile.MailboxID("box " + name), Name: name, SpecialUse: use}
	s.boxes[id] = append(s.boxes[id], b)
	return b, nil
}

func (s *importStore) NumberMailbox(_ context.Context, id domicile.AccountID, mbox domicile.MailboxID, validity uint32, next store.UID) error {
	for i, b := range s.boxes[id] {
		if b.ID == mbox && b.UIDValidity != validity && len(s.messages[mbox]) > 0 {
			return domicile.E("number", domicile.Conflict, "it has messages")
		} else if b.ID == mbox {
			s.boxes[id][i].UIDValidity, s.boxes[id][i].UIDNext = validity, max(b.UIDNext, next)
		}
	}
	return nil
}

func (s *importStore) Subscribe(_ context.Context, _ store.Token, _ domicile.AccountID, name string, _ bool) error {
	if len(s.names) == 3 {
		return domicile.E("subscribe", domicile.TooLarge, "")
	}
	s.names = append(s.names, name)
	return nil
}

func (s *importStore) Subscriptions(context.Context, domicile.AccountID) ([]string, error) {
	return s.names, nil
}

func (s *importStore) Incoming(_ context.Context, id domicile.AccountID, _ int64) (store.Incoming, error) {
	return &importIncoming{s: s, id: id}, nil
}

type importIncoming struct {
	bytes.Buffer
	s  *importStore
	id domicile.AccountID
}

func (in *importIncoming) Abort() {}

func (in *importIncoming) Commit(context.Context, store.Token, string, []string, time.Time) (store.Message, error) {
	panic("an import commits groups")
}

func (s *importStore) Commit(ctx context.Context, _ store.Token, id domicile.AccountID, to string, letters []store.Letter, _ *store.Instead) (uint32, []store.Message, error) {
	b, err := s.MailboxByName(ctx, id, to)
	if err != nil {
		return 0, nil, err
	}
	size := int64(0)
	var tokens []store.Token
	for _, l := range letters {
		if _, err := store.CanonicalFlags(l.Flags); err != nil {
			return 0, nil, err
		}
		if _, ok := s.tokens[l.Token]; !ok {
			size += int64(l.Bytes.(*importIncoming).Len())
		}
		tokens = append(tokens, l.Token)
	}
	if size > s.room {
		return 0, nil, &domicile.Error{Kind: domicile.TooLarge, Err: store.ErrOverQuota}
	}
	s.room -= size
	s.acts = append(s.acts, tokens)
	var made []store.Message
	for _, l := range letters {
		if _, ok := s.tokens[l.Token]; !ok {
			s.deliver(id, to, l.Bytes.(*importIncoming).String(), l.Flags...)
			s.tokens[l.Token] = s.messages[b.ID][len(s.messages[b.ID])-1]
		}
		made = append(made, s.tokens[l.Token])
	}
	return b.UIDValidity, made, nil
}

// importing makes an account, and begins an import into it.
func importingKit(t *testing.T) (*kit, *importStore, *Client, Import) {
	t.Helper()
	k := newKit(t)
	s := &importStore{fakeStore: k.store, tokens: map[store.Token]store.Message{}, room: 1 << 30}
	k.server.cfg.Store = s
	c := k.client("eu-ireland", "operator")
	if _, err := c.CreateAccount(t.Context(), anna()); err != nil {
		t.Fatal(err)
	}
	imp, err := c.BeginImport(t.Context(), BeginImport{Address: "anna@example.com", Source: "maildir:/var/mail/anna", ID: "maildir"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.MakeMailbox(t.Context(), MakeMailbox{Address: "anna@example.com", Import: imp.Import, Name: "Old", Subscribed: true}); err != nil {
		t.Fatal(err)
	}
	return k, s, c, imp
}

func messagesOf(from, count int) (all []ImportedMessage) {
	for i := range count {
		text := fmt.Sprintf("Subject: %d\r\n\r\n", from+i)
		all = append(all, ImportedMessage{Key: bytes.Repeat([]byte{byte(from + i)}, keySize), Mailbox: "Old", Flags: []string{"\\Seen"}, Time: time.Unix(1600000000, 0), Data: []byte(text)})
	}
	return all
}

func TestImport(t *testing.T) {
	k, s, c, imp := importingKit(t)
	put := PutImported{Address: "anna@example.com", Import: imp.Import}
	for range 2 { // the second is a repetition whose first answer was lost
		res, err := c.PutImported(t.Context(), put, messagesOf(0, 3), nil)
		if err != nil || len(res) != 3 || res[0].UID != 1 || res[2].UID != 3 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	if n := len(s.messages["box Old"]); n != 3 {
		t.Errorf("%d messages", n)
	}
	known, err := c.KnownImports(t.Context(), KnownImports{Address: "anna@example.com", ID: "maildir"})
	if err != nil || len(known.Keys) < 3 || known.Next != 0 || !bytes.Equal(known.Keys[1], messagesOf(1, 1)[0].Key) {
		t.Errorf("%+v, %v", known, err)
	}
	if other, err := c.KnownImports(t.Context(), KnownImports{Address: "anna@example.com", ID: "mbox"}); err != nil || len(other.Keys) != 0 {
		t.Errorf("%+v, %v", other, err)
	}
	if _, err := c.EndImport(t.Context(), EndImport{Address: "anna@example.com", Import: imp.Import, Skipped: map[string]int{"unreadable": 2}}); err != nil {
		t.Error(err)
	}
	if _, err := c.PutImported(t.Context(), put, messagesOf(9, 1), nil); domicile.KindOf(err) != domicile.Conflict {
		t.Errorf("behind its end: %v", err)
	}
	begun, ended := k.leaves("account.import_begun"), k.leaves("account.import_ended")
	if len(begun) != 1 || len(ended) != 1 || strings.Contains(begun[0]+ended[0], "anna") {
		t.Errorf("leaves: %q, %q", begun, ended)
	}
}

// UIDs are kept where nobody knows others.
func TestImportKeepsUIDs(t *testing.T) {
	_, s, c, imp := importingKit(t)
	ask := MakeMailbox{Address: "anna@example.com", Import: imp.Import, Name: "Old", UIDValidity: 77}
	if _, err := c.MakeMailbox(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	messages := messagesOf(0, 1)
	messages[0].UID = 40
	if _, err := c.PutImported(t.Context(), PutImported{Address: ask.Address, Import: imp.Import}, messages, nil); err != nil {
		t.Fatal(err)
	}
	if b, err := s.MailboxByName(t.Context(), imp.Account.Account, "Old"); err != nil || b.UIDValidity != 77 || b.UIDNext != 40 {
		t.Errorf("%+v, %v", b, err)
	}
	ask.UIDValidity = 78
	if _, err := c.MakeMailbox(t.Context(), ask); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("another UIDVALIDITY: %v", err)
	}
}

// A run that was killed is ended by the next, and cannot go on beside it.
func TestImportTakenOver(t *testing.T) {
	k, _, c, imp := importingKit(t)
	again, err := c.BeginImport(t.Context(), BeginImport{Address: "anna@example.com", Source: "maildir:/elsewhere", ID: "maildir"})
	if err != nil || len(k.leaves("account.import_ended")) != 1 {
		t.Fatalf("%+v, %v", again, err)
	}
	if _, err := c.PutImported(t.Context(), PutImported{Address: "anna@example.com", Import: imp.Import}, messagesOf(0, 1), nil); domicile.KindOf(err) != domicile.Conflict {
		t.Errorf("the first run: %v", err)
	}
	other := k.named("other", "eu-ireland", "operator")
	if _, err := other.PutImported(t.Context(), PutImported{Address: "anna@example.com", Import: again.Import}, messagesOf(0, 1), nil); domicile.KindOf(err) != domicile.Conflict {
		t.Errorf("another operator: %v", err)
	}
	if _, err := c.PutImported(t.Context(), PutImported{Address: "anna@example.com", Import: again.Import}, messagesOf(0, 1), nil); err != nil {
		t.Error(err)
	}
}

func TestImportCutOff(t *testing.T) {
	_, s, c, imp := importingKit(t)
	put := PutImported{Address: "anna@example.com", Import: imp.Import}
	cut := func(r io.Reader) io.Reader { // the link breaks in the last message
		raw, _ := io.ReadAll(r)
		return io.MultiReader(bytes.NewReader(raw[:len(raw)-3]), brokenLink{})
	}
	if _, err := c.PutImported(t.Context(), put, messagesOf(0, 3), cut); err == nil {
		t.Fatal("a call that was cut off was answered")
	}
	short := messagesOf(0, 3)
	res, err := c.PutImported(t.Context(), put, short, nil)
	if err != nil || len(res) != 3 || len(s.messages["box Old"]) != 3 {
		t.Errorf("%+v, %v, %d messages", res, err, len(s.messages["box Old"]))
	}
	if s.bodies[s.messages["box Old"][2].ID] != string(short[2].Data) {
		t.Error("the message that was cut off is not whole")
	}
}

type brokenLink struct{}

func (brokenLink) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestImportQuota(t *testing.T) {
	_, s, c, imp := importingKit(t)
	s.room = 30
	res, err := c.PutImported(t.Context(), PutImported{Address: "anna@example.com", Import: imp.Import}, messagesOf(0, 4), nil)
	if err != nil || res[1].Code != "" || res[2].Code != "over_quota" || res[3].Code != "over_quota" {
		t.Errorf("%+v, %v", res, err)
	}
	known, err := c.KnownImports(t.Context(), KnownImports{Address: "anna@example.com", ID: "maildir"})
	if err != nil || len(known.Keys) != 2 {
		t.Errorf("what did not fit is taken for stored: %+v, %v", known, err)
	}
}

// Messages are stored as few acts, in their order; what is at fault with one of them befalls it alone, and groups that were made otherwise before double nothing.
func TestImportGroups(t *testing.T) {
	_, s, c, imp := importingKit(t)
	put := func(messages []ImportedMessage) []PutResult {
		t.Helper()
		res, err := c.PutImported(t.Context(), PutImported{Address: "anna@example.com", Import: imp.Import}, messages, nil)
		if err != nil || len(res) != len(messages) {
			t.Fatalf("%+v, %v", res, err)
		}
		return res
	}
	acts := func() (sizes []int) {
		for _, a := range s.acts {
			sizes = append(sizes, len(a))
		}
		s.acts = nil
		return sizes
	}
	if _, err := c.MakeMailbox(t.Context(), MakeMailbox{Address: "anna@example.com", Import: imp.Import, Name: "Drafts"}); err != nil {
		t.Fatal(err)
	}
	put(messagesOf(0, 40))
	if got := acts(); !slices.Equal(got, []int{40}) {
		t.Errorf("40 messages are acts of %d", got)
	}
	if res := put(messagesOf(30, 20)); res[0].UID != 31 || res[19].UID != 50 || !slices.Equal(acts(), []int{20}) {
		t.Errorf("of which half are there: %+v", res)
	}
	mixed := messagesOf(60, 8)
	mixed[1].Flags = []string{"\\Nope"}
	mixed[3].Mailbox = "Drafts"
	mixed[5].Data = bytes.Repeat([]byte("x"), groupBytes+1)
	mixed[6].Data = bytes.Repeat([]byte("x"), groupBytes-10)
	res := put(mixed)
	if res[1] != (PutResult{Code: "invalid"}) || res[0].UID != 51 || res[2].UID != 52 || res[4].UID != 53 || res[7].UID != 56 {
		t.Errorf("%+v", res)
	}
	if got := acts(); !slices.Equal(got, []int{1, 1, 1, 1, 1, 1, 1}) {
		t.Errorf("what cannot be together is acts of %d", got)
	}
	for n, m := range s.messages["box Old"] {
		if want := fmt.Sprintf("Subject: %d\r\n\r\n", n); n < 50 && s.bodies[m.ID] != want {
			t.Fatalf("message %d is %q", n, s.bodies[m.ID])
		}
	}
	numbered := messagesOf(80, 6)
	for i, uid := range []store.UID{57, 58, 59, 70, 71, 90} {
		numbered[i].UID = uid
	}
	put(numbered)
	if got := acts(); !slices.Equal(got, []int{1, 1, 1, 1, 1, 1}) {
		t.Errorf("messages that keep their UIDs are acts of %d", got)
	}
}

func TestImportRefused(t *testing.T) {
	k, s, c, imp := importingKit(t)
	begin := BeginImport{Address: "us@example.com", Source: "x", ID: "x"}
	k.names.owner["us@example.com"] = "a9"
	_, err := c.BeginImport(t.Context(), begin)
	k.wantRefusal(err, domicile.WrongRegion)
	begin.Address = "nobody@example.com"
	if _, err := c.BeginImport(t.Context(), begin); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("nobody: %v", err)
	}
	begin.Address = "anna@example.com"
	for name, in := range map[string]BeginImport{"no source": {Address: begin.Address}, "long": {Address: begin.Address, Source: strings.Repeat("x", 257), ID: "x"}} {
		if _, err := c.BeginImport(t.Context(), in); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	id := imp.Account.Account
	s.UpdateAccount(t.Context(), id, func(a *store.Account) error { a.State = store.Moving; return nil })
	if _, err := c.BeginImport(t.Context(), begin); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("an account that moves: %v", err)
	}
	if _, err := c.PutImported(t.Context(), PutImported{Address: begin.Address, Import: imp.Import}, messagesOf(0, 1), nil); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("an account that moves: %v", err)
	}
	s.UpdateAccount(t.Context(), id, func(a *store.Account) error { a.State = store.Active; return nil })
	k.moves.gone[id] = "us-east"
	_, err = c.PutImported(t.Context(), PutImported{Address: begin.Address, Import: imp.Import}, messagesOf(0, 1), nil)
	k.wantRefusal(err, domicile.WrongRegion)
	if n := len(s.messages["box Old"]); n != 0 {
		t.Errorf("%d messages were stored", n)
	}
}

// What is known of imports goes with the account, by its removal or, where it moved, when the next import begins.
func TestImportsForgotten(t *testing.T) {
	k, _, c, imp := importingKit(t)
	if _, err := c.PutImported(t.Context(), PutImported{Address: "anna@example.com", Import: imp.Import}, messagesOf(0, 3), nil); err != nil {
		t.Fatal(err)
	}
	if len(k.store.table("import_keys").rows) != 1 || len(k.store.table("imports").rows) != 1 {
		t.Fatal("nothing is known")
	}
	k.moves.gone[imp.Account.Account] = "us-east"
	k.server.swept.Store(nil)
	k.server.sweepImports(t.Context())
	if n := len(k.store.table("import_keys").rows) + len(k.store.table("imports").rows); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// Annotations that come with a mailbox are set where it has none of that name; those that find no room fail nothing.
func TestImportAnnotations(t *testing.T) {
	_, s, c, imp := importingKit(t)
	ask := MakeMailbox{Address: "anna@example.com", Import: imp.Import, Name: "Old", Annotations: map[string][]byte{"/private/a": []byte("first")}}
	for range 2 {
		if b, err := c.MakeMailbox(t.Context(), ask); err != nil || b.NoRoom || len(s.notes) != 1 || string(s.notes[0].Value) != "first" {
			t.Fatalf("%+v, %+v, %v", b, s.notes, err)
		}
		ask.Annotations["/private/a"] = []byte("second")
	}
	ask.Annotations = map[string][]byte{"/private/b": {}, "/private/c": {}}
	if b, err := c.MakeMailbox(t.Context(), ask); err != nil || !b.NoRoom || b.Name != "Old" || len(s.notes) != 1 {
		t.Errorf("%+v, %+v, %v", b, s.notes, err)
	}
	ask.Annotations = map[string][]byte{"no name": {}}
	if _, err := c.MakeMailbox(t.Context(), ask); domicile.KindOf(err) != domicile.Invalid {
		t.Error(err)
	}
}

// What belongs to no mailbox is added where it is missing, as far as there is room.
func TestImportAccount(t *testing.T) {
	_, s, c, imp := importingKit(t)
	ask := ImportAccount{Address: "anna@example.com", Import: imp.Import, Subscribed: []string{"Once", "Old"}, Annotations: map[string][]byte{"/private/a": []byte("first")}}
	for range 2 {
		if got, err := c.ImportAccount(t.Context(), ask); err != nil || got.NoRoom || fmt.Sprint(s.names) != "[Old Once]" || len(s.notes) != 1 || string(s.notes[0].Value) != "first" {
			t.Fatalf("%+v, %q, %+v, %v", got, s.names, s.notes, err)
		}
		ask.Annotations["/private/a"] = []byte("second")
	}
	ask.Subscribed, ask.Annotations = []string{"A", "B"}, map[string][]byte{"/private/b": {}}
	if got, err := c.ImportAccount(t.Context(), ask); err != nil || !got.NoRoom || len(s.notes) != 2 {
		t.Errorf("names without room: %+v, %+v, %v", got, s.notes, err)
	}
	ask.Subscribed, ask.Annotations = nil, map[string][]byte{"/private/c": {}}
	if got, err := c.ImportAccount(t.Context(), ask); err != nil || !got.NoRoom || len(s.notes) != 2 {
		t.Errorf("annotations without room: %+v, %+v, %v", got, s.notes, err)
	}
	ask.Subscribed = make([]string, store.MaxSubscribed+1)
	if _, err := c.ImportAccount(t.Context(), ask); domicile.KindOf(err) != domicile.TooLarge {
		t.Error(err)
	}
	ask.Subscribed, ask.Import = nil, "i0"
	if _, err := c.ImportAccount(t.Context(), ask); domicile.KindOf(err) != domicile.Conflict {
		t.Error("an import that nobody has begun:", err)
	}
}
