package smtpd

import (
	"bytes"
	"encoding/json"
	"time"

	"domicile"
)

// entry is what the queue knows of one message: the sealed part of its record (docs/FORMATS.md, "Outbound queue").
type entry struct {
	V      int         `json:"v"`
	Sender string      `json:"sender"` // reverse path, an address of the account
	Trace  string      `json:"trace"`
	Size   int64       `json:"size"` // bytes of the message
	Queued time.Time   `json:"queued"`
	Held   bool        `json:"held,omitempty"`
	Tries  int         `json:"tries,omitempty"`
	Next   time.Time   `json:"next"`
	To     []*rcptFate `json:"to"`

	// notice is the number of the notice that is to tell of failures from here on: no earlier one may have told of them.
	notice int
}

// rcptFate is what became of one recipient.
type rcptFate struct {
	Address domicile.Address `json:"to"`
	State   rcptState        `json:"state,omitempty"`
	Code    int              `json:"code,omitempty"`   // of the newest answer
	Status  string           `json:"status,omitempty"` // likewise, RFC 3463
	Text    string           `json:"text,omitempty"`   // likewise, in words of ours
	When    time.Time        `json:"when,omitzero"`    // of the newest try
	Notice  int              `json:"notice,omitempty"` // the number of the notice that tells of the failure
}

type rcptState string

const (
	rcptWaiting   rcptState = ""
	rcptDelivered rcptState = "delivered"
	rcptFailed    rcptState = "failed" // for good; the sender is owed a notice
	rcptTold      rcptState = "told"   // for good, and the sender has the notice
)

const entryVersion = 1

// with returns the recipients in a state.
func (e *entry) with(s rcptState) (out []*rcptFate) {
	for _, r := range e.To {
		if r.State == s {
			out = append(out, r)
		}
	}
	return out
}

// open says whether there is anything left to do.
func (e *entry) open() bool { return len(e.with(rcptWaiting))+len(e.with(rcptFailed)) > 0 }

// A record of the queue's table is the version (1 byte), the length of the account id (1 byte), the id, and the entry, sealed
// under the account's key.

func entryPlace(id string, account domicile.AccountID) []byte {
	return []byte("outbound/entry/" + string(account) + "/" + id)
}

func messagePlace(id string, account domicile.AccountID) []byte {
	return []byte("outbound/message/" + string(account) + "/" + id)
}

func (q *Queue) sealEntry(id string, account domicile.AccountID, e *entry) ([]byte, error) {
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false) // a hundred long addresses must fit a record
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	sealed, err := q.cfg.Sealer.SealRecord(account, plain.Bytes(), entryPlace(id, account))
	if err != nil {
		return nil, err
	}
	return append(append([]byte{entryVersion, byte(len(account))}, account...), sealed...), nil
}

// accountOf reads the part of a record that is not sealed under the account's key.
func accountOf(raw []byte) (account domicile.AccountID, sealed []byte, err error) {
	if len(raw) < 2 || raw[0] != entryVersion || len(raw) < 2+int(raw[1]) || raw[1] == 0 {
		return "", nil, domicile.E("outbound queue", domicile.Invalid, "a record is damaged, or of a newer version")
	}
	n := 2 + int(raw[1])
	return domicile.AccountID(raw[2:n]), raw[n:], nil
}

// openEntry is NotExist if the account's key is gone: the account was erased, and its queue with it.
func (q *Queue) openEntry(id string, raw []byte) (domicile.AccountID, *entry, error) {
	account, sealed, err := accountOf(raw)
	if err != nil {
		return "", nil, err
	}
	plain, err := q.cfg.Sealer.OpenRecord(account, sealed, entryPlace(id, account))
	if err != nil {
		return account, nil, err
	}
	e := &entry{}
	if err := json.Unmarshal(plain, e); err != nil || e.V != entryVersion {
		return account, nil, domicile.E("outbound queue", domicile.Invalid, "an entry is damaged, or of a newer version")
	}
	e.notice = 1
	for _, r := range e.To {
		e.notice = max(e.notice, r.Notice+1)
	}
	return account, e, nil
}
