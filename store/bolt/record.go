package bolt

import (
	"encoding/binary"
	"encoding/json"

	"github.com/klauspost/compress/zstd"

	"domicile"
	"domicile/store"
)

// The sealed record of a message is a format byte, now 1, and: id, UID, ModSeq, size, INTERNALDATE, its zone, save date, number of flags, flags.
// Strings stand behind their length; numbers are uvarints, the dates and the zone zigzag varints.
const recordFormat = 1

func (r messageRecord) encode() []byte {
	b := append(make([]byte, 0, 64), recordFormat)
	b = appendString(b, string(r.ID))
	b = binary.AppendUvarint(b, uint64(r.UID))
	b = binary.AppendUvarint(b, uint64(r.ModSeq))
	b = binary.AppendUvarint(b, uint64(r.Size))
	b = binary.AppendVarint(b, r.Internal)
	b = binary.AppendVarint(b, int64(r.Zone))
	b = binary.AppendVarint(b, r.Saved)
	b = binary.AppendUvarint(b, uint64(len(r.Flags)))
	for _, f := range r.Flags {
		b = appendString(b, f)
	}
	return b
}

// records are the result of a token. As JSON they are one string: their encodings, each behind its length, as zstd. An earlier release wrote a list, and UIDs still are one.
type records []messageRecord

func (rs records) MarshalJSON() ([]byte, error) {
	var b []byte
	for _, r := range rs {
		b = appendString(b, string(r.encode()))
	}
	return json.Marshal(packer.EncodeAll(b, nil))
}

func (rs *records) UnmarshalJSON(raw []byte) error {
	*rs = nil
	if len(raw) == 0 || raw[0] != '"' {
		return json.Unmarshal(raw, (*[]messageRecord)(rs))
	}
	var packed []byte
	if err := json.Unmarshal(raw, &packed); err != nil {
		return err
	}
	plain, err := recordUnpacker.DecodeAll(packed, nil)
	if err != nil {
		return err
	}
	d := decoder{b: plain}
	for len(d.b) > 0 && !d.bad {
		var r messageRecord
		if err := r.decode(d.take()); err != nil {
			return err
		}
		*rs = append(*rs, r)
	}
	return nil
}

var recordUnpacker, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<30), zstd.WithDecoderConcurrency(1))

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (r *messageRecord) decode(b []byte) error {
	if len(b) == 0 || b[0] != recordFormat {
		return errDamaged
	}
	d := decoder{b: b[1:]}
	*r = messageRecord{
		ID: domicile.MessageID(d.string()), UID: store.UID(d.number()), ModSeq: store.ModSeq(d.number()), Size: int64(d.number()),
		Internal: d.signed(), Zone: int(d.signed()), Saved: d.signed(),
	}
	n := d.number()
	if n > store.MaxFlags {
		return errDamaged
	}
	if n > 0 {
		r.Flags = make([]string, n)
	}
	for i := range r.Flags {
		if r.Flags[i] = systemFlag(d.take()); r.Flags[i] == "" {
			return errDamaged
		}
	}
	if d.bad || len(d.b) > 0 {
		return errDamaged
	}
	return nil
}

// systemFlag makes no new string for a flag that most messages have.
func systemFlag(b []byte) string {
	for _, f := range []string{store.Seen, store.Answered, store.Flagged, store.Deleted, store.Draft} {
		if string(b) == f {
			return f
		}
	}
	return string(b)
}

// decoder takes values from the front; bad once they did not fit.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) signed() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) take() []byte {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) string() string { return string(d.take()) }
