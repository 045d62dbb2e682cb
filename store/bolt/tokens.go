package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"domicile"
	"domicile/store"
)

// tokenRecord is what an account remembers of a used token.
type tokenRecord struct {
	Act    string
	Token  store.Token     `json:",omitempty"` // of a delivery, which a move carries on; absent before format 2
	Seq    uint64          // its key in the bucket "order"
	Result json.RawMessage `json:",omitempty"`
}

func checkToken(tok store.Token) error {
	if len(tok) > store.MaxToken {
		return domicile.E("token", domicile.Invalid, "a token has at most 128 bytes")
	}
	return nil
}

func (a account) tokenKey(tok store.Token) []byte {
	return a.s.cfg.Sealer.Digest("token", string(a.id), string(tok))
}

func (a account) tokenPlace(key []byte) []byte {
	return place("token", string(a.id), string(key))
}

// didBefore fills result (a pointer, or nil) with what the act gave under tok, if it was done.
func (a account) didBefore(tok store.Token, act string, result any) (bool, error) {
	if tok == "" {
		return false, nil
	}
	key := a.tokenKey(tok)
	sealed := a.b.sub(bTokens).Get(key)
	if sealed == nil {
		return false, nil
	}
	var rec tokenRecord
	if err := a.s.openRecord(a.id, sealed, a.tokenPlace(key), &rec); err != nil {
		return false, err
	}
	if rec.Act != act {
		return false, domicile.E("token", domicile.Invalid, fmt.Sprintf("this token was used to %s: use a new one", rec.Act))
	}
	if result == nil {
		return true, nil
	}
	return true, json.Unmarshal(rec.Result, result)
}

// once does an act under a token, unless it was done by that before. result is a pointer to what the act gives, or nil.
func (s *Store) once(ctx context.Context, acct domicile.AccountID, tok store.Token, act string, result any, do func(a account) error) error {
	return s.update(ctx, acct, func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		if done, err := a.didBefore(tok, act, result); done || err != nil {
			return err
		}
		if err := do(a); err != nil {
			return err
		}
		return a.remember(tok, act, result)
	})
}

// remember notes in the act's own transaction that tok was used, and forgets tokens past their time. A result that is large may be given as JSON already.
func (a account) remember(tok store.Token, act string, result any) error {
	if tok == "" {
		return nil
	}
	raw, ready := result.(json.RawMessage)
	if !ready {
		var err error
		if raw, err = json.Marshal(result); err != nil {
			return err
		}
	}
	rec := tokenRecord{Act: act, Result: raw}
	if act == actDeliver {
		rec.Token = tok
	}
	return a.keepToken(tok, rec, a.s.cfg.Now())
}

// keepToken writes a token that was used at a time, as the newest.
func (a account) keepToken(tok store.Token, rec tokenRecord, now time.Time) error {
	seq := readNumber(a.b.Get(kSequence)) + 1
	a.b.Put(kSequence, number(seq))
	key := a.tokenKey(tok)
	rec.Seq = seq
	sealed, err := a.seal(rec, a.tokenPlace(key))
	if err != nil {
		return err
	}
	a.b.sub(bTokens).Put(key, sealed)
	a.b.sub(bOrder).Put(number(seq), binary.BigEndian.AppendUint64(key[:len(key):len(key)], uint64(now.Unix())))
	a.pruneTokens(seq, now)
	return nil
}

// pruneTokens drops a few of the oldest tokens that are past both bounds' promise: more than come in, so that the number falls.
func (a account) pruneTokens(newest uint64, now time.Time) {
	order := a.b.sub(bOrder)
	walk, left := order.entries(), 4
	for ok := walk.seek(nil); ok && left > 0; ok = walk.next() {
		left--
		seq, v := walk.key[len(walk.prefix):], walk.value
		if len(v) < 8 {
			return
		}
		key, used := v[:len(v)-8], int64(binary.BigEndian.Uint64(v[len(v)-8:]))
		fresh := now.Sub(time.Unix(used, 0)) <= store.TokenLife
		if fresh && newest-readNumber(seq) < store.TokenCount {
			return
		}
		a.b.sub(bTokens).Delete(key)
		order.Delete(seq)
	}
}

// Forget drops a token of a delivery. A token that is not known is no error.
func (s *Store) Forget(ctx context.Context, acct domicile.AccountID, tok store.Token) error {
	const op = "forget token"
	err := s.update(ctx, "", func(tx *txn) error {
		a, err := s.account(tx, acct)
		if err != nil {
			return err
		}
		key := a.tokenKey(tok)
		sealed := a.b.sub(bTokens).Get(key)
		if sealed == nil {
			return nil
		}
		var rec tokenRecord
		if err := s.openRecord(acct, sealed, a.tokenPlace(key), &rec); err != nil {
			return err
		}
		if rec.Act != actDeliver {
			return domicile.E("token", domicile.Invalid, "this token is not one of a delivery")
		}
		a.b.sub(bTokens).Delete(key)
		a.b.sub(bOrder).Delete(number(rec.Seq))
		return nil
	})
	return domicile.W(op, err)
}
