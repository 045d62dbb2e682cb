package message

import "strings"

// Envelope is what IMAP's ENVELOPE shows (RFC 9051 7.5.2): values as in the header, unfolded and not decoded. "" is an
// absent or empty field, which IMAP shows as NIL.
type Envelope struct {
	Date, Subject                      string
	From, Sender, ReplyTo, To, Cc, Bcc []Address
	InReplyTo, MessageID               string
}

// AddressKind tells a mailbox from the marks of a group.
type AddressKind uint8

// The kinds of an Address.
const (
	Mailbox    AddressKind = iota
	GroupStart             // Mailbox is the group's name
	GroupEnd
)

// Address is one element of an address list (RFC 5322 3.4).
type Address struct {
	Kind    AddressKind
	Name    string // the phrase before the address, or a comment behind it; encoded words not decoded
	Route   string // the obsolete source route, "@a,@b"
	Mailbox string // local part, unquoted
	Host    string
}

// Envelope returns the envelope of a message: of the root, or of an Embedded part. Without Sender or Reply-To those are From.
func (m *Message) Envelope(p *Part) Envelope {
	list := func(n int) []Address { return parseAddresses(m.field(p, n)) }
	e := Envelope{
		Date: m.field(p, fieldDate), Subject: m.field(p, fieldSubject),
		From: list(fieldFrom), Sender: list(fieldSender), ReplyTo: list(fieldReplyTo),
		To: list(fieldTo), Cc: list(fieldCc), Bcc: list(fieldBcc),
		InReplyTo: m.field(p, fieldInReplyTo), MessageID: m.field(p, fieldMessageID),
	}
	if len(e.Sender) == 0 {
		e.Sender = e.From
	}
	if len(e.ReplyTo) == 0 {
		e.ReplyTo = e.From
	}
	return e
}

// parseAddresses reads an address list, unfolded. What cannot be read as an address is left out, at most MaxAddresses
// are returned.
func parseAddresses(s string) []Address {
	p := addressParser{sc: scanner{s: s}}
	for p.sc.i < len(p.sc.s) && len(p.out) < MaxAddresses-1 {
		p.next()
	}
	p.flush()
	if p.group {
		p.out = append(p.out, Address{Kind: GroupEnd})
	}
	return p.out
}

// addressParser collects the words of one address until a comma, a semicolon or an angle bracket says what they were.
type addressParser struct {
	sc      scanner
	out     []Address
	group   bool
	phrase  strings.Builder // words, quoted ones unquoted
	at      int             // where in phrase an unquoted "@" stands, +1
	comment string
	done    bool // an address in angle brackets was read: only noise follows
}

func (p *addressParser) next() {
	switch c := p.sc.s[p.sc.i]; c {
	case '"':
		p.phrase.WriteString(p.sc.quoted())
	case '(':
		p.comment = p.sc.comment()
	case '<':
		p.angle()
	case ',':
		p.sc.i++
		p.flush()
	case ';':
		p.sc.i++
		p.flush()
		if p.group {
			p.group = false
			p.out = append(p.out, Address{Kind: GroupEnd})
		}
	case ':':
		p.sc.i++
		if name := words(p.phrase.String()); !p.group && !p.done && name != "" {
			p.group = true
			p.out = append(p.out, Address{Kind: GroupStart, Mailbox: name})
		}
		p.reset()
	default:
		if c == '@' {
			p.at = p.phrase.Len() + 1
		}
		p.phrase.WriteByte(c)
		p.sc.i++
	}
}

// angle reads "<route:local@host>", its "<" next.
func (p *addressParser) angle() {
	p.sc.i++
	inner := addressParser{sc: p.sc}
	var a Address
	for inner.sc.i < len(inner.sc.s) && inner.sc.s[inner.sc.i] != '>' {
		switch inner.sc.s[inner.sc.i] {
		case ':':
			a.Route = strings.TrimSpace(inner.phrase.String())
			inner.reset()
			inner.sc.i++
		case ',', ';', '<': // within a route, or broken
			inner.phrase.WriteByte(inner.sc.s[inner.sc.i])
			inner.sc.i++
		default:
			inner.next()
		}
	}
	p.sc.i = min(inner.sc.i+1, len(p.sc.s))
	if p.done {
		return
	}
	a.Name = words(p.phrase.String())
	a.Mailbox, a.Host = inner.split()
	p.done = true
	if a.Mailbox != "" || a.Host != "" || a.Name != "" {
		p.out = append(p.out, a)
	}
}

// flush ends the address that was being read.
func (p *addressParser) flush() {
	if !p.done && strings.TrimSpace(p.phrase.String()) != "" {
		a := Address{Name: strings.TrimSpace(p.comment)}
		a.Mailbox, a.Host = p.split()
		p.out = append(p.out, a)
	}
	p.reset()
}

func (p *addressParser) reset() {
	p.phrase.Reset()
	p.at, p.comment, p.done = 0, "", false
}

// split cuts the phrase at its last "@" outside quotes.
func (p *addressParser) split() (local, host string) {
	s := p.phrase.String()
	if p.at == 0 {
		return strings.TrimSpace(s), ""
	}
	return strings.TrimSpace(s[:p.at-1]), strings.Join(strings.Fields(s[p.at:]), "")
}

// words puts single spaces between words.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }
