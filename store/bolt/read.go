package bolt

import (
	"context"
	"io"

	"domicile"
	"domicile/store"
)

func (s *Store) mailboxByID(tx *txn, acct domicile.AccountID, id domicile.MailboxID) (*mailbox, error) {
	a, err := s.served(tx, acct)
	if err != nil {
		return nil, err
	}
	return a.mailbox(id)
}

// openMessages opens records outside the snapshot that they were copied from.
func (s *Store) openMessages(acct domicile.AccountID, rows domicile.MailboxID, sealed []entry) ([]store.Message, error) {
	all := make([]store.Message, len(sealed))
	for i, e := range sealed {
		r, err := s.openMessage(acct, rows, readUID(e.key), e.value)
		if err != nil {
			return nil, err
		}
		all[i] = r.message()
	}
	return all, nil
}

const opBody = "open body"

// Body opens the bytes of a message.
func (s *Store) Body(_ context.Context, acct domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error) {
	r, err := s.body(acct, id)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s *Store) body(acct domicile.AccountID, id domicile.MessageID) (*bodyReader, error) {
	var b openedBody
	err := s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err == nil {
			b = s.openIn(a, id)
		}
		return err
	})
	if err != nil {
		return nil, domicile.W(opBody, err)
	}
	return b.r, b.err
}

// openIn opens a body as a snapshot has it.
func (s *Store) openIn(a account, id domicile.MessageID) openedBody {
	r := &bodyReader{s: s, acct: a.id, id: id, pin: pin{all: &s.pins}}
	if err := r.open(a); err != nil {
		r.Close()
		return openedBody{err: domicile.W(opBody, err)}
	}
	return openedBody{r: r}
}
