package storetest

import (
	"context"
	"io"

	"domicile"
	mail "domicile/message"
	"domicile/store"
)

func (p *plain) Listing(ctx context.Context, id domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) (out []store.Listed, err error) {
	all, err := p.Messages(ctx, id, mbox)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.UID > after && len(out) < limit {
			l := store.Listed{Message: m}
			if raw, err := p.bytes(ctx, id, m.ID); err == nil {
				l.Summary = mail.Parse(raw).Summarize()
			}
			out = append(out, l)
		}
	}
	return out, nil
}

func (p *plain) Find(ctx context.Context, id domicile.AccountID, mbox domicile.MailboxID, in store.Where, field, needle string) (out []store.UID, err error) {
	all, err := p.Messages(ctx, id, mbox)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if raw, err := p.bytes(ctx, id, m.ID); err == nil && holds(string(raw), in, field, needle) {
			out = append(out, m.UID)
		}
	}
	return out, nil
}

func (p *plain) bytes(ctx context.Context, id domicile.AccountID, msg domicile.MessageID) ([]byte, error) {
	r, err := p.Body(ctx, id, msg)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
