package imapd

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"domicile/message"
)

// cut says which bytes of a message a section is: [from,to) of it, or of what becomes of them.
type cut struct {
	*section
	from, to int64
	decoded  []byte // of a binary section that is to be decoded, all of it; nil = it is not to be
	absent   bool   // there is no such part: NIL
}

// need is up to which byte of the message the section needs it.
func (c *cut) need() int64 {
	if c.sized {
		return 0
	}
	if c.plain() && c.partial {
		return c.from + int64(c.end(uint64(c.to-c.from)))
	}
	return c.to
}

// size is how many bytes the section is, decoded.
func (c *cut) size() int64 {
	if c.decoded != nil {
		return int64(len(c.decoded))
	}
	return c.to - c.from
}

// plain: the section is bytes of the message as they stand.
func (c *cut) plain() bool { return c.decoded == nil && c.fields == nil }

// end is where a partial range ends in n bytes.
func (c *cut) end(n uint64) uint64 {
	if !c.partial {
		return n
	}
	return min(n, c.offset+c.count)
}

// clip is the range that is asked for of what the section is; beyond its end it is empty (RFC 9051 6.4.5).
func (c *cut) clip(b []byte) []byte {
	if !c.partial {
		return b
	}
	n := uint64(len(b))
	return b[min(c.offset, n):c.end(n)]
}

// bytes is what is sent for the section, of a message of which need bytes are there.
func (c *cut) bytes(raw []byte) []byte {
	switch {
	case c.decoded != nil:
		return c.clip(c.decoded)
	case c.fields != nil:
		return c.clip(message.FieldsOf(raw[c.from:c.to], c.fields, c.what == "HEADER.FIELDS.NOT"))
	}
	from, to := c.bounds()
	return raw[from:to]
}

// bounds are where what is sent of a plain section begins and ends in the message.
func (c *cut) bounds() (from, to int64) {
	if !c.partial {
		return c.from, c.to
	}
	n := uint64(c.to - c.from)
	return c.from + int64(min(c.offset, n)), c.from + int64(c.end(n))
}

// placer finds parts, in a summary or in a parsed message.
type placer func(path []int) (message.Place, bool)

// placesOf: those of a parsed message.
func placesOf(m *message.Message) placer {
	return func(path []int) (message.Place, bool) {
		p := m.Find(path)
		if p == nil {
			return message.Place{}, false
		}
		at := message.Place{Start: p.Start, Body: p.Body, End: p.End, Inner: -1}
		if p.Embedded != nil {
			at.Inner = p.Embedded.Body
		}
		return at, true
	}
}

// cut finds a section in a message of size bytes. find is not asked where the section is the whole message.
func (s *section) cut(find placer, size int64) cut {
	c := cut{section: s, to: size}
	if s.isWhole() {
		return c
	}
	p, ok := find(s.path)
	from, to := p.Body, p.End // a part's body, or the text of the message
	switch inner := len(s.path) > 0 && s.what != "" && s.what != "MIME"; {
	case s.what == "MIME", len(s.path) == 0 && s.what != "TEXT":
		from, to = p.Start, p.Body
	case inner && p.Inner < 0: // n.HEADER and n.TEXT are of an embedded message
		ok = false
	case inner && s.what == "TEXT":
		from = p.Inner
	case inner:
		to = p.Inner
	}
	c.from, c.to, c.absent = int64(from), int64(to), !ok
	if c.absent {
		c.from, c.to = 0, 0
	}
	return c
}

// isWhole: the section is the whole message.
func (s *section) isWhole() bool { return len(s.path) == 0 && s.what == "" }

// decode has a binary section decoded, if its encoding is one of RFC 2045 (RFC 3516 4.1). What has parts is sent as it stands: it can have no
// other encoding than that of the message. ready has the parts that were decoded for other sections: one is decoded once, however often it is asked for.
func (c *cut) decode(m *message.Message, ready map[*message.Part][]byte) error {
	p := m.Find(c.path)
	if c.absent || c.isWhole() || p.IsMultipart() || p.Embedded != nil || slices.Contains([]string{"7bit", "8bit", "binary"}, p.Encoding) {
		return nil
	}
	if c.decoded = ready[p]; c.decoded != nil {
		return nil
	}
	b, ok := m.Decoded(p)
	if !ok {
		return no(imap.ResponseCodeUnknownCTE, "A part is in an encoding that is not known")
	}
	c.decoded, ready[p] = b, b
	return nil
}
