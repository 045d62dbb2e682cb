package message

import (
	"encoding/binary"
	"errors"
)

// Place says where a part stands in a message: its header with the blank line is [Start,Body), its body [Body,End). In a
// message/rfc822 part, [Body,Inner) is the header of the embedded message and [Inner,End) its body; else Inner is -1.
type Place struct{ Start, Body, End, Inner int }

// Find returns where the part of an IMAP part number stands, as Message.Find does. ok is false if there is no such part.
// Only if Placed.
func (s *Summary) Find(path []int) (p Place, ok bool) {
	r := placeReader{b: s.places}
	e := r.next()
	for whole := true; len(path) > 0; path = path[1:] {
		if !whole && e.embeds {
			e, whole = r.next(), true
		}
		n := path[0]
		switch {
		case e.parts > 0 && n >= 1 && n <= e.parts:
			for range n - 1 {
				r.skip()
			}
			e = r.next()
		case whole && e.parts == 0 && n == 1:
		default:
			return Place{}, false
		}
		whole = false
	}
	p = Place{e.Start, e.Body, e.End, -1}
	if e.embeds {
		p.Inner = r.next().Body
	}
	return p, r.err == nil
}

// Placed reports whether Find knows the parts. Else there are too many, and the message is asked.
func (s *Summary) Placed() bool { return s.places != "" }

// appendPlaces writes a part and those in it, each before its own parts: twice the number of parts, plus 1 before an embedded
// message, from the last part's body to its start, the length of its header, and of its body.
func appendPlaces(b []byte, root *Part) []byte {
	last := 0
	var walk func(p *Part)
	walk = func(p *Part) {
		kind := uint64(len(p.Parts)) << 1
		if p.Embedded != nil {
			kind = 1
		}
		b = binary.AppendUvarint(b, kind)
		for _, n := range []int{p.Start - last, p.Body - p.Start, p.End - p.Body} {
			b = binary.AppendUvarint(b, uint64(n))
		}
		last = p.Body
		for _, child := range p.Parts {
			walk(child)
		}
		if p.Embedded != nil {
			walk(p.Embedded)
		}
	}
	walk(root)
	return b
}

// placeReader reads what appendPlaces wrote. After an error it returns nothing but zeros.
type placeReader struct {
	b    string
	last int
	err  error
}

type placeEntry struct {
	Start, Body, End int
	parts            int
	embeds           bool
}

// next reads the next part, which is the first one of the part before if it has parts.
func (r *placeReader) next() (e placeEntry) {
	kind := r.number()
	e.parts, e.embeds = kind>>1, kind&1 == 1
	e.Start = r.last + r.number()
	e.Body = e.Start + r.number()
	e.End = e.Body + r.number()
	r.last = e.Body
	if r.err != nil {
		return placeEntry{}
	}
	return e
}

// skip passes over a part and all in it.
func (r *placeReader) skip() {
	for more := 1; more > 0 && r.err == nil; more-- {
		e := r.next()
		if more += e.parts; e.embeds {
			more++
		}
	}
}

func (r *placeReader) number() int {
	n, rest, ok := cutNumber(r.b)
	if !ok || n > maxOffset {
		r.err = errors.New("message: a place that cannot be read")
		return 0
	}
	r.b = rest
	return int(n)
}

// maxOffset bounds a number of bytes.
const maxOffset = 1 << 40

// checkPlaces accepts what describes parts within size bytes, and nothing more.
func checkPlaces(b string, size int) bool {
	if b == "" {
		return true
	}
	r := placeReader{b: b}
	parts := 0
	for more := 1; more > 0; more-- {
		e := r.next()
		if parts++; r.err != nil || parts > MaxParts || e.End > size || e.embeds && e.parts > 0 {
			return false
		}
		if more += e.parts; e.embeds {
			more++
		}
	}
	return r.b == ""
}
