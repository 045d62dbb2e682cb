package store

import (
	"context"
	"iter"

	"domicile"
)

// AllAccounts yields the accounts, in parts: each as it was when its part was read. One that was made or deleted meanwhile may be among them or not.
// An error ends it.
func AllAccounts(ctx context.Context, s Store) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		for after := domicile.AccountID(""); ; {
			part, err := s.Accounts(ctx, after, MaxPage)
			if err != nil {
				yield(Account{}, err)
				return
			}
			for _, a := range part {
				if after = a.ID; !yield(a, nil) {
					return
				}
			}
			if len(part) < MaxPage {
				return
			}
		}
	}
}

// AllMessages yields the messages of a mailbox, by UID, in parts: each as it was when its part was read. One that came or went meanwhile may be
// among them or not. An error ends it.
func AllMessages(ctx context.Context, s Store, acct domicile.AccountID, mbox domicile.MailboxID) iter.Seq2[Message, error] {
	return behind(ctx, s, acct, mbox, 0)
}

func behind(ctx context.Context, s Store, acct domicile.AccountID, mbox domicile.MailboxID, after UID) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			part, err := s.Messages(ctx, acct, mbox, after, MaxPage)
			if err != nil {
				yield(Message{}, err)
				return
			}
			for _, m := range part {
				if after = m.UID; !yield(m, nil) {
					return
				}
			}
			if len(part) < MaxPage {
				return
			}
		}
	}
}

// Filed is a message and where it is.
type Filed struct {
	Mailbox Mailbox
	Message
}

// walkRounds bounds how often WholeAccount looks again for what came meanwhile.
const walkRounds = 16

// WholeAccount yields the messages of an account, mailbox by mailbox, in parts of their own snapshots, for who must have them all while their owner goes on: it looks
// again, behind the last UID of each mailbox, until nothing came meanwhile. So one that was moved is found where it went, and may come twice, once for
// each mailbox; to be missed while it stays it must be moved in each of 16 rounds. What came meanwhile may be there too, what was expunged may not. An error ends it.
func WholeAccount(ctx context.Context, s Store, acct domicile.AccountID) iter.Seq2[Filed, error] {
	return func(yield func(Filed, error) bool) {
		last := map[domicile.MailboxID]UID{}
		for range walkRounds {
			boxes, err := s.Mailboxes(ctx, acct)
			if err != nil {
				yield(Filed{}, err)
				return
			}
			news := false
			for _, b := range boxes {
				for m, err := range behind(ctx, s, acct, b.ID, last[b.ID]) {
					if domicile.KindOf(err) == domicile.NotExist {
						break // the mailbox was deleted meanwhile
					}
					if !yield(Filed{b, m}, err) || err != nil {
						return
					}
					last[b.ID], news = m.UID, true
				}
			}
			if !news {
				return
			}
		}
	}
}
