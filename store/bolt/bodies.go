package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"sync"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// A body of up to a chunk's size rests in one frame of the log, a frameBody, bound to account and message. A longer one is cut where its bytes say
// so (see cutter): all pieces but the last are chunks, each a frameChunk under a keyed digest of its bytes, and every body of the account
// that has the same bytes shares it. The frameBody then holds the last piece, and is bound to the list of chunks before it and the size of the
// whole: none of them can be left out, swapped or added.
//
// The index says where the frames are, and counts who names them.

// digest names a chunk within its account.
type digest [sha256.Size]byte

// bodyRecord is a body in the index. It rests unsealed: numbers and digests.
type bodyRecord struct {
	refs   uint32 // messages that have it
	size   int64
	place  segment.Place // of its frameBody; zero while it comes in from another region
	chunks []digest
}

func appendPlace(b []byte, p segment.Place) []byte {
	b = binary.BigEndian.AppendUint32(b, p.Segment)
	b = binary.BigEndian.AppendUint32(b, p.Offset)
	return binary.BigEndian.AppendUint32(b, p.Length)
}

func readPlace(b []byte) segment.Place {
	return segment.Place{Segment: binary.BigEndian.Uint32(b), Offset: binary.BigEndian.Uint32(b[4:]), Length: binary.BigEndian.Uint32(b[8:])}
}

func (r bodyRecord) encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 24+len(r.chunks)*sha256.Size), r.refs)
	b = appendPlace(binary.BigEndian.AppendUint64(b, uint64(r.size)), r.place)
	for _, c := range r.chunks {
		b = append(b, c[:]...)
	}
	return b
}

func decodeBody(b []byte) (r bodyRecord, err error) {
	if len(b) < 24 || (len(b)-24)%sha256.Size != 0 {
		return r, errDamaged
	}
	r = bodyRecord{refs: binary.BigEndian.Uint32(b), size: int64(binary.BigEndian.Uint64(b[4:])), place: readPlace(b[12:])}
	for b = b[24:]; len(b) > 0; b = b[sha256.Size:] {
		r.chunks = append(r.chunks, digest(b))
	}
	return r, nil
}

// chunkRecord is a chunk in the index.
type chunkRecord struct {
	refs  uint32 // how often bodies name it
	place segment.Place
}

func (r chunkRecord) encode() []byte {
	return appendPlace(binary.BigEndian.AppendUint32(make([]byte, 0, 16), r.refs), r.place)
}

func decodeChunk(b []byte) (r chunkRecord, err error) {
	if len(b) != 16 {
		return r, errDamaged
	}
	return chunkRecord{binary.BigEndian.Uint32(b), readPlace(b[4:])}, nil
}

func (a account) body(id domicile.MessageID) (bodyRecord, error) {
	raw := a.b.sub(bBodies).Get([]byte(id))
	if raw == nil {
		return bodyRecord{}, domicile.E("body", domicile.NotExist, "no such message")
	}
	return decodeBody(raw)
}

func (a account) putBody(id domicile.MessageID, r bodyRecord) {
	a.b.sub(bBodies).Put([]byte(id), r.encode())
}

// chunk returns ok false if the account has none of that digest.
func (a account) chunk(d digest) (r chunkRecord, ok bool, err error) {
	raw := a.b.sub(bChunks).Get(d[:])
	if raw == nil {
		return r, false, nil
	}
	r, err = decodeChunk(raw)
	return r, err == nil, err
}

func (a account) putChunk(d digest, r chunkRecord) { a.b.sub(bChunks).Put(d[:], r.encode()) }

// addChunk names a chunk once more. It is the one at the place from now on, which was just written: an older copy of it may be damaged.
func (a account) addChunk(d digest, at segment.Place) error {
	r, ok, err := a.chunk(d)
	if ok {
		a.b.tx.live(r.place, -1)
	}
	r.place = at
	a.b.tx.live(at, 1)
	r.refs++
	a.putChunk(d, r)
	return err
}

// dropChunk names a chunk once less. One whose record is damaged or lost keeps nobody from expunging what had it.
func (a account) dropChunk(d digest) {
	if r, _, _ := a.chunk(d); r.refs > 1 {
		r.refs--
		a.putChunk(d, r)
	} else {
		a.b.tx.live(r.place, -1)
		a.b.sub(bChunks).Delete(d[:])
	}
}

// written is a chunk that is in the log, and that no body names yet.
type written struct {
	digest digest
	at     segment.Place
}

// use counts bytes against the quota.
func (a account) use(size int64) error {
	quota, used := int64(readNumber(a.b.Get(kQuota))), int64(readNumber(a.b.Get(kUsage)))+size
	if quota > 0 && used > quota {
		return &domicile.Error{Op: "quota", Kind: domicile.TooLarge, Err: store.ErrOverQuota}
	}
	a.b.Put(kUsage, number(uint64(used)))
	return nil
}

// newBody enters a body.
func (a account) newBody(id domicile.MessageID, size int64, chunks []written, at segment.Place) error {
	if err := a.use(size); err != nil {
		return err
	}
	r := bodyRecord{refs: 1, size: size, place: at}
	for _, c := range chunks {
		if err := a.addChunk(c.digest, c.at); err != nil {
			return err
		}
		r.chunks = append(r.chunks, c.digest)
	}
	a.putBody(id, r)
	a.b.tx.live(at, 1)
	a.unfound(id)
	return nil
}

func (a account) ref(id domicile.MessageID) error {
	r, err := a.body(id)
	if err != nil {
		return err
	}
	r.refs++
	a.putBody(id, r)
	return nil
}

// unref takes one copy of a message away. With the last one the body goes, now or when it is due.
func (a account) unref(m messageRecord) error {
	r, err := a.body(m.ID)
	if err != nil {
		return err
	}
	if r.refs > 1 {
		r.refs--
		a.putBody(m.ID, r)
		return nil
	}
	r.refs = 0
	a.b.Put(kUsage, number(readNumber(a.b.Get(kUsage))-uint64(r.size)))
	a.b.sub(bUnfound).Delete([]byte(m.ID))
	if a.s.cfg.Undelete > 0 {
		a.putBody(m.ID, r)
		return a.keepExpunged(m)
	}
	a.dropBody(m.ID, r)
	return nil
}

// dropBody removes a body that nobody names; compaction reclaims its bytes.
func (a account) dropBody(id domicile.MessageID, r bodyRecord) {
	for _, d := range r.chunks {
		a.dropChunk(d)
	}
	a.b.sub(bBodies).Delete([]byte(id))
	a.b.tx.live(r.place, -1)
}

// live counts the bytes of each segment that something names.
func (tx *txn) live(p segment.Place, sign int64) {
	if p == (segment.Place{}) {
		return
	}
	b, key := tx.root(bSegments), number(uint64(p.Segment))
	if n := int64(readNumber(b.Get(key))) + sign*segment.Bytes(int(p.Length)); n > 0 {
		b.Put(key, number(uint64(n)))
	} else {
		b.Delete(key)
	}
}

// bodyReader reads a body piece by piece, and gives an error before its end unless it is exactly what was committed.
type bodyReader struct {
	s    *Store
	acct domicile.AccountID
	id   domicile.MessageID
	rec  bodyRecord
	at   []segment.Place // of the chunks when it was opened, if it is to outlive an expunge
	pin  pin
	end  *room // of the end of the body; read first, since it vouches for the rest
	room *room // of the chunk under way
	n    int   // pieces read
	left int64
	buf  []byte // of a room: not read yet
}

// room is memory for a piece of a body, as it rests and as it is. The next body has it again.
type room struct{ frame, text []byte }

var rooms = sync.Pool{New: func() any { return new(room) }}

func (s *Store) openBody(acct domicile.AccountID, id domicile.MessageID, rec bodyRecord) *bodyReader {
	return &bodyReader{s: s, acct: acct, id: id, pin: pin{all: &s.pins}, rec: rec, left: rec.size}
}

// open notes where everything is and keeps it there, so that the reader comes to its end whatever becomes of the message.
func (r *bodyReader) open(a account) (err error) {
	if r.rec, err = a.body(r.id); err == nil && r.rec.refs == 0 {
		err = errGone
	}
	if err != nil {
		return err
	}
	r.left = r.rec.size
	r.pin.hold(r.rec.place.Segment)
	for _, d := range r.rec.chunks {
		c, _, err := a.chunk(d) // of one that is not there reading tells
		if err != nil {
			return err
		}
		r.at = append(r.at, c.place)
		r.pin.hold(c.place.Segment)
	}
	return nil
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if err := r.fill(); err != nil {
		return 0, err
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// WriteTo saves io.Copy a buffer.
func (r *bodyReader) WriteTo(w io.Writer) (sum int64, err error) {
	for {
		if err := r.fill(); err == io.EOF {
			return sum, nil
		} else if err != nil {
			return sum, err
		}
		n, err := w.Write(r.buf)
		sum, r.buf = sum+int64(n), r.buf[n:]
		if err != nil {
			return sum, err
		}
	}
}

// fill reads the next piece if there is nothing left of the one before. io.EOF behind the last.
func (r *bodyReader) fill() (err error) {
	for len(r.buf) == 0 {
		if r.n > len(r.rec.chunks) {
			if r.left != 0 {
				return errDamaged
			}
			return io.EOF
		}
		if r.buf, err = r.piece(); err != nil {
			return domicile.W("read body", err)
		}
		r.n++
		if r.left -= int64(len(r.buf)); r.left < 0 {
			r.buf = nil
			return errDamaged
		}
	}
	return nil
}

func (r *bodyReader) piece() (b []byte, err error) {
	if r.n == 0 {
		r.end = rooms.Get().(*room)
		r.end.frame, err = r.s.readFrame(r.end.frame, r.acct, r.rec.place, func(a account) (segment.Place, error) {
			rec, err := a.body(r.id)
			return rec.place, err
		})
		if err == nil {
			r.end.text, err = r.s.openLast(r.end.text, r.acct, r.id, r.rec.size, r.rec.chunks, r.end.frame)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.n == len(r.rec.chunks) {
		return r.end.text, nil
	}
	var at segment.Place
	if r.at != nil {
		at = r.at[r.n]
	}
	if r.room == nil {
		r.room = rooms.Get().(*room)
	}
	return r.s.readChunk(r.room, r.acct, r.rec.chunks[r.n], at)
}

// readChunk reads a chunk into the room, at first where it was.
func (s *Store) readChunk(in *room, acct domicile.AccountID, d digest, at segment.Place) (text []byte, err error) {
	in.frame, err = s.readFrame(in.frame, acct, at, func(a account) (segment.Place, error) {
		c, ok, err := a.chunk(d)
		if err == nil && !ok {
			err = errGone
		}
		return c.place, err
	})
	if err == nil {
		in.text, err = s.openChunk(in.text, acct, d, in.frame)
	}
	return in.text, err
}

var errGone = domicile.E("body", domicile.NotExist, "the message was expunged meanwhile")

// readFrame reads a frame, into a buffer if it has room, at first where it was. If its segment is gone, compaction has moved it: find says where to.
func (s *Store) readFrame(buf []byte, acct domicile.AccountID, at segment.Place, find func(account) (segment.Place, error)) (payload []byte, err error) {
	for range 4 {
		if at != (segment.Place{}) {
			if payload, err = s.log.ReadInto(at, buf); domicile.KindOf(err) != domicile.NotExist {
				return payload, err
			}
		}
		err = s.view(func(tx *txn) (err error) {
			at, err = find(s.accountIn(tx, acct))
			return err
		})
		if domicile.KindOf(err) == domicile.NotExist {
			return nil, errGone
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errGone
}

// Close gives back what the reader holds. Reading ends with it.
func (r *bodyReader) Close() error {
	r.pin.release()
	for _, room := range []*room{r.end, r.room} {
		if room != nil {
			rooms.Put(room)
		}
	}
	r.end, r.room, r.buf, r.n, r.left = nil, nil, nil, len(r.rec.chunks)+1, -1
	return nil
}
