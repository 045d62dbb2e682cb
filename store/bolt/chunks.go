package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/klauspost/compress/zstd"

	"domicile"
)

// Pieces of a body have between minChunk and maxChunk bytes, 64 KiB on average.
const (
	minChunk = 32 << 10
	maxChunk = 256 << 10
	cutMask  = 1<<15 - 1 // a cut comes every 32 KiB behind minChunk
	window   = 64        // bytes that the hash remembers
)

// cutter finds where to cut a body: where a rolling hash of the last bytes has no bits in cutMask. Equal bytes are thus cut alike wherever they are
// in a message (the Gear hash of FastCDC). The hash is keyed by the account, so that the sizes of what rests tell nothing of known bytes.
type cutter struct {
	seed  func() []byte
	table []uint64 // nil until a body is long enough
	hash  uint64
	n     int // bytes of this piece
}

func (s *Store) newCutter(acct domicile.AccountID) cutter {
	return cutter{seed: func() []byte { return s.cfg.Sealer.Digest("cut", string(acct)) }}
}

// cut returns how many bytes of p belong to this piece, and whether it ends there.
func (c *cutter) cut(p []byte) (n int, ends bool) {
	n = min(len(p), max(0, minChunk-window-c.n))
	for c.n += n; n < len(p); {
		if c.table == nil {
			c.makeTable()
		}
		c.hash = c.hash<<1 + c.table[p[n]]
		n++
		c.n++
		if c.n >= minChunk && c.hash>>32&cutMask == 0 || c.n == maxChunk {
			c.hash, c.n = 0, 0
			return n, true
		}
	}
	return n, false
}

func (c *cutter) makeTable() {
	r := rand.NewChaCha8([32]byte(c.seed()))
	c.table = make([]uint64, 256)
	for i := range c.table {
		c.table[i] = r.Uint64()
	}
}

// How a piece was compressed, its first byte before sealing.
const (
	plain      = 0
	compressed = 1
)

var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(maxChunk), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(0))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxChunk), zstd.WithDecoderConcurrency(0))
)

// sealPiece gives the payload of a frame: account and owner, by which compaction finds whose it is, and the sealed bytes.
func (s *Store) sealPiece(acct domicile.AccountID, owner string, data, associated []byte) ([]byte, error) {
	r := rooms.Get().(*room)
	defer rooms.Put(r)
	packed := packer.EncodeAll(data, append(r.frame[:0], compressed))
	if len(packed) > len(data) || len(data) > maxChunk { // the directory of a large search block is not unpacked in one go
		packed = append(append(packed[:0], plain), data...)
	}
	if cap(packed) <= 2*maxChunk { // not the directory of a large search block
		r.frame = packed
	}
	sealed, err := s.cfg.Sealer.SealRecord(acct, packed, associated)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(acct)+len(owner)+4+len(sealed))
	return append(appendString(appendString(b, string(acct)), owner), sealed...), nil
}

// frameHead says whose a frame is: of a frameBody the message, of a frameChunk the digest.
type frameHead struct {
	acct  domicile.AccountID
	owner string
}

func parseFrame(payload []byte) (h frameHead, sealed []byte, err error) {
	d := decoder{b: payload}
	h = frameHead{domicile.AccountID(d.string()), d.string()}
	if d.bad || !validID(string(h.acct)) || len(h.owner) == 0 || len(h.owner) > 64 {
		return h, nil, errDamaged
	}
	return h, d.b, nil
}

func (s *Store) openPiece(acct domicile.AccountID, owner string, payload, associated []byte) ([]byte, error) {
	return s.openPieceInto(nil, acct, owner, payload, associated)
}

// openPieceInto is openPiece into a buffer, where that has room.
func (s *Store) openPieceInto(buf []byte, acct domicile.AccountID, owner string, payload, associated []byte) ([]byte, error) {
	h, sealed, err := parseFrame(payload)
	if err != nil || h != (frameHead{acct, owner}) {
		return nil, errDamaged
	}
	packed, err := s.cfg.Sealer.OpenRecord(acct, sealed, associated)
	if err != nil {
		return nil, err
	}
	switch {
	case len(packed) > 0 && packed[0] == plain:
		return packed[1:], nil
	case len(packed) > 0 && packed[0] == compressed:
		return unpacker.DecodeAll(packed[1:], buf[:0])
	}
	return nil, errDamaged
}

func (s *Store) chunkDigest(acct domicile.AccountID, data []byte) digest {
	sum := sha256.Sum256(data)
	return digest(s.cfg.Sealer.Digest("chunk", string(acct), string(sum[:])))
}

func chunkPlace(acct domicile.AccountID, d digest) []byte {
	return place("chunk", string(acct), string(d[:]))
}

func (s *Store) sealChunk(acct domicile.AccountID, d digest, data []byte) ([]byte, error) {
	return s.sealPiece(acct, string(d[:]), data, chunkPlace(acct, d))
}

func (s *Store) openChunk(buf []byte, acct domicile.AccountID, d digest, payload []byte) ([]byte, error) {
	return s.openPieceInto(buf, acct, string(d[:]), payload, chunkPlace(acct, d))
}

// lastPlace binds the end of a body to all that is before it.
func lastPlace(acct domicile.AccountID, id domicile.MessageID, size int64, chunks []digest) []byte {
	b := binary.AppendUvarint(place("body", string(acct), string(id)), uint64(size))
	for _, d := range chunks {
		b = append(b, d[:]...)
	}
	return b
}

func (s *Store) sealLast(acct domicile.AccountID, id domicile.MessageID, size int64, chunks []digest, data []byte) ([]byte, error) {
	return s.sealPiece(acct, string(id), data, lastPlace(acct, id, size, chunks))
}

func (s *Store) openLast(buf []byte, acct domicile.AccountID, id domicile.MessageID, size int64, chunks []digest, payload []byte) ([]byte, error) {
	return s.openPieceInto(buf, acct, string(id), payload, lastPlace(acct, id, size, chunks))
}
