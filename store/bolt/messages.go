package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
)

// messageRecord is what rests, sealed, of a message in a mailbox.
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

func readUID(key []byte) store.UID { return store.UID(binary.BigEndian.Uint32(key)) }

// A change is keyed by ModSeq and UID, so that one scan finds all that came later.
func changeKey(seq store.ModSeq, uid store.UID) []byte {
	return append(number(uint64(seq)), uidKey(uid)...)
}

var (
	isLive     = []byte{0}
	isVanished = []byte{1}
)

func messagePlace(acct domicile.AccountID, mbox domicile.MailboxID, uid store.UID) []byte {
	return place("message", string(acct), string(mbox), strconv.FormatUint(uint64(uid), 10))
}

func (s *Store) openMessage(acct domicile.AccountID, mbox domicile.MailboxID, uid store.UID, sealed []byte) (r messageRecord, err error) {
	return r, s.openRecord(acct, sealed, messagePlace(acct, mbox, uid), &r)
}

// get returns ok false if there is no such UID.
func (m *mailbox) get(uid store.UID) (r messageRecord, ok bool, err error) {
	sealed := m.b.Bucket(bMessages).Get(uidKey(uid))
	if sealed == nil {
		return r, false, nil
	}
	r, err = m.s.openMessage(m.account.id, m.id, uid, sealed)
	return r, err == nil, err
}

// all returns every message, by UID.
func (m *mailbox) all() (records []messageRecord, err error) {
	err = m.b.Bucket(bMessages).ForEach(func(k, sealed []byte) error {
		r, err := m.s.openMessage(m.account.id, m.id, readUID(k), sealed)
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
	sealed, err := m.seal(r, messagePlace(m.account.id, m.id, r.UID))
	if err != nil {
		return err
	}
	return firstError(
		m.b.Bucket(bMessages).Put(uidKey(r.UID), sealed),
		m.b.Bucket(bChanges).Put(changeKey(r.ModSeq, r.UID), isLive))
}

// add gives a record the next UID and the mailbox's present ModSeq, which the
// caller has raised for its act, and counts it.
func (m *mailbox) add(r messageRecord) (messageRecord, error) {
	if m.next == 1<<32-1 {
		return r, domicile.E("mailbox", domicile.TooLarge, "the mailbox has used up its UIDs: use another mailbox")
	}
	r.UID, r.ModSeq = m.next, m.modseq
	m.next++
	m.messages++
	m.size += r.Size
	if r.unseen() {
		m.unseen++
	}
	return r, m.put(r)
}

// addCopies adds records whose bodies the account has already, as one act.
func (m *mailbox) addCopies(records []messageRecord) ([]messageRecord, error) {
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
	}
	return made, nil
}

// drop removes records as one act and returns the bodies that nothing names any more.
func (m *mailbox) drop(records []messageRecord) (gone []domicile.MessageID, err error) {
	m.modseq++
	for _, r := range records {
		last, err := m.unref(r.ID)
		if err != nil {
			return nil, err
		}
		if last {
			gone = append(gone, r.ID)
		}
		m.messages--
		m.size -= r.Size
		if r.unseen() {
			m.unseen--
		}
		err = firstError(
			m.b.Bucket(bMessages).Delete(uidKey(r.UID)),
			m.b.Bucket(bChanges).Delete(changeKey(r.ModSeq, r.UID)),
			m.b.Bucket(bChanges).Put(changeKey(m.modseq, r.UID), isVanished))
		if err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// bodyRecord counts who names a body. It rests unsealed: two numbers.
type bodyRecord struct {
	refs uint32
	size int64
}

func (r bodyRecord) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, r.refs), uint64(r.size))
}

func decodeBody(b []byte) (r bodyRecord, err error) {
	if len(b) != 12 {
		return r, fmt.Errorf("the index entry of a body is missing or damaged: run fsck")
	}
	return bodyRecord{binary.BigEndian.Uint32(b), int64(binary.BigEndian.Uint64(b[4:]))}, nil
}

// newBody counts a new body against the quota.
func (a account) newBody(id domicile.MessageID, size int64) error {
	var rec store.Account
	if err := a.s.openRecord(a.id, a.b.Get(kRecord), accountPlace(a.id), &rec); err != nil {
		return err
	}
	used := int64(readNumber(a.b.Get(kUsage))) + size
	if rec.Quota > 0 && used > rec.Quota {
		return &domicile.Error{Op: "quota", Kind: domicile.TooLarge, Err: store.ErrOverQuota}
	}
	return firstError(
		a.b.Bucket(bBodies).Put([]byte(id), bodyRecord{1, size}.encode()),
		a.b.Put(kUsage, number(uint64(used))))
}

func (a account) ref(id domicile.MessageID) error {
	r, err := decodeBody(a.b.Bucket(bBodies).Get([]byte(id)))
	if err != nil {
		return err
	}
	r.refs++
	return a.b.Bucket(bBodies).Put([]byte(id), r.encode())
}

// unref says whether that was the last one; the caller removes the file after the commit.
func (a account) unref(id domicile.MessageID) (last bool, err error) {
	r, err := decodeBody(a.b.Bucket(bBodies).Get([]byte(id)))
	if err != nil {
		return false, err
	}
	if r.refs > 1 {
		r.refs--
		return false, a.b.Bucket(bBodies).Put([]byte(id), r.encode())
	}
	used := readNumber(a.b.Get(kUsage)) - uint64(r.size)
	return true, firstError(
		a.b.Bucket(bBodies).Delete([]byte(id)),
		a.b.Put(kUsage, number(used)))
}

// removeBodies removes files after their index entries are gone. What fails is swept at the next opening.
func (s *Store) removeBodies(acct domicile.AccountID, ids []domicile.MessageID) {
	for _, id := range ids {
		if err := s.bodies.remove(acct, id); err != nil {
			s.cfg.Log.Warn("store: the body of an expunged message stays until the next start", "error", err)
		}
	}
}

// knowsBody is for the sweep.
func (s *Store) knowsBody(acct domicile.AccountID, id domicile.MessageID) (known bool, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bAccounts).Bucket([]byte(acct)); b != nil {
			known = b.Bucket(bBodies).Get([]byte(id)) != nil
		}
		if a, ok := s.arrival(tx, acct); ok {
			known = known || a.received(id)
		}
		return nil
	})
	return known, err
}

// cloneEntry copies out of a snapshot.
func cloneEntry(k, v []byte) entry { return entry{bytes.Clone(k), bytes.Clone(v)} }
