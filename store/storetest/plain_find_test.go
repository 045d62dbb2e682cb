package storetest

import (
	"context"

	"domicile"
	mail "domicile/message"
	"domicile/store"
)

func (p *plain) Listing(_ context.Context, id domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) (out []store.Listed, err error) {
	_, b, err := p.view(id, mbox)
	if err != nil {
		return nil, err
	}
	for _, m := range b.Live {
		if m.UID > after && len(out) < max(1, min(limit, store.MaxPage)) {
			out = append(out, store.Listed{Message: message(m), Summary: mail.Parse(p.bytes(id, m.ID)).Summarize()})
		}
	}
	return out, nil
}

func (p *plain) Find(_ context.Context, id domicile.AccountID, mbox domicile.MailboxID, in store.Where, field, needle string) (out []store.UID, err error) {
	_, b, err := p.view(id, mbox)
	if err != nil {
		return nil, err
	}
	for _, m := range b.Live {
		if holds(string(p.bytes(id, m.ID)), in, field, needle) {
			out = append(out, m.UID)
		}
	}
	return out, nil
}

// bytes returns a body, or nothing where it is damaged or was expunged meanwhile.
func (p *plain) bytes(id domicile.AccountID, msg domicile.MessageID) (body []byte) {
	p.read(bodyName(id, msg), id, &body)
	return body
}
