package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"domicile"
	"domicile/store"
)

// messageRecord is what rests, sealed, of a message in a mailbox; as JSON it is the result of a token.
type messageRecord struct {
	ID       domicile.MessageID
	UID      store.UID
	ModSeq   store.ModSeq
	Flags    []string `json:",omitempty"`
	Internal int64    // Unix seconds
	Zone     int      `json:",omitempty"` // minutes east of UTC of Internal
	Saved    int64    // Unix seconds
	Size     int64
}

func (r messageRecord) message() store.Message {
	zone := time.UTC
	if r.Zone != 0 {
		zone = time.FixedZone("", r.Zone*60)
	}
	return store.Message{ID: r.ID, UID: r.UID, ModSeq: r.ModSeq, Flags: r.Flags, Size: r.Size,
		Internal: time.Unix(r.Internal, 0).In(zone), Saved: time.Unix(r.Saved, 0).UTC()}
}

func messagesOf(records []messageRecord) []store.Message {
	out := make([]store.Message, len(records))
	for i, r := range records {
		out[i] = r.message()
	}
	return out
}

func (r messageRecord) unseen() bool { return !store.HasFlag(r.Flags, store.Seen) }

func uidKey(uid store.UID) []byte { return binary.BigEndian.AppendUint32(nil, uint32(uid)) }

// readUID takes a damaged key as 0, which no message has.
func readUID(key []byte) store.UID {
	if len(key) != 4 {
		return 0
	}
	return store.UID(binary.BigEndian.Uint32(key))
}

// A change is keyed by ModSeq and UID, so that one scan finds all that came later.
func changeKey(seq store.ModSeq, uid store.UID) []byte {
	return append(number(uint64(seq)), uidKey(uid)...)
}

func readChange(key []byte) (store.ModSeq, store.UID) {
	if len(key) != 12 {
		return 0, 0
	}
	return store.ModSeq(readNumber(key[:8])), readUID(key[8:])
}

var (
	isLive     = []byte{0}
	isVanished = []byte{1}
)

// messagePlace binds a record to the bucket that it is in.
func messagePlace(acct domicile.AccountID, rows domicile.MailboxID, uid store.UID) []byte {
	return place("message", string(acct), string(rows), strconv.FormatUint(uint64(uid), 10))
}

func (s *Store) openMessage(acct domicile.AccountID, rows domicile.MailboxID, uid store.UID, value []byte) (r messageRecord, err error) {
	id, sealed, err := splitMessage(value)
	if err != nil {
		return r, err
	}
	plain, err := s.cfg.Sealer.OpenRecord(acct, sealed, messagePlace(acct, rows, uid))
	if err != nil {
		return r, fmt.Errorf("index record does not open: %w", err)
	}
	if err = r.decode(plain); err == nil && string(r.ID) != string(id) {
		err = errDamaged
	}
	return r, err
}

// splitMessage parts the value of an entry: the message's id, which says nothing and which searches look for, and the sealed record.
func splitMessage(value []byte) (id, sealed []byte, err error) {
	if len(value) == 0 || len(value) < 1+int(value[0]) {
		return nil, nil, errDamaged
	}
	n := 1 + int(value[0])
	return value[1:n], value[n:], nil
}

func joinMessage(id domicile.MessageID, sealed []byte) []byte {
	return append(appendString(make([]byte, 0, 1+len(id)+len(sealed)), string(id)), sealed...)
}

func (m *mailbox) open(uid store.UID, sealed []byte) (messageRecord, error) {
	return m.s.openMessage(m.account.id, m.rowsOf(m.id), uid, sealed)
}

// get returns ok false if there is no such UID.
func (m *mailbox) get(uid store.UID) (r messageRecord, ok bool, err error) {
	sealed := m.rows.sub(bMessages).Get(uidKey(uid))
	if sealed == nil || m.hides(uid) {
		return r, false, nil
	}
	r, err = m.open(uid, sealed)
	return r, err == nil, err
}

// all returns every message, by UID.
func (m *mailbox) all() (records []messageRecord, err error) {
	err = m.eachRow(bMessages, 0, func(k, sealed []byte) error {
		r, err := m.open(readUID(k), sealed)
		records = append(records, r)
		return err
	})
	return records, err
}

// some returns the messages of uids that exist, in that order, none twice.
func (m *mailbox) some(uids []store.UID) (records []messageRecord, err error) {
	asked := make(map[store.UID]bool, len(uids))
	for _, uid := range uids {
		if asked[uid] {
			continue
		}
		asked[uid] = true
		r, ok, err := m.get(uid)
		if err != nil {
			return nil, err
		}
		if ok {
			records = append(records, r)
		}
	}
	return records, nil
}

// put writes a record and its entry in the list of changes.
func (m *mailbox) put(r messageRecord) error {
	sealed, err := m.s.cfg.Sealer.SealRecord(m.account.id, r.encode(), messagePlace(m.account.id, m.rowsOf(m.id), r.UID))
	if err != nil {
		return err
	}
	m.rows.sub(bMessages).Put(uidKey(r.UID), joinMessage(r.ID, sealed))
	m.rows.sub(bChanges).Put(changeKey(r.ModSeq, r.UID), isLive)
	return nil
}

// add gives a record the next UID and the mailbox's present ModSeq, which the
// caller has raised for its act, and counts it.
func (m *mailbox) add(r messageRecord) (messageRecord, error) {
	if m.hides(m.next) { // a copy laid down fewer UIDs apart than came meanwhile: it will find that out
		m.next = m.hidden.Last + 1
	}
	if m.next == 1<<32-1 {
		return r, errNoUIDs
	}
	r.UID, r.ModSeq = m.next, m.modseq
	m.next++
	m.count(r, 1)
	return r, m.put(r)
}

var errNoUIDs = domicile.E("mailbox", domicile.TooLarge, "the mailbox has used up its UIDs: use another mailbox")

// addCopies adds records of another mailbox of the account, as one act.
func (m *mailbox) addCopies(from *mailbox, records []messageRecord) ([]messageRecord, error) {
	m.modseq++
	made := make([]messageRecord, len(records))
	for i, r := range records {
		r.Saved = m.s.cfg.Now().Unix()
		if err := m.ref(r.ID); err != nil {
			return nil, err
		}
		var err error
		if made[i], err = m.add(r); err != nil {
			return nil, err
		}
		if summary := from.rows.sub(bSummaries).Get(uidKey(r.UID)); summary != nil {
			m.rows.sub(bSummaries).Put(uidKey(made[i].UID), bytes.Clone(summary))
		}
	}
	return made, nil
}

// drop removes records under the ModSeq that its caller has raised, and the bodies that nothing names any more.
func (m *mailbox) drop(records []messageRecord) error {
	var uids []store.UID
	for _, r := range records {
		uids = append(uids, r.UID)
		if err := m.unref(r); err != nil {
			return err
		}
		m.count(r, -1)
		m.rows.sub(bMessages).Delete(uidKey(r.UID))
		m.rows.sub(bSummaries).Delete(uidKey(r.UID))
		m.rows.sub(bChanges).Delete(changeKey(r.ModSeq, r.UID))
	}
	return m.vanish(uids)
}

// cloneEntry copies out of a snapshot.
func cloneEntry(k, v []byte) entry { return entry{bytes.Clone(k), bytes.Clone(v)} }
