package imapd

import (
	"fmt"
	"strings"

	"domicile/imapd/wire"
)

// searchVerbs are SEARCH (RFC 9051 6.4.4, and RFC 3501 of the same number), SORT and THREAD (RFC 5256), and what ends updates of the first two (RFC 5267). Their numbers of messages must
// hold until they are told, those with UID may learn of expunged ones.
var searchVerbs = map[string]verb{
	"SEARCH":     {run: (*session).search, needs: selected, tells: withoutGone, numbers: true},
	"SORT":       {run: (*session).sort, needs: selected, tells: withoutGone, numbers: true},
	"THREAD":     {run: (*session).thread, needs: selected, tells: withoutGone, numbers: true},
	"UID SEARCH": {run: (*session).search, needs: selected},
	"UID SORT":   {run: (*session).sort, needs: selected},
	"UID THREAD": {run: (*session).thread, needs: selected},

	"CANCELUPDATE": {run: (*session).cancelUpdate, needs: selected},
}

func isUID(cmd *wire.Command) bool { return strings.HasPrefix(cmd.Name, "UID ") }

func (s *session) search(cmd *wire.Command) (string, error) {
	want := readReturn(cmd)
	r := s.keyReader(cmd)
	cmd.SP()
	if cmd.Take("CHARSET ") {
		r.charset(cmd.Astring())
		cmd.SP()
	}
	q, err := r.query(want)
	if err != nil {
		return "", err
	}
	hits, err := s.find(q)
	if err != nil {
		return "", s.notSaved(want, err)
	}
	hits.uid = isUID(cmd)
	s.tell(cmd.Tag, want, hits)
	if want.update {
		s.keepLive(cmd.Tag, q, nil, hits)
	}
	return "", nil
}

// find returns the messages that fit.
func (s *session) find(q *query) (*hits, error) {
	h := &hits{view: s.view, modseq: q.modseq}
	return h, s.scan(q, 0, func(c *candidate) error {
		h.add(c)
		return nil
	})
}

// returning is what the client wants to be told: the options of RETURN.
type returning struct {
	given                      bool // there was a RETURN: the answer is ESEARCH (RFC 4731)
	min, max, count, all, save bool
	update                     bool // of the result, from now on (RFC 5267 4.3)
	partial                    *partial
}

// readReturn reads " RETURN (…)" if it is there.
func readReturn(cmd *wire.Command) (w returning) {
	if !cmd.Take(" RETURN ") {
		return w
	}
	w.given = true
	cmd.List(16, true, func() {
		switch option := cmd.Word(); option {
		case "MIN":
			w.min = true
		case "MAX":
			w.max = true
		case "COUNT":
			w.count = true
		case "ALL":
			w.all = true
		case "SAVE":
			w.save = true
		case "UPDATE":
			w.update = true
		case "CONTEXT": // that it will be asked for again (RFC 5267 4.2)
		case "PARTIAL":
			if w.partial != nil {
				cmd.Fail("PARTIAL stands once")
			}
			cmd.SP()
			w.partial = readPartial(cmd)
		default:
			cmd.Fail("No such RETURN option")
		}
	})
	if w.partial != nil && w.all {
		cmd.Fail("ALL and PARTIAL exclude each other (RFC 9394 3.1)")
	}
	if !w.min && !w.max && !w.count && !w.save && !w.update && w.partial == nil {
		w.all = true // "RETURN ()" (RFC 9051 6.4.4)
	}
	return w
}

// partial is a range of a result, counted from 1 (RFC 9394): from its end if last.
type partial struct {
	from, to uint32 // in order
	last     bool
	text     string // as the client wrote it: it is told so (RFC 9394 3.1)
}

func readPartial(cmd *wire.Command) *partial {
	bound := func(sign bool) uint32 {
		if sign {
			cmd.Expect("-")
		}
		return cmd.Positive()
	}
	p := &partial{last: cmd.Peek() == '-'}
	a := bound(p.last)
	cmd.Expect(":")
	b := bound(p.last)
	p.from, p.to = min(a, b), max(a, b)
	sign := ""
	if p.last {
		sign = "-"
	}
	p.text = fmt.Sprintf("%s%d:%s%d", sign, a, sign, b)
	return p
}

// of returns which of n results are in the range, as a half-open interval; empty if none is.
func (p *partial) of(n int) (from, to int) {
	if p.last {
		return max(n-int(p.to), 0), max(n-int(p.from)+1, 0)
	}
	return min(int(p.from)-1, n), min(int(p.to), n)
}

// notSaved empties the saved result, as a search does that was to save one and is answered NO (RFC 9051 6.4.4.1).
func (s *session) notSaved(w returning, err error) error {
	if w.save {
		s.saved = nil
	}
	return failure(err)
}
