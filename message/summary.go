package message

import (
	"slices"
	"strings"
	"time"
)

// Bounds of a Summary's pieces, in bytes. All together stay below MaxSummary.
const (
	MaxSummary = 16 << 10 // as AppendBinary writes it

	maxEnvelope   = 4 << 10
	maxStructure  = 3 << 10
	maxPlaces     = 1 << 10
	maxSearched   = 640 // of a field's folded text
	maxKey        = 128 // of a name or mailbox to sort by
	maxID         = 250
	maxReferences = 2000
	maxFileNames  = 750
)

// A Summary is what a store keeps of a message at delivery, so that listing, sorting, threading, most searches and reading
// parts need not read and parse the message again. It is no more than 16 KiB, and mostly less than 1 KiB. All of it can be
// made anew from the message.
//
// What would be too large is left out, and each field says how that is seen. Whoever needs it then asks the message.
type Summary struct {
	Size      int    // bytes of the message
	Envelope  string // what IMAP sends as ENVELOPE; "" = more than 4 KiB: Message.AppendEnvelope
	Structure string // what IMAP sends as BODYSTRUCTURE; "" = more than 3 KiB: Message.AppendStructure

	Sent  time.Time // the Date field, to the second, in its zone; zero if none can be read: the internal date counts (RFC 5256 2.2)
	Reply bool      // the subject is one of a reply or a forwarded message (RFC 5256 2.1)

	Subject           Searched
	From, To, Cc, Bcc Searched
	FromKey           SortKey
	ToKey, CcKey      SortKey

	MessageID  string   // without angle brackets and quotes; "" if there is none
	References []string // the ids of References, or if it has none, of In-Reply-To the first; of many the first and the last
	FileNames  []string // of parts, decoded; of many the first

	base       span   // of the base subject, in Subject.Text
	extensions string // where in Structure extension data stand
	places     string // where parts stand
}

// Searched is the text of a header field, decoded and folded by Fold: SEARCH SUBJECT, FROM and HEADER look into it. Each further
// field of the same name is a line of its own. An empty field is not told from none.
type Searched struct {
	Text string
	Cut  bool // there is more of it: what Text does not hold, the message may
}

// SortKey is what RFC 5256 and RFC 5957 sort by: of the first address, folded.
type SortKey struct {
	Mailbox string // the local part
	Display string // the name that is shown; without one, the address
}

// BaseSubject is the subject by which messages are sorted and threaded (RFC 5256 2.1), folded.
func (s *Summary) BaseSubject() string { return s.Subject.Text[s.base.from:s.base.to] }

// Summarize makes the summary.
func (m *Message) Summarize() *Summary {
	e := m.Envelope(m.Root)
	s := &Summary{Size: len(m.raw)}
	w := wire{m: m, extended: true}
	if w.envelope(e); len(w.b) <= maxEnvelope {
		s.Envelope = string(w.b)
	}
	w.b = w.b[:0]
	if w.structure(m.Root); len(w.b) <= maxStructure {
		s.Structure = string(w.b)
		s.extensions = appendSpans(w.extensions)
	}
	if places := appendPlaces(nil, m.Root); len(places) <= maxPlaces {
		s.places = string(places)
	}
	if t, ok := ParseDate(e.Date); ok {
		s.Sent = t
	}
	s.FromKey, s.ToKey, s.CcKey = sortKey(e.From), sortKey(e.To), sortKey(e.Cc)
	s.MessageID = messageID(e.MessageID)
	s.searched(m)
	if s.References == nil {
		s.References = slices.Clip(messageIDs(e.InReplyTo, 1))
	}
	first, _, _ := strings.Cut(s.Subject.Text, "\n")
	s.base, s.Reply = baseSubject(first)
	s.fileNames(m.Root, maxFileNames)
	return s
}

// searched reads the fields that are searched and threaded by.
func (s *Summary) searched(m *Message) {
	for name, value := range fieldsIn(m.Header(m.Root)) {
		switch strings.ToLower(name) {
		case "subject":
			s.Subject.add(value)
		case "from":
			s.From.add(value)
		case "to":
			s.To.add(value)
		case "cc":
			s.Cc.add(value)
		case "bcc":
			s.Bcc.add(value)
		case "references":
			if s.References == nil {
				s.References = bounded(messageIDs(unfold(value), MaxAddresses), maxReferences)
			}
		}
	}
}

// add adds a field's value.
func (t *Searched) add(value []byte) {
	if t.Cut {
		return
	}
	const raw = 8 * maxSearched // more than folding makes of maxSearched bytes
	text := Fold(DecodeHeader(unfold(value[:min(len(value), raw)])))
	if t.Text != "" {
		text = t.Text + "\n" + text
	}
	t.Text = clip(text, maxSearched)
	t.Cut = len(t.Text) < len(text) || len(value) > raw
}

func sortKey(list []Address) SortKey {
	if len(list) == 0 {
		return SortKey{}
	}
	a := list[0]
	display := DecodeHeader(clip(a.Name, 8*maxKey))
	switch {
	case display != "":
	case a.Kind == GroupStart:
		display = DecodeHeader(clip(a.Mailbox, 8*maxKey))
	default:
		display = clip(a.Mailbox, maxKey) + "@" + clip(a.Host, maxKey)
	}
	return SortKey{Mailbox: clip(Fold(clip(a.Mailbox, 8*maxKey)), maxKey), Display: clip(Fold(display), maxKey)}
}

// fileNames collects names of parts as long as there is room.
func (s *Summary) fileNames(p *Part, room int) int {
	if name := p.FileName(); name != "" {
		name = clip(name, maxID)
		if room -= len(name) + 2; room < 0 {
			return room
		}
		s.FileNames = append(s.FileNames, name)
	}
	for _, child := range p.Parts {
		if room = s.fileNames(child, room); room < 0 {
			return room
		}
	}
	if p.Embedded != nil {
		room = s.fileNames(p.Embedded, room)
	}
	return room
}
