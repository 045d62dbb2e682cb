package imapd

import (
	"github.com/emersion/go-imap/v2"

	"domicile/turns"
)

// Heavy work keeps a processor busy for as long as a client can make it: searching, sorting, threading, taking messages apart, and listing many. It is done in a turn,
// of which the node gives as many at once as it has processors, by turns of the accounts: an account's hundred searches hold up each other, and those of
// another account by a piece of one of them. What is not heavy never waits for a turn. In a turn nothing is written to a client, and no memory waited for;
// between two pieces no lock is held. So nobody's client, and nobody's lock, keeps a turn from those who wait.

var errNoTurn = no(imap.ResponseCodeLimit, "Too much is under way at once; try again later")

// inTurn does heavy work when the account's turn comes.
func (s *session) inTurn(work func(t *turns.Turn) error) error {
	t, err := s.home.turns.Enter(s.ctx(), string(s.acct))
	if err != nil {
		return errNoTurn
	}
	defer t.Leave()
	return work(t)
}

// pass lets others in between two pieces of work.
func (s *session) pass(t *turns.Turn) error {
	if t.Pass(s.ctx()) != nil {
		return errNoTurn
	}
	return nil
}

// Waiting is how much heavy work waits for its turn.
func (h *Home) Waiting() int { return h.turns.Waiting() }
