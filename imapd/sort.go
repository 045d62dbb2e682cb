package imapd

import (
	"cmp"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile/imapd/wire"
	"domicile/message"
	"domicile/store"
	"domicile/turns"
)

// sort answers SORT (RFC 5256 3, RFC 5957; with RETURN RFC 5267 3).
func (s *session) sort(cmd *wire.Command) (string, error) {
	want := readReturn(cmd)
	cmd.SP()
	keys := readSortKeys(cmd)
	cmd.SP()
	r := s.keyReader(cmd)
	r.charset(cmd.Astring())
	cmd.SP()
	q, err := r.query(want)
	if err != nil {
		return "", err
	}
	hits, err := s.sorted(q, keys)
	if err != nil {
		return "", s.notSaved(want, err)
	}
	hits.uid = isUID(cmd)
	return s.tell(cmd.Tag, want, hits)
}

// sortKey is one criterion.
type sortKey struct {
	name    string
	reverse bool
}

// readSortKeys reads criteria. One that stands again decides nothing and is passed over, so that there are as many as there are names.
func readSortKeys(cmd *wire.Command) (keys []sortKey) {
	cmd.List(64, false, func() {
		k := sortKey{name: cmd.Word()}
		if k.name == "REVERSE" {
			cmd.SP()
			k = sortKey{cmd.Word(), true}
		}
		if sortValues[k.name] == nil {
			cmd.Fail("No such SORT key")
		}
		if !slices.ContainsFunc(keys, func(had sortKey) bool { return had.name == k.name }) {
			keys = append(keys, k)
		}
	})
	return keys
}

// sortValue is what a message is sorted by: a number, or text in the order of i;unicode-casemap.
type sortValue struct {
	number int64
	text   string
}

var sortValues = map[string]func(m *store.Message, s *message.Summary) sortValue{
	"ARRIVAL":     func(m *store.Message, _ *message.Summary) sortValue { return sortValue{number: m.Internal.Unix()} },
	"DATE":        func(m *store.Message, s *message.Summary) sortValue { return sortValue{number: sent(m, s)} },
	"SIZE":        func(m *store.Message, _ *message.Summary) sortValue { return sortValue{number: m.Size} },
	"SUBJECT":     func(_ *store.Message, s *message.Summary) sortValue { return textValue(s.BaseSubject()) },
	"FROM":        func(_ *store.Message, s *message.Summary) sortValue { return textValue(s.FromKey.Mailbox) },
	"TO":          func(_ *store.Message, s *message.Summary) sortValue { return textValue(s.ToKey.Mailbox) },
	"CC":          func(_ *store.Message, s *message.Summary) sortValue { return textValue(s.CcKey.Mailbox) },
	"DISPLAYFROM": func(_ *store.Message, s *message.Summary) sortValue { return textValue(s.FromKey.Display) },
	"DISPLAYTO":   func(_ *store.Message, s *message.Summary) sortValue { return textValue(s.ToKey.Display) },
}

// textValue is a folded text as i;unicode-casemap compares it (RFC 5051): capitals, by octets. It keeps nothing of the summary.
func textValue(folded string) sortValue {
	return sortValue{text: strings.Clone(strings.ToUpper(folded))}
}

// sent is the date that sorts and threads: of the Date field, else the internal date (RFC 5256 2.2), in seconds.
func sent(m *store.Message, s *message.Summary) int64 {
	if s.Sent.IsZero() {
		return m.Internal.Unix()
	}
	return s.Sent.Unix()
}

// needsOf is what the keys look at: ARRIVAL and SIZE the record alone.
func needsOf(keys []sortKey) need {
	for _, k := range keys {
		if k.name != "ARRIVAL" && k.name != "SIZE" {
			return records | summaries
		}
	}
	return records
}

// sorted finds messages and brings them in order. What is the same for all keys stays in the order of the mailbox.
func (s *session) sorted(q *query, keys []sortKey) (*hits, error) {
	room := &room{memory: &s.memory}
	defer room.release()
	h := &hits{view: s.view, modseq: q.modseq, sorted: true}
	var values []sortValue // those of one message behind one another
	err := s.scan(q, needsOf(keys), func(c *candidate) error {
		h.add(c)
		size := 32
		for _, k := range keys {
			v := sortValues[k.name](c.m, c.summary)
			values = append(values, v)
			size += 24 + len(v.text)
		}
		return room.take(size)
	})
	if err != nil {
		return nil, err
	}
	return h, s.inTurn(func(*turns.Turn) error { h.sort(keys, values); return nil })
}

// sort brings them in order by the values of their keys.
func (h *hits) sort(keys []sortKey, values []sortValue) {
	rows := make([]int, len(h.idx))
	for i := range rows {
		rows[i] = i
	}
	slices.SortFunc(rows, func(a, b int) int {
		for i, k := range keys {
			x, y := &values[a*len(keys)+i], &values[b*len(keys)+i]
			if k.reverse {
				x, y = y, x
			}
			if c := cmp.Or(cmp.Compare(x.number, y.number), strings.Compare(x.text, y.text)); c != 0 {
				return c
			}
		}
		return a - b
	})
	h.reorder(rows)
}

func (h *hits) reorder(rows []int) {
	idx, seqs := h.idx, h.seqs
	h.idx, h.seqs = make([]uint32, len(idx)), make([]store.ModSeq, len(seqs))
	for to, from := range rows {
		h.idx[to] = idx[from]
		if len(seqs) > 0 {
			h.seqs[to] = seqs[from]
		}
	}
}

var errNoRoom = no(imap.ResponseCodeLimit, "Too much to sort at once: search for less, or try again later")
