package storetest

import (
	"context"
	"encoding/json"
	"time"

	"domicile"
	"domicile/store"
)

// once does an act unless its token did it before.
func once[T any](p *plain, d *doc, tok store.Token, act string, do func() (T, error)) (out T, err error) {
	if len(tok) > store.MaxToken {
		return out, plainError(domicile.Invalid, "a token has at most 128 bytes")
	}
	if u := d.Tokens[tok]; u != nil && p.bug != "forgets tokens" {
		if u.Act != act && p.bug != "takes a token for any act" {
			return out, plainError(domicile.Invalid, "this token was used for something else")
		}
		return out, json.Unmarshal(u.Result, &out)
	}
	out, err = do()
	if tok == "" || err != nil {
		return out, err
	}
	d.Uses++
	d.Tokens[tok] = &used{act, d.Uses, p.at.Now().Unix(), mustMarshal(out)}
	for tok, u := range d.Tokens {
		life := store.TokenLife
		if p.bug == "forgets tokens a second early" {
			life -= time.Second
		}
		if p.at.Now().Unix()-u.At > int64(life/time.Second) || d.Uses-u.N >= store.TokenCount {
			delete(d.Tokens, tok)
		}
	}
	return out, err
}

// onlyOnce is once for an act that returns nothing.
func onlyOnce(p *plain, d *doc, tok store.Token, act string, do func() error) error {
	_, err := once(p, d, tok, act, func() (int, error) { return 0, do() })
	return err
}

func (p *plain) Forget(ctx context.Context, id domicile.AccountID, tok store.Token) error {
	return p.swap(ctx, id, func(d *doc) error {
		if u := d.Tokens[tok]; u != nil && u.Act != "deliver" {
			return plainError(domicile.Invalid, "not a token of a delivery")
		}
		delete(d.Tokens, tok)
		return nil
	})
}
