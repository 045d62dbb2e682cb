package imapd

import (
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile/message"
	"domicile/store"
)

// named reads the arguments of a key that is a word.
func (r *keyReader) named(name string) test {
	if flag, ok := flagKeys[name]; ok {
		return r.system(flag, true)
	}
	if flag, ok := flagKeys[strings.TrimPrefix(name, "UN")]; ok {
		return r.system(flag, false)
	}
	if at, ok := dateKeys[name]; ok {
		r.q.needs |= at.needs
		r.cmd.SP()
		day := dayOf(r.cmd.Date())
		return func(c *candidate) bool { t := at.of(c); return !t.IsZero() && at.fits(dayOf(t), day) }
	}
	switch name {
	case "ALL", "SAVEDATESUPPORTED": // RFC 8514 4.2: of every message it is known when it was saved
		return func(*candidate) bool { return true }
	case "NEW":
		unseen := r.system(store.Seen, false)
		return func(c *candidate) bool { return c.recent() && unseen(c) }
	case "OLD":
		return func(c *candidate) bool { return !c.recent() }
	case "RECENT":
		return (*candidate).recent
	}
	if !r.cmd.Take(" ") {
		r.cmd.Fail("No such search key, or without its argument")
	}
	switch name {
	case "KEYWORD":
		return r.keyword(r.cmd.Atom(), true)
	case "UNKEYWORD":
		return r.keyword(r.cmd.Atom(), false)
	case "SUBJECT", "FROM", "TO", "CC", "BCC":
		return r.text(store.InHeader, name, r.string())
	case "HEADER":
		field := r.cmd.Astring()
		r.cmd.SP()
		return r.text(store.InHeader, field, r.string())
	case "BODY":
		return r.text(store.InBody, "", r.string())
	case "TEXT":
		return r.text(store.InText, "", r.string())
	}
	return r.number(name)
}

// number reads the keys that have a number or an identifier.
func (r *keyReader) number(name string) test {
	r.q.needs |= records
	switch name {
	case "LARGER":
		n := int64(r.cmd.Num64())
		return func(c *candidate) bool { return c.m.Size > n }
	case "SMALLER":
		n := int64(r.cmd.Num64())
		return func(c *candidate) bool { return c.m.Size < n }
	case "OLDER": // RFC 5032: to the second, the second itself included, both ways
		r.q.drifts = true
		t := r.now.Unix() - int64(r.cmd.Positive())
		return func(c *candidate) bool { return c.m.Internal.Unix() <= t }
	case "YOUNGER":
		r.q.drifts = true
		t := r.now.Unix() - int64(r.cmd.Positive())
		return func(c *candidate) bool { return c.m.Internal.Unix() >= t }
	case "EMAILID": // RFC 8474 6
		id := r.cmd.Atom()
		return func(c *candidate) bool { return string(c.m.ID) == id }
	case "THREADID": // no message has one
		r.cmd.Atom()
		return func(*candidate) bool { return false }
	case "MODSEQ":
		return r.modseq()
	}
	r.cmd.Fail("No such search key")
	return nil
}

// modseq reads MODSEQ (RFC 7162 3.1.5). An entry may be named; all have the message's one.
func (r *keyReader) modseq() test {
	if r.cmd.Peek() == '"' {
		if entry := r.cmd.String(); !strings.HasPrefix(strings.ToLower(entry), "/flags/") {
			r.cmd.Fail("An entry is written like \"/flags/\\\\Seen\"")
		}
		r.cmd.SP()
		if kind := r.cmd.Word(); kind != "PRIV" && kind != "SHARED" && kind != "ALL" {
			r.cmd.Fail("An entry is priv, shared or all")
		}
		r.cmd.SP()
	}
	n := store.ModSeq(r.cmd.Num64())
	r.q.modseq = true
	return func(c *candidate) bool { return c.m.ModSeq >= n }
}

var flagKeys = map[string]string{"SEEN": store.Seen, "ANSWERED": store.Answered, "FLAGGED": store.Flagged, "DELETED": store.Deleted, "DRAFT": store.Draft}

func (r *keyReader) system(flag string, has bool) test {
	r.q.needs |= flagsAlone
	bit := bitsOf([]string{flag})
	return func(c *candidate) bool { return c.flags&bit != 0 == has }
}

func (r *keyReader) keyword(word string, has bool) test {
	r.q.needs |= records
	return func(c *candidate) bool { return store.HasFlag(c.m.Flags, word) == has }
}

// dateKey compares days, without regard to time and zone (RFC 9051 6.4.4).
type dateKey struct {
	needs need
	of    func(c *candidate) time.Time
	fits  func(day, than int) bool
}

var dateKeys = func() map[string]dateKey {
	keys := map[string]dateKey{}
	for word, fits := range map[string]func(day, than int) bool{
		"BEFORE": func(day, than int) bool { return day < than },
		"ON":     func(day, than int) bool { return day == than },
		"SINCE":  func(day, than int) bool { return day >= than },
	} {
		keys[word] = dateKey{records, func(c *candidate) time.Time { return c.m.Internal }, fits}
		keys["SENT"+word] = dateKey{records | summaries, func(c *candidate) time.Time { return c.summary.Sent }, fits}
		keys["SAVED"+word] = dateKey{records, func(c *candidate) time.Time { return c.m.Saved }, fits} // RFC 8514
	}
	return keys
}()

func dayOf(t time.Time) int { y, m, d := t.Date(); return y*10000 + int(m)*100 + d }

// textKey is a key that looks into messages: which of them hold a text, the store knows for the mailbox as a whole.
type textKey struct {
	in          store.Where
	field, text string // the text folded
	found       spans  // UIDs
}

// string reads what is looked for.
func (r *keyReader) string() string {
	text, ok := r.decode(r.cmd.Astring())
	if !ok {
		r.cmd.Fail("A string is not in the charset of the search")
	}
	return message.Fold(text)
}

// text asks each question once.
func (r *keyReader) text(in store.Where, field, text string) test {
	if r.stopped() {
		return nil
	}
	if text == "" && in != store.InHeader {
		return func(*candidate) bool { return true } // every text holds an empty one
	}
	if in == store.InHeader && !isFieldName(field) {
		return func(*candidate) bool { return false }
	}
	field = strings.ToLower(field)
	for _, k := range r.q.texts {
		if k.in == in && k.field == field && k.text == text {
			return k.fits
		}
	}
	if len(r.q.texts) == maxTextKeys {
		r.refuse(no(imap.ResponseCodeLimit, "More than 64 keys that look into messages"))
	}
	k := &textKey{in: in, field: field, text: text}
	r.q.size += len(field) + len(text)
	r.q.texts = append(r.q.texts, k)
	return k.fits
}

func (k *textKey) fits(c *candidate) bool { return k.found.has(uint32(c.uid)) }

// isFieldName: RFC 5322 2.2. No field has another name.
func isFieldName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(c rune) bool { return c <= ' ' || c == ':' || c >= 0x7f }) < 0
}
