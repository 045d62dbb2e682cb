package admin

import (
	"context"
	"time"

	"domicile"
	"domicile/placement"
)

// maxQueueList bounds what one listing of the queue shows: the oldest messages.
const maxQueueList = 10000

// Queue is what the server needs of the outbound queue. NotExist if there is no such message; Unavailable while it is being
// delivered.
type Queue interface {
	List(limit int) ([]QueuedMessage, error) // the oldest first
	Show(id string) (QueuedMessage, error)
	Retry(ctx context.Context, id string) (QueuedMessage, error) // ends a hold too
	Hold(ctx context.Context, id string) (QueuedMessage, error)
	Drop(ctx context.Context, id string) (QueuedMessage, error) // the sender is told
	Discard(ctx context.Context, account domicile.AccountID) error
}

// QueueEntry is a message of the outbound queue without a word on who writes to whom.
type QueueEntry struct {
	ID         string    `json:"id"`
	Bytes      int64     `json:"bytes"`
	Queued     time.Time `json:"queued"`
	Next       time.Time `json:"next"` // the next try
	Tries      int       `json:"tries"`
	Held       bool      `json:"held"`
	Recipients int       `json:"recipients"`
	Waiting    int       `json:"waiting"`          // of them, those that are not done
	Answer     string    `json:"answer,omitempty"` // the newest that one of these got
}

// QueuedMessage is a message of the outbound queue. Nothing in it comes from the message itself.
type QueuedMessage struct {
	QueueEntry
	Account domicile.AccountID `json:"account"`
	Sender  string             `json:"sender"`
	To      []QueuedRecipient  `json:"to"`
}

// QueuedRecipient is one recipient of it.
type QueuedRecipient struct {
	Address domicile.Address `json:"address"`
	State   string           `json:"state"` // waiting, delivered, failed (the sender is owed a notice) or told
	Answer  string           `json:"answer,omitempty"`
	When    *time.Time       `json:"when,omitempty"` // of the answer
}

// Who writes to whom is a person's business: to look at it, and to act on it, is a leaf that names the account to those to whom
// it is opened. A listing names nobody, and is a leaf too.
func (s *Server) queueRoutes() {
	route(s, "queue", "ls", operators, s.listQueue)
	route(s, "queue", "show", operators, s.showQueued)
	for verb, act := range map[string]func(context.Context, string) (QueuedMessage, error){
		"retry": s.cfg.Queue.Retry, "hold": s.cfg.Queue.Hold, "drop": s.cfg.Queue.Drop,
	} {
		route(s, "queue", verb, operators, func(ctx context.Context, who caller, in ID) (QueuedMessage, error) {
			if _, err := s.showQueued(ctx, who, in); err != nil {
				return QueuedMessage{}, err
			}
			return act(ctx, in.ID)
		})
	}
}

func (s *Server) listQueue(ctx context.Context, who caller, _ struct{}) ([]QueueEntry, error) {
	if err := s.access(ctx, who, ""); err != nil {
		return nil, err
	}
	all, err := s.cfg.Queue.List(maxQueueList)
	if err != nil {
		return nil, err
	}
	out := make([]QueueEntry, len(all))
	for i, m := range all {
		out[i] = m.QueueEntry
	}
	return out, nil
}

// showQueued records the access, then shows the message.
func (s *Server) showQueued(ctx context.Context, who caller, in ID) (QueuedMessage, error) {
	m, err := s.cfg.Queue.Show(in.ID)
	if err != nil {
		return QueuedMessage{}, err
	}
	sender, err := placement.ParseAddress(m.Sender)
	if err != nil {
		return QueuedMessage{}, err
	}
	_, err = s.record(ctx, who, "operator."+who.call, sender, map[string]string{"queued": m.ID})
	return m, err
}
