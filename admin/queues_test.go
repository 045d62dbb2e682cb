package admin

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"domicile"
)

// fakeQueue has one message.
type fakeQueue struct {
	m         QueuedMessage
	acts      []string
	discarded []domicile.AccountID
}

func newFakeQueue() *fakeQueue {
	return &fakeQueue{m: QueuedMessage{QueueEntry: QueueEntry{ID: "q1", Recipients: 1, Waiting: 1}, Account: "a1", Sender: "anna+x@example.com",
		To: []QueuedRecipient{{Address: "bob@example.com", State: "waiting"}}}}
}

func (q *fakeQueue) List(int) ([]QueuedMessage, error) { return []QueuedMessage{q.m}, nil }

func (q *fakeQueue) Show(id string) (QueuedMessage, error) {
	if id != q.m.ID {
		return QueuedMessage{}, domicile.E("queue", domicile.NotExist, "no such message")
	}
	return q.m, nil
}

func (q *fakeQueue) act(verb, id string) (QueuedMessage, error) {
	q.acts = append(q.acts, verb+" "+id)
	return q.m, nil
}

func (q *fakeQueue) Retry(_ context.Context, id string) (QueuedMessage, error) {
	return q.act("retry", id)
}
func (q *fakeQueue) Hold(_ context.Context, id string) (QueuedMessage, error) {
	return q.act("hold", id)
}
func (q *fakeQueue) Drop(_ context.Context, id string) (QueuedMessage, error) {
	return q.act("drop", id)
}

func (q *fakeQueue) Discard(_ context.Context, account domicile.AccountID) error {
	q.discarded = append(q.discarded, account)
	return nil
}

// A listing names nobody; what names somebody is a leaf, whose public part does not.
func TestQueue(t *testing.T) {
	k := newKit(t)
	q := k.cfg.Queue.(*fakeQueue)
	c := k.client("eu-ireland", "operator")
	list, err := c.Queue(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != "q1" {
		t.Fatalf("%+v, %v", list, err)
	}
	if raw, _ := json.Marshal(list); strings.Contains(string(raw), "@") {
		t.Errorf("a listing names somebody: %s", raw)
	}
	m, err := c.QueuedMessage(t.Context(), "q1")
	if err != nil || m.To[0].Address != "bob@example.com" || m.ID != "q1" {
		t.Errorf("%+v, %v", m, err)
	}
	for _, act := range []func(context.Context, string) (QueuedMessage, error){c.RetryQueued, c.HoldQueued, c.DropQueued} {
		if m, err := act(t.Context(), "q1"); err != nil || m.ID != "q1" {
			t.Errorf("%+v, %v", m, err)
		}
		if _, err := act(t.Context(), "q2"); domicile.KindOf(err) != domicile.NotExist {
			t.Errorf("of no message: %v", err)
		}
	}
	if got := strings.Join(q.acts, ","); got != "retry q1,hold q1,drop q1" {
		t.Error(got)
	}
	for _, verb := range []string{"ls", "show", "retry", "hold", "drop"} {
		leaves := k.leaves("operator.queue." + verb)
		if len(leaves) != 1 {
			t.Errorf("%d leaves of queue %s", len(leaves), verb)
			continue
		}
		if strings.Contains(leaves[0], "anna") || strings.Contains(leaves[0], `"q1"`) {
			t.Errorf("in public: %s", leaves[0])
		}
	}
}
