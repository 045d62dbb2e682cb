package storetest

import (
	"context"

	"domicile"
	mail "domicile/message"
	"domicile/store"
)

func (p *plain) Listing(ctx context.Context, id domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) (out []store.Listed, err error) {
	all, err := p.Messages(ctx, id, mbox)
	if err != nil {
		return nil, err
	}
	d, err := p.served(id)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.UID > after && len(out) < limit {
			out = append(out, store.Listed{Message: m, Summary: mail.Parse(d.Bodies[m.ID]).Summarize()})
		}
	}
	return out, nil
}

func (p *plain) Find(ctx context.Context, id domicile.AccountID, mbox domicile.MailboxID, in store.Where, field, needle string) (out []store.UID, err error) {
	all, err := p.Messages(ctx, id, mbox)
	if err != nil {
		return nil, err
	}
	d, err := p.served(id)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if holds(string(d.Bodies[m.ID]), in, field, needle) {
			out = append(out, m.UID)
		}
	}
	return out, nil
}
