package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store/segment"
)

// Formats 1 and 2 had nested buckets in bbolt and one sealed file for each body. upgrade writes all of it in this format beside them:
// segments, then a base, then an index made from that, which takes the place of the old one. Until then a crash
// leaves the old store as it was. A body that is damaged stays so, and ends nothing. The new index holds the number of this format where the old releases look for it, so that they refuse.

// The folders of the old formats.
const (
	oldBodies  = "bodies"
	oldStaging = "staging"

	damagedBodies = "bodies.damaged" // files of them that did not open
)

func (s *Store) upgrade(db *bbolt.DB) (*bbolt.DB, error) {
	defer db.Close()
	s.cfg.Log.Info("store: brings a store of an earlier release to this one's format")
	for _, dir := range []string{segmentsDir, baseDir} {
		if err := os.RemoveAll(s.path(dir)); err != nil {
			return nil, err
		}
	}
	log, err := segment.Open(segment.Config{Dir: s.path(segmentsDir), Size: s.cfg.SegmentSize, Step: s.cfg.step})
	if err != nil {
		return nil, err
	}
	u := &upgrader{s: s, log: log, group: log.Begin(), live: map[uint32]int64{}}
	temp := s.path(indexFile + ".upgrade")
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	u.to, err = openBolt(temp)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	u.to.NoSync = true // it is only read here
	u.l = &loader{db: u.to}
	err = db.View(u.run)
	u.l.abandon()
	if err == nil {
		err = u.group.Commit()
	}
	lsn := log.Next() - 1
	if err == nil {
		err = u.to.View(func(tx *bbolt.Tx) error { return s.putBase(lsn, tx.Bucket(bKeys)) })
	}
	if err := errors.Join(err, u.to.Close(), os.Remove(temp), log.Close()); err != nil {
		return nil, fmt.Errorf("bring the store to this format: %w", err)
	}
	if err := s.makeIndex(); err != nil {
		return nil, err
	}
	db.Close()
	return openBolt(s.path(indexFile))
}

// removeOld removes what an upgrade left of the old formats, and what a shrinking left of a file.
func (s *Store) removeOld() error {
	if err := os.Remove(s.path(indexFile) + shrunk); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(os.RemoveAll(s.path(oldBodies)), os.RemoveAll(s.path(oldStaging)))
}

type upgrader struct {
	s     *Store
	log   *segment.Log
	group *segment.Group
	to    *bbolt.DB
	l     *loader
	live  map[uint32]int64

	chunks map[digest]chunkRecord // of the account that is under way
}

// old returns a nested bucket; nil has no entries.
func old(b *bbolt.Bucket, names ...string) *bbolt.Bucket {
	for _, n := range names {
		if b != nil {
			b = b.Bucket([]byte(n))
		}
	}
	return b
}

func eachOld(b *bbolt.Bucket, fn func(k, v []byte) error) error {
	if b == nil {
		return nil
	}
	return b.ForEach(fn)
}

func (u *upgrader) run(tx *bbolt.Tx) error {
	meta := tx.Bucket(bMeta)
	if r := string(meta.Get(kRegion)); r != string(u.s.cfg.Region) {
		return domicile.Refuse("index", domicile.WrongRegion, "store/stamp", fmt.Sprintf("this store belongs to region %q, not %q", r, u.s.cfg.Region))
	}
	if r, err := u.s.cfg.Sealer.OpenRecord("", meta.Get(kProof), place("region")); err != nil || string(r) != string(u.s.cfg.Region) {
		return domicile.E("index", domicile.Invalid, "this store was sealed under another root key: give the region's own key file")
	}
	if err := u.l.begin(); err != nil {
		return err
	}
	stamp := bucket{}.sub(bStamp)
	err := errors.Join(u.put(stamp, kRegion, meta.Get(kRegion)), u.put(stamp, kProof, meta.Get(kProof)),
		u.copy(tx.Bucket([]byte("addresses")), bucket{}.sub(bAddresses)),
		u.each(tx.Bucket([]byte("tables")), func(name []byte, b *bbolt.Bucket) error { return u.copy(b, bucket{}.sub(bTables).sub(name)) }),
		u.each(tx.Bucket([]byte("accounts")), func(id []byte, b *bbolt.Bucket) error { return u.account(domicile.AccountID(id), b, nil) }),
		u.each(tx.Bucket([]byte("importing")), func(id []byte, b *bbolt.Bucket) error {
			return u.account(domicile.AccountID(id), b.Bucket(id), b)
		}),
		u.each(tx.Bucket([]byte("erasing")), func(id []byte, _ *bbolt.Bucket) error {
			return errors.Join(u.put(bucket{}.sub(bErasing), id, []byte{}), u.put(bucket{}.sub(bAccounts).sub(id), kState, isErased))
		}))
	for n, live := range u.live {
		err = errors.Join(err, u.put(bucket{}.sub(bSegments), number64(n), number(uint64(live))))
	}
	return errors.Join(err, u.l.end(0))
}

func (u *upgrader) put(b bucket, k, v []byte) error { return u.l.put(b.key(k), append([]byte{}, v...)) }

func (u *upgrader) copy(from *bbolt.Bucket, to bucket) error {
	return eachOld(from, func(k, v []byte) error {
		if v == nil {
			return nil
		}
		return u.put(to, k, v)
	})
}

func (u *upgrader) each(b *bbolt.Bucket, fn func(name []byte, b *bbolt.Bucket) error) error {
	return eachOld(b, func(k, v []byte) error {
		if v != nil {
			return nil
		}
		return fn(k, b.Bucket(k))
	})
}

// account brings one account over. notes are those of one that comes in.
func (u *upgrader) account(id domicile.AccountID, b, notes *bbolt.Bucket) error {
	to := bucket{}.sub(bAccounts).sub([]byte(id))
	rec := struct{ Quota int64 }{}
	if err := u.s.openRecord(id, b.Get([]byte("record")), accountPlace(id), &rec); err != nil {
		return err
	}
	boxes := old(b, "mailboxes")
	err := errors.Join(
		u.put(to, kRecord, b.Get([]byte("record"))), u.put(to, kAddress, b.Get([]byte("address"))),
		u.put(to, kUsage, number(readNumber(b.Get([]byte("usage"))))), u.put(to, kValidity, b.Get([]byte("uidvalidity"))),
		u.put(to, kQuota, number(uint64(rec.Quota))), u.put(to, kBoxes, number(boxes.Sequence())),
		u.put(to, kSequence, number(old(b, "order").Sequence())),
		u.copy(old(b, "names"), to.sub(bNames)), u.copy(old(b, "tokens"), to.sub(bTokens)), u.copy(old(b, "order"), to.sub(bOrder)),
		u.each(boxes, func(name []byte, m *bbolt.Bucket) error {
			return u.mailbox(id, domicile.MailboxID(name), m, to.sub(bMailboxes).sub(name))
		}))
	switch {
	case notes != nil:
		err = errors.Join(err, u.put(to, kState, isComing), u.notes(id, notes))
	case b.Get([]byte("moving")) != nil:
		err = errors.Join(err, u.put(to, kState, isMoving))
	}
	u.chunks = map[digest]chunkRecord{}
	err = errors.Join(err, eachOld(old(b, "bodies"), func(k, v []byte) error {
		return u.body(id, domicile.MessageID(k), v, to, notes)
	}))
	for d, c := range u.chunks {
		err = errors.Join(err, u.put(to.sub(bChunks), d[:], c.encode()))
	}
	return err
}

func (u *upgrader) notes(id domicile.AccountID, b *bbolt.Bucket) error {
	to := bucket{}.sub(bImporting).sub([]byte(id))
	err := u.put(to, kPosition, b.Get([]byte("+position")))
	if whole := b.Get([]byte("+whole")); whole != nil {
		err = errors.Join(err, u.put(to, kWhole, whole))
	}
	return err
}

func (u *upgrader) mailbox(acct domicile.AccountID, id domicile.MailboxID, b *bbolt.Bucket, to bucket) error {
	err := errors.Join(u.put(to, kRecord, b.Get([]byte("record"))), u.put(to, kCounters, b.Get([]byte("counters"))),
		u.copy(old(b, "changes"), to.sub(bChanges)))
	return errors.Join(err, eachOld(old(b, "messages"), func(k, v []byte) error {
		var r messageRecord
		at := messagePlace(acct, id, readUID(k))
		if err := u.s.openRecord(acct, v, at, &r); err != nil {
			return err
		}
		sealed, err := u.s.cfg.Sealer.SealRecord(acct, r.encode(), at)
		return errors.Join(err, u.put(to.sub(bMessages), k, joinMessage(r.ID, sealed)))
	}))
}

// body brings a body over: of one that comes in, the pieces that are here.
func (u *upgrader) body(acct domicile.AccountID, id domicile.MessageID, v []byte, to bucket, notes *bbolt.Bucket) error {
	if len(v) != 12 { // references 4, size 8
		return errDamaged
	}
	r := bodyRecord{refs: binary.BigEndian.Uint32(v), size: int64(binary.BigEndian.Uint64(v[4:]))}
	files := []string{string(id)}
	missing := notes != nil && old(notes, "+missing").Get([]byte(id)) != nil
	if missing {
		files = nil
		c := old(notes, "+pieces").Cursor()
		for k, _ := c.Seek([]byte(id + "-")); k != nil && len(k) == len(id)+17 && string(k[:len(id)+1]) == string(id)+"-"; k, _ = c.Next() {
			files = append(files, string(k))
		}
	}
	have, err := u.pieces(acct, id, files, !missing, &r)
	if bad, ok := errors.AsType[*badBody](err); ok && damage(bad.error) {
		have, err = 0, u.lose(acct, id, files, missing, &r, bad)
	}
	if err != nil {
		return err
	}
	if missing {
		err = u.put(bucket{}.sub(bImporting).sub([]byte(acct)).sub(bMissing), []byte(id), number(uint64(have)))
	} else {
		err = u.put(to.sub(bUnfound), []byte(id), nil)
	}
	return errors.Join(err, u.put(to.sub(bBodies), []byte(id), r.encode()))
}

// badBody is the error of a body's file that does not open.
type badBody struct{ error }

// lose brings a damaged body over as one: its message is there, and reading it fails. Its files are kept, in damagedBodies. One that comes in
// has no bytes yet.
func (u *upgrader) lose(acct domicile.AccountID, id domicile.MessageID, files []string, missing bool, r *bodyRecord, why error) (err error) {
	u.s.cfg.Log.Error("store: a body is damaged: all other mail is brought over, and its file is kept", "folder", damagedBodies, "account", acct, "message", id, "error", why)
	for _, d := range r.chunks {
		c := u.chunks[d]
		if c.refs--; c.refs > 0 {
			u.chunks[d] = c
			continue
		}
		delete(u.chunks, d)
		u.live[c.place.Segment] -= segment.Bytes(int(c.place.Length))
	}
	if r.chunks = nil; !missing {
		r.place, err = u.frame(frameBody, appendString(appendString(nil, string(acct)), string(id)))
	}
	to := u.s.path(damagedBodies)
	err = errors.Join(err, os.MkdirAll(to, 0o700))
	for _, name := range files {
		if e := os.Link(u.oldFile(acct, name), filepath.Join(to, string(acct)+"."+name)); !errors.Is(e, os.ErrExist) {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, syncDir(to))
}

func (u *upgrader) oldFile(acct domicile.AccountID, name string) string {
	return filepath.Join(u.s.path(oldBodies), name[1:3], string(acct)+"."+name)
}

// pieces reads files one after another and writes what is in them. One that is missing ends the upgrade: the folder may not be mounted.
func (u *upgrader) pieces(acct domicile.AccountID, id domicile.MessageID, files []string, whole bool, r *bodyRecord) (have int64, err error) {
	var readers []io.Reader
	for _, name := range files {
		f, err := os.Open(u.oldFile(acct, name))
		if err != nil {
			return 0, err
		}
		defer f.Close()
		in, err := u.s.cfg.Sealer.OpenFrom(acct, f, place("body", string(acct), name))
		if err != nil {
			return 0, &badBody{err}
		}
		readers = append(readers, in)
	}
	in, buf, piece, cutter, full := io.MultiReader(readers...), make([]byte, 32<<10), []byte(nil), u.s.newCutter(acct), false
	for {
		n, err := in.Read(buf) // to the end, which proves the last file whole
		have += int64(n)
		for rest := buf[:n]; len(rest) > 0; {
			if full {
				if err := u.chunk(acct, piece, r); err != nil {
					return 0, err
				}
				piece = piece[:0]
			}
			var m int
			m, full = cutter.cut(rest)
			piece, rest = append(piece, rest[:m]...), rest[m:]
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, &badBody{err}
		}
	}
	if !whole {
		if len(piece) > 0 {
			err = u.chunk(acct, piece, r)
		}
		return have, err
	}
	if have != r.size {
		return 0, &badBody{fmt.Errorf("%d bytes, the index says %d", have, r.size)}
	}
	payload, err := u.s.sealLast(acct, id, r.size, r.chunks, piece)
	if err == nil {
		r.place, err = u.frame(frameBody, payload)
	}
	return have, err
}

func (u *upgrader) chunk(acct domicile.AccountID, data []byte, r *bodyRecord) error {
	d := u.s.chunkDigest(acct, data)
	r.chunks = append(r.chunks, d)
	c := u.chunks[d]
	if c.refs++; c.refs == 1 {
		payload, err := u.s.sealChunk(acct, d, data)
		if err == nil {
			c.place, err = u.frame(frameChunk, payload)
		}
		if err != nil {
			return err
		}
	}
	u.chunks[d] = c
	return nil
}

func (u *upgrader) frame(kind byte, payload []byte) (segment.Place, error) {
	at, _ := u.group.Add(kind, payload)
	u.live[at.Segment] += segment.Bytes(int(at.Length))
	if u.group.Size() < maxGroupBytes {
		return at, nil
	}
	err := u.group.Commit()
	u.group = u.log.Begin()
	return at, err
}
