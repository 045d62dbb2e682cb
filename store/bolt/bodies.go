package bolt

import (
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// A body rests in chunks of at most chunkSize bytes, each compressed, sealed, bound to account, body, number and whether it is the last, and
// written as one frame of the log. The index has their places. Nothing outside of this file knows how a chunk looks.

const chunkSize = 256 << 10

// How a chunk was compressed, its first byte before sealing.
const (
	plain      = 0
	compressed = 1
)

var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(chunkSize), zstd.WithEncoderCRC(false))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(chunkSize), zstd.WithDecoderConcurrency(0))
)

func chunkPlace(acct domicile.AccountID, id domicile.MessageID, n int, last bool) []byte {
	b := binary.AppendUvarint(place("chunk", string(acct), string(id)), uint64(n))
	if last {
		return append(b, 1)
	}
	return append(b, 0)
}

// sealChunk gives the payload of a chunk's frame: account, body and number, by which compaction finds whose it is, and the sealed bytes.
func (s *Store) sealChunk(acct domicile.AccountID, id domicile.MessageID, n int, last bool, data []byte) ([]byte, error) {
	packed := packer.EncodeAll(data, append(make([]byte, 0, len(data)/2+64), compressed))
	if len(packed) > len(data) {
		packed = append(append(packed[:0], plain), data...)
	}
	sealed, err := s.cfg.Sealer.SealRecord(acct, packed, chunkPlace(acct, id, n, last))
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(acct)+len(id)+8+len(sealed))
	b = appendString(appendString(b, string(acct)), string(id))
	return append(binary.AppendUvarint(b, uint64(n)), sealed...), nil
}

type chunkHead struct {
	acct domicile.AccountID
	id   domicile.MessageID
	n    int
}

func parseChunk(payload []byte) (h chunkHead, sealed []byte, err error) {
	d := decoder{b: payload}
	h = chunkHead{acct: domicile.AccountID(d.string()), id: domicile.MessageID(d.string())}
	n := d.number()
	if d.bad || n > 1<<31 || !validID(string(h.acct)) || !validID(string(h.id)) {
		return h, nil, errDamaged
	}
	h.n = int(n)
	return h, d.b, nil
}

func (s *Store) openChunk(acct domicile.AccountID, id domicile.MessageID, n int, last bool, payload []byte) ([]byte, error) {
	h, sealed, err := parseChunk(payload)
	if err != nil || h != (chunkHead{acct, id, n}) {
		return nil, errDamaged
	}
	packed, err := s.cfg.Sealer.OpenRecord(acct, sealed, chunkPlace(acct, id, n, last))
	if err != nil {
		return nil, err
	}
	switch {
	case len(packed) > 0 && packed[0] == plain:
		return packed[1:], nil
	case len(packed) > 0 && packed[0] == compressed:
		return unpacker.DecodeAll(packed[1:], make([]byte, 0, min(chunkSize, 4*len(packed))))
	}
	return nil, errDamaged
}

// bodyRecord counts who names a body, and says where it is. It rests unsealed: numbers.
type bodyRecord struct {
	refs   uint32
	size   int64
	places []segment.Place
}

func (r bodyRecord) encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 12+12*len(r.places)), r.refs)
	b = binary.BigEndian.AppendUint64(b, uint64(r.size))
	for _, p := range r.places {
		b = binary.BigEndian.AppendUint32(b, p.Segment)
		b = binary.BigEndian.AppendUint32(b, p.Offset)
		b = binary.BigEndian.AppendUint32(b, p.Length)
	}
	return b
}

func decodeBody(b []byte) (r bodyRecord, err error) {
	if len(b) < 12 || len(b)%12 != 0 {
		return r, errDamaged
	}
	r = bodyRecord{refs: binary.BigEndian.Uint32(b), size: int64(binary.BigEndian.Uint64(b[4:]))}
	for b = b[12:]; len(b) > 0; b = b[12:] {
		r.places = append(r.places, segment.Place{Segment: binary.BigEndian.Uint32(b), Offset: binary.BigEndian.Uint32(b[4:]), Length: binary.BigEndian.Uint32(b[8:])})
	}
	return r, nil
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

// newBody counts a new body against the quota.
func (a account) newBody(id domicile.MessageID, size int64, places []segment.Place) error {
	quota, used := int64(readNumber(a.b.Get(kQuota))), int64(readNumber(a.b.Get(kUsage)))+size
	if quota > 0 && used > quota {
		return &domicile.Error{Op: "quota", Kind: domicile.TooLarge, Err: store.ErrOverQuota}
	}
	a.putBody(id, bodyRecord{1, size, places})
	a.b.tx.live(places, 1)
	a.b.Put(kUsage, number(uint64(used)))
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

// unref drops the body with its last reference; compaction reclaims its bytes.
func (a account) unref(id domicile.MessageID) error {
	r, err := a.body(id)
	if err != nil {
		return err
	}
	if r.refs > 1 {
		r.refs--
		a.putBody(id, r)
		return nil
	}
	a.b.sub(bBodies).Delete([]byte(id))
	a.b.tx.live(r.places, -1)
	a.b.Put(kUsage, number(readNumber(a.b.Get(kUsage))-uint64(r.size)))
	return nil
}

// live counts the bytes of each segment that something names.
func (tx *txn) live(places []segment.Place, sign int64) {
	b := tx.root(bSegments)
	for _, p := range places {
		key := number(uint64(p.Segment))
		if n := int64(readNumber(b.Get(key))) + sign*segment.Bytes(int(p.Length)); n > 0 {
			b.Put(key, number(uint64(n)))
		} else {
			b.Delete(key)
		}
	}
}

// bodyReader reads a body chunk by chunk, and an error before its end unless it is exactly what was committed.
type bodyReader struct {
	s    *Store
	acct domicile.AccountID
	id   domicile.MessageID
	rec  bodyRecord
	n    int
	left int64
	buf  []byte
}

func (s *Store) openBody(acct domicile.AccountID, id domicile.MessageID, rec bodyRecord) *bodyReader {
	return &bodyReader{s: s, acct: acct, id: id, rec: rec, left: rec.size}
}

func (r *bodyReader) Read(p []byte) (int, error) {
	for len(r.buf) == 0 {
		if r.n == len(r.rec.places) {
			if r.left != 0 || r.n == 0 {
				return 0, errDamaged
			}
			return 0, io.EOF
		}
		var err error
		if r.buf, err = r.chunk(); err != nil {
			return 0, domicile.W("read body", err)
		}
		r.n++
		if r.left -= int64(len(r.buf)); r.left < 0 {
			return 0, errDamaged
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// chunk reads the next chunk. If its segment is gone, compaction has moved it, or the message was expunged.
func (r *bodyReader) chunk() ([]byte, error) {
	for try := 0; ; try++ {
		payload, err := r.s.log.Read(r.rec.places[r.n])
		if err == nil {
			return r.s.openChunk(r.acct, r.id, r.n, r.n == len(r.rec.places)-1, payload)
		}
		if domicile.KindOf(err) != domicile.NotExist || try == 3 {
			return nil, err
		}
		err = r.s.view(func(tx *txn) error {
			rec, err := r.s.accountIn(tx, r.acct).body(r.id)
			if err == nil && len(rec.places) == len(r.rec.places) {
				r.rec = rec
			}
			return err
		})
		if err != nil {
			return nil, domicile.E("body", domicile.NotExist, "the message was expunged meanwhile")
		}
	}
}

func (r *bodyReader) Close() error { return nil }
