package imapd

import (
	"strconv"
	"strings"

	"domicile/imapd/wire"
	"domicile/message"
	"domicile/store"
)

// Bounds of what one FETCH asks for.
const (
	maxItems  = 1000
	maxFields = 1000 // of a HEADER.FIELDS
)

// fetchItems is what a FETCH wants of each message (RFC 9051 6.4.5).
type fetchItems struct {
	uid, flags, modSeq, internal, saved, size, emailID, threadID bool // of the index
	envelope, body, structure                                    bool // of the summary
	preview                                                      preview
	sections                                                     []section // of the bytes
	seen                                                         bool      // it marks messages as read

	changedSince *store.ModSeq
	vanished     bool
	partial      *partial // PARTIAL (RFC 9394 3.3)
}

// preview is PREVIEW (RFC 8970): not asked for, or wanted, or wanted if it costs little.
type preview uint8

const (
	noPreview preview = iota
	fullPreview
	lazyPreview
)

// section is a range of bytes of a message.
type section struct {
	name    string // as the answer has it
	path    []int
	what    string // "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME
	fields  []string
	binary  bool // decoded (RFC 3516)
	sized   bool // BINARY.SIZE: how many bytes it would be
	partial bool
	offset  uint64
	count   uint64
}

// readItems takes what stands behind the set.
func (s *session) readItems(cmd *wire.Command, uid bool) (q fetchItems, err error) {
	q.uid = uid && !s.enabled.uidOnly // a UIDFETCH has it anyhow
	cmd.SP()
	if cmd.Peek() == '(' {
		cmd.List(maxItems, false, func() { q.item(cmd) })
	} else if w := cmd.Word(); !q.macro(w) {
		q.named(cmd, w)
	}
	if cmd.More() {
		cmd.SP()
		s.fetchModifiers(cmd, &q, uid)
	}
	return q, cmd.End()
}

// macro: RFC 9051 6.4.5.
func (q *fetchItems) macro(w string) bool {
	switch w {
	case "FULL", "ALL", "FAST":
		q.flags, q.internal, q.size = true, true, true
		q.envelope = w != "FAST"
		q.body = w == "FULL"
		return true
	}
	return false
}

func (q *fetchItems) item(cmd *wire.Command) { q.named(cmd, cmd.Word()) }

// named takes an item whose first word is w.
func (q *fetchItems) named(cmd *wire.Command, w string) {
	simple := map[string]*bool{"UID": &q.uid, "FLAGS": &q.flags, "MODSEQ": &q.modSeq, "INTERNALDATE": &q.internal, "SAVEDATE": &q.saved, "RFC822.SIZE": &q.size,
		"EMAILID": &q.emailID, "THREADID": &q.threadID, "ENVELOPE": &q.envelope, "BODYSTRUCTURE": &q.structure}
	switch on := simple[w]; {
	case on != nil:
		*on = true
	case w == "PREVIEW":
		q.readPreview(cmd)
	case w == "RFC822":
		q.add(section{name: w}, false)
	case w == "RFC822.HEADER":
		q.add(section{name: w, what: "HEADER"}, true)
	case w == "RFC822.TEXT":
		q.add(section{name: w, what: "TEXT"}, false)
	case w == "BODY" && cmd.Peek() != '[':
		q.body = true
	case w == "BODY", w == "BODY.PEEK":
		sec := readSection(cmd, "BODY")
		sec.readPartial(cmd)
		q.add(sec, w == "BODY.PEEK")
	case w == "BINARY", w == "BINARY.PEEK":
		sec := readSection(cmd, "BINARY")
		sec.readPartial(cmd)
		sec.binary = true
		q.add(sec, w == "BINARY.PEEK")
	case w == "BINARY.SIZE":
		sec := readSection(cmd, w)
		sec.binary, sec.sized = true, true
		q.add(sec, true)
	default:
		cmd.Fail("No such item")
	}
}

func (q *fetchItems) add(s section, peek bool) {
	q.sections = append(q.sections, s)
	q.seen = q.seen || !peek
}

// readPreview takes "PREVIEW" or "PREVIEW (LAZY)".
func (q *fetchItems) readPreview(cmd *wire.Command) {
	q.preview = fullPreview
	if cmd.Take(" (") {
		cmd.Expect("LAZY")
		cmd.Expect(")")
		q.preview = lazyPreview
	}
}

// readSection takes "[...]". In a BINARY it is a part number alone.
func readSection(cmd *wire.Command, item string) (s section) {
	cmd.Expect("[")
	var word string
	if cmd.Peek() != ']' {
		word = cmd.Word()
	}
	if !s.split(word) || item != "BODY" && s.what != "" {
		cmd.Fail("No such section")
	}
	name := append([]byte(item+"["), word...)
	if strings.HasPrefix(s.what, "HEADER.FIELDS") {
		cmd.SP()
		name = append(name, " ("...)
		cmd.List(maxFields, false, func() {
			f := cmd.Astring()
			if s.fields = append(s.fields, f); len(s.fields) > 1 {
				name = append(name, ' ')
			}
			if wire.IsTag(f) && !strings.Contains(f, "]") {
				name = append(name, f...)
			} else {
				name = wire.AppendString(name, f, false)
			}
		})
		name = append(name, ')')
	}
	cmd.Expect("]")
	s.name = string(append(name, ']'))
	return s
}

// split parts numbers and words of a section.
func (s *section) split(word string) bool {
	rest := word
	for rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		digits, after, more := strings.Cut(rest, ".")
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil || n == 0 || more && after == "" || len(s.path) == 2*message.MaxDepth {
			return false
		}
		s.path = append(s.path, int(n))
		rest = after
	}
	s.what = rest
	switch rest {
	case "", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT":
		return true
	}
	return rest == "MIME" && len(s.path) > 0
}

// readPartial takes "<offset.count>", if it is there.
func (s *section) readPartial(cmd *wire.Command) {
	if !cmd.Take("<") {
		return
	}
	s.partial = true
	s.offset = cmd.Num64()
	cmd.Expect(".")
	if s.count = cmd.Num64(); s.count == 0 {
		cmd.Fail("A part of a section has a byte at least")
	}
	cmd.Expect(">")
	s.name += "<" + strconv.FormatUint(s.offset, 10) + ">"
}

// fetchModifiers takes "(CHANGEDSINCE n VANISHED PARTIAL from:to)" (RFC 7162 3.1.4, 3.2.6; RFC 9394 3.3).
func (s *session) fetchModifiers(cmd *wire.Command, q *fetchItems, uid bool) {
	cmd.List(4, false, func() {
		switch w := cmd.Word(); {
		case w == "CHANGEDSINCE":
			cmd.SP()
			seq := store.ModSeq(cmd.Num64())
			q.changedSince, q.modSeq = &seq, true
		case w == "PARTIAL" && uid && q.partial == nil:
			cmd.SP()
			q.partial = readPartial(cmd)
		case w == "VANISHED" && uid && s.enabled.qresync:
			q.vanished = true
		case w == "VANISHED":
			cmd.Fail("VANISHED is for UID FETCH behind ENABLE QRESYNC")
		default:
			cmd.Fail("No such modifier")
		}
	})
	if q.vanished && q.changedSince == nil {
		cmd.Fail("VANISHED needs CHANGEDSINCE")
	}
}
