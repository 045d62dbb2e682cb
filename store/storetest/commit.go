package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"domicile"
	"domicile/store"
)

// Letters brings messages in.
func (r *Rig) Letters(acct domicile.AccountID, bodies ...string) (letters []store.Letter) {
	r.T.Helper()
	for _, body := range bodies {
		in, err := r.Incoming(ctx, acct, 64<<20)
		r.no(err)
		_, err = io.WriteString(in, body)
		r.no(err)
		letters = append(letters, store.Letter{Bytes: in})
	}
	return letters
}

// commitTogether commits messages of all sizes as one act.
func commitTogether(r *Rig) {
	ann := r.Person("ann")
	r.MustDeliver(ann, "Archive", "before")
	box := r.Box(ann, "Archive")
	bodies := []string{"one", "", noise(300 << 10), "four", noise(300 << 10), strings.Repeat("five\r\n", 50_000)}
	letters := r.Letters(ann, bodies...)
	when := time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("", 3600))
	letters[0].Flags, letters[0].Internal = []string{"$Label", "\\SEEN"}, when
	letters[3].Flags = []string{"\\Draft"}
	_, _, err := r.Commit(ctx, "", ann, "archive", letters, nil)
	r.is(domicile.NotExist, err)
	for _, l := range letters {
		_, err := l.Bytes.Write([]byte("x"))
		r.is(domicile.Invalid, err)
		l.Bytes.Abort()
	}
	again := r.Letters(ann, bodies...)
	for i := range again {
		again[i].Flags, again[i].Internal = letters[i].Flags, letters[i].Internal
	}
	validity, made, err := r.Commit(ctx, "", ann, "Archive", again, nil)
	r.no(err)
	r.same("UIDs and their validity", []any{uidsOf(made), validity}, []any{[]store.UID{2, 3, 4, 5, 6, 7}, box.UIDValidity})
	r.same("the first", []any{made[0].Flags, made[0].Internal.Format(time.RFC3339), made[0].Saved.Unix()}, []any{[]string{"\\Seen", "$Label"}, when.Format(time.RFC3339), r.At.Now().Unix()})
	r.same("the fourth", []any{made[3].Flags, made[3].Internal.Unix()}, []any{[]string{"\\Draft"}, r.At.Now().Unix()})
	for range 2 {
		now := r.Box(ann, "Archive")
		r.same("listed", r.List(ann, "Archive")[1:], made)
		r.same("counters", []any{now.Messages, now.Unseen, now.UIDNext}, []any{7, 6, 8})
		for i, m := range made {
			r.same("of one act", m.ModSeq, now.HighestModSeq)
			body, err := r.ReadBody(ann, m.ID)
			r.no(err)
			r.same("its bytes", []any{body == bodies[i], m.Size}, []any{true, len(bodies[i])})
		}
		r.Reopen()
	}
}

// commitRefused: whatever is wrong with one of them, none is stored, and all are ended.
func commitRefused(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	refused := func(kind domicile.Kind, letters []store.Letter) {
		r.T.Helper()
		_, _, err := r.Commit(ctx, "token", ann, "INBOX", letters, nil)
		r.is(kind, err)
		for _, l := range letters {
			_, err := l.Bytes.Write([]byte("x"))
			r.is(domicile.Invalid, err)
		}
		box := r.Box(ann, "INBOX")
		r.same("nothing came", []any{len(r.List(ann, "INBOX")), box.UIDNext, box.HighestModSeq}, []any{0, 1, 1})
	}
	refused(domicile.Invalid, nil)
	for at := range 3 {
		letters := r.Letters(ann, "a", "b", "c")
		letters[at].Flags = []string{"\\Nope"}
		refused(domicile.Invalid, letters)

		letters = r.Letters(ann, "a", "b", "c")
		in, err := r.Incoming(ctx, ann, 1)
		r.no(err)
		_, err = in.Write([]byte("over"))
		r.is(domicile.TooLarge, err)
		letters[at].Bytes.Abort()
		letters[at].Bytes = in
		refused(domicile.TooLarge, letters)

		letters = r.Letters(ann, "a", "b", "c")
		letters[at].Bytes.Abort()
		refused(domicile.Invalid, letters)

		letters = r.Letters(ann, "a", "b", "c")
		letters[at].Bytes.Abort()
		letters[at] = r.Letters(bob, "bob's")[0]
		refused(domicile.Invalid, letters)
	}
	twice := r.Letters(ann, "a")
	refused(domicile.Invalid, append(twice, twice[0]))
	refused(domicile.TooLarge, r.Letters(ann, slices.Repeat([]string{"x"}, store.MaxPage+1)...))
	_, made, err := r.Commit(ctx, "token", ann, "INBOX", r.Letters(ann, slices.Repeat([]string{"x"}, store.MaxPage)...), nil)
	r.no(err)
	r.same("as many as may be", len(made), store.MaxPage)

	ended, cancel := context.WithCancel(ctx)
	letters := r.Letters(ann, "a", "b")
	cancel()
	_, _, err = r.Commit(ended, "", ann, "Archive", letters, nil)
	r.is(domicile.Unavailable, err)
	_, _, err = r.Commit(ctx, tooLong, ann, "Archive", r.Letters(ann, "a", "b"), nil)
	r.is(domicile.Invalid, err)
	r.same("nothing came", len(r.List(ann, "Archive")), 0)
}

// commitQuota: a quota has room for all of them, or for none; what goes makes room for what comes.
func commitQuota(r *Rig) {
	r.no(r.CreateAccount(ctx, "", store.Account{ID: "a1", Address: "q@example.com", Quota: 10}))
	over := func(letters []store.Letter, instead *store.Instead) {
		r.T.Helper()
		before := r.List("a1", "INBOX")
		_, _, err := r.Commit(ctx, "", "a1", "INBOX", letters, instead)
		r.is(domicile.TooLarge, err)
		if !errors.Is(err, store.ErrOverQuota) {
			r.T.Fatal("not ErrOverQuota:", err)
		}
		r.same("all is as before", r.List("a1", "INBOX"), before)
	}
	over(r.Letters("a1", "1234", "5678", "123"), nil)
	_, made, err := r.Commit(ctx, "", "a1", "INBOX", r.Letters("a1", "1234", "5678"), nil)
	r.no(err)
	inbox := r.Box("a1", "INBOX").ID
	over(r.Letters("a1", "1234567"), &store.Instead{Mailbox: inbox, UID: made[0].UID})
	_, made, err = r.Commit(ctx, "", "a1", "INBOX", r.Letters("a1", "123", "456"), &store.Instead{Mailbox: inbox, UID: made[0].UID})
	r.no(err)
	used, err := r.Used(ctx, "a1")
	r.no(err)
	r.same("used", used, 10)
	_, _, _, err = r.Copy(ctx, "", "a1", inbox, uidsOf(made[:1]), "Archive")
	r.no(err)
	over(r.Letters("a1", "1"), &store.Instead{Mailbox: inbox, UID: made[0].UID}) // the copy still holds it
}

// commitInstead has messages come in the place of others.
func commitInstead(r *Rig) {
	ann := r.Person("ann")
	for _, body := range []string{"first", "second", "third"} {
		r.MustDeliver(ann, "Drafts", body)
	}
	drafts := r.Box(ann, "Drafts")
	replace := func(to string, uid store.UID, bodies ...string) ([]store.Message, error) {
		_, made, err := r.Commit(ctx, "", ann, to, r.Letters(ann, bodies...), &store.Instead{Mailbox: drafts.ID, UID: uid})
		return made, err
	}
	old := r.List(ann, "Drafts")[1]
	open, err := r.Body(ctx, ann, old.ID)
	r.no(err)
	defer open.Close()
	made, err := replace("Drafts", 2, "second, mended")
	r.no(err)
	if made[0].ID == old.ID {
		r.T.Fatal("another message has the id of the one before")
	}
	c, err := Since(r, ann, drafts.ID, drafts.HighestModSeq)
	r.no(err)
	r.same("one act", []any{c.Vanished, uidsOf(c.Changed), c.Changed[0].ModSeq == c.Mailbox.HighestModSeq, c.Mailbox.Messages, c.Mailbox.Size},
		[]any{[]store.UID{2}, []store.UID{4}, true, 3, len("first") + len("third") + len("second, mended")})
	c, err = Since(r, ann, drafts.ID, c.Mailbox.HighestModSeq-1)
	r.no(err)
	r.same("which has one ModSeq", []any{c.Vanished, uidsOf(c.Changed)}, []any{[]store.UID{2}, []store.UID{4}})
	body, err := io.ReadAll(open)
	r.no(err)
	r.same("who reads it comes to its end", string(body), "second")
	_, err = r.Body(ctx, ann, old.ID)
	r.is(domicile.NotExist, err)

	r.Reopen()
	before := r.Box(ann, "Sent")
	made, err = replace("Sent", 4, "sent", "and a note")
	r.no(err)
	sent, now := r.Box(ann, "Sent"), r.Box(ann, "Drafts")
	r.same("into another mailbox", []any{uidsOf(made), uidsOf(r.List(ann, "Drafts")), sent.Messages, now.Messages}, []any{[]store.UID{1, 2}, []store.UID{1, 3}, 2, 2})
	if sent.HighestModSeq <= before.HighestModSeq || now.HighestModSeq <= c.Mailbox.HighestModSeq {
		r.T.Fatal("both mailboxes changed, and not both have a new ModSeq")
	}

	for _, uid := range []store.UID{2, 4, 9, 0} {
		_, err = replace("Drafts", uid, "x")
		r.is(domicile.NotExist, err)
	}
	_, err = replace("Nowhere", 1, "x")
	r.is(domicile.NotExist, err)
	_, _, err = r.Commit(ctx, "", ann, "Drafts", r.Letters(ann, "x"), &store.Instead{Mailbox: "b9", UID: 1})
	r.is(domicile.NotExist, err)
	_, _, err = r.Commit(ctx, "", ann, "Drafts", nil, &store.Instead{Mailbox: drafts.ID, UID: 1})
	r.is(domicile.Invalid, err)
	r.same("as before", []any{r.Box(ann, "Drafts"), r.Box(ann, "Sent")}, []any{now, sent})
}

// commitTokens says acts again: as done once they answer the same, whatever became of it, and what is no delivery cannot be taken for one.
func commitTokens(r *Rig) {
	ann := r.Person("ann")
	old := r.MustDeliver(ann, "Drafts", "old")
	drafts := r.Box(ann, "Drafts").ID
	together := func() string {
		validity, made, err := r.Commit(ctx, "together", ann, "Archive", r.Letters(ann, "a", "b"), nil)
		r.no(err)
		return fmt.Sprint(validity, made)
	}
	instead := func() string {
		validity, made, err := r.Commit(ctx, "instead", ann, "Drafts", r.Letters(ann, "new"), &store.Instead{Mailbox: drafts, UID: old.UID})
		r.no(err)
		return fmt.Sprint(validity, made)
	}
	alone := func() string {
		validity, made, err := r.Commit(ctx, "alone", ann, "Archive", r.Letters(ann, "c"), nil)
		r.no(err)
		return fmt.Sprint(validity, made)
	}
	was := []string{together(), instead(), alone()}
	same := func() {
		r.T.Helper()
		r.same("again", []string{together(), instead(), alone()}, was)
	}
	same()
	r.same("done once", []any{len(r.List(ann, "Archive")), len(r.List(ann, "Drafts"))}, []any{3, 1})
	r.Reopen()
	same()
	r.no(r.DeleteMailbox(ctx, "", ann, "Archive"))
	_, err := r.CreateMailbox(ctx, "", ann, "Archive", "")
	r.no(err)
	same()
	r.same("nothing came anew", len(r.List(ann, "Archive")), 0)

	for _, tok := range []store.Token{"together", "instead", "alone"} {
		_, err := r.Deliver(ann, tok, "INBOX", "x")
		r.is(domicile.Invalid, err)
		r.is(domicile.Invalid, r.Forget(ctx, ann, tok))
	}
	_, err = r.Deliver(ann, "a letter", "INBOX", "x")
	r.no(err)
	_, _, err = r.Commit(ctx, "a letter", ann, "INBOX", r.Letters(ann, "a", "b"), nil)
	r.is(domicile.Invalid, err)
}

// commitLetters has letters come again under tokens of their own, in other groups: each is stored once.
func commitLetters(r *Rig) {
	ann := r.Person("ann")
	inbox := r.Box(ann, "INBOX")
	commit := func(to string, tokens ...store.Token) (validity uint32, made []store.Message, err error) {
		letters := r.Letters(ann, make([]string, len(tokens))...)
		for i, tok := range tokens {
			letters[i].Token = tok
			_, err := io.WriteString(letters[i].Bytes, "the letter "+string(tok))
			r.no(err)
		}
		return r.Commit(ctx, "", ann, to, letters, nil)
	}
	came := func(to string, want []store.UID, tokens ...store.Token) (made []store.Message) {
		r.T.Helper()
		validity, made, err := commit(to, tokens...)
		r.no(err)
		r.same("UIDs and their validity", []any{uidsOf(made), validity}, []any{want, inbox.UIDValidity})
		return made
	}
	first := came("INBOX", []store.UID{1, 2, 3}, "a", "b", "c")
	r.same("of one act", []any{first[0].ModSeq, first[2].ModSeq}, []any{inbox.HighestModSeq + 1, inbox.HighestModSeq + 1})
	r.Reopen()
	more := came("INBOX", []store.UID{3, 4, 1, 5, 4}, "c", "d", "a", "e", "d")
	r.same("what was there", []store.Message{more[0], more[2]}, []store.Message{first[2], first[0]})
	box := r.Box(ann, "INBOX")
	r.same("what came is of one act", []any{more[1].ModSeq, more[3].ModSeq}, []any{box.HighestModSeq, box.HighestModSeq})
	came("Nowhere", []store.UID{5, 2}, "e", "b")
	r.same("nothing changed", r.Box(ann, "INBOX"), box)
	for i, tok := range []string{"a", "b", "c", "d", "e"} {
		body, err := r.ReadBody(ann, r.List(ann, "INBOX")[i].ID)
		r.no(err)
		r.same("in their order", body, "the letter "+tok)
	}
	validity, made, err := commit("Archive", "a", "f")
	r.no(err)
	r.same("in another mailbox", []any{made[0].ID == first[0].ID, uidsOf(made[1:]), validity}, []any{true, []store.UID{1}, r.Box(ann, "Archive").UIDValidity})
	r.no(r.Forget(ctx, ann, "b"))
	came("INBOX", []store.UID{1, 6}, "a", "b")

	// A group that is refused leaves no token, and so does one of which a token was something else's.
	_, _, err = commit("Nowhere", "a", "g")
	r.is(domicile.NotExist, err)
	_, err = r.CreateMailbox(ctx, "made", ann, "New", "")
	r.no(err)
	for _, tok := range []store.Token{"made", tooLong} {
		_, _, err = commit("INBOX", "g", tok)
		r.is(domicile.Invalid, err)
	}
	letters := r.Letters(ann, "x")
	letters[0].Token = "g"
	_, _, err = r.Commit(ctx, "", ann, "INBOX", letters, &store.Instead{Mailbox: inbox.ID, UID: 1})
	r.is(domicile.Invalid, err)
	letters = r.Letters(ann, "x")
	letters[0].Token = "g"
	_, _, err = r.Commit(ctx, "g", ann, "INBOX", letters, nil)
	r.is(domicile.Invalid, err)
	came("INBOX", []store.UID{7}, "g")

	// The token of all says what it said, whatever letters there are.
	for range 2 {
		letters := r.Letters(ann, "x", "y")
		letters[0].Token = "h"
		_, made, err := r.Commit(ctx, "all", ann, "INBOX", letters, nil)
		r.no(err)
		r.same("under a token", uidsOf(made), []store.UID{8, 9})
	}
	came("INBOX", []store.UID{8}, "h")
	r.same("stored once", len(r.List(ann, "INBOX")), 9)
}

// commitTorn has messages come three at a time in the place of one, while others look on: nobody sees some of an act.
func commitTorn(r *Rig) {
	const messages = 20
	ann := r.Person("ann")
	for range messages {
		r.MustDeliver(ann, "Drafts", "x")
	}
	drafts := r.Box(ann, "Drafts").ID
	ended := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(ended)
	for range 2 {
		readers.Go(func() {
			for r.whole3(ann, messages) {
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	for n := range messages {
		_, _, err := r.Commit(ctx, "", ann, "Sent", r.Letters(ann, "a", "b", "c"), &store.Instead{Mailbox: drafts, UID: store.UID(n + 1)})
		r.no(err)
	}
}

func (r *Rig) whole3(acct domicile.AccountID, want int) bool {
	all, err := r.Mailboxes(ctx, acct)
	if err != nil {
		r.T.Error(err)
		return false
	}
	has := map[string]int{}
	for _, b := range all {
		has[b.Name] = int(b.Messages)
	}
	if has["Sent"] != 3*(want-has["Drafts"]) {
		r.T.Errorf("a part of an act was seen: %d of %d went, and %d came", want-has["Drafts"], want, has["Sent"])
		return false
	}
	return true
}
