package netlink

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"domicile"
	"domicile/region"
)

// Method is how a method's bytes leave: of which class, and whether its request goes under a permit of its own, of kind "stream" or
// "sealed", or is a small message under a standing one. Answers are small messages. Of a session both directions are under
// permits of the class, standing ones before the login.
type Method struct {
	Class   domicile.EgressClass
	Own     string
	Session bool
}

// Methods are all calls between nodes. A call that is not here is an error: whoever adds one says here of which class it is.
var Methods = map[string]Method{
	"delivery/store":     {Class: domicile.Delivery, Own: "stream"},
	"delivery/answered":  {Class: domicile.Delivery},
	"directory/own":      {Class: domicile.Lookup},
	"registrar/lookup":   {Class: domicile.Lookup},
	"registrar/claim":    {Class: domicile.Claim},
	"registrar/release":  {Class: domicile.Claim},
	"cosign":             {Class: domicile.Checkpoint},
	"order/told":         {Class: domicile.OrderNotice},
	"move/offer":         {Class: domicile.Move},
	"move/residence":     {Class: domicile.Move, Own: "sealed"},
	"move/part":          {Class: domicile.Move, Own: "sealed"},
	"move/prepare":       {Class: domicile.Move},
	"move/handover":      {Class: domicile.Move},
	"move/erased":        {Class: domicile.Move},
	"session/imap":       {Class: domicile.Relay, Session: true},
	"session/imaps":      {Class: domicile.Relay, Session: true},
	"session/submission": {Class: domicile.Relay, Session: true},
}

// Balance is what crossed of one class from a region to another (or a witness), beside what its journal has.
type Balance struct {
	Class    domicile.EgressClass
	To       domicile.Region
	Kind     string // "stream" or "standing"
	Messages int    // that crossed
	Crossed  int64  // bytes: of a stream those of the body, of small messages frames and answers whole
	Written  int64  // bytes that the journal says left at most
}

func (b Balance) String() string {
	return fmt.Sprintf("%s, %s, to %s: %d messages, %d bytes crossed, %d in the journal", b.Class, b.Kind, b.To, b.Messages, b.Crossed, b.Written)
}

// Account holds all that left a region's nodes against the region's journal, which must be closed, or no permit has its
// last figures. It returns the balance of each class and receiver; gossip has one balance for all receivers, since a node
// gossips to addresses before it knows whose they are. The error says every byte that had no permit open before it, or
// more than the permits let out: of a stream that crossed whole there is one permit of its own with the very digest and
// length, and all of its frames are within that permit's ceiling; of the rest, sums of each class and receiver.
func (n *Net) Account(from domicile.Region, records []region.Record, t Taken) ([]Balance, error) {
	b := &books{permits: map[string]*permit{}, lines: map[lineKey]*Balance{}, from: from}
	for _, r := range records {
		b.enter(r)
	}
	for _, whole := range []bool{true, false} { // a stream that was cut may be of many permits: it takes what the whole ones leave
		for i := range t.Calls {
			if k := &t.Calls[i]; k.Ended == whole {
				b.call(k, n.Owner(k.From), n.Owner(k.To))
			}
		}
	}
	for name, bytes := range t.Raw {
		if n.Owner(name) == from && bytes > 0 {
			b.gossip(bytes, t.Began[name])
		}
	}
	return b.close()
}

// permit is what the journal says of one.
type permit struct {
	region.Record // the newest of it
	opened        time.Time
	matched       bool // a stream of it crossed
}

type lineKey struct {
	class domicile.EgressClass
	to    domicile.Region
	kind  string
}

type books struct {
	from    domicile.Region
	permits map[string]*permit
	lines   map[lineKey]*Balance
	errs    []error
}

// enter takes a record of the journal.
func (b *books) enter(r region.Record) {
	p := b.permits[r.ID]
	switch r.Type {
	case "open":
		b.permits[r.ID] = &permit{Record: r, opened: r.Time}
	case "total", "close":
		if p == nil {
			b.fail("record %d is of a permit that was never opened", r.Seq)
			return
		}
		p.Record = r
	}
}

func (b *books) fail(format string, args ...any) {
	if len(b.errs) < maxFindings {
		b.errs = append(b.errs, fmt.Errorf(string(b.from)+": "+format, args...))
	}
}

func (b *books) line(class domicile.EgressClass, to domicile.Region, kind string) *Balance {
	k := lineKey{class, to, kind}
	if b.lines[k] == nil {
		b.lines[k] = &Balance{Class: class, To: to, Kind: kind}
	}
	return b.lines[k]
}

// call enters what of a call left the region: the request, the answer, or both.
func (b *books) call(k *Call, from, to domicile.Region) {
	m, known := Methods[k.Method]
	if !known {
		if from == b.from || to == b.from {
			b.fail("a call of %q, whose class is not known: add it to Methods", k.Method)
		}
		return
	}
	if m.Session {
		b.session(k, m.Class, from, to)
		return
	}
	if from == b.from && m.Own != "" {
		b.own(k, m, to)
	} else if from == b.from {
		b.small(k, m.Class, to, int64(len(k.Request)), k.At)
	}
	if to == b.from && len(k.Answer) > 0 {
		b.small(k, m.Class, from, int64(len(k.Answer)), k.Answered)
	}
}

// session enters what of a session left the region. Small words and a session's bytes are summed together, as the permit under
// which bytes go changes with the login.
func (b *books) session(k *Call, class domicile.EgressClass, from, to domicile.Region) {
	if from == b.from {
		b.small(k, class, to, framedSize(k.Header), k.At)
		b.carried(k, class, to, int64(len(k.Body)), k.BodyAt)
	}
	if to == b.from && k.Status == "200" {
		b.small(k, class, from, framedSize(k.Reply), k.Answered)
		b.carried(k, class, from, framedSize(k.Note)+int64(len(k.Back)), k.BackAt)
	}
}

// framedSize is that of a whole frame, 0 for one that did not cross.
func framedSize(b []byte) int64 {
	if len(b) == 0 {
		return 0
	}
	return 5 + int64(len(b))
}

// carried enters bytes of a session, which had a permit before the first of them.
func (b *books) carried(k *Call, class domicile.EgressClass, to domicile.Region, size int64, at time.Time) {
	if size == 0 {
		return
	}
	b.line(class, to, "standing").Crossed += size
	for _, p := range b.permits {
		if p.Class == class && p.To == to && p.Party == "region" && !p.opened.After(at) {
			return
		}
	}
	b.fail("%s to %s: %d bytes left under no permit for them", k.Method, to, size)
}

// small enters a message that left under a standing permit.
func (b *books) small(k *Call, class domicile.EgressClass, to domicile.Region, size int64, at time.Time) {
	l := b.line(class, to, "standing")
	l.Messages++
	l.Crossed += size
	for _, p := range b.permits {
		if p.Class == class && p.To == to && p.Kind == "standing" && p.Case == k.Case && !p.opened.After(at) && size <= p.Ceiling {
			return
		}
	}
	b.fail("%s to %s: %d bytes left under no permit for them", k.Method, to, size)
}

// own enters a request that left under a permit of its own. What is around the body, a header of at most 64 KiB and the frames, goes within
// a stream's ceiling; that of a sealed permit is the body's very size.
func (b *books) own(k *Call, m Method, to domicile.Region) {
	l, sum := b.line(m.Class, to, m.Own), k.Digest()
	l.Messages++
	l.Crossed += int64(len(k.Body))
	for _, p := range b.permits {
		if p.matched || p.Class != m.Class || p.To != to || p.Kind != m.Own || p.opened.After(k.At) {
			continue
		}
		if m.Own == "stream" && int64(len(k.Request)) > p.Ceiling || m.Own == "sealed" && k.Ended && int64(len(k.Body)) != p.Ceiling {
			continue
		}
		if k.Ended && p.Bytes == int64(len(k.Body)) && p.Digest == hex.EncodeToString(sum[:]) || !k.Ended && p.Bytes >= int64(len(k.Body)) {
			p.matched = true
			return
		}
	}
	b.fail("%s to %s: %d bytes left, and no permit is of these bytes", k.Method, to, len(k.Body))
}

// gossip enters all gossip of one node.
func (b *books) gossip(bytes int64, began time.Time) {
	l := b.line(domicile.Gossip, "", "standing")
	l.Messages++
	l.Crossed += bytes
	for _, p := range b.permits {
		if p.Class == domicile.Gossip && !p.opened.After(began) {
			return
		}
	}
	b.fail("gossip began before it had a permit")
}

// close adds up what the journal has, and compares.
func (b *books) close() ([]Balance, error) {
	for _, p := range b.permits {
		to := p.To
		if p.Class == domicile.Gossip {
			to = ""
		}
		kind := p.Kind
		if p.Class == domicile.Relay {
			kind = "standing"
		}
		if p.Party == "region" || p.Party == "witness" {
			b.line(p.Class, to, kind).Written += p.Bytes
		}
	}
	var out []Balance
	for _, l := range b.lines {
		if l.Crossed > l.Written {
			b.fail("more crossed than was let out: %s", l)
		}
		out = append(out, *l)
	}
	slices.SortFunc(out, func(x, y Balance) int {
		return cmp.Or(cmp.Compare(x.Class, y.Class), cmp.Compare(x.To, y.To), cmp.Compare(x.Kind, y.Kind))
	})
	return out, errors.Join(b.errs...)
}
