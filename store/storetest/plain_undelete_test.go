package storetest

import (
	"context"

	"domicile"
	"domicile/store"
)

// The plain driver keeps nothing that was expunged.

func (p *plain) Expunged(_ context.Context, id domicile.AccountID) ([]store.Expunged, error) {
	_, err := p.served(id)
	return nil, err
}

func (p *plain) Undelete(context.Context, store.Token, domicile.AccountID, []domicile.MessageID, string) ([]store.Message, error) {
	return nil, plainError(domicile.NotExist, "no such message")
}

func (p *plain) Purge(_ context.Context, id domicile.AccountID) error {
	_, err := p.served(id)
	return err
}
