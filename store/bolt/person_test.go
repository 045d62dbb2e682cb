package bolt

import (
	"context"
	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

const person domicile.AccountID = "a1"

func newPerson(r *storetest.Rig) {
	if err := r.CreateAccount(context.Background(), "", store.Account{ID: person, Address: "ann@example.com"}); err != nil {
		r.T.Fatal(err)
	}
}
