package main

import (
	"context"
	"fmt"

	"domicile"
	"domicile/admin"
	"domicile/smtpd"
)

// operatorsQueue shows the outbound queue to operators.
type operatorsQueue struct{ q *smtpd.Queue }

func (o operatorsQueue) List(limit int) ([]admin.QueuedMessage, error) {
	all, err := o.q.List(limit)
	out := make([]admin.QueuedMessage, len(all))
	for i, m := range all {
		out[i] = queued(m)
	}
	return out, err
}

func (o operatorsQueue) Show(id string) (admin.QueuedMessage, error) {
	m, err := o.q.Show(id)
	return queued(m), err
}

func (o operatorsQueue) Retry(ctx context.Context, id string) (admin.QueuedMessage, error) {
	m, err := o.q.Retry(ctx, id)
	return queued(m), err
}

func (o operatorsQueue) Hold(ctx context.Context, id string) (admin.QueuedMessage, error) {
	m, err := o.q.Hold(ctx, id)
	return queued(m), err
}

func (o operatorsQueue) Drop(ctx context.Context, id string) (admin.QueuedMessage, error) {
	m, err := o.q.Drop(ctx, id)
	return queued(m), err
}

func (o operatorsQueue) Discard(ctx context.Context, account domicile.AccountID) error {
	return o.q.Discard(ctx, account)
}

func queued(m smtpd.Queued) admin.QueuedMessage {
	out := admin.QueuedMessage{Account: m.Account, Sender: m.Sender, To: []admin.QueuedRecipient{},
		QueueEntry: admin.QueueEntry{ID: m.ID, Bytes: m.Size, Queued: m.Queued, Next: m.Next, Tries: m.Tries, Held: m.Held, Recipients: len(m.To)}}
	for _, r := range m.To {
		to := admin.QueuedRecipient{Address: r.Address, State: r.State}
		if r.Code != 0 {
			when := r.When
			to.When, to.Answer = &when, fmt.Sprintf("%d %s %s", r.Code, r.Status, r.Text)
		}
		if r.State == "waiting" {
			out.Waiting++
			out.Answer = to.Answer
		}
		out.To = append(out.To, to)
	}
	return out
}
