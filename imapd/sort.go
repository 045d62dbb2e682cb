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
	room := &room{memory: &s.memory} // until the answer is written
	defer room.release()
	hits, err := s.sorted(q, keys, room)
	if err != nil {
		return "", s.notSaved(want, err)
	}
	hits.uid = isUID(cmd)
	if !want.update {
		hits.places = nil
	}
	s.tell(cmd.Tag, want, hits)
	if want.update {
		s.keepLive(cmd.Tag, q, keys, hits)
	}
	return "", nil
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

// textValue is a folded text as i;unicode-casemap compares it (RFC 5051): capitals, by octets.
func textValue(folded string) sortValue { return sortValue{text: strings.ToUpper(folded)} }

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

// placeOf is where a message stands by some keys: the strings of two messages compare as the messages do.
func placeOf(keys []sortKey, m *store.Message, s *message.Summary) string {
	var b []byte // which keeps nothing of the summary
	for _, k := range keys {
		from := len(b)
		v := sortValues[k.name](m, s)
		for shift := 56; shift >= 0; shift -= 8 {
			b = append(b, byte((uint64(v.number)^1<<63)>>shift)) // negative ones come first
		}
		for _, c := range []byte(v.text) {
			if b = append(b, c); c == 0 {
				b = append(b, 0xff)
			}
		}
		b = append(b, 0, 0) // no text goes on like this: what is the beginning of another one comes before it
		if k.reverse {
			for i := from; i < len(b); i++ {
				b[i] = ^b[i]
			}
		}
	}
	return string(b)
}

// sorted finds messages and brings them in order. What is the same for all keys stays in the order of the mailbox.
func (s *session) sorted(q *query, keys []sortKey, room *room) (*hits, error) {
	h := &hits{view: s.view, modseq: q.modseq, sorted: true}
	err := s.scan(q, needsOf(keys), func(c *candidate) error {
		h.add(c)
		place := placeOf(keys, c.m, c.summary)
		h.places = append(h.places, place)
		return room.take(40 + len(place))
	})
	if err != nil {
		return nil, err
	}
	return h, s.inTurn(func(*turns.Turn) error { h.sort(); return nil })
}

// sort brings them in the order of their places.
func (h *hits) sort() {
	rows := make([]int, len(h.idx))
	for i := range rows {
		rows[i] = i
	}
	slices.SortFunc(rows, func(a, b int) int { return cmp.Or(strings.Compare(h.places[a], h.places[b]), a-b) })
	h.idx, h.places, h.seqs = reordered(h.idx, rows), reordered(h.places, rows), reordered(h.seqs, rows)
}

// reordered is a list in another order, nil if it was not kept.
func reordered[T any](list []T, rows []int) []T {
	if len(list) == 0 {
		return nil
	}
	out := make([]T, len(rows))
	for to, from := range rows {
		out[to] = list[from]
	}
	return out
}

var errNoRoom = no(imap.ResponseCodeLimit, "Too much to sort at once: search for less, or try again later")
