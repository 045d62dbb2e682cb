package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"domicile"
	mail "domicile/message"
	"domicile/store"
)

// list reads a mailbox in parts, with summaries that are those of the bytes.
func list(r *Rig) {
	acct := r.Person("ann")
	for i := range 25 {
		r.MustDeliver(acct, "INBOX", fmt.Sprintf("Subject: number %d\r\nFrom: B <b@example.com>\r\n\r\nbody\r\n", i))
	}
	r.MustDeliver(acct, "INBOX", "\x00no message\xff")
	box := r.Box(acct, "INBOX")
	_, _, _, err := r.Copy(ctx, "", acct, box.ID, []store.UID{3, 26}, "Archive")
	r.no(err)
	_, err = r.StoreFlags(ctx, "", acct, box.ID, []store.UID{5}, store.FlagsAdd, []string{store.Deleted}, 0)
	r.no(err)
	_, err = r.Expunge(ctx, "", acct, box.ID, nil)
	r.no(err)
	r.Reopen()
	var all []store.Listed
	for after := store.UID(0); ; after = all[len(all)-1].UID {
		part, err := r.Listing(ctx, acct, box.ID, after, 7)
		r.no(err)
		if len(part) == 0 {
			break
		}
		all = append(all, part...)
	}
	r.same("messages", len(all), 25)
	for i, m := range r.List(acct, "INBOX") {
		r.same("message", all[i].Message, m)
		r.sameSummary(acct, all[i])
	}
	some, err := r.Messages(ctx, acct, box.ID, 3, 4)
	r.no(err)
	r.same("messages behind a UID", some, []store.Message{all[3].Message, all[4].Message, all[5].Message, all[6].Message})
	some, err = r.Messages(ctx, acct, box.ID, 25, 4)
	r.no(err)
	r.same("the last one", some, []store.Message{all[24].Message})
	some, err = r.Messages(ctx, acct, box.ID, 25, 0)
	r.no(err)
	r.same("a limit below 1 counts as 1", some, []store.Message{all[24].Message})
	some, err = r.Messages(ctx, acct, box.ID, 1<<32-1, 4)
	r.no(err)
	r.same("none", len(some), 0)
	_, err = r.Messages(ctx, acct, "bnone", 0, 4)
	r.is(domicile.NotExist, err)
	copies, err := r.Listing(ctx, acct, r.Box(acct, "Archive").ID, 0, 100)
	r.no(err)
	r.same("copies", len(copies), 2)
	for _, c := range copies {
		r.sameSummary(acct, c)
	}
	_, err = r.Listing(ctx, acct, "bnone", 0, 10)
	r.is(domicile.NotExist, err)
}

func (r *Rig) sameSummary(acct domicile.AccountID, m store.Listed) {
	r.T.Helper()
	body, err := r.ReadBody(acct, m.ID)
	r.no(err)
	want := mail.Parse([]byte(body)).Summarize()
	if m.Summary == nil || string(m.Summary.AppendBinary(nil)) != string(want.AppendBinary(nil)) {
		r.T.Fatalf("the summary of %q is not what its bytes say", body)
	}
}

// find compares searches with reading every message, while the driver may or may not have indexed it.
func find(r *Rig) {
	acct := r.Person("ann")
	rnd := rand.New(rand.NewPCG(1, 2))
	words := []string{"alpha", "Beta", "gamma-ray", "Straße", "résumé", "日本語", "東京都", "слово", "ab", "x", "a.b@example.com", "zanzibarite"}
	text := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(words[rnd.IntN(len(words))])
			b.WriteString([]string{" ", "\r\n", ", ", "  "}[rnd.IntN(4)])
		}
		return b.String()
	}
	bodies := map[domicile.MessageID]string{}
	deliver := func(n int) {
		for range n {
			body := "Subject: " + strings.ReplaceAll(text(3), "\r\n", " ") + "\r\nX-Odd:\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text(1+rnd.IntN(20))
			bodies[r.MustDeliver(acct, "INBOX", body).ID] = body
		}
	}
	ask := func() {
		r.T.Helper()
		box := r.Box(acct, "INBOX")
		for _, q := range []string{"alpha", "ALPHA", "pha", "a", "", "strasse", "resume", "日本", "京", "gamma-ray", "a r", "ma-ray x", ", ", "example", "nowhere", "слов", "beta", "zanzi"} {
			for in := store.InText; in <= store.InHeader; in++ {
				field := []string{"Subject", "X-Odd", "x-none"}[rnd.IntN(3)]
				got, err := r.Find(ctx, acct, box.ID, in, field, q)
				r.no(err)
				var want []store.UID
				for _, m := range r.List(acct, "INBOX") {
					if holds(bodies[m.ID], in, field, q) {
						want = append(want, m.UID)
					}
				}
				if !slices.Equal(got, want) {
					r.T.Fatalf("search %d %s %q: %v, want %v", in, field, q, got, want)
				}
			}
		}
	}
	ask()
	file := "MIME-Version: 1.0\r\nContent-Type: application/pdf; name=\"nowhere but here.pdf\"\r\nSubject: a file\r\n\r\nx"
	bodies[r.MustDeliver(acct, "INBOX", file).ID] = file
	ask()
	deliver(20)
	ask()
	deliver(150)
	ask()
	box := r.Box(acct, "INBOX")
	_, err := r.StoreFlags(ctx, "", acct, box.ID, []store.UID{1, 2, 30, 60, 61, 150}, store.FlagsAdd, []string{store.Deleted}, 0)
	r.no(err)
	_, err = r.Expunge(ctx, "", acct, box.ID, nil)
	r.no(err)
	ask()
	r.Reopen()
	deliver(70)
	ask()
	_, err = r.Find(ctx, acct, "bnone", store.InText, "", "x")
	r.is(domicile.NotExist, err)
}

func holds(body string, in store.Where, field, q string) bool {
	for kind, text := range mail.Parse([]byte(body)).Texts() {
		if in == store.InBody && kind == mail.HeaderText || in == store.InHeader && kind != mail.HeaderText {
			continue
		}
		if in == store.InHeader {
			name, value, _ := strings.Cut(text, ": ")
			if !strings.EqualFold(name, field) {
				continue
			}
			text = value
		}
		if strings.Contains(mail.Fold(text), mail.Fold(q)) {
			return true
		}
	}
	return false
}

// walk reads a whole account while its owner moves messages to where the reader has been, deletes a mailbox and expunges: none that stays is missed.
func walk(r *Rig) {
	ann := r.Person("ann")
	var stays []domicile.MessageID
	for _, box := range []string{"INBOX", "Archive", "Junk", "Trash"} {
		for range 2 {
			stays = append(stays, r.MustDeliver(ann, box, box).ID)
		}
	}
	_, err := r.CreateMailbox(ctx, "", ann, "Z", "")
	r.no(err)
	r.MustDeliver(ann, "Z", "goes")
	r.MustDeliver(ann, "Sent", "goes", store.Deleted)
	meanwhile := map[string]func() error{
		"Archive": func() error { // from before its reader to behind it
			_, _, _, err := r.Move(ctx, "", ann, r.Box(ann, "Trash").ID, []store.UID{1, 2}, "INBOX")
			return err
		},
		"Junk": func() error {
			_, err := r.Expunge(ctx, "", ann, r.Box(ann, "Sent").ID, nil)
			r.no(err)
			return r.DeleteMailbox(ctx, "", ann, "Z")
		},
	}
	found := map[domicile.MessageID]bool{}
	for m, err := range store.WholeAccount(ctx, r, ann) {
		r.no(err)
		found[m.ID] = true
		if act := meanwhile[m.Mailbox.Name]; act != nil {
			r.no(act())
			delete(meanwhile, m.Mailbox.Name)
		}
	}
	for _, id := range stays {
		r.same("found", found[id], true)
	}
}
