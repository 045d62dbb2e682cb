package main

import (
	"context"
	"errors"
	"iter"
	"testing"

	"domicile"
	"domicile/store"
)

func TestNameWatchReportsOnce(t *testing.T) {
	answers := map[domicile.AccountID]error{}
	var reports, frozen []string
	failing := false
	var unread error
	w := &nameWatch{reported: map[domicile.AccountID]string{},
		accounts: func(context.Context) iter.Seq2[store.Account, error] {
			return func(yield func(store.Account, error) bool) {
				_ = yield(store.Account{ID: "a1", Epoch: 1}, nil) && yield(store.Account{ID: "a2", Epoch: 1}, nil) && (unread == nil || yield(store.Account{}, unread))
			}
		},
		confirm: func(_ context.Context, _ domicile.Address, id domicile.AccountID, _ uint64) error { return answers[id] },
		freeze:  func(_ context.Context, a store.Account) error { frozen = append(frozen, string(a.ID)); return nil },
		report: func(_ context.Context, id domicile.AccountID, err error) error {
			if failing {
				return errors.New("the log is full")
			}
			reports = append(reports, string(id)+" "+finding(err))
			return nil
		}}
	expect := func(what string, want ...string) {
		t.Helper()
		unknown := domicile.KindOf(answers["a1"]) == domicile.Unavailable
		if known := w.round(t.Context()); known == unknown {
			t.Errorf("%s: all is known: %v", what, known)
		}
		if len(reports) != len(want) {
			t.Fatalf("%s: %v, want %v", what, reports, want)
		}
		for i := range want {
			if reports[i] != want[i] {
				t.Fatalf("%s: %v, want %v", what, reports, want)
			}
		}
		reports = nil
	}
	expect("all is well")
	answers["a1"] = domicile.E("", domicile.Unavailable, "")
	expect("out of reach")
	answers["a1"], failing = domicile.E("", domicile.NotExist, ""), true
	expect("not written down")
	failing = false
	expect("lost", "a1 not_exist")
	expect("known already")
	answers["a2"] = domicile.Refuse("", domicile.NameTaken, "", "")
	expect("given away", "a2 name_taken")
	answers["a2"] = nil
	expect("mended")
	answers["a2"] = domicile.Refuse("", domicile.NameTaken, "", "")
	expect("given away again", "a2 name_taken")
	if frozen != nil {
		t.Errorf("on a registrar's word alone %v are frozen", frozen)
	}
	answers["a2"] = domicile.Refuse("", domicile.MovePastHandover, "", "")
	expect("handed over, and forgotten", "a2 move_past_handover")
	if len(frozen) != 1 || frozen[0] != "a2" {
		t.Errorf("frozen: %v", frozen)
	}
	unread = errors.New("the store is closed")
	if w.round(t.Context()) {
		t.Error("all is known though accounts could not be read")
	}
}
