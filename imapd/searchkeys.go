package imapd

import (
	"math"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile/imapd/wire"
	"domicile/store"
)

// Bounds of a search program. A chain of ORs, as programs write it for many addresses, counts as one level.
const (
	maxKeys     = 1000
	maxKeyDepth = 64
	maxTextKeys = 64 // that look into messages, different ones
)

// query is a search program that was read.
type query struct {
	fits   test
	texts  []*textKey // what the store is asked before
	needs  need       // what fits looks at
	from   int        // all that fits is among these indexes of the view,
	to     int        // the last one not included
	modseq bool       // MODSEQ stood in it: the answer tells the highest one (RFC 7162 3.1.5)
	drifts bool       // what fits changes without a change of a message
	size   int        // about how many bytes it holds
}

// test says whether a message is what is looked for. It holds for the message whatever its number becomes.
type test func(c *candidate) bool

// need is what must be read of each message of the mailbox.
type need uint8

const (
	flagsAlone need = 1 << iota // system flags
	records                     // all flags, dates, size
	summaries                   // what its bytes say too
)

// keyReader reads search keys. What is not well-formed is the command's error; what is well-formed and refused is its own.
type keyReader struct {
	s       *session
	cmd     *wire.Command
	now     time.Time                   // that OLDER and YOUNGER count from
	decode  func(string) (string, bool) // of strings, from the charset to UTF-8
	q       *query
	keys    int
	refused error
	saved   spans // what "$" stands for; nil = it was not asked for yet
}

func (s *session) keyReader(cmd *wire.Command) *keyReader {
	return &keyReader{s: s, cmd: cmd, now: time.Now(), decode: decodeUTF8, q: &query{to: len(s.view.uids)}}
}

// query reads keys to the end of the command. w is what is wanted of their result.
func (r *keyReader) query(w returning) (*query, error) {
	if w.update && r.s.isLive(r.cmd.Tag) {
		r.cmd.Fail("The tag is that of a search whose result is updated")
	}
	r.q.fits = r.all(0)
	if err := r.cmd.Err(); err != nil { // also where what was refused as a charset is none, since nothing follows
		return nil, err
	}
	if r.refused != nil {
		return nil, r.s.notSaved(w, r.refused)
	}
	return r.q, r.cmd.End()
}

// refuse stops reading: what follows would only be bad for being left.
func (r *keyReader) refuse(err error) {
	if r.refused == nil && r.cmd.Err() == nil {
		r.refused = err
	}
}

func (r *keyReader) stopped() bool { return r.refused != nil || r.cmd.Err() != nil }

// all reads keys with spaces between them, all of which must fit.
func (r *keyReader) all(depth int) test {
	tests := []test{r.key(depth)}
	for r.cmd.More() && !r.stopped() {
		r.cmd.SP()
		tests = append(tests, r.key(depth))
	}
	if len(tests) == 1 {
		return tests[0]
	}
	return func(c *candidate) bool {
		for _, fits := range tests {
			if !fits(c) {
				return false
			}
		}
		return true
	}
}

// key reads one key.
func (r *keyReader) key(depth int) test {
	r.q.size += 100
	if r.keys++; r.keys > maxKeys || depth > maxKeyDepth {
		r.refuse(no(imap.ResponseCodeLimit, "Too many search keys, or too deep in one another"))
	}
	if r.stopped() {
		return nil
	}
	switch b := r.cmd.Peek(); {
	case b == '(':
		r.cmd.Expect("(")
		fits := r.all(depth + 1)
		if !r.stopped() {
			r.cmd.Expect(")")
		}
		return fits
	case b == '*' || b == '$' || r.cmd.IsNumber():
		if b != '$' && r.s.enabled.uidOnly {
			r.cmd.Fail(uidRequired)
		}
		return r.set(r.cmd.Set(false), depth)
	}
	switch name := r.cmd.Word(); name {
	case "NOT":
		r.cmd.SP()
		fits := r.key(depth + 1)
		return func(c *candidate) bool { return !fits(c) }
	case "OR":
		return r.or(depth)
	case "UID":
		r.cmd.SP()
		return r.set(r.cmd.UIDSet(), depth)
	default:
		return r.named(name)
	}
}

// or reads the two keys of an OR. Where the second one is an OR again, its keys are read without going deeper.
func (r *keyReader) or(depth int) test {
	var tests []test
	for last := false; !last && !r.stopped(); {
		r.cmd.SP()
		tests = append(tests, r.key(depth+1))
		if r.stopped() {
			break
		}
		if last = !r.cmd.Take(" OR"); last {
			r.cmd.SP()
			tests = append(tests, r.key(depth+1))
		}
	}
	return func(c *candidate) bool {
		for _, fits := range tests {
			if fits(c) {
				return true
			}
		}
		return false
	}
}

// set makes the test for a set of messages. One that must fit, whatever else fits, bounds what is looked at.
func (r *keyReader) set(set imap.NumSet, depth int) test {
	if r.stopped() {
		return nil
	}
	uids, err := r.members(set)
	if err != nil {
		r.cmd.Fail("%s", err)
	}
	if depth == 0 {
		from, to := 0, 0
		if n := len(uids); n > 0 {
			from, _ = r.s.view.between(store.UID(uids[0].from), 0)
			_, to = r.s.view.between(0, store.UID(uids[n-1].to))
		}
		r.q.from, r.q.to = max(r.q.from, from), min(r.q.to, to)
	}
	return func(c *candidate) bool { return uids.has(uint32(c.uid)) }
}

// members are the UIDs of a set. Those of "$" are made once: a byte of a program must not take megabytes.
func (r *keyReader) members(set imap.NumSet) (uids spans, err error) {
	v := r.s.view
	switch set := set.(type) {
	case imap.SeqSet:
		uids, err = r.s.ranges(set)
		for i, run := range uids {
			uids[i] = span{uint32(v.uids[run.from]), uint32(v.uids[run.to])}
		}
	case imap.UIDSet:
		if imap.IsSearchRes(set) {
			if r.saved == nil {
				r.saved = uidRanges(r.s.saved, 0)
				r.q.size += len(r.saved) * 8
			}
			return r.saved, nil
		}
		uids = r.open(set)
	}
	r.q.size += len(uids) * 8
	return uids, err
}

// open are the UIDs of a set. Those from one of the mailbox up to "*" have no end, so that later messages are of them; where "*" stands otherwise it
// is the last message of now, and the set is another one when that changes.
func (r *keyReader) open(set imap.UIDSet) spans {
	last := r.s.view.last()
	uids := uidRanges(set, last)
	for _, run := range set {
		switch {
		case run.Stop != 0:
		case run.Start != 0 && store.UID(run.Start) <= last:
			uids = append(uids, span{uint32(run.Start), math.MaxUint32})
		default:
			r.q.drifts = true
		}
	}
	return merged(uids)
}
